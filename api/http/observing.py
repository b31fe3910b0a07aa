"""The layer around all others: every request gets an id, a deadline, a line in the log and its place in the figures.

What it tells of a request is the route's template, never the address: an address may hold what is nobody's business.
"""

from __future__ import annotations

import logging
import re
import secrets
from time import perf_counter
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.probes import Probes
from api.logs import at_work_on
from api.metrics import Metrics
from domain.store.database import Deadline, answering_by

LOG = logging.getLogger("counterfoil.http")
# What reads much, a large account's past or all of a stream, may take this long, once the database has answered at all.
READING_WITHIN_S = 120.0
NO_ROUTE = "none"  # refused before a route was looked for, or there is none
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_GONE = 499  # of a request whose client did not wait for the answer, as proxies write it


class Observed:
    """Answers the probes by itself, and lets all other requests through, observed."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, probes: Probes, answer_within_s: float) -> None:
        self._app = app
        self._metrics = metrics
        self._probes = probes
        self._answer_within_s = answer_within_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif answer := await self._probes.answer(scope):
            await answer(scope, receive, send)
        else:
            await self._observed(scope, receive, send)

    async def _observed(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = _request_id(scope)
        deadline = Deadline(self._answer_within_s)
        scope.setdefault("state", {}).update(request_id=request_id, deadline=deadline)
        sending = _Sending(send, deadline)
        with (
            at_work_on(request=request_id) as facts,
            answering_by(deadline),
            self._metrics.in_flight.track_inprogress(),
        ):
            begun = perf_counter()
            try:
                await self._app(scope, _Receiving(receive, deadline, self._answer_within_s), sending)
            finally:
                self._tell(scope, sending, facts, perf_counter() - begun)

    def _tell(self, scope: Scope, sending: _Sending, facts: dict[str, Any], seconds: float) -> None:
        method, status = scope["method"], sending.status
        route = template(scope)
        self._metrics.answered(method, route, status, seconds=seconds, sent_bytes=sending.sent_bytes)
        if LOG.isEnabledFor(logging.INFO):
            LOG.info("request", extra={"facts": facts | _facts(scope, method, route, sending, seconds)})


def template(scope: Scope) -> str:
    """The template of the address that a request's route has."""
    return str(getattr(scope.get("route"), "path", NO_ROUTE))


def _facts(scope: Scope, method: str, route: str, sending: _Sending, seconds: float) -> dict[str, Any]:
    entered = scope["state"].get("entered")
    facts = {
        "method": method[:20],
        "route": route,
        "status": sending.status,
        "ms": round(seconds * 1000, 1),
        "bytes": sending.sent_bytes,
        "client": scope["client"][0] if scope.get("client") else None,
        "person": str(entered.person.id) if entered is not None else None,
    }
    return {name: value for name, value in facts.items() if value is not None}


def _request_id(scope: Scope) -> str:
    """The id that the client gave its request, where it is plain enough for every log and header; or a fresh one."""
    given = Headers(scope=scope).getlist("x-request-id")
    return given[0] if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]) else secrets.token_hex(16)


class _Receiving:
    """What a client still sends keeps the deadline off: it counts from the last that came."""

    def __init__(self, receive: Receive, deadline: Deadline, seconds: float) -> None:
        self._receive = receive
        self._deadline = deadline
        self._seconds = seconds

    async def __call__(self) -> Message:
        message = await self._receive()
        self._deadline.extend(self._seconds)
        return message


class _Sending:
    """Counts what an answer sends. Once it has begun it is not held to the deadline any more."""

    def __init__(self, send: Send, deadline: Deadline) -> None:
        self._send = send
        self._deadline = deadline
        self.status = _GONE
        self.sent_bytes = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._deadline.lift()
        else:
            self.sent_bytes += len(message.get("body", b""))
        await self._send(message)
