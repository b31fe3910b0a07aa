"""Retired streams are purged by their rules, never before what only they have is in an archive, and wholly."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from api.bootstrap import Installation
from api.housekeeping import CleanupReport, clean_up
from api.purging import archiver
from api.settings import Settings
from domain import commands
from domain import control as c
from domain.kinds import Kind
from domain.store.database import PURGER
from domain.store.streams import StreamUnknown
from projections.timeline import Filter, read_timeline
from snapshots.container import Limits
from snapshots.fresh import building
from snapshots.fresh.building import StreamBusy, fresh_stream, sweep_abandoned
from snapshots.generations.purging import Quota, purge, purge_due
from snapshots.generations.streams import StreamNotKept
from snapshots.generations.undo import kept_from_purging
from snapshots.reading.inspection import inspect_archive
from snapshots.trust.signing import KeyRing
from tests.fixtures.accounts import OpenAccount
from tests.fixtures.archives import Edited
from tests.integration.restoring import LINE, Books, as_file, is_sound
from tests.integration.test_undo import statuses, undo

AMPLE = Quota(most_streams=10, most_bytes=1 << 40)
ROWS = ("events", "entities", "series", "attributions")


@pytest.fixture
def books(fresh_account: OpenAccount) -> Books:
    return Books(fresh_account())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, backups=tmp_path / "backups")


class Purger:
    """Purges an account's streams; what goes into an archive is in a folder."""

    def __init__(self, books: Books, settings: Settings) -> None:
        self.books = books
        self.folder = settings.backups / books.access.account
        self._installed = Installation(settings, books.application.database, books.application)
        self._installed.keys.make_first()
        self._archiver = archiver(books.application, settings, books.actor)

    def one(self, stream: int, **choices: Any) -> Any:
        return purge(self.books.application, self.books.access, self.books.actor, stream, self._archiver, **choices)

    def due(self, quota: Quota = AMPLE, **choices: Any) -> Any:
        return purge_due(self.books.application, self.books.access, self.books.actor, quota, self._archiver, **choices)

    def ring(self) -> KeyRing:
        """The keys that this installation believes."""
        return self._installed.keys.ring()

    def archives(self) -> list[Path]:
        return sorted(self.folder.iterdir()) if self.folder.exists() else []


@pytest.fixture
def purger(books: Books, settings: Settings) -> Purger:
    return Purger(books, settings)


def restored(books: Books, folder: Path, times: int = 1) -> None:
    """The account is restored as it is, so that the stream it lived in is retired."""
    for _ in range(times):
        books.clock.now += timedelta(minutes=1)
        books.restore(books.backup(folder))


def rows_left(books: Books, stream: int) -> int:
    return sum(row["stream_id"] == stream for table, rows in books.rows().items() if table in ROWS for row in rows)


def test_a_purged_stream_is_gone_and_the_history_says_so(books: Books, purger: Purger, tmp_path: Path) -> None:
    books.issued(books.customer())
    restored(books, tmp_path)
    before = books.rows()["entities"]

    report = purger.one(1)

    assert [(one.stream, one.reason, one.archive) for one in report.streams] == [(1, "asked", None)]
    assert rows_left(books, 1) == 0
    assert books.rows()["entities"] == [row for row in before if row["stream_id"] == 2]
    assert statuses(books) == {1: "purged", 2: "live"}
    entry = read_timeline(books.application.database, books.access.account, Filter(kind="account"), limit=1).entries[0]
    assert (entry.type, entry.actor) == ("stream.purged", books.actor.name)
    assert is_sound(books)
    assert books.customer("The next write")


def test_a_rehearsal_purges_nothing(books: Books, purger: Purger, tmp_path: Path) -> None:
    empty = books.backup(tmp_path)
    books.issued(books.customer())
    books.restore(empty)
    before = books.rows()

    report = purger.one(1, dry_run=True)

    assert (report.outcome, report.streams[0].documents_only_here) == ("would_purge", 1)
    assert books.rows() == before
    assert purger.archives() == []


def test_documents_that_the_live_stream_lacks_are_in_a_signed_archive_before(
    books: Books, purger: Purger, fresh_account: OpenAccount, tmp_path: Path
) -> None:
    empty = books.backup(tmp_path)
    invoice = books.issued(books.customer())
    lost = books.state(Kind.INVOICE, invoice)
    books.restore(empty)

    report = purger.one(1)

    (archive,) = purger.archives()
    taken = Edited(archive.read_bytes())
    assert taken.manifest["archive"] == report.streams[0].archive
    assert (taken.manifest["stream"], taken.manifest["tree_head"]["size"]) == (1, 3)
    assert inspect_archive(as_file(archive.read_bytes()), Limits(), purger.ring()).authenticity.verdict == "authentic"
    assert [entry.type for entry in history(books, 2)] == ["stream.purged", "backup.taken"]
    other = Books(fresh_account())
    other.restore(archive.read_bytes(), from_other_account=True)
    assert other.state(Kind.INVOICE, invoice) == lost


def history(books: Books, limit: int) -> Any:
    return read_timeline(books.application.database, books.access.account, Filter(kind="account"), limit=limit).entries


def test_nothing_is_purged_while_its_archive_cannot_be_written(books: Books, purger: Purger, tmp_path: Path) -> None:
    empty = books.backup(tmp_path)
    books.issued(books.customer())
    books.restore(empty)
    before = books.rows()
    purger.folder.parent.write_text("no folder")

    with pytest.raises(Exception, match="could not be written"):
        purger.one(1)

    assert books.rows() == before
    assert undo(books, 1).outcome == "activated"


def test_what_cannot_be_purged_is_refused_by_name(books: Books, purger: Purger, tmp_path: Path) -> None:
    restored(books, tmp_path)

    with fresh_stream(books.application.database, books.access.account, books.actor, books.clock()) as made:
        building_now = made.stream
        for stream, status in ((2, "live"), (building_now, "building")):
            with pytest.raises(StreamNotKept, match=status):
                purger.one(stream)
    with pytest.raises(StreamUnknown):
        purger.one(99)
    sweep_abandoned(books.application.database, books.access.account)
    with pytest.raises(StreamNotKept, match="abandoned"):
        purger.one(building_now)


def test_a_stream_that_somebody_is_at_work_on_stays(books: Books, purger: Purger, tmp_path: Path) -> None:
    restored(books, tmp_path)
    books.clock.now += timedelta(days=40)

    with kept_from_purging(books.application.database, books.access.account, 1):
        with pytest.raises(StreamBusy):
            purger.one(1)
        report = purger.due()

    assert (report.outcome, report.busy) == ("nothing_to_purge", (1,))
    assert statuses(books)[1] == "retired"
    assert purger.due().streams[0].stream == 1


def test_a_stream_that_is_being_purged_is_not_made_live(
    books: Books, purger: Purger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = books.backup(tmp_path)
    books.issued(books.customer())
    books.restore(empty)
    outcomes: list[str] = []

    def meanwhile(*_: Any, **__: Any) -> Any:
        with pytest.raises(StreamBusy) as refused:
            undo(books, 1)
        outcomes.append(refused.value.code)
        raise OSError("and no archive comes of it")

    monkeypatch.setattr("api.purging.take_backup", meanwhile)
    with pytest.raises(OSError, match="no archive"):
        purger.one(1)

    assert outcomes == ["stream.busy"]
    assert undo(books, 1).outcome == "activated"


def test_a_purged_stream_is_never_made_live_and_its_number_never_given_again(
    books: Books, purger: Purger, tmp_path: Path
) -> None:
    restored(books, tmp_path)
    purger.one(1)

    with pytest.raises(StreamNotKept, match="purged"):
        undo(books, 1)
    restored(books, tmp_path)

    assert statuses(books) == {1: "purged", 2: "retired", 3: "live"}


def test_retention_counts_from_the_day_that_a_stream_was_retired(books: Books, purger: Purger, tmp_path: Path) -> None:
    books.customer()
    books.clock.now += timedelta(days=100)  # it is the account's first stream, and old
    restored(books, tmp_path)
    books.clock.now += timedelta(days=29, hours=23)

    assert purger.due().outcome == "nothing_to_purge"
    books.clock.now += timedelta(hours=2)
    assert [(one.stream, one.reason) for one in purger.due().streams] == [(1, "retention")]


def test_a_stream_that_was_live_in_between_is_kept_from_its_last_day_on(
    books: Books, purger: Purger, tmp_path: Path
) -> None:
    restored(books, tmp_path)
    books.clock.now += timedelta(days=20)
    undo(books, 1)
    books.clock.now += timedelta(days=1)
    undo(books, 2)
    books.clock.now += timedelta(days=20)

    assert purger.due().outcome == "nothing_to_purge"


def test_the_account_says_how_long(books: Books, purger: Purger, tmp_path: Path) -> None:
    settings = c.SettingsChanged(retention_days=2)
    books.application.record_control(books.access.account, books.actor, settings)
    restored(books, tmp_path)
    books.clock.now += timedelta(days=3)

    assert [one.stream for one in purger.due().streams] == [1]


@pytest.mark.parametrize(
    ("quota", "gone"),
    [(Quota(2, 1 << 40), [1, 2]), (Quota(10, 1), [1, 2, 3]), (Quota(1, 1 << 40), [1, 2, 3]), (AMPLE, [])],
)
def test_beyond_the_quota_the_oldest_go_and_the_last_one_always_stays(
    books: Books, purger: Purger, tmp_path: Path, quota: Quota, gone: list[int]
) -> None:
    books.customer()
    restored(books, tmp_path, times=4)

    report = purger.due(quota)

    assert [(one.stream, one.reason) for one in report.streams] == [(stream, "quota") for stream in gone]
    assert statuses(books)[4] == "retired"
    assert undo(books, 4).outcome == "activated"


def test_periods_that_only_a_purged_stream_invoiced_are_not_invoiced_again(
    books: Books, purger: Purger, tmp_path: Path
) -> None:
    subscription = books.make(
        Kind.SUBSCRIPTION,
        customer=books.customer(),
        lines=[LINE],
        interval={"n": 1, "unit": "months"},
        next_date=books.clock.now.date().isoformat(),
    )
    before = books.backup(tmp_path)
    books.run(lambda work: commands.invoice_period(work, subscription))
    invoiced_until = books.state(Kind.SUBSCRIPTION, subscription).next_date
    books.restore(before)
    purger.one(1)

    books.run(lambda work: commands.resume(work, subscription))

    assert books.state(Kind.SUBSCRIPTION, subscription).next_date == invoiced_until


def test_only_what_nobody_can_make_live_can_be_deleted_at_all(
    books: Books, fresh_account: OpenAccount, purger: Purger, tmp_path: Path
) -> None:
    books.customer()
    restored(books, tmp_path)
    other = Books(fresh_account())
    other.customer()
    restored(other, tmp_path)
    purger.one(1)
    before = other.rows()

    with books.application.database.session(PURGER) as connection, connection.transaction():
        connection.execute(f"SET LOCAL counterfoil.account = '{other.access.account}'".encode())
        deleted = [connection.execute(f"DELETE FROM {table}".encode()).rowcount for table in (*ROWS, "segments")]

    assert sum(deleted) == 0, "stream 1 is purged in one account and retired in the other"
    assert other.rows() == before


def test_the_rows_go_in_batches_and_all_of_them(
    books: Books, purger: Purger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "ROWS_A_BATCH", 2)
    for _ in range(5):
        books.customer()
    restored(books, tmp_path)

    purger.one(1)

    assert rows_left(books, 1) == 0


_PURGE = """
import sys, time
from pathlib import Path
from api.bootstrap import Installation
from api.purging import archiver
from api.settings import Settings
from domain.accounts import find_access, find_person
from domain.application import Actor, Application
from domain.store.database import Database
from snapshots.fresh import building
from snapshots.generations.purging import purge

dsn, email, account, home = sys.argv[1:]
building.ROWS_A_BATCH = 2
deleted = building._in_a_transaction
def slowly(purger, account, statement, key):
    count = deleted(purger, account, statement, key)
    if statement == "delete_events":
        print("deleted", count, flush=True)
        time.sleep(600)
    return count
building._in_a_transaction = slowly
settings = Settings(home=Path(home), backups=Path(home) / "backups")
with Database(dsn) as database:
    application = Application(database)
    person = find_person(database, email)
    access = find_access(database, person.id, account)
    actor = Actor.person(person.id, "cli")
    purge(application, access, actor, 1, archiver(application, settings, actor))
"""


@pytest.mark.slow
def test_a_purge_that_is_killed_half_way_is_gone_on_with_at_the_next_start(
    books: Books, settings: Settings, tmp_path: Path
) -> None:
    for _ in range(5):
        books.customer()
    restored(books, tmp_path)
    owner = next(member for member in books.access.control.members if member.role == "owner")
    arguments = [books.application.database.dsn, owner.email, books.access.account, str(tmp_path)]

    killed = subprocess.Popen([sys.executable, "-c", _PURGE, *arguments], stdout=subprocess.PIPE, text=True)
    assert killed.stdout is not None
    assert killed.stdout.readline() == "deleted 2\n"
    killed.send_signal(signal.SIGKILL)
    killed.communicate()

    left = rows_left(books, 1)
    with pytest.raises(StreamNotKept, match="purged"):
        undo(books, 1)
    report = cleaned(books, settings)

    assert left > 0
    assert rows_left(books, 1) == 0
    assert [(one.account, one.streams) for one in report.swept] == [(books.access.slug, (1,))]
    assert statuses(books) == {1: "purged", 2: "live"}
    assert is_sound(books)


def cleaned(books: Books, settings: Settings) -> CleanupReport:
    """The report on one clean-up of everything, without what it says of other tests' accounts."""
    installed = Installation(settings, books.application.database, books.application)
    installed.keys.make_first()
    report = clean_up(installed)
    mine = tuple(one for one in report.swept if one.account == books.access.slug)
    return msgspec.structs.replace(report, swept=mine)
