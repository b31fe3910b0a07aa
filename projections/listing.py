"""Lists: what an account holds of each kind."""

from __future__ import annotations

from domain.ids import AccountId
from domain.kinds import Kind
from domain.store.database import Database
from domain.store.statements import statements

SQL = statements("projections", "listing.sql")


def count_kinds(database: Database, account: AccountId) -> dict[str, int]:
    """How many entities of each kind are there; deleted ones are not."""
    with database.transaction(account) as connection:
        found = dict(connection.execute(SQL["count_kinds"], {"account": account}).fetchall())
    return {kind.value: found.get(kind.value, 0) for kind in Kind}
