"""A worker: a process that does jobs, one after another, until it is told to end.

Its main thread does the work (``api.jobs.desk``); another one speaks to the queue, and says every few seconds that this
worker lives. Jobs of one that no longer says so are taken up by the others.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from types import FrameType
from typing import Any

import procrastinate
from procrastinate import exceptions, jobs, retry
from psycopg import AsyncConnection, sql

from api.bootstrap import Installation, installation
from api.jobs.asking import QUEUE_NAME, TASK
from api.jobs.desk import Desk, Errand, Why
from api.jobs.periodic import Periodic, periodics
from api.jobs.running import HandedBack, run_job, run_periodic
from api.logs import logging_to, wants_json
from api.settings import Settings
from domain.ids import AccountId
from domain.store.queue_schema import QUEUE

NICE = 10  # whoever waits for an answer comes before whoever waits for a job
LOOK_EVERY_S = 2  # for jobs that nobody told us of: those whose time has come, and those that were handed back
HEARTBEAT_S = 3.0
DEAD_AFTER_S = 20.0  # without a heartbeat; a machine that was asleep for longer finds its account locked by its own job
MADE_UP_FOR_S = 24 * 60 * 60  # a machine that is off at night is looked after in the morning
FINISH_WITHIN_S = 5.0  # what is nearly done is finished when the worker is to end, and all else handed back
_AGAIN_IN_S = 5  # after the account was busy, or the database gone


class _Again(retry.BaseRetryStrategy):
    """Whatever a job ends with that is not written down as its end, it is not over."""

    def get_retry_decision(
        self,
        *,
        exception: BaseException,
        job: jobs.Job,  # noqa: ARG002
    ) -> retry.RetryDecision | None:
        """When to try again: at once what this worker only handed back."""
        return retry.RetryDecision(retry_in={"seconds": 0 if isinstance(exception, HandedBack) else _AGAIN_IN_S})


class _HandedBackOnly(_Again):
    """What is done again and again waits for its next time, unless it was only handed back."""

    def get_retry_decision(self, *, exception: BaseException, job: jobs.Job) -> retry.RetryDecision | None:
        """At once, or not at all."""
        return super().get_retry_decision(exception=exception, job=job) if isinstance(exception, HandedBack) else None


def work(settings: Settings, heartbeat_s: float = HEARTBEAT_S, dead_after_s: float = DEAD_AFTER_S) -> None:
    """Do jobs until SIGTERM or SIGINT, or until the process that started this one is gone. Ends the process."""
    _end_with_parent()
    desk = Desk()
    ending = threading.Event()
    signals = (signal.SIGTERM, signal.SIGINT)
    for each in signals:
        signal.signal(each, lambda _signal, _frame: ending.set())
    said = logging_to(sys.stderr, level=settings.log_level, as_json=wants_json(settings.log_format))
    with said, installation(settings) as opened:
        queue = _Queue(opened, desk, heartbeat_s, dead_after_s)

        def end(_signal: int, _frame: FrameType | None) -> None:
            queue.end()

        thread = threading.Thread(target=queue.run, name="queue")
        for each in signals:
            signal.signal(each, end)
        os.nice(NICE)
        thread.start()
        if ending.is_set():
            queue.end()
        desk.work()
        thread.join()
    sys.exit(0 if queue.was_ended else 1)


def _end_with_parent() -> None:
    """Let this process end in order when the one that started it is gone, whatever killed that."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()


class _Queue:
    """The side of a worker that speaks to the queue, in a thread with an event loop of its own."""

    def __init__(self, opened: Installation, desk: Desk, heartbeat_s: float, dead_after_s: float) -> None:
        self._installation = opened
        self._desk = desk
        self._heartbeat_s = heartbeat_s
        self._dead_after_s = dead_after_s
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self.was_ended = False

    def run(self) -> None:
        """Fetch jobs and put them on the desk until ended, or until the queue is out of reach."""
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()
            self._desk.close()

    def end(self) -> None:
        """Take no more jobs; finish the one at hand, or hand it back. From any thread, any number of times."""
        self.was_ended = True
        with suppress(RuntimeError):  # the loop is closed already
            self._loop.call_soon_threadsafe(self._ended.set)

    async def _serve(self) -> None:
        app = self._app()
        async with app.open_async():
            working = asyncio.create_task(
                app.run_worker_async(
                    queues=[QUEUE_NAME],
                    install_signal_handlers=False,
                    fetch_job_polling_interval=LOOK_EVERY_S,
                    abort_job_polling_interval=LOOK_EVERY_S,
                    shutdown_graceful_timeout=FINISH_WITHIN_S,
                    update_heartbeat_interval=self._heartbeat_s,
                    stalled_worker_timeout=self._dead_after_s,
                    delete_jobs="always",
                )
            )
            taking_over = asyncio.create_task(self._take_over(app))
            ended = asyncio.create_task(self._ended.wait())
            await asyncio.wait((working, taking_over, ended), return_when=asyncio.FIRST_COMPLETED)
            for task in (taking_over, ended, working):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    def _app(self) -> procrastinate.App:
        connector = procrastinate.PsycopgConnector(
            conninfo=self._installation.database.dsn, min_size=1, max_size=3, configure=_as_queue
        )
        app = procrastinate.App(connector=connector, periodic_defaults={"max_delay": MADE_UP_FOR_S})
        app.task(name=TASK, queue=QUEUE_NAME, pass_context=True, retry=_Again())(self._do)
        for name, periodic in periodics().items():
            task = app.task(
                name=name,
                queue=QUEUE_NAME,
                lock=name,
                queueing_lock=name,
                pass_context=True,
                retry=_HandedBackOnly(),
            )(partial(self._do_again, periodic))
            app.periodic(cron=periodic.cron)(task)
        return app

    async def _do(self, context: procrastinate.JobContext, *, account: str, job: str) -> None:
        """Have a job done."""
        await self._done(context, Errand(partial(run_job, self._installation, AccountId(account), job)))

    async def _do_again(self, periodic: Periodic, context: procrastinate.JobContext, timestamp: int) -> None:  # noqa: ARG002
        """Have something done whose time has come. That it failed is in the log."""
        await self._done(context, Errand(partial(run_periodic, self._installation, periodic)))

    async def _done(self, context: procrastinate.JobContext, errand: Errand) -> None:
        """Have the main thread do *errand*. When the queue cancels this, break it off there, and wait for that."""
        done = asyncio.wrap_future(errand.done)
        self._desk.put(errand)
        while True:
            try:
                await asyncio.shield(done)
            except asyncio.CancelledError:
                asked = context.abort_reason() is procrastinate.job_context.AbortReason.USER_REQUEST
                self._desk.break_off(errand, Why.CANCELLED if asked else Why.ENDING)
            else:
                return

    async def _take_over(self, app: procrastinate.App) -> None:
        """Put back into the queue, again and again, what workers had taken that live no longer."""
        while True:
            await asyncio.sleep(self._heartbeat_s)
            stalled = await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=self._dead_after_s)
            for job in stalled:
                with suppress(exceptions.ConnectorException):  # another worker was quicker
                    await app.connector.execute_query_async(_ABORT_NO_LONGER, job_id=job.id)
                    await app.job_manager.retry_job(job, retry_at=datetime.now(UTC))


# What was to be cancelled when its worker died is taken up all the same: who does finds that out, and ends it.
_ABORT_NO_LONGER = "UPDATE procrastinate_jobs SET abort_requested = false WHERE id = %(job_id)s AND status = 'doing'"


async def _as_queue(connection: AsyncConnection[Any]) -> None:
    await connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(QUEUE)))
    await connection.execute("SET search_path = queue")
    await connection.commit()
