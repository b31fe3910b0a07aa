"""A closed account can be read, backed up and reopened for some time; then all of it is gone, and that is on record."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from psycopg import sql

from api.bootstrap import Installation
from api.housekeeping import clean_up
from api.jobs import enqueue
from api.settings import Settings
from api.storage import backup_place, shelves
from domain import control as c
from domain.accounts import accounts_of, close_account, find_access, open_account, read_people, reopen_account
from domain.application import Actor
from domain.entity import NotPossible
from domain.errors import CounterfoilError
from domain.ids import AccountId
from domain.store.database import APP, KEEPER, PURGER, Database
from domain.store.streams import AccountUnknown
from projections.notices import read_notices
from projections.timeline import Filter, read_timeline
from snapshots import erasing
from snapshots.backup import take_backup
from snapshots.daily.schedule import SQL as SCHEDULE
from snapshots.fresh.building import fresh_stream
from snapshots.fresh.swap import read_live
from tests.faults.sweep.operations import furnish
from tests.faults.test_interrupted import Faults, failing
from tests.fixtures.accounts import open_in
from tests.fixtures.archives import SIGNER
from tests.fixtures.server import own_database
from tests.integration.restoring import Books, is_sound

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def database(server_dsn: str) -> Iterator[Database]:
    """A database of these tests' own: whoever erases looks at every account in it."""
    with own_database(server_dsn) as dsn, Database(dsn) as opened:
        yield opened


class Closing:
    """An account with something of everything, and another one whose owner is the same; both have a word of their own.

    Accounts of tests before are out of the way.
    """

    def __init__(self, database: Database, home: Path) -> None:
        with psycopg.connect(database.dsn) as connection:
            connection.execute("UPDATE accounts SET erase_after = NULL WHERE erased_at IS NULL")
            connection.execute("UPDATE accounts SET erased_wholly_at = now() WHERE erased_at IS NOT NULL")
        self.database = database
        self.settings = Settings(home=home, backups=home / "backups")
        self.books = Books(open_in(database))
        self.account = self.books.access.account
        self.word = f"canary{uuid.uuid4().hex}"
        self.application, self.clock, self.actor = self.books.application, self.books.clock, self.books.actor
        self.installed = Installation(self.settings, database, self.application)
        self.installed.keys.make_first()
        self.bystander = Books(open_in(database))
        self.bystander.application.clock = self.clock
        for books, word in ((self.books, self.word), (self.bystander, "bystander")):
            changes = (c.Renamed(name=word), c.SettingsChanged(retention_days=3650))
            books.application.record_control(books.access.account, books.actor, *changes)
            furnish(books)
            books.customer(word)
            archive = books.backup(home)
            books.restore(archive)
            place = backup_place(self.settings, books.access, self.clock())
            take_backup(self.application, books.access, books.actor, place, SIGNER)
            shelves(self.settings).uploads.put_new(f"{books.access.account}/sent.zip", archive)
            (home / f"{books.access.account}.zip").unlink()
        self.before = self.rows_of(self.bystander.access.account)

    def close(self) -> None:
        close_account(self.application, self.books.access, self.actor, reason=self.word, kept_days=30)

    def pass_time(self, *days: int) -> list[list[str]]:
        """So many days go by, one after the other, each followed by a clean-up: what each did about closed accounts."""
        outcomes = []
        for some in days:
            self.clock.now += some * DAY
            outcomes.append([outcome for _, outcome in self.cleaned()])
        return outcomes

    def cleaned(self) -> list[tuple[str, str]]:
        """What a clean-up did about accounts that were closed."""
        report = clean_up(self.installed)
        return [(one.account, one.outcome) for one in report.erasures]

    def rows_of(self, text: str) -> dict[str, list[str]]:
        """The rows of all tables in which a text is, such as an account's id, written out or as bytes."""
        statement = sql.SQL("SELECT t::text FROM {} t WHERE strpos(t::text, %(text)s) + strpos(t::text, %(hex)s) > 0")
        values = {"text": text, "hex": text.encode().hex()}
        found = {}
        with psycopg.connect(self.database.dsn) as connection:
            tables = connection.execute(
                "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                " WHERE c.relkind = 'r' AND n.nspname IN ('public', 'queue')"
            ).fetchall()
            for schema, table in tables:
                rows = connection.execute(statement.format(sql.Identifier(schema, table)), values).fetchall()
                if rows:
                    found[f"{schema}.{table}"] = sorted(row for (row,) in rows)
        return found

    def files_with(self, *texts: str) -> list[Path]:
        """The files of the installation in whose name or content one of the texts is."""
        return [
            path
            for path in self.settings.home.rglob("*")
            if path.is_file() and any(text in str(path) or text.encode() in path.read_bytes() for text in texts)
        ]

    def assert_gone(self) -> None:
        """Nothing of the account is left but its id, in two places."""
        assert self.rows_of(self.word) == {}
        left = self.rows_of(self.account)
        assert {table: len(rows) for table, rows in left.items()} == {"public.accounts": 1, "public.control_events": 1}
        assert self.files_with(self.account, self.word) == []

    def assert_bystander_untouched(self) -> None:
        assert self.rows_of(self.bystander.access.account) == self.before
        assert len(self.files_with(self.bystander.access.account)) == 2
        assert is_sound(self.bystander)


@pytest.fixture
def closing(database: Database, tmp_path: Path) -> Closing:
    return Closing(database, tmp_path)


def test_a_closed_account_is_read_backed_up_and_reopened_with_everything(closing: Closing, tmp_path: Path) -> None:
    rows = closing.books.rows()
    closing.close()

    with pytest.raises(c.AccountClosed):
        closing.books.customer("late")
    archive = closing.books.backup(tmp_path)
    closing.pass_time(29)
    control = reopen_account(closing.application, closing.books.access, closing.actor)

    assert archive
    assert (control.closed, control.erase_after) == (False, None)
    assert closing.books.rows() == rows
    assert closing.books.customer("The next write")
    assert closing.pass_time(1, 7, 30) == [[], [], []]


def test_only_an_owner_closes_and_reopens(closing: Closing) -> None:
    administrator = closing.books.access._replace(role=c.Role.ADMINISTRATOR)

    with pytest.raises(c.RoleLacking, match="owners"):
        close_account(closing.application, administrator, closing.actor, reason=None, kept_days=30)
    closing.close()
    with pytest.raises(c.RoleLacking, match="owners"):
        reopen_account(closing.application, administrator, closing.actor)


def test_an_open_account_cannot_be_reopened_and_none_is_erased_that_was_not_to_be(closing: Closing) -> None:
    with pytest.raises(NotPossible, match="closed"):
        reopen_account(closing.application, closing.books.access, closing.actor)
    with pytest.raises(NotPossible):
        closing.application.record_control(
            closing.account, closing.actor, c.ErasureAnnounced(erase_after=closing.clock())
        )


def test_t20_an_account_is_erased_when_its_time_is_up_and_nothing_of_it_is_left(closing: Closing) -> None:
    slug, head = closing.books.access.slug, closing.books.rows()["streams"][-1]["head_position"]
    closing.close()
    closed_at = closing.clock.now

    assert closing.pass_time(22, 1, 1, 5, 1, 1) == [[], ["announced"], [], [], ["erased"], []]

    closing.assert_gone()
    closing.assert_bystander_untouched()
    person = closing.books.person
    with pytest.raises(AccountUnknown):
        find_access(closing.database, person, closing.account)
    with pytest.raises(AccountUnknown):
        closing.books.customer("late")
    assert closing.account not in [access.account for access in accounts_of(closing.database, person)]
    (kept,) = recorded(closing)
    assert (kept.opened_by, kept.closed_by, kept.closed_at) == (closing.actor.name, closing.actor.name, closed_at)
    assert (kept.stream, kept.position) == (2, head)
    assert slug_is_free(closing, slug)


def recorded(closing: Closing) -> list[c.Erased]:
    """What stays on record."""
    with closing.database.transaction(closing.account) as connection:
        rows = connection.execute("SELECT type, data FROM control_events").fetchall()
    assert [type_ for type_, _ in rows] == ["account.erased"]
    return [msgspec.json.decode(data, type=c.Erased) for _, data in rows]


def slug_is_free(closing: Closing, slug: str) -> bool:
    """Whether an account can be called as the one that was erased."""
    person = read_people(closing.database, [closing.books.person])[closing.books.person]
    settings = closing.books.access.control.settings
    return open_account(closing.application, "Any", person, settings, via="api", slug=slug).slug == slug


def test_owners_and_administrators_are_told_a_week_before_and_of_nothing_else(closing: Closing) -> None:
    closing.close()
    closing.pass_time(23)

    found = read_notices(closing.database, closing.account, closing.books.person).items

    assert [one.type for one in found[:2]] == ["account.erasure_announced", "account.closed"]
    assert found[0].at == closing.clock.now
    assert "2024-12-20" in found[0].text, "the day that was said when it was closed"
    assert "2024-12-20" in found[1].text
    editor = next(member for member in closing.books.access.control.members if member.role == "editor")
    assert read_notices(closing.database, closing.account, editor.person).items == ()


def test_it_is_told_a_week_before_also_where_nobody_cleaned_up_in_time(closing: Closing) -> None:
    closing.close()
    closing.clock.now += 90 * DAY

    assert closing.cleaned() == [(closing.account, "announced")]
    assert closing.cleaned() == []
    assert closing.pass_time(6, 1) == [[], ["erased"]]


def test_a_setting_that_changes_does_not_bring_the_day_forward(closing: Closing) -> None:
    closing.close()
    control = closing.application.control(closing.account)

    assert control.erase_after == closing.clock.now + 30 * DAY


def test_it_can_be_reopened_on_the_last_day(closing: Closing) -> None:
    closing.close()
    closing.pass_time(29)
    reopen_account(closing.application, closing.books.access, closing.actor)

    assert closing.pass_time(10) == [[]]
    closing.close()
    assert closing.pass_time(22, 1, 6, 1) == [[], ["announced"], [], ["erased"]]


def test_nothing_is_erased_while_somebody_is_at_work(closing: Closing) -> None:
    closing.close()
    closing.pass_time(23)
    closing.clock.now += 7 * DAY

    with fresh_stream(closing.database, closing.account, closing.actor, closing.clock()):
        assert closing.cleaned() == [(closing.account, "busy")]
    queued = enqueue(closing.application, closing.settings, closing.account, Actor.system("x"), "backup", request={})
    assert closing.cleaned() == [(closing.account, "busy")]
    with closing.database.transaction(closing.account) as connection:
        connection.execute("UPDATE jobs SET state = 'cancelled' WHERE job_id = %s", (queued.id,))
    assert closing.cleaned() == [(closing.account, "erased")]


def test_a_daily_backup_that_is_being_taken_is_waited_for(closing: Closing) -> None:
    closing.close()
    closing.pass_time(23)
    closing.clock.now += 7 * DAY

    with closing.database.session(KEEPER) as keeper:
        keeper.execute(SCHEDULE["lock_accounts"], {"accounts": [closing.account]})
        assert closing.cleaned() == [(closing.account, "busy")]
    assert closing.cleaned() == [(closing.account, "erased")]


def test_what_was_begun_in_the_instant_of_the_erasure_is_gone_the_next_day(closing: Closing) -> None:
    closing.close()
    closing.pass_time(23, 7)

    shelves(closing.settings).uploads.put_new(f"{closing.account}/late.zip", closing.word.encode())
    with closing.database.transaction(closing.account) as connection:
        connection.execute(
            "INSERT INTO attachments (account_id, sha256, bytes) VALUES (%s, sha256(%s), %s)",
            (closing.account, closing.word.encode(), closing.word.encode()),
        )

    assert closing.pass_time(1, 1) == [["erased"], []]
    assert closing.files_with(closing.word, closing.account) == []
    closing.assert_gone()


def test_no_job_is_asked_for_of_an_account_that_is_erased_at_that_moment(closing: Closing) -> None:
    closing.close()
    closing.pass_time(23, 7)

    with pytest.raises(AccountUnknown):
        enqueue(closing.application, closing.settings, closing.account, Actor.system("x"), "backup", request={})
    closing.assert_gone()


@pytest.mark.slow
def test_an_erasure_that_fails_at_any_statement_has_not_begun_or_is_gone_on_with(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closing = ready(database, tmp_path)
    before = closing.rows_of(closing.account)

    broke_off_before = 0
    while not is_begun(closing):
        assert closing.rows_of(closing.account) == before, f"after a fault at statement {broke_off_before}"
        broke_off_before += 1
        erase_failing_at(closing, monkeypatch, broke_off_before)
    broke_off_within = 0
    while erase_failing_at(closing, monkeypatch, broke_off_within + 1):
        broke_off_within += 1
        assert is_begun(closing)
        with pytest.raises(AccountUnknown):
            closing.application.control(closing.account)

    assert min(broke_off_before, broke_off_within) > 5, "so few statements cannot be all of it"
    closing.assert_gone()
    closing.assert_bystander_untouched()


def erase_failing_at(closing: Closing, monkeypatch: pytest.MonkeyPatch, statement: int) -> bool:
    """Whether the erasure met a fault."""
    faults = Faults(statement, for_good=True)
    with failing(monkeypatch, faults), suppress(psycopg.Error, CounterfoilError):
        erase(closing)
    return faults.met > 0


def is_begun(closing: Closing) -> bool:
    """Whether the account is nobody's any more."""
    return "erased-" in closing.rows_of(closing.account)["public.accounts"][0]


def ready(database: Database, home: Path) -> Closing:
    """A closed account whose time is up, and that nobody erased yet."""
    closing = Closing(database, home)
    closing.close()
    closing.clock.now += 29 * DAY
    erase(closing)
    closing.clock.now += 8 * DAY
    return closing


def erase(closing: Closing) -> None:
    def delete_files(account: AccountId) -> int:
        items = [(shelf, item) for shelf in shelves(closing.settings) for item in list(shelf.items(account))]
        for shelf, item in items:
            shelf.delete(item.name)
        return len(items)

    for due in erasing.accounts_due(closing.application):
        erasing.erase_due(closing.application, due, delete_files)


def test_an_erasure_that_broke_off_is_gone_on_with_the_next_day(
    closing: Closing, monkeypatch: pytest.MonkeyPatch
) -> None:
    closing.close()
    closing.pass_time(23)
    closing.clock.now += 7 * DAY

    def away(*_: Any) -> None:
        raise OSError("the storage is away")

    with monkeypatch.context() as patch:
        patch.setattr("api.housekeeping._delete_archives", away)
        report = clean_up(closing.installed)
    assert [(one.account, one.reason) for one in report.failures] == [(closing.account, "the storage is away")]
    with pytest.raises(AccountUnknown):
        closing.application.control(closing.account)
    assert closing.files_with(closing.account)

    assert closing.cleaned() == [(closing.account, "erased")]
    closing.assert_gone()
    assert closing.cleaned() == []


def test_rows_go_in_batches_and_all_of_them(closing: Closing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasing, "ROWS_A_BATCH", 2)
    closing.close()

    closing.pass_time(23, 7)

    closing.assert_gone()


def test_the_purging_role_deletes_nothing_of_an_account_that_was_not_erased(closing: Closing) -> None:
    closing.close()
    with psycopg.connect(closing.database.dsn) as connection:
        tables = connection.execute(erasing.SQL["list_tables"]).fetchall()
    before = closing.rows_of(closing.account)

    with closing.database.session(PURGER) as purger, purger.transaction():
        purger.execute(f"SET LOCAL counterfoil.account = '{closing.account}'".encode())
        for table, _ in tables:
            purger.execute(
                sql.SQL("DELETE FROM {} WHERE account_id = {}").format(
                    sql.Identifier(table), sql.Literal(closing.account)
                )
            )

    assert closing.rows_of(closing.account) == before
    assert len(tables) > 10


def test_the_services_own_role_cannot_take_the_record_away(closing: Closing) -> None:
    closing.close()
    closing.pass_time(23, 7)

    for role in (APP, PURGER):
        with closing.database.session(role) as connection, suppress(psycopg.Error), connection.transaction():
            connection.execute(f"SET LOCAL counterfoil.account = '{closing.account}'".encode())
            connection.execute("DELETE FROM control_events")

    assert len(recorded(closing)) == 1


def test_whoever_kept_an_archive_can_restore_it_into_a_new_account(closing: Closing, tmp_path: Path) -> None:
    kept = closing.books.backup(tmp_path)
    root = read_root(closing)
    closing.close()
    closing.pass_time(23, 7)

    other = Books(open_in(closing.database))
    other.restore(kept)

    assert [one.type for one in history(other)][:2] == ["stream.swapped", "restore.finished"]
    assert recorded(closing)[0].root == root


def read_root(closing: Closing) -> str:
    with closing.database.transaction(closing.account) as connection:
        return read_live(connection, closing.account).frontier.root().hex()


def history(books: Books) -> Any:
    which = Filter(kind="account")
    return read_timeline(books.application.database, books.access.account, which, limit=5).entries


def test_every_table_that_holds_rows_of_accounts_is_given_to_whoever_erases(database: Database) -> None:
    """A migration that makes such a table calls let_erase_1 for it."""
    with psycopg.connect(database.dsn) as connection:
        missing = connection.execute(
            "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'account_id'"
            " WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname <> 'accounts'"
            " AND NOT EXISTS (SELECT 1 FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'erased')"
        ).fetchall()

    assert missing == []
