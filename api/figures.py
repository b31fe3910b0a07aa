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
from domain.store.database import OBSERVER, Database, Deadline, Row, answering_by

LOG = logging.getLogger("counterfoil.metrics")
_KEPT_S = 5.0  # several scrapers, or one in a hurry, cost the database no more than one
_TIMEOUT_S = 4.0
_STATES = ("building", "live", "retired", "abandoned", "purged")


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
            with answering_by(Deadline(_TIMEOUT_S)), self._database.session(OBSERVER) as connection:
                found = list(_of_accounts(connection))
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
