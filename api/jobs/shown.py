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


class JobShown(Struct, frozen=True, kw_only=True):
    """A job. *done* of *total* rows of its *phase*; *rate* is rows a second, *seconds_left* what the phase may take."""

    id: str
    kind: str
    state: str
    revision: int
    attempt: int
    requested_by: str
    via: str
    request: msgspec.Raw
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
    result: msgspec.Raw | None
    problem: msgspec.Raw | None

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it changes any more."""
        return self.state in ENDED


def read_job(application: Application, account: AccountId, job: str) -> JobShown | None:
    """The account's job of that id, which is canonical."""
    with application.database.transaction(account) as connection:
        return find_job(connection, account, job)


def find_job(connection: Connection[Row], account: AccountId, job: str) -> JobShown | None:
    """As ``read_job`` in an open transaction that has set the account."""
    row = connection.execute(SQL["read_job"], {"account": account, "job": job}).fetchone()
    return None if row is None else shown(row)


def shown(row: Row) -> JobShown:
    """A row of ``read_job``."""
    (id_, kind, state, revision, attempt, by, via, request, requested_at, due_at, started_at, ended_at) = row[:12]
    cancel_requested, phase, phase_began_at, progress_at, done, total, result, problem = row[12:]
    rate = _rate(done, phase_began_at, progress_at) if state == "running" else None
    return JobShown(
        id=id_,
        kind=kind,
        state=state,
        revision=revision,
        attempt=attempt,
        requested_by=by,
        via=via,
        request=msgspec.Raw(request.encode()),
        requested_at=requested_at,
        due_at=due_at,
        started_at=started_at,
        ended_at=ended_at,
        cancel_requested=cancel_requested,
        phase=phase,
        done=done,
        total=total,
        rate=rate,
        seconds_left=round((total - done) / rate, 1) if rate and total is not None else None,
        result=_raw(result),
        problem=_raw(problem),
    )


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
) -> tuple[list[JobShown], bool]:
    """The account's jobs, newest first, those asked for before the job *before*; and whether there are more."""
    which = {"account": account, "state": state, "kind": kind, "before": before, "limit": limit + 1}
    with application.database.transaction(account) as connection:
        rows = connection.execute(SQL["list_jobs"], which).fetchall()
    return [shown(row) for row in rows[:limit]], len(rows) > limit


def forget_old_jobs(database: Database) -> None:
    """Remove the jobs, of all accounts, that ended 30 days ago."""
    with database.session(PURGER) as purger:
        purger.execute(SQL["forget_old_jobs"])
