"""What a job's function works with."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from psycopg import Connection

from api.bootstrap import Installation
from api.jobs.asking import SQL
from domain.accounts import Access
from domain.application import Actor, Application
from domain.ids import AccountId
from domain.store.database import Row, set_account

_AT_LEAST_S = 0.5  # between two reports: who follows a job sees no more, and its work is not held up


class Recorded(NamedTuple):
    """What the job has put on the account's own history: the event's type, and its data as JSON."""

    type: str
    data: str


@dataclass
class JobContext:
    """A job that is being done, in the name of *actor*, with what they may do now.

    The installation's database knows the job: what is recorded on a control stream goes down as its. *request* and
    *secrets* are what was asked for.
    """

    installation: Installation
    access: Access
    actor: Actor
    job: str
    attempt: int
    request: dict[str, Any]
    secrets: dict[str, str]
    _phase: str | None = None
    _began_at: datetime | None = None
    _next_report: float = 0.0

    @property
    def application(self) -> Application:
        """The commands, for this job."""
        return self.installation.application

    @property
    def account(self) -> AccountId:
        """The account whose job it is."""
        return self.access.account

    def progress(self, phase: str, done: int, total: int) -> None:
        """Say what is worked on, how many rows of it are done and how many there are. As often as it comes."""
        now = time.monotonic()
        if phase != self._phase:
            self._phase, self._began_at = phase, self.application.clock()
        elif now < self._next_report:
            return
        self._next_report = now + _AT_LEAST_S
        values = {"phase": phase, "done": done, "total": total}
        at = {"at": self.application.clock(), "began_at": self._began_at}
        with self.application.database.transaction(self.account) as connection:
            connection.execute(SQL["report_progress"], {"account": self.account, "job": self.job, **values, **at})

    def recorded(self) -> list[Recorded]:
        """What this job has recorded on its account's own history, in this attempt or an earlier one."""
        with self.application.database.transaction(self.account) as connection:
            rows = connection.execute(SQL["recorded"], {"account": self.account, "job": self.job}).fetchall()
        return [Recorded(*row) for row in rows]

    def keep(self, connection: Connection[Row], result: Any) -> None:
        """Keep the job's *result* in the open transaction that does its work, whichever account that is set to.

        From there on the transaction is set to the job's account.
        """
        set_account(connection, self.account)
        kept = {"account": self.account, "job": self.job, "result": msgspec.json.encode(result).decode()}
        connection.execute(SQL["keep_result"], kept)


def kept_result(context: JobContext) -> msgspec.Raw | None:
    """The result that an earlier attempt kept with its work, if it came to that."""
    with context.application.database.transaction(context.account) as connection:
        row = connection.execute(SQL["kept_result"], {"account": context.account, "job": context.job}).fetchone()
    return msgspec.Raw(row[0].encode()) if row and row[0] is not None else None


class JobKind(NamedTuple):
    """A kind of job: what does it, and its result, which becomes JSON.

    *found* is asked when an attempt was broken off, by whatever: the result when it had done its work all the same,
    None when it is to be done. What changes an account keeps its result in the very transaction that does
    (``JobContext.keep``). What the function raises becomes the job's problem.
    """

    run: Callable[[JobContext], Any]
    found: Callable[[JobContext], Any] = kept_result
