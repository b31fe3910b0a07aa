"""What whoever runs the service asks it: is it alive, is it ready, what are its figures.

Answered in front of the gate, since a probe has no token of a person. They say nothing of any account, and readiness
says which check failed but not why: that is in the log.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping

import anyio
from anyio.to_thread import run_sync
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Scope

from api.metrics import CONTENT_TYPE, Metrics

LOG = logging.getLogger("counterfoil.probes")
CHECK_TIMEOUT_S = 1.0
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

Check = Callable[[], None]
"""Returns when all is well, or raises."""


class Probes:
    """``/healthz``, ``/readyz`` and ``/metrics``.

    *metrics_token* is what a scraper shows; without one nobody is let in.
    """

    def __init__(self, metrics: Metrics, checks: Mapping[str, Check], metrics_token: str | None) -> None:
        self._metrics = metrics
        self._checks = checks
        self._token = metrics_token
        self._at_work: set[str] = set()
        self._failing: set[str] = set()
        self._paths = {"/healthz": self._alive, "/readyz": self._ready, "/metrics": self._figures}

    async def answer(self, scope: Scope) -> Response | None:
        """The answer to a request, or None when it is for none of these addresses."""
        probe = self._paths.get(scope["path"])
        if probe is None:
            return None
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("GET only\n", 405, {**_HEADERS, "Allow": "GET, HEAD"})
        return await probe(scope)

    async def _alive(self, _scope: Scope) -> Response:
        return JSONResponse({"status": "alive"}, headers=_HEADERS)

    async def _ready(self, _scope: Scope) -> Response:
        said: dict[str, str] = {}

        async def ask(name: str, check: Check) -> None:
            said[name] = "ok" if await self._holds(name, check) else "failed"

        async with anyio.create_task_group() as asking:
            for name, check in self._checks.items():
                asking.start_soon(ask, name, check)
        is_ready = all(found == "ok" for found in said.values())
        body = {"status": "ready" if is_ready else "not ready", "checks": dict(sorted(said.items()))}
        return JSONResponse(body, 200 if is_ready else 503, {**_HEADERS, **({} if is_ready else {"Retry-After": "5"})})

    async def _holds(self, name: str, check: Check) -> bool:
        """Whether *check* returns in time. One that hangs is not asked again until it has come back."""
        if name in self._at_work:
            return False
        self._at_work.add(name)

        def asked() -> None:
            try:
                check()
            finally:
                self._at_work.discard(name)

        try:
            with anyio.fail_after(CHECK_TIMEOUT_S):
                await run_sync(asked, abandon_on_cancel=True)
        except TimeoutError:
            self._found(name, f"no answer within {CHECK_TIMEOUT_S} s")
        except Exception as wrong:  # noqa: BLE001 - whatever it is, it is not ready
            self._found(name, str(wrong).partition("\n")[0])
        else:
            self._found(name, "")
        return name not in self._failing

    def _found(self, name: str, wrong: str) -> None:
        """Remember what became of a check, and tell when that changes."""
        if wrong and name not in self._failing:
            self._failing.add(name)
            LOG.error("not ready: %s: %s", name, wrong)
        elif not wrong and name in self._failing:
            self._failing.remove(name)
            LOG.info("ready again: %s", name)

    async def _figures(self, scope: Scope) -> Response:
        given = Headers(scope=scope).get("authorization", "")
        expected = f"Bearer {self._token}"
        if self._token is None or not secrets.compare_digest(given.encode(), expected.encode()):
            return PlainTextResponse("a token is needed\n", 401, {**_HEADERS, "WWW-Authenticate": "Bearer"})
        return Response(await run_sync(self._metrics.text), 200, {**_HEADERS, "Content-Type": CONTENT_TYPE})
