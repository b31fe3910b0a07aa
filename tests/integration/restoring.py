"""What tests of restores share: an account with a little of everything, backups to files, what an account holds."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

from domain import commands
from domain.accounts import Access
from domain.application import Actor, Application
from domain.ids import EntityId, PersonId
from domain.kinds import Kind
from domain.work import Work
from projections.rebuild import rebuild
from snapshots.backup import take_backup
from snapshots.restoring.report import RestoreReport
from snapshots.restoring.restore import Choices, restore_archive
from tests.fixtures.accounts import OpenedAccount
from tests.fixtures.archives import KEYS, SIGNER

TENANT_TABLES = ("streams", "segments", "attributions", "events", "entities", "series", "attachments")
LINE = {
    "line_id": "1",
    "name": "Bell",
    "quantity": "2",
    "unit": "C62",
    "net_price": "10.00",
    "vat": {"category": "S", "rate": "21"},
}


def owner_of(access: Access) -> Actor:
    """The account's owner, at work."""
    owner = next(member for member in access.control.members if member.role == "owner")
    return Actor.person(owner.person, "api")


class Books:
    """An account as its owner works in it."""

    def __init__(self, opened: OpenedAccount) -> None:
        self.application: Application = opened.application
        self.access: Access = opened.access
        self.clock = opened.clock
        self.actor = owner_of(opened.access)

    @property
    def person(self) -> PersonId:
        """Who owns the account."""
        return PersonId(self.actor.name.removeprefix("person:"))

    def run(self, command: Any, actor: Actor | None = None) -> Any:
        """What a command comes to, a minute later."""
        self.clock.now += timedelta(minutes=1)
        return self.application.run(self.access.account, actor or self.actor, command)

    def make(self, kind: Kind, **fields: Any) -> EntityId:
        """A fresh entity."""
        made: EntityId = self.run(lambda work: commands.create(work, kind, fields))
        return made

    def customer(self, name: str = "Klant", **fields: Any) -> EntityId:
        """A fresh customer."""
        return self.make(Kind.CUSTOMER, party={"name": name}, **fields)

    def issued(self, customer: EntityId, kind: Kind = Kind.INVOICE, **fields: Any) -> EntityId:
        """A freshly issued document of 24.20."""

        def command(work: Work) -> EntityId:
            made = commands.create(work, kind, {"customer": customer, "lines": [LINE], **fields})
            commands.issue(work, kind, made)
            return made

        made: EntityId = self.run(command)
        return made

    def state(self, kind: Kind, id_: EntityId) -> Any:
        """An entity as it is."""
        return self.application.find(self.access.account, kind, id_)[0]

    def backup(self, folder: Path) -> bytes:
        """The bytes of a fresh archive."""
        taken = take_backup(self.application, self.access, self.actor, folder / f"{self.access.account}.zip", SIGNER)
        return taken.path.read_bytes()

    def restore(self, archive: bytes | BinaryIO, **choices: Any) -> RestoreReport:
        """The report of a restore into this account, of whichever account the archive is."""
        choices = {"from_other_account": True, **choices}
        with as_file(archive if isinstance(archive, bytes) else archive.read()) as opened:
            return restore_archive(
                self.application, self.access, self.actor, opened, choices=Choices(**choices), keys=KEYS
            )

    def rows(self) -> dict[str, list[Any]]:
        """All rows of the account but its own history and streams that were abandoned."""
        found = {}
        with self.application.database.transaction(self.access.account) as connection:
            for table in TENANT_TABLES:
                rows = connection.execute(f"SELECT to_jsonb(t) FROM {table} t".encode()).fetchall()
                found[table] = sorted((row for (row,) in rows if row.get("status") != "abandoned"), key=str)
        return found


def as_file(archive: bytes) -> BinaryIO:
    """The archive as a file that has a descriptor, as every door takes it."""
    made = tempfile.TemporaryFile()  # noqa: SIM115 - closed by who takes it
    made.write(archive)
    made.seek(0)
    return made


def is_sound(books: Books) -> bool:
    """Whether everything that is kept is what the events say."""
    return rebuild(books.application.database, books.access.account, check=True).differences_count == 0
