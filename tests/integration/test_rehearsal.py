"""Rehearsing a backup: it is built, found the same to the byte and dropped; or it is said why it cannot be restored."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from domain import control as c
from domain.control import Role, RoleLacking
from domain.errors import ArchiveError
from domain.kinds import Kind
from snapshots.container import Limits
from snapshots.daily.rehearsal import NotRestorable, Rehearsal, rehearse
from snapshots.daily.schedule import schedule_new
from snapshots.daily.status import backup_status
from tests.fixtures.accounts import OpenAccount
from tests.fixtures.archives import KEYS, Edited
from tests.integration.restoring import Books, as_file


@pytest.fixture
def books(fresh_account: OpenAccount) -> Books:
    books = Books(fresh_account())
    schedule_new(books.application)
    books.issued(books.customer())
    books.make(Kind.ITEM, number="A1", name="Bell", net_price="10.00", vat={"category": "S", "rate": "21"})
    return books


def rehearsed(books: Books, archive: bytes) -> Rehearsal:
    """What a rehearsal of the archive proves."""
    with as_file(archive) as file:
        return rehearse(books.application, books.access, books.actor, file, limits=Limits(), keys=KEYS)


def on_record(books: Books, type_: str) -> int:
    with books.application.database.transaction(books.access.account) as connection:
        row = connection.execute("SELECT count(*) FROM control_events WHERE type = %s", (type_,)).fetchone()
    assert row is not None
    return int(row[0])


def rows_left(books: Books) -> int:
    """Rows of streams that are not live."""
    with psycopg.connect(books.application.database.dsn) as connection:
        row = connection.execute(
            "SELECT count(*) FROM events e JOIN streams s USING (account_id, stream_id)"
            " WHERE s.status <> 'live' AND account_id = %s",
            (books.access.account,),
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_a_sound_backup_is_proven_and_the_account_is_as_it_was(books: Books, tmp_path: Path) -> None:
    archive = books.backup(tmp_path)
    before = books.rows()

    found = rehearsed(books, archive)

    status = backup_status(books.application, books.access.account, c.BackupRetention())
    assert (found.position, found.entities) == (4, 3)
    assert books.rows() == before
    assert on_record(books, "backup.rehearsed") == 1
    assert status.proven is not None
    assert status.proven.archive == found.archive


def a_snapshot(edited: Edited) -> None:
    edited.change_line("items.jsonl", b"Bell", lambda line: line.replace(b"Bell", b"Bill"))


def a_line(edited: Edited) -> None:
    edited.change_line("timeline.jsonl", b'"Bell"', lambda line: line.replace(b'"Bell"', b'"Bill"'))


def a_missing_entity(edited: Edited) -> None:
    edited.put_lines("items.jsonl", [])


@pytest.mark.parametrize("damage", [a_snapshot, a_line, a_missing_entity])
def test_a_backup_that_does_not_add_up_is_told_so_and_leaves_nothing(
    books: Books, tmp_path: Path, damage: Callable[[Edited], None]
) -> None:
    edited = Edited(books.backup(tmp_path))
    damage(edited)
    before = books.rows()

    with pytest.raises(NotRestorable):
        rehearsed(books, edited.zipped().read())

    assert books.rows() == before
    assert rows_left(books) == 0
    assert (on_record(books, "backup.rehearsed"), on_record(books, "rehearsal.failed")) == (0, 1)


def test_f10_a_backup_that_rotted_is_told_so(books: Books, tmp_path: Path) -> None:
    rotten = bytearray(books.backup(tmp_path))
    rotten[len(rotten) // 2] ^= 1

    with pytest.raises(ArchiveError):
        rehearsed(books, bytes(rotten))

    assert rows_left(books) == 0
    assert on_record(books, "rehearsal.failed") == 1


def test_what_the_database_would_make_otherwise_of_it_is_found_by_reading_it_out_again(
    books: Books, tmp_path: Path
) -> None:
    archive = books.backup(tmp_path)
    with psycopg.connect(books.application.database.dsn) as connection:  # as a server's fault would
        connection.execute(
            "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN NEW.data := replace(NEW.data, 'Bell', 'Bull'); RETURN NEW; END $$"
        )
        connection.execute("CREATE TRIGGER spoil BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION spoil()")
    try:
        with pytest.raises(NotRestorable, match=r"timeline.jsonl came out as"):
            rehearsed(books, archive)
    finally:
        with psycopg.connect(books.application.database.dsn) as connection:
            connection.execute("DROP TRIGGER spoil ON events")
            connection.execute("DROP FUNCTION spoil")


def test_people_go_on_working_beside_it(books: Books, tmp_path: Path) -> None:
    archive = books.backup(tmp_path)
    ended = threading.Event()
    written = []

    def write() -> None:
        while not ended.is_set():
            written.append(books.customer())

    writer = threading.Thread(target=write)
    writer.start()
    try:
        found = [rehearsed(books, archive) for _ in range(3)]
    finally:
        ended.set()
        writer.join()

    assert len({one.archive for one in found}) == 1
    assert written
    assert all(books.state(Kind.CUSTOMER, customer).party.name == "Klant" for customer in written)


def test_an_archive_of_another_account_proves_nothing(books: Books, fresh_account: OpenAccount, tmp_path: Path) -> None:
    other = Books(fresh_account())
    other.customer()

    with pytest.raises(NotRestorable, match="of another account"):
        rehearsed(books, other.backup(tmp_path))


def test_it_is_for_administrators(books: Books, tmp_path: Path) -> None:
    archive = books.backup(tmp_path)
    books.access = books.access._replace(role=Role.VIEWER)

    with pytest.raises(RoleLacking):
        rehearsed(books, archive)
