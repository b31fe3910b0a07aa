"""What is kept is read again: what rotted, was cut, swapped or lost is named by its file, and put on record once."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from api import kept
from api.bootstrap import Installation, keys
from api.daily import READER
from api.http.files import backups
from api.kept import Reading, read_again, read_all_again
from api.settings import Settings
from api.storage import backup_at, backup_place
from domain.accounts import Access
from domain.application import Actor
from domain.control import BackupDamaged, BackupRetention, BackupsExpired, Role, RoleLacking
from domain.notices import sentence
from domain.store.database import Database
from snapshots.backup import Backup, take_backup, write_archive
from snapshots.daily.nightly import ACTOR
from snapshots.daily.schedule import schedule_new
from snapshots.daily.status import backup_status
from snapshots.shelves import Place
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
        there, lost = taken(ours, settings), taken(theirs, settings)
        lost.path.unlink()
        real = read_again

        def failing(installation: Installation, access: Access, actor: Actor, **more: Any) -> Reading:
            if access.account == ours.access.account:
                raise StorageUnavailable("s3://x", "it says nothing")
            return real(installation, access, actor, **more)

        monkeypatch.setattr("api.kept.read_again", failing)
        found = read_all_again(Installation(settings, database, ours.application), READER)

    assert [(one.account, one.code) for one in found.not_read] == [(ours.access.slug, "storage.unavailable")]
    assert [one.file for one in found.damaged] == [lost.path.name]
    assert (found.accounts, there.path.exists()) == (2, True)


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


def written(books: Books, settings: Settings, actor: Actor, file: str) -> Path:
    """An archive where backups are kept, that nothing tells of: as when the database was away by then."""
    keys(settings).make_first()
    place = backup_at(settings, books.access.account, file)
    with place.shelf.put(place.name) as sink:
        write_archive(books.application, books.access.account, actor, sink, keys(settings).signer())
    return Path(place.where)


def test_f06_a_daily_backup_whose_record_failed_is_found_again_and_falls_under_the_rule(
    books: Books, settings: Settings
) -> None:
    schedule_new(books.application)
    at = books.clock.now
    path = written(books, settings, ACTOR, "acme-20260101T010000Z-7.zip")
    books.clock.now += timedelta(days=3)

    (found,) = read(books, settings).found_again
    again = read(books, settings)

    (listed,) = backups(books.application, settings, books.access.account)
    (kept,) = backup_status(books.application, books.access.account, BackupRetention()).kept
    assert (listed.file, listed.taken_at, listed.daily, listed.available) == (path.name, at, True, True)
    assert found.archive == listed.archive == kept.archive
    assert (again.archives, again.found_again, again.is_sound) == (1, (), True)


def test_a_backup_that_a_person_took_is_found_again_once_nobody_is_about_to_record_it(
    books: Books, settings: Settings
) -> None:
    written(books, settings, books.actor, "acme-20260101T010000Z-0123456789ab.zip")

    at_once = read(books, settings)
    books.clock.now += timedelta(hours=2)
    later = read(books, settings)

    assert (at_once.found_again, at_once.unknown) == ((), ())
    assert len(later.found_again) == 1
    assert [one.daily for one in backups(books.application, settings, books.access.account)] == [False]


def test_a_file_that_is_no_sound_archive_of_the_account_is_named_and_left(books: Books, settings: Settings) -> None:
    path = written(books, settings, ACTOR, "acme-20260101T010000Z-7.zip")
    copy, rotten = path.with_name("copy.zip"), path.with_name("rotten.zip")
    copy.write_bytes(path.read_bytes())
    rotten.write_bytes(path.read_bytes())
    flip(rotten, path)
    path.with_name("notes.txt").write_text("mine")

    found = read(books, settings)

    assert [one.file for one in found.found_again] == [path.name]
    assert [one.file for one in found.unknown] == ["copy.zip", "notes.txt", "rotten.zip"]
    assert len(list(path.parent.iterdir())) == 4


def test_what_the_rule_lets_go_while_it_is_read_is_not_called_damaged(
    books: Books, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = taken(books, settings)
    real = kept._found

    def let_go(place: Place, size: int, sha256: str) -> str | None:
        expired = BackupsExpired(archives=(backup.archive,), rule=BackupRetention())
        books.application.record_control(books.access.account, ACTOR, expired)
        backup.path.unlink()
        return real(place, size, sha256)

    monkeypatch.setattr(kept, "_found", let_go)

    assert read(books, settings).damaged == ()
    assert damaged(books) == []


def test_a_file_that_could_not_be_deleted_when_it_was_let_go_is_deleted_later(books: Books, settings: Settings) -> None:
    backup = taken(books, settings)
    expired = BackupsExpired(archives=(backup.archive,), rule=BackupRetention())
    books.application.record_control(books.access.account, ACTOR, expired)

    found = read(books, settings)

    assert (found.removed, found.archives, backup.path.exists()) == ((backup.path.name,), 0, False)


def test_it_is_for_administrators(books: Books, settings: Settings) -> None:
    books.access = books.access._replace(role=Role.EDITOR)

    with pytest.raises(RoleLacking):
        read(books, settings)


def test_a_backup_that_was_written_elsewhere_is_not_missed(books: Books, settings: Settings, tmp_path: Path) -> None:
    books.backup(tmp_path)

    assert read(books, settings).archives == 0
