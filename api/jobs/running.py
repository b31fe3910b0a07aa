"""Doing one job: once at a time for an account, by whoever takes it up, until it has an end that is written down."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple

import msgspec
import psycopg

from api.bootstrap import Installation
from api.http.problems import problem_of
from api.jobs.asking import SQL
from api.jobs.context import JobContext, JobKind
from api.jobs.desk import Errand, Why
from api.jobs.kinds import kinds
from api.jobs.periodic import Periodic
from api.jobs.sealing import unseal
from api.logs import about, at_work_on
from domain.accounts import Access, find_access, service_access
from domain.application import Actor, Application
from domain.errors import CounterfoilError
from domain.ids import AccountId, PersonId
from domain.store.database import APP, DatabaseUnavailable

LOG = logging.getLogger("counterfoil.jobs")
_decode = msgspec.json.Decoder(float_hook=Decimal).decode  # as bodies are read
MOST_ATTEMPTS = 3  # what ends its worker each time, or finds the database gone each time, is not tried for ever
_LOCK_SPACE = 0x6A6F62  # of the advisory locks on accounts: "job" in ASCII


class JobError(CounterfoilError):
    """A job could not be done for a reason of its own."""

    code: ClassVar[str] = "job.failed"


@dataclass(eq=False)
class JobBroken(JobError):
    """Whatever did the job was ended by it, or with it, each time."""

    code: ClassVar[str] = "job.broken"
    attempts: int

    def __str__(self) -> str:
        return f"its worker ended {self.attempts} times before the job did; it is not tried again"


@dataclass(eq=False)
class JobKindUnknown(JobError):
    """The worker does not know what the job is: it is older than who asked for it."""

    code: ClassVar[str] = "job.kind-unknown"
    kind: str

    def __str__(self) -> str:
        return f"found a job of kind {self.kind!r}; expected one of {', '.join(sorted(kinds()))}"


class AccountBusy(Exception):
    """Another worker is at work for the account, though the queue thinks otherwise: to be tried again soon."""


class HandedBack(Exception):
    """The worker ends; the job is as if it had not begun, and for another."""


def run_periodic(installation: Installation, periodic: Periodic, errand: Errand) -> None:
    """Do what is done again and again. Raises HandedBack, and what it raises."""
    try:
        with at_work_on(periodic=periodic.run.__name__), errand.breakable():
            periodic.run(installation)
    except BaseException:
        if errand.why is None:
            raise
        raise HandedBack from None


class _Claimed(NamedTuple):
    kind: str
    attempt: int
    requested_by: str
    via: Any
    request_id: str | None
    request: str
    sealed: bytes | None
    cancel_requested: bool


class _End(NamedTuple):
    state: str
    result: str | None = None
    problem: str | None = None


def run_job(installation: Installation, account: AccountId, job: str, errand: Errand) -> None:
    """Do the job, and write down its end; one that has ended, or is gone, is left as it is.

    Raises AccountBusy, HandedBack, and whatever keeps the database from taking the end.
    """
    with at_work_on(account=account, job=job):
        _run_job(installation, account, job, errand)


def _run_job(installation: Installation, account: AccountId, job: str, errand: Errand) -> None:
    settings = installation.settings
    with installation.database.for_job(job) as database, database.session(APP) as held:
        own = Installation(settings, database, Application(database, installation.application.clock))
        if not held.execute(SQL["lock_account"], {"space": _LOCK_SPACE, "account": account}).fetchone() == (True,):
            raise AccountBusy
        parameters = {"account": account, "job": job, "at": own.application.clock()}
        with database.transaction(account) as connection:
            row = connection.execute(SQL["claim_job"], parameters).fetchone()
        if row is None:
            return
        claimed = _Claimed(*row)
        about(kind=claimed.kind, attempt=claimed.attempt, request=claimed.request_id)
        LOG.info("job begins")
        begun = time.monotonic()
        end = _done(own, account, job, claimed, errand)
        with database.transaction(account) as connection:
            if end is None:
                connection.execute(SQL["hand_back"], parameters)
            else:
                connection.execute(SQL["end_job"], {**parameters, "at": own.application.clock(), **end._asdict()})
    became = "handed back" if end is None else end.state
    LOG.info("job ends", extra={"facts": {"state": became, "seconds": round(time.monotonic() - begun, 3)}})
    if end is None:
        raise HandedBack


def _done(installation: Installation, account: AccountId, job: str, claimed: _Claimed, errand: Errand) -> _End | None:
    """The job's end, or None when it is for another worker. Raises what says that the database is gone."""
    request: dict[str, Any] = _decode(claimed.request)
    try:
        kind = kinds().get(claimed.kind)
        if kind is None:
            raise JobKindUnknown(claimed.kind)
        context = _context(installation, account, job, claimed, request)
        return _attempted(kind, context, claimed, errand)
    except (DatabaseUnavailable, psycopg.OperationalError) as wrong:
        if claimed.attempt < MOST_ATTEMPTS:
            raise
        return _failed(wrong, claimed, job, request)
    except Exception as wrong:  # noqa: BLE001 - whatever it is, it is how the job ended
        return _failed(wrong, claimed, job, request)


def _context(
    installation: Installation, account: AccountId, job: str, claimed: _Claimed, request: dict[str, Any]
) -> JobContext:
    return JobContext(
        installation,
        _access(installation, account, claimed.requested_by),
        Actor(claimed.requested_by, claimed.via),
        job,
        claimed.attempt,
        request,
        unseal(installation.settings, claimed.sealed) if claimed.sealed else {},
    )


def _access(installation: Installation, account: AccountId, actor: str) -> Access:
    """What who asked may do now. Raises AccountUnknown."""
    if actor.startswith("person:"):
        return find_access(installation.database, PersonId(actor.removeprefix("person:")), account)
    return service_access(installation.database, account)


def _attempted(kind: JobKind, context: JobContext, claimed: _Claimed, errand: Errand) -> _End | None:
    if claimed.attempt > 1 and (found := kind.found(context)) is not None:
        return _succeeded(found)
    if claimed.cancel_requested:
        return _End("cancelled")
    if claimed.attempt > MOST_ATTEMPTS:
        raise JobBroken(claimed.attempt - 1)
    try:
        with errand.breakable():
            return _succeeded(kind.run(context))
    except BaseException:
        if errand.why is None:
            raise
        # It was broken off, whatever that looks like from here; and perhaps a moment too late.
        if (found := kind.found(context)) is not None:
            return _succeeded(found)
        return _End("cancelled") if errand.why is Why.CANCELLED else None


def _succeeded(result: Any) -> _End:
    return _End("succeeded", result=msgspec.json.encode(result).decode())


def _failed(wrong: Exception, claimed: _Claimed, job: str, request: dict[str, Any]) -> _End:
    problem = problem_of(wrong, claimed.request_id or job, what=f"job {job} ({claimed.kind})", body=request)
    return _End("failed", problem=msgspec.json.encode(problem).decode())
