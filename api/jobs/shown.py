"""A job as it is shown: how far it has come, how fast it goes, what came of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from psycopg import Connection

from api.jobs.asking import SQL
from domain.application import Application
from domain.ids import AccountId
from domain.store.database import PURGER, Database, Row

ENDED = ("succeeded", "failed", "cancelled")
STATES = ("queued", "running", *ENDED)


class JobListed(Struct, frozen=True, kw_only=True):
    """A job and how far it is: *done* of *total* rows of its *phase*.

    *rate* is rows a second, *seconds_left* what is left of the phase at that. *due_at*: it begins no sooner.
    """

    id: str
    kind: str
    state: str
    revision: int
    attempt: int
    requested_by: str
    via: str
    requested_at: datetime
    due_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    cancel_requested: bool
    phase: str | None
    done: int | None
    total: int | None
    rate: float | None
    seconds_left: float | None

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it changes any more."""
        return self.state in ENDED


class JobShown(JobListed, frozen=True, kw_only=True):
    """A job with what was asked for, and what came of it: a *result*, or a *problem*."""

    request: msgspec.Raw
    result: msgspec.Raw | None
    problem: msgspec.Raw | None


def read_job(application: Application, account: AccountId, job: str) -> JobShown | None:
    """The account's job of that id, which is canonical."""
    with application.database.transaction(account) as connection:
        return find_job(connection, account, job)


def find_job(connection: Connection[Row], account: AccountId, job: str) -> JobShown | None:
    """As ``read_job`` in an open transaction that has set the account."""
    row = connection.execute(SQL["read_job"], {"account": account, "job": job}).fetchone()
    return None if row is None else shown(row)


def look_at_job(application: Application, account: AccountId, job: str) -> JobListed | None:
    """How far the account's job of that id is, which is canonical."""
    with application.database.transaction(account) as connection:
        row = connection.execute(SQL["look_at_job"], {"account": account, "job": job}).fetchone()
    return None if row is None else JobListed(**_progress(row))


def shown(row: Row) -> JobShown:
    """A row of ``read_job``."""
    request, result, problem = row[17:]
    return JobShown(**_progress(row), request=msgspec.Raw(request.encode()), result=_raw(result), problem=_raw(problem))


def _progress(row: Row) -> dict[str, Any]:
    (id_, kind, state, revision, attempt, by, via, requested_at, due_at, started_at, ended_at) = row[:11]
    cancel_requested, phase, phase_began_at, progress_at, done, total = row[11:17]
    rate = _rate(done, phase_began_at, progress_at) if state == "running" else None
    return {
        "id": id_,
        "kind": kind,
        "state": state,
        "revision": revision,
        "attempt": attempt,
        "requested_by": by,
        "via": via,
        "requested_at": requested_at,
        "due_at": due_at,
        "started_at": started_at,
        "ended_at": ended_at,
        "cancel_requested": cancel_requested,
        "phase": phase,
        "done": done,
        "total": total,
        "rate": rate,
        "seconds_left": round((total - done) / rate, 1) if rate and total is not None else None,
    }


def _rate(done: int | None, since: datetime | None, at: datetime | None) -> float | None:
    if not done or since is None or at is None or at <= since:
        return None
    return round(done / (at - since).total_seconds(), 1)


def _raw(text: Any) -> msgspec.Raw | None:
    return None if text is None else msgspec.Raw(text.encode())


def list_jobs(
    application: Application,
    account: AccountId,
    *,
    state: str | None,
    kind: str | None,
    before: str | None,
    limit: int,
) -> tuple[list[JobListed], bool]:
    """The account's jobs, newest first, those asked for before the job *before*; and whether there are more."""
    which = {"account": account, "state": state, "kind": kind, "before": before, "limit": limit + 1}
    with application.database.transaction(account) as connection:
        rows = connection.execute(SQL["list_jobs"], which).fetchall()
    return [JobListed(**_progress(row)) for row in rows[:limit]], len(rows) > limit


def forget_old_jobs(database: Database) -> None:
    """Remove the jobs, of all accounts, that ended 30 days ago."""
    with database.session(PURGER) as purger:
        purger.execute(SQL["forget_old_jobs"])
