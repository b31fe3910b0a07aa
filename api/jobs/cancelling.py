"""Cancelling a job: one that waits has ended with it, one that runs is broken off by its worker."""

from __future__ import annotations

from procrastinate.sql import queries

from api.jobs.asking import SQL
from domain.application import Application
from domain.ids import AccountId
from domain.store.database import APP
from domain.store.queue_schema import as_queue


def cancel_job(application: Application, account: AccountId, job: str) -> None:
    """Let the account's job end now, if it has not ended. A job whose work is done by then has succeeded all the same.

    What is broken off leaves nothing, as whatever else fails does. Twice is safe.
    """
    with application.database.transaction(account) as connection:
        parameters = {"account": account, "job": job, "at": application.clock()}
        row = connection.execute(SQL["cancel_job"], parameters).fetchone()
        if row is not None:
            with as_queue(connection, then=APP):
                of_queue = {"job_id": row[0], "abort": True, "delete_job": True}
                connection.execute(queries["cancel_job"], of_queue)
