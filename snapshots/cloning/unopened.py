"""Accounts that a clone makes: filled before they are opened; without history and members, nobody sees them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

import psycopg

from domain.application import Actor
from domain.errors import RestoreError
from domain.ids import AccountId
from domain.store.database import PURGER, Database, set_account
from domain.store.statements import statements
from snapshots.fresh.building import delete_rows

SQL = statements("snapshots.cloning", "cloning.sql")
RESTORE_SQL = statements("snapshots.fresh", "fresh.sql")


@dataclass(eq=False)
class NameTaken(RestoreError):
    """Another account has the short name that a new one would get."""

    code: ClassVar[str] = "clone.name-taken"
    name: str
    slug: str

    def __str__(self) -> str:
        return f"name: found {self.name!r}, whose short name {self.slug} is taken; expected another name"


def begin_account(database: Database, named: tuple[AccountId, str, str], actor: Actor, *, at: datetime) -> None:
    """A row for the account, under a name that nobody looks for. Raises NameTaken when *slug* is, as things are."""
    account, name, slug = named
    with database.transaction(account) as connection:
        key = {"account": account, "slug": slug}
        if connection.execute(SQL["insert_account"], key).rowcount != 1:
            raise NameTaken(name, slug)
        connection.execute(SQL["name_account"], {**key, "slug": f"being-made-{account}"})
        connection.execute(SQL["insert_building_stream"], {"account": account, "at": at, "by": actor.name})


def sweep_never_opened(database: Database) -> list[AccountId]:
    """Remove what clones that were killed left of accounts that they were making. The accounts' ids."""
    with database.session(PURGER) as purger:
        left = [AccountId(account) for (account,) in purger.execute(SQL["list_never_opened"])]
    swept = []
    for account in left:
        with database.session(PURGER) as purger:
            row = purger.execute(RESTORE_SQL["lock_builder"], {"account": account, "stream": 1}).fetchone()
            if row and row[0]:
                remove(database, account)
                swept.append(account)
    return swept


def remove(database: Database, account: AccountId) -> None:
    """Remove an account that was never opened, with all there is of it."""
    with suppress(psycopg.Error):  # the database is gone: the next clone, or the service's start, sweeps what is left
        with database.transaction(account) as connection:
            connection.execute(RESTORE_SQL["abandon"], {"account": account, "stream": 1})
        with database.session(PURGER) as purger:
            delete_rows(purger, account, 1)
            with purger.transaction():
                set_account(purger, account)
                purger.execute(SQL["delete_stream"], {"account": account})
                purger.execute(SQL["delete_account"], {"account": account})
