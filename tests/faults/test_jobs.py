"""Jobs whose worker is killed, that are cancelled while they run, and that would run side by side.

A job is held in its middle by a lock that it has to wait for, on a row or a table of the database; there is no luck in
when it is killed.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psycopg
import pytest

from api.bootstrap import Installation
from api.jobs import Queued, enqueue
from api.jobs.cancelling import cancel_job
from api.jobs.desk import Errand
from api.jobs.running import MOST_ATTEMPTS, AccountBusy, run_job
from api.jobs.shown import JobShown, read_job
from api.jobs.workforce import Workforce, workforce
from api.settings import Settings
from domain.application import Application
from domain.store.database import Database
from snapshots.fresh.building import sweep_abandoned
from tests.faults.test_interrupted import live, unfinished_rows
from tests.fixtures.accounts import open_in
from tests.fixtures.server import own_database
from tests.integration.restoring import Books, is_sound

_PATIENCE_S = 90
pytestmark = pytest.mark.slow  # workers are processes, which take a second or two to start


class Work(NamedTuple):
    """An installation of the tests' own, and the workers that do its jobs."""

    installation: Installation
    crew: Workforce

    def books(self) -> Books:
        """A fresh account with something in it."""
        books = Books(open_in(self.installation.database))
        books.issued(books.customer())
        return books

    def ask(self, books: Books, kind: str, due_at: Any = None, **request: Any) -> Queued:
        """A job of the owner's."""
        account, settings = books.access.account, self.installation.settings
        return enqueue(books.application, settings, account, books.actor, kind, request=request, due_at=due_at)

    def job(self, job: Queued) -> JobShown:
        """The job as it is."""
        found = read_job(self.installation.application, job.account, job.id)
        assert found is not None
        return found

    def until(self, job: Queued, holds: Callable[[JobShown], bool]) -> JobShown:
        """The job, once that holds of it."""
        ends = time.monotonic() + _PATIENCE_S
        while not holds(found := self.job(job)):
            assert time.monotonic() < ends, found
            time.sleep(0.02)
        return found

    def ended(self, job: Queued) -> JobShown:
        """The job, once it has ended."""
        return self.until(job, lambda found: found.has_ended)

    def backed_up(self, books: Books) -> str:
        """A backup of the account."""
        job = self.ended(self.ask(books, "backup"))
        assert job.result is not None, job
        return str(msgspec.json.decode(job.result)["archive"])


@pytest.fixture(scope="module")
def work(server_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Work]:
    home = tmp_path_factory.mktemp("jobs")
    with own_database(server_dsn) as dsn, Database(dsn) as database:
        settings = Settings(home=home, database_url=dsn, backups=home / "backups")
        installation = Installation(settings, database, Application(database))
        with workforce(settings, 2, heartbeat_s=0.2, dead_after_s=1.5) as crew:
            yield Work(installation, crew)


@contextmanager
def held(work: Work, statement: str, books: Books) -> Iterator[Callable[[], None]]:
    """What *statement* locks is locked; gives a wait until somebody else waits for it."""
    with psycopg.connect(work.installation.database.dsn) as connection:
        connection.execute(statement.encode(), {"account": books.access.account})
        mine = connection.info.backend_pid

        def wait() -> None:
            ends = time.monotonic() + _PATIENCE_S
            with psycopg.connect(work.installation.database.dsn, autocommit=True) as looking:
                query = "SELECT 1 FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
                while not looking.execute(query, (mine,)).fetchone():
                    assert time.monotonic() < ends
                    time.sleep(0.02)

        yield wait
        connection.rollback()


SNAPSHOTS = "LOCK TABLE entities IN ACCESS EXCLUSIVE MODE"
HISTORY = "SELECT 1 FROM accounts WHERE account_id = %(account)s FOR NO KEY UPDATE"
LIVE_STREAM = "SELECT 1 FROM streams WHERE account_id = %(account)s AND status = 'live' FOR UPDATE"


def kill_all(work: Work) -> None:
    for worker in list(work.crew.workers):
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)


def told_of(books: Books, type_: str) -> int:
    """How often that is on the account's own history."""
    with books.application.database.transaction(books.access.account) as connection:
        row = connection.execute("SELECT count(*) FROM control_events WHERE type = %s", (type_,)).fetchone()
    assert row is not None
    return int(row[0])


def test_f03_a_backup_whose_worker_is_killed_is_taken_by_another(work: Work) -> None:
    books = work.books()
    with held(work, SNAPSHOTS, books) as wait:
        job = work.ask(books, "backup")
        wait()
        kill_all(work)

    ended = work.ended(job)

    assert (ended.state, ended.attempt) == ("succeeded", 2)
    assert told_of(books, "backup.taken") == 1
    assert told_of(books, "backup.failed") == 0
    assert ended.result is not None
    assert msgspec.json.decode(ended.result)["available"]


def test_f03_a_restore_whose_worker_is_killed_is_done_once_by_another(work: Work) -> None:
    books = work.books()
    archive = work.backed_up(books)
    restored = live(books)["entities"]
    books.customer("Since then")
    with held(work, LIVE_STREAM, books) as wait:
        job = work.ask(books, "restore", backup=archive)
        wait()
        kill_all(work)

    ended = work.ended(job)

    assert (ended.state, ended.attempt) == ("succeeded", 2)
    assert told_of(books, "stream.swapped") == 1
    assert [row["state"] for row in live(books)["entities"]] == [row["state"] for row in restored]
    assert is_sound(books)
    sweep_abandoned(books.application.database, books.access.account)
    assert unfinished_rows(books) == 0


@pytest.mark.parametrize("kind", ["restore", "clone"])
def test_what_was_done_when_its_worker_was_killed_is_not_done_again(work: Work, kind: str) -> None:
    books = work.books()
    request = {"backup": work.backed_up(books)} if kind == "restore" else {"new": f"Kopie {books.access.slug}"}
    told = "stream.swapped" if kind == "restore" else "clone.given"
    # Nobody gets to write down that the job succeeded: as if whoever did it was killed right before.
    refuse = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'killed'; END $$"
    trigger = "CREATE TRIGGER refuse BEFORE UPDATE OF state ON jobs FOR EACH ROW WHEN (NEW.state = 'succeeded')"
    with psycopg.connect(work.installation.database.dsn, autocommit=True) as connection:
        connection.execute(refuse.encode())
        connection.execute(f"{trigger} EXECUTE FUNCTION refuse()".encode())
        try:
            job = work.ask(books, kind, **request)
            tries = "SELECT attempts FROM queue.procrastinate_jobs WHERE args ->> 'job' = %s"
            work.until(job, lambda _: connection.execute(tries, (job.id,)).fetchone() == (1,))
        finally:
            connection.execute(b"DROP TRIGGER refuse ON jobs; DROP FUNCTION refuse")
    books.customer("Since then")

    ended = work.ended(job)

    assert ended.state == "succeeded"
    assert ended.attempt > 1
    assert ended.result is not None
    assert msgspec.json.decode(ended.result)["outcome"] == {"restore": "restored", "clone": "cloned"}[kind]
    assert told_of(books, told) == 1
    assert "Since then" in str(live(books)["entities"])


def test_jobs_of_one_account_wait_for_each_other_and_not_for_those_of_another(work: Work) -> None:
    books, others = work.books(), work.books()
    with held(work, HISTORY, books) as wait:
        first, second = work.ask(books, "backup"), work.ask(books, "backup")
        wait()
        theirs = work.ended(work.ask(others, "backup"))
        waits = work.job(second).state

    ends = [work.ended(job) for job in (first, second)]

    assert theirs.state == "succeeded"
    assert waits == "queued"
    assert [one.state for one in ends] == ["succeeded", "succeeded"]
    assert ends[0].ended_at is not None
    assert ends[1].started_at is not None
    assert ends[0].ended_at <= ends[1].started_at


@pytest.mark.parametrize(("kind", "where"), [("restore", LIVE_STREAM), ("backup", SNAPSHOTS)])
def test_a_job_that_runs_is_cancelled_in_the_middle_of_a_statement_and_leaves_nothing(
    work: Work, kind: str, where: str
) -> None:
    books = work.books()
    request = {"backup": work.backed_up(books)} if kind == "restore" else {}
    books.customer("Since then")
    before = live(books)
    taken = told_of(books, "backup.taken")
    with held(work, where, books) as wait:
        job = work.ask(books, kind, **request)
        wait()
        cancel_job(books.application, job.account, job.id)
        ended = work.ended(job)

    assert (ended.state, ended.result, ended.problem) == ("cancelled", None, None)
    assert live(books) == before
    assert unfinished_rows(books) == 0
    assert told_of(books, "backup.taken") == taken
    assert work.ended(work.ask(books, "backup")).state == "succeeded"


def test_an_account_at_which_a_worker_that_was_taken_for_dead_still_works_is_left_alone(work: Work) -> None:
    books = work.books()
    with psycopg.connect(work.installation.database.dsn, autocommit=True) as connection:
        account = (books.access.account,)
        connection.execute("SELECT pg_advisory_lock(%s, hashtext(%s))", (0x6A6F62, *account))
        job = work.ask(books, "backup")
        with pytest.raises(AccountBusy):
            run_job(work.installation, job.account, job.id, Errand(lambda _: None))
        assert work.job(job).attempt == 0

    assert work.ended(job).state == "succeeded"


def test_a_job_that_ended_its_worker_each_time_has_failed_in_the_end(work: Work) -> None:
    books = work.books()
    job = work.ask(books, "backup", due_at=datetime.now(UTC) + timedelta(days=1))
    with psycopg.connect(work.installation.database.dsn, autocommit=True) as connection:
        tried = "UPDATE jobs SET state = 'running', attempt = %s WHERE job_id = %s"
        connection.execute(tried, (MOST_ATTEMPTS, job.id))

    run_job(work.installation, job.account, job.id, Errand(lambda _: None))

    ended = work.job(job)
    assert (ended.state, told_of(books, "backup.taken")) == ("failed", 0)
    assert ended.problem is not None
    assert msgspec.json.decode(ended.problem)["code"] == "job.broken"


def test_the_queue_holds_nothing_of_an_account_but_which_it_is(work: Work, tmp_path: Path) -> None:
    books = work.books()
    with held(work, SNAPSHOTS, books) as wait:
        job = work.ask(books, "backup", as_of="1")
        wait()
        with psycopg.connect(work.installation.database.dsn) as connection:
            rows = connection.execute(
                "SELECT lock, args FROM queue.procrastinate_jobs WHERE args ->> 'job' = %s", (job.id,)
            ).fetchall()

    assert rows == [(job.account, {"account": job.account, "job": job.id})]
    assert work.ended(job).state == "succeeded"
