"""What is kept is read again: what rotted, was cut, swapped or lost is named by its file, and put on record once."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from api.bootstrap import Installation
from api.kept import SERVICE, Reading, read_again, read_all_again
from api.settings import Settings
from api.storage import backup_place
from domain.accounts import Access
from domain.application import Actor
from domain.control import BackupDamaged
from domain.notices import sentence
from domain.store.database import Database
from snapshots.backup import Backup, take_backup
from snapshots.shelves.errors import StorageUnavailable
from tests.fixtures.accounts import OpenAccount, open_in
from tests.fixtures.archives import SIGNER
from tests.fixtures.s3_server import BUCKET, S3Server
from tests.integration.restoring import Books


@pytest.fixture
def books(fresh_account: OpenAccount) -> Books:
    made = Books(fresh_account())
    made.issued(made.customer())
    return made


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, backups=tmp_path / "backups")


def taken(books: Books, settings: Settings) -> Backup:
    place = backup_place(settings, books.access, books.application.clock())
    return take_backup(books.application, books.access, books.actor, place, SIGNER)


def read(books: Books, settings: Settings) -> Reading:
    installation = Installation(settings, books.application.database, books.application)
    return read_again(installation, books.access, Actor.system("tests"))


def damaged(books: Books) -> list[BackupDamaged]:
    """What the account's history says of it."""
    with books.application.database.transaction(books.access.account) as connection:
        rows = connection.execute("SELECT data FROM control_events WHERE type = 'backup.damaged'").fetchall()
    return [msgspec.json.decode(data, type=BackupDamaged) for (data,) in rows]


def flip(path: Path, other: Path) -> None:
    content = bytearray(path.read_bytes())
    content[random.Random(10).randrange(len(content))] ^= 1
    path.write_bytes(content)


def cut(path: Path, other: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def swap(path: Path, other: Path) -> None:
    path.write_bytes(other.read_bytes())


def delete(path: Path, other: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("harm", [flip, cut, swap, delete])
def test_f10_what_rots_at_rest_is_named_by_its_file(
    books: Books, settings: Settings, harm: Callable[[Path, Path], None]
) -> None:
    first, second = taken(books, settings), taken(books, settings)
    before = read(books, settings)

    harm(first.path, second.path)
    found = read(books, settings)

    assert before.is_sound
    assert (before.archives, before.size_bytes) == (2, first.size_bytes + second.size_bytes)
    assert [(one.archive, one.file) for one in found.damaged] == [(first.archive, first.path.name)]
    assert not found.is_sound


def test_f10_what_is_damaged_is_on_record_once(books: Books, settings: Settings) -> None:
    backup = taken(books, settings)
    backup.path.unlink()

    for _ in range(3):
        read(books, settings)

    recorded = damaged(books)
    assert [(event.archive, event.file, event.found) for event in recorded] == [
        (backup.archive, backup.path.name, "nothing")
    ]
    assert backup.path.name in sentence(recorded[0], "the service")


def test_all_accounts_are_read_and_one_that_cannot_be_stops_no_other(
    empty_database: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Database(empty_database) as database:
        ours, theirs = Books(open_in(database)), Books(open_in(database))
        kept, lost = taken(ours, settings), taken(theirs, settings)
        lost.path.unlink()
        real = read_again

        def failing(installation: Installation, access: Access, actor: Actor, **more: Any) -> Reading:
            if access.account == ours.access.account:
                raise StorageUnavailable("s3://x", "it says nothing")
            return real(installation, access, actor, **more)

        monkeypatch.setattr("api.kept.read_again", failing)
        found = read_all_again(Installation(settings, database, ours.application), SERVICE)

    assert [(one.account, one.code) for one in found.not_read] == [(ours.access.slug, "storage.unavailable")]
    assert [one.file for one in found.damaged] == [lost.path.name]
    assert (found.accounts, kept.path.exists()) == (2, True)


def test_f10_what_rots_in_s3_is_found_as_well(books: Books, tmp_path: Path, s3_server: S3Server) -> None:
    settings = Settings(
        home=tmp_path,
        backups=tmp_path / "backups",
        storage=f"s3://{BUCKET}/{s3_server.location().prefix}",
        storage_endpoint=s3_server.endpoint,
        storage_region="us-east-1",
    )
    first, second = taken(books, settings), taken(books, settings)
    assert read(books, settings).is_sound

    with first.place.shelf.put(first.place.name) as sink:
        sink.write(bytes(first.size_bytes))
    second.place.shelf.delete(second.place.name)

    found = {one.file: one.found for one in read(books, settings).damaged}
    assert found[second.place.file] == "nothing"
    assert found[first.place.file].startswith("SHA-256 ")
    assert list(tmp_path.iterdir()) == []


def test_a_backup_that_was_written_elsewhere_is_not_missed(books: Books, settings: Settings, tmp_path: Path) -> None:
    books.backup(tmp_path)

    assert read(books, settings).archives == 0
