"""Daily backups: whose turn it is, what is checked before one counts, what is kept, and when an alarm is raised."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from threading import Event
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from psycopg.conninfo import conninfo_to_dict

from api.bootstrap import Installation
from api.daily import each_minute
from api.jobs.shown import list_jobs
from api.settings import Settings
from domain import commands
from domain import control as c
from domain.kinds import Kind
from domain.store.database import Database
from domain.tree import Frontier, append
from snapshots.container import Limits
from snapshots.daily.nightly import TRY_AGAIN_AFTER, Keeping, Night, back_up, run_due
from snapshots.daily.schedule import claim_due, rehearsals_due, schedule_new
from snapshots.daily.status import BackupStatus, backup_status
from snapshots.reading.inspection import inspect_archive
from snapshots.shelves import FolderShelf, Sink
from snapshots.trust.keys import Keys
from tests.fixtures.accounts import OpenAccount, open_in
from tests.fixtures.server import own_database
from tests.histories import histories, play
from tests.integration.restoring import Books, is_sound


class Nights:
    """An account's nights, one by one: each is passed through by the account's own clock."""

    def __init__(self, books: Books, folder: Path, shelf: FolderShelf | None = None) -> None:
        self.books = books
        self.account = books.access.account
        self.shelf = shelf or FolderShelf(folder / "backups")
        self.keys = Keys(folder / "keys")
        self.keys.make_first()
        self.keeping = Keeping(books.application, self.shelf, self.keys, Limits(), folder)
        schedule_new(books.application)

    def status(self) -> BackupStatus:
        """How the account's daily backups stand."""
        return backup_status(
            self.books.application, self.account, self.books.application.control(self.account).settings.backups_kept
        )

    def wait(self) -> None:
        """Until the account's time has come."""
        due = self.status().next_at
        assert due is not None
        self.books.clock.now = max(self.books.clock.now, due)

    def backed_up(self) -> Night:
        """What the account's next turn comes to, changed or not."""
        self.wait()
        return back_up(self.keeping, self.account)

    def recorded(self, *types: type[Any]) -> list[Any]:
        """The events of those types on the account's own history, oldest first."""
        names = {c.CONTROL_TYPES[one]: one for one in types}
        with self.books.application.database.transaction(self.account) as connection:
            rows = connection.execute("SELECT type, data FROM control_events ORDER BY position").fetchall()
        return [msgspec.json.decode(data, type=names[type_]) for type_, data in rows if type_ in names]

    def files(self) -> list[str]:
        """The account's files on the shelf."""
        return [item.name.rpartition("/")[2] for item in self.shelf.items(self.account)]


def by_superuser(books: Books, *statements: str) -> None:
    """What somebody does to the database beside the service."""
    with psycopg.connect(books.application.database.dsn) as connection:
        for statement in statements:
            connection.execute(statement.encode(), {"account": books.access.account})


@pytest.fixture
def nights(fresh_account: OpenAccount, tmp_path: Path) -> Nights:
    books = Books(fresh_account())
    books.issued(books.customer())
    return Nights(books, tmp_path)


@pytest.fixture(scope="module")
def migrated(server_dsn: str) -> Iterator[str]:
    """The name of a database that is migrated, and that nobody is in."""
    with own_database(server_dsn) as dsn:
        with Database(dsn):
            pass
        yield str(conninfo_to_dict(dsn)["dbname"])


@pytest.fixture
def alone(server_dsn: str, migrated: str) -> Iterator[Database]:
    """A database in which no account is another test's."""
    with own_database(server_dsn, like=migrated) as dsn, Database(dsn) as database:
        yield database


# Whose turn it is


def test_an_account_is_backed_up_in_its_night_when_it_changed_and_only_then(alone: Database, tmp_path: Path) -> None:
    nights = Nights(Books(open_in(alone)), tmp_path)
    before = run_due(nights.keeping)
    nights.wait()

    came = [run_due(nights.keeping) for _ in range(2)]
    nights.wait()
    came.append(run_due(nights.keeping))
    nights.books.customer()
    nights.wait()
    came.append(run_due(nights.keeping))

    assert before == Night()
    assert came == [Night(taken=1), Night(), Night(unchanged=1), Night(taken=1)]
    found = nights.status()
    assert found.newest is not None
    assert (found.newest.position, found.current_at, found.is_failing) == (1, found.newest.taken_at, False)
    local = nights.books.clock.now.astimezone(ZoneInfo("Europe/Brussels"))
    assert 1 <= local.hour < 5


def set_time_zone(books: Books) -> None:
    changed = c.SettingsChanged(time_zone="Asia/Tokyo")
    books.application.record_control(books.access.account, books.actor, changed)


def restore_what_there_is(books: Books, folder: Path) -> None:
    books.restore(books.backup(folder))


@pytest.mark.parametrize("change", ["settings", "restore"])
def test_what_an_archive_says_beside_the_stream_counts_as_a_change(
    alone: Database, tmp_path: Path, change: str
) -> None:
    nights = Nights(Books(open_in(alone)), tmp_path)
    nights.books.customer()
    nights.wait()
    run_due(nights.keeping)

    if change == "settings":
        set_time_zone(nights.books)
    else:
        restore_what_there_is(nights.books, tmp_path)
    nights.wait()
    came = run_due(nights.keeping)
    nights.wait()
    then = run_due(nights.keeping)

    assert (came, then) == (Night(taken=1), Night(unchanged=1))
    if change == "settings":
        next_at = nights.status().next_at
        assert next_at is not None
        assert 1 <= next_at.astimezone(ZoneInfo("Asia/Tokyo")).hour < 5


def test_a_service_that_was_down_for_some_nights_catches_up_once_and_goes_on_with_the_next(
    alone: Database, tmp_path: Path
) -> None:
    nights = Nights(Books(open_in(alone)), tmp_path)
    nights.wait()
    nights.books.clock.now += timedelta(days=4, hours=7)

    came = run_due(nights.keeping)

    next_at = nights.status().next_at
    assert came == Night(taken=1)
    assert next_at is not None
    assert timedelta() < next_at - nights.books.clock.now < timedelta(days=1)


def test_f17_a_clock_that_ran_ahead_a_week_and_was_set_right_costs_no_night(alone: Database, tmp_path: Path) -> None:
    nights = Nights(Books(open_in(alone)), tmp_path)
    right = nights.books.clock.now
    nights.books.clock.now += timedelta(days=7)
    run_due(nights.keeping)
    nights.books.clock.now = right
    nights.books.customer()

    run_due(nights.keeping)  # finds what was planned wrongly
    next_at = nights.status().next_at
    nights.wait()
    came = run_due(nights.keeping)

    assert next_at is not None
    assert next_at - right < timedelta(days=1)
    assert came == Night(taken=1)
    assert 0 < len(nights.files()) == len(nights.recorded(c.BackupTaken))


def test_r13_of_processes_that_look_at_once_one_takes_each_account(alone: Database, tmp_path: Path) -> None:
    others = [Nights(Books(open_in(alone)), tmp_path) for _ in range(8)]
    now = max(nights.status().next_at or datetime.min.replace(tzinfo=UTC) for nights in others)
    for nights in others:
        nights.books.clock.now = now
    being_claimed = [nights.account for nights in others[:3]]
    with ThreadPoolExecutor(4) as pool:
        with psycopg.connect(alone.dsn) as another:
            key = {"accounts": being_claimed}
            another.execute("SELECT 1 FROM daily_backups WHERE account_id = ANY(%(accounts)s::uuid[]) FOR UPDATE", key)
            beside = pool.submit(run_due, others[0].keeping).result(timeout=60)  # waits for nobody
        came = list(pool.map(lambda _: run_due(others[0].keeping), range(4)))

    assert beside == Night(taken=5)
    assert sum(night.taken for night in came) == 3
    assert [len(nights.recorded(c.BackupTaken)) for nights in others] == [1] * 8


def test_what_a_killed_process_had_claimed_is_anybodys_again_after_a_while(alone: Database, tmp_path: Path) -> None:
    nights = Nights(Books(open_in(alone)), tmp_path)
    nights.wait()
    claimed = nights.books.clock.now + timedelta(minutes=30)
    by_superuser(nights.books, f"UPDATE daily_backups SET claimed_until = '{claimed.isoformat()}'")

    came = [run_due(nights.keeping)]
    nights.books.clock.now += timedelta(minutes=31)
    came.append(run_due(nights.keeping))

    assert came == [Night(), Night(taken=1)]


def test_accounts_of_which_only_rows_are_left_take_nobodys_turn(alone: Database, tmp_path: Path) -> None:
    """As after an erasure whose files could not be deleted: their nights stay planned until that is gone on with."""
    nights = Nights(Books(open_in(alone)), tmp_path)
    nights.wait()
    by_superuser(
        nights.books,
        "INSERT INTO accounts (account_id, slug, control_position, control)"
        " SELECT gen_random_uuid(), 'gone-' || n, 0, '{}' FROM generate_series(1, 40) n",
        "INSERT INTO daily_backups (account_id, time_zone, next_at, rehearse_at)"
        " SELECT account_id, 'UTC', '2020-01-01', '2020-01-01' FROM accounts WHERE slug LIKE 'gone-%%'",
        "UPDATE daily_backups SET rehearse_at = '2020-01-02' WHERE account_id = %(account)s",
    )

    to_rehearse = [due.account for due in rehearsals_due(nights.books.application, most=10)]
    came = run_due(nights.keeping)

    assert came == Night(taken=1)
    assert to_rehearse == [nights.account]


def test_f06_a_rehearsal_that_was_not_asked_for_to_the_end_is_due_still_and_is_asked_for_once(
    alone: Database, tmp_path: Path
) -> None:
    """As when the worker or the server ends between planning the next one and asking for this one."""
    nights = Nights(Books(open_in(alone)), tmp_path)
    nights.backed_up()
    nights.books.clock.now += timedelta(days=31)
    installation = Installation(Settings(home=tmp_path, backups=tmp_path / "backups"), alone, nights.books.application)
    by_superuser(
        nights.books,
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'the server ends'; END $$",
        "CREATE TRIGGER fail BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION fail()",
    )
    with pytest.raises(psycopg.errors.RaiseException):
        each_minute(installation)
    by_superuser(nights.books, "DROP TRIGGER fail ON jobs")

    for _ in range(2):
        each_minute(installation)

    (job,), is_more = list_jobs(
        nights.books.application, nights.account, state=None, kind="rehearsal", before=None, limit=9
    )
    assert (job.state, is_more) == ("queued", False)


class SlowShelf(FolderShelf):
    """A shelf that was told to wait when something stands on it: whoever put it there is thought dead."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.waits = Event()
        self.goes_on = Event()

    @contextmanager
    def put(self, name: str) -> Iterator[Sink]:
        with super().put(name) as sink:
            yield sink
        if not self.waits.is_set():
            self.waits.set()
            assert self.goes_on.wait(60)


def test_r13_who_is_at_work_for_longer_than_a_claim_lasts_is_left_alone(alone: Database, tmp_path: Path) -> None:
    slow = SlowShelf(tmp_path / "slow")
    nights = Nights(Books(open_in(alone)), tmp_path, slow)
    nights.wait()
    with ThreadPoolExecutor(1) as pool:
        thought_dead = pool.submit(run_due, nights.keeping)
        try:
            assert slow.waits.wait(60)
            nights.books.clock.now += timedelta(minutes=31)
            meanwhile = run_due(nights.keeping)
        finally:
            slow.goes_on.set()
        came = thought_dead.result(timeout=60)

    (taken,) = nights.recorded(c.BackupTaken)
    assert (meanwhile, came) == (Night(), Night(taken=1))
    assert nights.files() == [taken.file]
    assert sha256((tmp_path / "slow" / nights.account / taken.file).read_bytes()).hexdigest() == taken.sha256


def test_what_another_process_did_between_claim_and_beginning_is_not_done_again(
    alone: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights = Nights(Books(open_in(alone)), tmp_path)
    nights.wait()

    def slower(keeper: Any, now: datetime, *, most: int) -> Any:
        turns = claim_due(keeper, now, most=most)
        monkeypatch.undo()
        back_up(nights.keeping, nights.account)
        return turns

    monkeypatch.setattr("snapshots.daily.nightly.claim_due", slower)

    assert run_due(nights.keeping) == Night()
    assert len(nights.recorded(c.BackupTaken)) == len(nights.files()) == 1


# What is checked before one counts


def test_a_daily_backup_is_sound_signed_and_on_record_as_one(nights: Nights) -> None:
    nights.backed_up()

    (taken,) = nights.recorded(c.BackupTaken)
    with (nights.keeping.folder / "backups" / nights.account / taken.file).open("rb") as file:
        found = inspect_archive(file, keys=nights.keys.ring())
    assert (taken.daily, found.is_sound, found.authenticity.verdict) == (True, True, "authentic")
    assert (found.archive, found.tree_head.root) == (taken.archive, taken.root)


def test_f06_a_backup_that_could_not_be_written_is_tried_again_and_a_rerun_is_good(nights: Nights) -> None:
    in_the_way = nights.keeping.folder / "backups"
    in_the_way.write_text("a file where the folder should be")

    failed = nights.backed_up()
    while_failing = nights.status()
    in_the_way.unlink()
    again = nights.backed_up()

    assert (failed, again) == (Night(failed=1), Night(taken=1))
    assert while_failing.is_failing
    assert while_failing.newest is None
    assert while_failing.last_failure is not None
    assert while_failing.last_failure.code == "storage.failed"
    assert while_failing.next_at == while_failing.last_failure.at + TRY_AGAIN_AFTER[0]
    assert not nights.recorded(c.BackupFailed)
    assert not nights.status().is_failing


def test_a_backup_that_fails_all_night_is_on_record_once_and_the_next_night_comes(nights: Nights) -> None:
    (nights.keeping.folder / "backups").write_text("a file where the folder should be")

    for _ in range(4):
        nights.backed_up()

    (failed,) = nights.recorded(c.BackupFailed)
    found = nights.status()
    assert (failed.code, failed.attempts) == ("storage.failed", 4)
    assert (found.is_failing, found.attempts) == (True, 0)
    assert found.next_at is not None
    assert timedelta(hours=12) < found.next_at - nights.books.clock.now < timedelta(days=1)


class RottingShelf(FolderShelf):
    """A disk that changes a byte of what was written to it, at a place that the test says."""

    def __init__(self, folder: Path, place: float) -> None:
        super().__init__(folder)
        self._at = place

    @contextmanager
    def put(self, name: str) -> Iterator[Sink]:
        with super().put(name) as sink:
            yield sink
        path = Path(self.where(name))
        content = bytearray(path.read_bytes())
        content[int(self._at * len(content))] ^= 1
        path.write_bytes(content)


@pytest.mark.parametrize("place", [0.0, 0.6])
def test_f10_what_rotted_before_it_was_read_back_is_not_shown_and_not_kept(
    fresh_account: OpenAccount, tmp_path: Path, place: float
) -> None:
    nights = Nights(Books(fresh_account()), tmp_path, RottingShelf(tmp_path / "rotting", place))

    came = nights.backed_up()

    assert came == Night(failed=1)
    assert not nights.files()
    assert not nights.recorded(c.BackupTaken)
    assert nights.status().last_failure is not None


class DyingShelf(FolderShelf):
    """A shelf whose process is gone once the file stands there, the first time."""

    died = False

    @contextmanager
    def put(self, name: str) -> Iterator[Sink]:
        with super().put(name) as sink:
            yield sink
        if not self.died:
            self.died = True
            raise KeyboardInterrupt


def test_f06_killed_between_the_file_and_its_record_a_rerun_leaves_one_good_backup(
    fresh_account: OpenAccount, tmp_path: Path
) -> None:
    nights = Nights(Books(fresh_account()), tmp_path, DyingShelf(tmp_path / "dying"))

    with pytest.raises(KeyboardInterrupt):
        nights.backed_up()
    left = nights.files()
    shown = nights.recorded(c.BackupTaken)
    came = nights.backed_up()

    (taken,) = nights.recorded(c.BackupTaken)
    assert (shown, came) == ([], Night(taken=1))
    assert left == nights.files() == [taken.file]


@pytest.mark.parametrize("wrong", ["missing", "unreadable"])
def test_f23_without_its_signing_key_no_backup_is_shown(nights: Nights, wrong: str) -> None:
    key = nights.keys.path
    kept = key.read_bytes()
    if wrong == "missing":
        key.unlink()
    else:
        key.write_bytes(b"no key")

    came = nights.backed_up()
    shown = (nights.files(), nights.recorded(c.BackupTaken))
    key.write_bytes(kept)
    key.chmod(0o600)

    assert came == Night(failed=1)
    assert shown == ([], [])
    assert nights.backed_up() == Night(taken=1)


def test_f23_a_backup_by_a_key_that_is_not_believed_any_more_is_not_shown(nights: Nights) -> None:
    nights.keys.distrust(nights.keys.signer().key, datetime(2020, 1, 1, tzinfo=UTC))

    assert nights.backed_up() == Night(failed=1)
    assert not nights.files()


def test_a_line_that_vanished_from_the_timeline_is_found_when_the_backup_is_read_back(nights: Nights) -> None:
    by_superuser(nights.books, "DELETE FROM events WHERE account_id = %(account)s AND position = 2")

    assert nights.backed_up() == Night(failed=1)
    assert not nights.files()


# Alarms


def test_a_row_that_vanished_behind_the_services_back_raises_an_alarm_and_its_archive_is_not_kept(
    nights: Nights,
) -> None:
    lost = nights.books.customer("Weg")
    nights.backed_up()
    by_superuser(nights.books, f"DELETE FROM entities WHERE account_id = %(account)s AND entity_id = '{lost}'")
    nights.books.customer("Nieuw")

    came = [nights.backed_up() for _ in range(4)]

    (alarm,) = nights.recorded(c.AccountShrunk)
    (failed,) = nights.recorded(c.BackupFailed)
    assert came[-1] == Night(failed=1, shrunk=1)
    assert alarm.figures == (c.FigureShrunk(figure="customer in use", expected="3", found="2"),)
    assert (alarm.archive, failed.code) == (None, "archive.unsound")
    assert len(nights.files()) == 1
    assert nights.status().alarm_at is not None


def test_an_amount_that_was_lowered_behind_the_services_back_raises_an_alarm(nights: Nights) -> None:
    nights.backed_up()
    by_superuser(
        nights.books,
        'UPDATE entities SET state = replace(state, \'"taxable":"20.00"\', \'"taxable":"2.00"\')'
        " WHERE account_id = %(account)s AND kind = 'invoice'",
    )
    nights.books.customer()

    came = nights.backed_up()

    assert came == Night(failed=1, shrunk=1)


def test_a_database_that_went_back_in_time_raises_an_alarm_and_what_is_left_is_kept(nights: Nights) -> None:
    """As a restore of the whole server to an earlier moment does, or a log that was cut with all that follows of it."""
    nights.backed_up()
    last = nights.status().newest
    assert last is not None
    gone = nights.books.issued(nights.books.customer("Later"))
    nights.backed_up()
    with psycopg.connect(nights.books.application.database.dsn) as connection:
        leaves = connection.execute(
            "SELECT leaf FROM events WHERE account_id = %s AND position <= %s ORDER BY position",
            (nights.account, last.position),
        ).fetchall()
        frontier = append(Frontier.from_bytes(0, b""), [leaf for (leaf,) in leaves]).to_bytes()
        for statement in (
            "DELETE FROM entities WHERE account_id = %(account)s AND position > %(head)s",
            "DELETE FROM events WHERE account_id = %(account)s AND position > %(head)s",
            "UPDATE streams SET head_position = %(head)s, frontier = %(frontier)s WHERE account_id = %(account)s",
        ):
            connection.execute(
                statement.encode(), {"account": nights.account, "head": last.position, "frontier": frontier}
            )

    came = nights.backed_up()

    (alarm,) = nights.recorded(c.AccountShrunk)
    assert gone
    assert came == Night(taken=1, shrunk=1)
    assert "invoice issued" in {figure.figure for figure in alarm.figures}
    assert alarm.archive == nights.recorded(c.BackupTaken)[-1].archive
    assert nights.backed_up() == Night(taken=1)  # the next night compares with what is left


def credited(books: Books) -> None:
    customer = books.customer()
    invoice = books.issued(customer)
    books.run(
        lambda work: commands.record(
            work, Kind.INVOICE, invoice, "payment_registered", {"amount": "24.20", "means": "30"}
        )
    )


def without_drafts(books: Books) -> None:
    draft = books.make(Kind.INVOICE, customer=books.customer())
    books.run(lambda work: commands.delete(work, Kind.INVOICE, draft))


CHANGES: dict[str, Callable[[Books, Path], object]] = {
    "a draft is made and deleted": lambda books, _: without_drafts(books),
    "an invoice is issued and paid": lambda books, _: credited(books),
    "an archive of before is restored over it": lambda books, folder: books.restore(
        (folder / "before.zip").read_bytes()
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_people_do_raises_no_alarm(nights: Nights, change: str) -> None:
    books, folder = nights.books, nights.keeping.folder
    (folder / "before.zip").write_bytes(books.backup(folder))
    draft = books.make(Kind.INVOICE, customer=books.customer())
    nights.backed_up()

    CHANGES[change](books, folder)
    if "restored" not in change:
        books.run(lambda work: commands.delete(work, Kind.INVOICE, draft))
    came = nights.backed_up()

    assert came == Night(taken=1)
    assert not nights.recorded(c.AccountShrunk)


@pytest.mark.slow
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories(), histories())
def test_whatever_happens_between_two_nights_explains_itself(
    fresh_account: OpenAccount, tmp_path: Path, first: Any, second: Any
) -> None:
    opened = fresh_account()
    nights = Nights(Books(opened), tmp_path)
    play(opened.application, opened.access, first)
    nights.backed_up()

    play(opened.application, opened.access, second)
    came = nights.backed_up()

    assert came == Night(taken=1)
    assert is_sound(nights.books)


# What is kept


def test_what_the_rule_does_not_keep_is_deleted_and_said_to_be(nights: Nights) -> None:
    rule = c.BackupRetention(daily=3, weekly=1, monthly=0)
    nights.books.application.record_control(nights.account, nights.books.actor, c.SettingsChanged(backups_kept=rule))
    by_hand = nights.books.backup(nights.keeping.folder)

    for _ in range(12):
        nights.books.customer()
        nights.backed_up()

    taken = [one.archive for one in nights.recorded(c.BackupTaken) if one.daily]
    expired = [archive for one in nights.recorded(c.BackupsExpired) for archive in one.archives]
    kept = [one.archive for one in nights.status().kept]
    assert kept == taken[:-4:-1]
    assert sorted(expired + kept) == sorted(taken)
    assert len(nights.files()) == 3
    assert (nights.keeping.folder / f"{nights.account}.zip").read_bytes() == by_hand


def test_the_newest_good_one_stays_while_later_ones_fail(nights: Nights) -> None:
    rule = c.BackupRetention(daily=1, weekly=0, monthly=0)
    nights.books.application.record_control(nights.account, nights.books.actor, c.SettingsChanged(backups_kept=rule))
    nights.backed_up()
    (good,) = nights.files()
    key = nights.keys.path.read_bytes()
    nights.keys.path.unlink()

    for _ in range(8):
        nights.books.customer()
        nights.backed_up()

    assert nights.files() == [good]
    nights.keys.path.write_bytes(key)
