"""Asking for a job: its row and its place in the queue come about in one transaction, or neither does."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

import msgspec
import procrastinate
from psycopg import Connection

from api.jobs.sealing import seal
from api.settings import Settings
from domain.application import Actor, Application
from domain.ids import AccountId, new_id
from domain.store.database import APP, Row
from domain.store.queue_schema import as_queue
from domain.store.statements import statements
from domain.store.streams import AccountUnknown

SQL = statements("api.jobs", "jobs.sql")
QUEUE_NAME = "jobs"
TASK = "job"
BY_PEOPLE, BY_THE_SERVICE = 0, -1
_encode = msgspec.json.Encoder(decimal_format="number").encode  # an amount in a body stays the number it was


class Queued(NamedTuple):
    """A job that was asked for."""

    account: AccountId
    id: str

    @property
    def path(self) -> str:
        """Where the API shows it."""
        return f"/v1/accounts/{self.account}/jobs/{self.id}"


def enqueue(
    application: Application,
    settings: Settings,
    account: AccountId,
    actor: Actor,
    kind: str,
    *,
    request: dict[str, Any],
    secrets: dict[str, str] | None = None,
    due_at: datetime | None = None,
    request_id: str | None = None,
    within: Connection[Row] | None = None,
) -> Queued:
    """Let a worker do a job of *kind* for the account in *actor*'s name; a ``system:`` actor is the service itself.

    *request* is kept as it is and shown; *secrets* are sealed, and gone when the job ends. The job begins no sooner
    than *due_at* (default: as soon as may be); jobs of one account are done one after another, those that people ask
    for before those of the service. *within*: an open transaction that has set the account, to ask in that.
    Raises AccountUnknown.
    """
    now = application.clock()
    job = Queued(account, new_id(now))
    parameters = {
        "account": account,
        "job": job.id,
        "kind": kind,
        "requested_by": actor.name,
        "via": actor.via,
        "request_id": request_id,
        "request": _encode(request).decode(),
        "sealed": seal(settings, secrets) if secrets else None,
        "at": now,
        "due_at": due_at or now,
    }
    # In the queue, whoever waits for a later time stands in the way of those of the same account and rank behind it.
    by_people = due_at is None and actor.name.startswith("person:")
    if within is not None:
        _insert(within, job, parameters, BY_PEOPLE if by_people else BY_THE_SERVICE, due_at)
        return job
    with application.database.transaction(account) as connection:
        _insert(connection, job, parameters, BY_PEOPLE if by_people else BY_THE_SERVICE, due_at)
    return job


def _insert(
    connection: Connection[Row], job: Queued, parameters: dict[str, Any], priority: int, due_at: datetime | None
) -> None:
    if connection.execute(SQL["insert_job"], parameters).rowcount == 0:
        raise AccountUnknown(job.account)
    with as_queue(connection, then=APP):
        deferrer = _queue().configure_task(
            TASK, queue=QUEUE_NAME, lock=job.account, priority=priority, schedule_at=due_at, connection=connection
        )
        queue_id = deferrer.defer(account=job.account, job=job.id)
    connection.execute(SQL["set_queue_id"], {"account": job.account, "job": job.id, "queue_id": queue_id})


@cache
def _queue() -> procrastinate.App:
    """The queue for who only puts jobs into it, by connections of their own: it opens none."""
    return procrastinate.App(connector=procrastinate.SyncPsycopgConnector())
