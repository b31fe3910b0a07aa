"""What the service measures of itself, in Prometheus' format.

Labels are routes, states and kinds, of which there are few: never an account, a person or an address.
"""

from __future__ import annotations

from typing import NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from api.figures import InstallationFigures
from domain.store.database import Database

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)


class _Of(NamedTuple):
    """What is counted of one route, method and status."""

    requests: Counter
    seconds: Histogram
    sent: Counter


class Metrics:
    """The figures of one process. Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        labels = ("method", "route", "status")
        self._requests = Counter("counterfoil_http_requests", "Requests answered", labels, registry=self.registry)
        self._seconds = Histogram(
            "counterfoil_http_request_seconds",
            "Time until an answer was sent in full",
            ("method", "route"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._sent = Counter(
            "counterfoil_http_sent_bytes", "Bytes of answers' bodies", ("route",), registry=self.registry
        )
        self.in_flight = Gauge("counterfoil_http_requests_in_flight", "Requests being answered", registry=self.registry)
        self.registry.register(InstallationFigures(database))
        self._known: dict[tuple[str, str, int], _Of] = {}

    def answered(self, method: str, route: str, status: int, *, seconds: float, sent_bytes: int) -> None:
        """Count a request. *route* is the template of its address."""
        key = (method, route, status)
        of = self._known.get(key) or self._of(*key)
        of.requests.inc()
        of.seconds.observe(seconds)
        of.sent.inc(sent_bytes)

    def _of(self, method: str, route: str, status: int) -> _Of:
        known = method if method in _METHODS else "other"
        of = _Of(
            self._requests.labels(known, route, str(status)),
            self._seconds.labels(known, route),
            self._sent.labels(route),
        )
        if known == method:  # what callers make up is not remembered
            self._known[method, route, status] = of
        return of

    def text(self) -> bytes:
        """All figures as a scraper reads them."""
        return generate_latest(self.registry)
