"""Figures of a whole installation, read when they are asked for: numbers over all accounts, never one account's.

They are read under a role that sees states and numbers of all accounts, and nothing that an account holds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator

import psycopg
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from psycopg import Connection

from domain.errors import CounterfoilError
from domain.store.database import KEEPER, OBSERVER, Database, Deadline, Row, answering_by
from domain.store.queue_schema import QUEUE

LOG = logging.getLogger("counterfoil.metrics")
_KEPT_S = 5.0  # several scrapers, or one in a hurry, cost the database no more than one
_TIMEOUT_S = 4.0
_STATES = ("building", "live", "retired", "abandoned", "purged")
# Of an account's newest daily backup that was found sound, or the last time that there was nothing new to back up.
_AGES = {"1d": 1, "2d": 2, "7d": 7, "30d": 30}
_HEARTBEAT_S = 60  # since then, of a worker that counts as alive


class InstallationFigures(Collector):
    """What a scrape reads from the database, and of this process's connections to it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._read: list[Metric] = []

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering asks no database."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The figures, at most some seconds old."""
        yield from _pool(self._database)
        with self._lock:
            if time.monotonic() - self._read_at > _KEPT_S:
                self._read = list(self._fresh())
                self._read_at = time.monotonic()
        yield from self._read

    def _fresh(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("counterfoil_database_up", "Whether the database answered when it was asked for figures")
        try:
            with answering_by(Deadline(_TIMEOUT_S)):
                with self._database.session(OBSERVER) as connection:
                    found = [*_of_accounts(connection), *_of_jobs(connection)]
                with self._database.session(KEEPER) as connection:
                    found += _of_backups(connection)
                with self._database.session(QUEUE) as connection:
                    found += _of_workers(connection)
        except (psycopg.Error, CounterfoilError) as wrong:
            LOG.warning("the database gave no figures: %s", str(wrong).partition("\n")[0])
            found = []
        up.add_metric((), float(bool(found)))
        yield up
        yield from found


def _pool(database: Database) -> Iterator[Metric]:
    stats = database.pool_figures()
    state = GaugeMetricFamily(
        "counterfoil_database_connections", "Connections that this process keeps for requests", labels=("state",)
    )
    there, free = stats.get("pool_size", 0), stats.get("pool_available", 0)
    state.add_metric(("used",), there - free)
    state.add_metric(("free",), free)
    yield state
    yield GaugeMetricFamily(
        "counterfoil_database_connections_most", "The most that it may have", value=stats.get("pool_max", 0)
    )
    yield GaugeMetricFamily(
        "counterfoil_database_waiting", "Threads that wait for a connection", value=stats.get("requests_waiting", 0)
    )
    yield GaugeMetricFamily(
        "counterfoil_database_refused", "How often none was free in time", value=stats.get("requests_errors", 0)
    )


def _of_accounts(connection: Connection[Row]) -> Iterator[Metric]:
    row = connection.execute("SELECT count(*) FROM accounts WHERE control_position > 0").fetchone()
    yield GaugeMetricFamily("counterfoil_accounts", "Accounts that were opened", value=row[0] if row else 0)
    streams = GaugeMetricFamily("counterfoil_streams", "Streams of all accounts", labels=("status",))
    events = GaugeMetricFamily("counterfoil_events", "Events in streams of all accounts", labels=("status",))
    found = {
        status: (number, head)
        for status, number, head in connection.execute(
            "SELECT status, count(*), sum(head_position) FROM streams GROUP BY status"
        )
    }
    for status in _STATES:
        number, head = found.get(status, (0, 0))
        streams.add_metric((status,), number)
        events.add_metric((status,), float(head))
    yield from (streams, events)


def _of_jobs(connection: Connection[Row]) -> Iterator[Metric]:
    now = GaugeMetricFamily("counterfoil_jobs", "Jobs that wait or are being done", labels=("kind", "state"))
    oldest = GaugeMetricFamily(
        "counterfoil_jobs_waiting_seconds", "How long the job that is due for longest has waited", labels=("kind",)
    )
    ended = GaugeMetricFamily(
        "counterfoil_jobs_ended_last_day", "Jobs that ended within the last 24 hours", labels=("kind", "state")
    )
    seconds = GaugeMetricFamily(
        "counterfoil_jobs_seconds_last_day", "How long those took, from their start, together", labels=("kind", "state")
    )
    for kind, state, number, waited_s, took_s in connection.execute(_JOBS):
        if state in ("queued", "running"):
            now.add_metric((kind, state), number)
            if state == "queued":
                oldest.add_metric((kind,), waited_s)
        else:
            ended.add_metric((kind, state), number)
            seconds.add_metric((kind, state), took_s)
    yield from (now, oldest, ended, seconds)


def _of_workers(connection: Connection[Row]) -> Iterator[Metric]:
    row = connection.execute(
        "SELECT count(*) FROM queue.procrastinate_workers WHERE last_heartbeat > now() - make_interval(secs => %s)",
        (_HEARTBEAT_S,),
    ).fetchone()
    yield GaugeMetricFamily(
        "counterfoil_workers", "Workers that said lately that they live", value=row[0] if row else 0
    )


def _of_backups(connection: Connection[Row]) -> Iterator[Metric]:
    """One reading of a table that has a row an account."""
    parameters = list(_AGES.values())
    row = connection.execute(_BACKUPS, {"days": parameters}).fetchone()
    assert row is not None, "it is an aggregate"
    current, proven, (failing, shrunk, kept_bytes, size_bytes, took_s) = row[0], row[1], row[2:]
    for name, what, found in (
        ("counterfoil_accounts_by_backup_age", "Accounts by the age of their newest sound backup", current),
        (
            "counterfoil_accounts_by_proof_age",
            "Accounts by when their newest backup was last built and found whole",
            proven,
        ),
    ):
        ages = GaugeMetricFamily(name, what, labels=("age",))
        for age, number in zip([*_AGES, "older", "never"], found, strict=True):
            ages.add_metric((age,), number)
        yield ages
    for name, what, value in (
        ("counterfoil_accounts_backup_failing", "Accounts whose last daily backup failed", failing),
        ("counterfoil_accounts_shrunk", "Accounts that shrank without a reason on their timeline", shrunk),
        ("counterfoil_backups_kept_bytes", "Bytes of all daily backups that are kept", kept_bytes),
        ("counterfoil_backups_newest_bytes", "Bytes of every account's newest one", size_bytes),
        ("counterfoil_backups_newest_seconds", "How long those took together", took_s),
    ):
        yield GaugeMetricFamily(name, what, value=float(value))


_JOBS = """
SELECT kind, state, count(*), greatest(extract(epoch FROM now() - min(due_at)), 0)::float8,
       coalesce(sum(extract(epoch FROM ended_at - started_at)), 0)::float8
FROM jobs WHERE ended_at IS NULL OR ended_at > now() - interval '1 day'
GROUP BY kind, state ORDER BY kind, state
"""
# How many are at most so old, each only in the first that it fits; then those that are older, and those without any.
_BACKUPS = """
WITH ages AS (
    SELECT width_bucket(extract(epoch FROM now() - current_at)::float8, days.bounds) AS current,
           width_bucket(extract(epoch FROM now() - proven_at)::float8, days.bounds) AS proven, d.account_id, d.attempts,
           d.failed_at, d.current_at, d.shrunk_at, d.taken_at, d.kept_bytes, d.size_bytes, d.seconds
    FROM daily_backups d, (
        SELECT array_agg(day * 86400.0::float8 ORDER BY day) AS bounds FROM unnest(%(days)s::integer[]) AS day) AS days
), buckets AS (SELECT generate_series(0, cardinality(%(days)s::integer[])) AS bucket)
SELECT (SELECT array_agg(number ORDER BY bucket) FROM (
           SELECT bucket, count(a.account_id) AS number FROM buckets LEFT JOIN ages a ON a.current = bucket
           GROUP BY bucket) AS by_age) || (count(*) FILTER (WHERE current IS NULL)),
       (SELECT array_agg(number ORDER BY bucket) FROM (
           SELECT bucket, count(a.account_id) AS number FROM buckets LEFT JOIN ages a ON a.proven = bucket
           GROUP BY bucket) AS by_age) || (count(*) FILTER (WHERE proven IS NULL)),
       count(*) FILTER (WHERE failed_at > coalesce(current_at, '-infinity')),
       count(*) FILTER (WHERE shrunk_at >= taken_at),
       coalesce(sum(kept_bytes), 0), coalesce(sum(size_bytes), 0), coalesce(sum(seconds), 0)
FROM ages
"""
