"""The operations that are swept: what there is before one, how it is run, what tells whether it was done."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import psycopg

from api.bootstrap import Installation
from api.purging import archiver
from api.settings import Settings
from domain import commands
from domain.accounts import Access, accounts_of, add_member, find_access
from domain.application import Actor, Application
from domain.control import Role
from domain.documents.fields import Attachment
from domain.ids import PersonId
from domain.kinds import Kind
from domain.store import database as store
from domain.store.database import Database
from snapshots.backup import take_backup
from snapshots.cloning.cloning import NewAccount, clone_account
from snapshots.content import read_content
from snapshots.generations.purging import purge
from snapshots.generations.undo import activate
from snapshots.restoring.restore import Choices, restore_archive
from snapshots.trust.keys import Keys
from tests.faults.sweep.planting import GIVEN
from tests.fixtures.accounts import OpenedAccount, open_in
from tests.fixtures.archives import KEYS, SIGNER
from tests.histories import Clock
from tests.integration.restoring import LINE, Books

TAKEN = "taken.zip"
OLDER = b"the older backup"
ATTACHED_BYTES = 200_000  # enough that the database must grow to take it in


class Known(NamedTuple):
    """What a process needs to find its way in a copy of a prepared database."""

    person: PersonId
    subject: str
    other: str
    bystander: str
    now: datetime


class World:
    """A prepared database as one process sees it, and the folder with its files."""

    def __init__(self, database: Database, known: Known, folder: Path) -> None:
        self.database = database
        self.known = known
        self.folder = folder
        self.clock = Clock(known.now)
        self.application = Application(database, self.clock)
        self.settings = Settings(home=folder, backups=folder / "backups")
        self.installed = Installation(self.settings, database, self.application)
        self.actor = Actor.person(known.person, "api")

    def access(self, account: str) -> Access:
        """The owner's access to an account."""
        return find_access(self.database, self.known.person, account)

    def books(self, account: str) -> Books:
        """An account as its owner works in it."""
        access = self.access(account)
        return Books(OpenedAccount(self.application, access, self.clock))

    @property
    def taken(self) -> Path:
        """Where a backup goes; one that is asked for over HTTP goes beside it."""
        return self.settings.backups / self.known.subject / TAKEN

    def archives(self) -> list[Path]:
        """The subject's archives, but for the older one."""
        found = self.taken.parent.glob("*.zip")
        return sorted(path for path in found if path.read_bytes() != OLDER)

    @property
    def acknowledged(self) -> Path:
        """Where whoever was told that a write is done notes it: out of reach of all faults."""
        return self.folder.with_suffix(".acknowledged")


class Operation(NamedTuple):
    """``prepare`` makes what there is before; ``run`` is given the access that was looked up before; ``seen`` is what
    it leads from and to; ``asked`` is the same over HTTP: method, path below the subject, body. ``{other}`` and
    ``{archive}`` in these stand for what is known only then."""

    name: str
    prepare: Callable[[Books, Books, Path], None]
    run: Callable[[World, Access], Any]
    seen: Callable[[World], Any]
    asked: tuple[str, str, dict[str, Any]]


def furnish(books: Books) -> None:
    """A little of everything that is restored, cloned or backed up each in its own way."""
    item = {"number": "B-1", "name": "Bell", "net_price": "10", "vat": {"category": "S", "rate": "21"}}
    books.make(Kind.ITEM, **item)
    customer = books.customer()
    books.issued(customer)
    today = books.clock.now.date().isoformat()
    books.make(Kind.SUBSCRIPTION, customer=customer, lines=[LINE], interval={"n": 1, "unit": "months"}, next_date=today)
    attach(books, books.make(Kind.QUOTE, customer=customer, lines=[LINE]))


def attach(books: Books, draft: Any) -> None:
    """A file that does not pack."""
    content = random.Random(str(draft)).randbytes(ATTACHED_BYTES)
    attachment = Attachment(
        id="1",
        name="a.bin",
        media_type="application/octet-stream",
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    books.run(lambda work: commands.attach(work, Kind.QUOTE, draft, attachment, content))


def _as_it_is(subject: Books, other: Books, folder: Path) -> None:
    furnish(subject)


def _with_an_archive(subject: Books, other: Books, folder: Path) -> None:
    """The archive is of an account that has the subject's item as well."""
    furnish(other)
    (folder / GIVEN).write_bytes(other.backup(folder))
    subject.make(Kind.ITEM, number="B-1", name="Bell", net_price="10", vat={"category": "S", "rate": "21"})
    subject.customer("Only here")


def _restored(subject: Books, other: Books, folder: Path) -> None:
    """The subject lives in stream 2; stream 1 has an invoice that this one lacks."""
    empty = subject.backup(folder)
    furnish(subject)
    subject.restore(empty)
    subject.customer("Since the restore")


def _content(world: World, account: str) -> Any:
    return read_content(world.database, world.access(account).account)


def _statuses(world: World) -> dict[int, str]:
    access = world.access(world.known.subject)
    with world.database.transaction(access.account) as connection:
        rows = connection.execute("SELECT stream_id, status FROM streams WHERE status IN ('live','retired','purged')")
        return dict(rows.fetchall())


def _backup(world: World, access: Access) -> None:
    take_backup(world.application, access, world.actor, world.taken, SIGNER)


def _taken(world: World) -> Any:
    return bool(world.archives()), _content(world, world.known.subject)


def _restore(mode: Any) -> Callable[[World, Access], None]:
    def run(world: World, access: Access) -> None:
        with (world.folder / GIVEN).open("rb") as file:
            choices = Choices(mode=mode, from_other_account=True)
            restore_archive(world.application, access, world.actor, file, choices=choices, keys=KEYS)

    return run


def _clone_over(world: World, access: Access) -> None:
    clone_account(world.application, access, world.actor, world.access(world.known.other))


def _clone_new(world: World, access: Access) -> None:
    clone_account(world.application, access, world.actor, NewAccount("Kopie"))


def _all_accounts(world: World) -> Any:
    names = [access.control.name for access in accounts_of(world.database, world.known.person)]
    copies = [
        read_content(world.database, access.account)
        for access in accounts_of(world.database, world.known.person)
        if access.control.name == "Kopie"
    ]
    return sorted(names), copies


def _undo(world: World, access: Access) -> None:
    activate(world.application, access, world.actor, 1)


def _purge(world: World, access: Access) -> None:
    purge(world.application, access, world.actor, 1, archiver(world.application, world.settings, world.actor))


def _purged(world: World) -> Any:
    return _statuses(world)[1] == "purged", _content(world, world.known.subject)


WRITES = ("First", "Second", "Third")


def _write(world: World, access: Access) -> None:
    books = Books(OpenedAccount(world.application, access, world.clock))
    for name in WRITES:
        if name not in _names(world):
            books.customer(name)
            with world.acknowledged.open("a") as said:
                said.write(f"{name}\n")


def _names(world: World) -> list[str]:
    access = world.access(world.known.subject)
    with world.database.transaction(access.account) as connection:
        rows = connection.execute("SELECT state::json #>> '{party,name}' FROM entities WHERE kind = 'customer'")
        return sorted(name for (name,) in rows.fetchall())


def _subject(world: World) -> Any:
    return _content(world, world.known.subject)


_RESTORED = "archives/{archive}/restore"
OPERATIONS = {
    one.name: one
    for one in (
        Operation("write", _as_it_is, _write, _names, ("POST", "customers", {"party": {"name": WRITES[0]}})),
        Operation("backup", _as_it_is, _backup, _taken, ("POST", "backups", {})),
        *(
            Operation(
                f"restore, {mode}",
                _with_an_archive,
                _restore(mode),
                _subject,
                ("POST", _RESTORED, {"mode": mode, "from_other_account": True}),
            )
            for mode in ("overwrite", "add")
        ),
        Operation(
            "clone over another",
            _as_it_is,
            _clone_over,
            lambda world: _content(world, world.known.other),
            ("POST", "clones", {"into": "{other}"}),
        ),
        Operation("clone into a new one", _as_it_is, _clone_new, _all_accounts, ("POST", "clones", {"new": "Kopie"})),
        Operation(
            "undo",
            _restored,
            _undo,
            lambda world: (_statuses(world), _subject(world)),
            ("POST", "streams/1/activation", {}),
        ),
        Operation("purge", _restored, _purge, _purged, ("DELETE", "streams/1", {})),
    )
}
MIGRATION = "migration"
"""Run by opening the database: it has no accounts yet, or some of an older schema."""


def prepare(operation: Operation, dsn: str, folder: Path) -> Known:
    """Fill an empty database with what there is before the operation, and the folder with its files."""
    folder.mkdir(parents=True, exist_ok=True)
    with Database(dsn) as database:
        opened = [open_in(database) for _ in range(3)]
        subject, other, bystander = map(Books, opened)
        for one in (other, bystander):
            one.clock.now = subject.clock.now
        owner = next(member for member in subject.access.control.members if member.role == "owner")
        for one in (other, bystander):
            _let_in(one, owner)
        furnish(bystander)
        operation.prepare(subject, other, folder)
        now = max(one.clock.now for one in (subject, other, bystander)) + timedelta(minutes=1)
        ids = (subject.access.account, other.access.account, bystander.access.account)
    taken = folder / "backups" / ids[0] / TAKEN
    taken.parent.mkdir(parents=True)
    taken.write_bytes(OLDER)
    (folder / "tmp").mkdir()
    Keys(folder / "keys").make_first()
    return Known(owner.person, *ids, now)


def _let_in(books: Books, owner: Any) -> None:
    add_member(
        books.application, books.access, books.actor, email=owner.email, name=owner.name, role=Role.ADMINISTRATOR
    )


@contextmanager
def migrated_only_to(number: int) -> Iterator[None]:
    """This program is as old as that migration."""
    known = {n: text for n, text in store._migrations().items() if n <= number}
    with mock.patch.object(store, "_migrations", return_value=known):
        yield


def migrations_applied(dsn: str) -> int:
    """The number of the last migration, 0 where there was none."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute("SELECT to_regclass('schema_migrations')").fetchone()
        if row is None or row[0] is None:
            return 0
        found = connection.execute("SELECT coalesce(max(number), 0) FROM schema_migrations").fetchone()
    return int(found[0]) if found else 0
