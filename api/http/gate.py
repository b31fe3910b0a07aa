"""What every request passes through: it gets an id, whoever makes it must be known, and no answer is ever cached.

An ASGI layer around everything else, so that no route, known or not, can be reached past it.
"""

from __future__ import annotations

import re

from anyio.to_thread import run_sync
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http import problems
from api.http.errors import TokenMissing, TokenRefused
from domain.accounts import Person, person_by_token
from domain.application import Application

OPENAPI_PATH = "/openapi.json"
OPEN_PATHS = frozenset({OPENAPI_PATH})  # what anybody may read: it says nothing of any account
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/=-]{1,200})", re.IGNORECASE)
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Referrer-Policy": "no-referrer",
}


class Gate:
    """The outermost layer: request ids, authentication, headers, and the last resort for errors nobody expected."""

    def __init__(self, app: ASGIApp, application: Application) -> None:
        self._app = app
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        answering = _Answering(send, request.state.request_id)
        try:
            if scope["path"] not in OPEN_PATHS:
                request.state.person = await self._person(request.headers)
            await self._app(scope, receive, answering)
        except ClientDisconnect:
            return  # nobody is left to answer
        except Exception as error:
            if answering.begun:
                problems.LOG.exception("request %s broke off", request.state.request_id)
                raise
            await problems.answer(request, error)(scope, receive, answering)

    async def _person(self, headers: Headers) -> Person:
        given = headers.getlist("authorization")
        bearer = _BEARER.fullmatch(given[0].strip()) if len(given) == 1 else None
        if bearer is None:
            raise TokenMissing
        person = await run_sync(person_by_token, self._application.database, bearer[1])
        if person is None:
            raise TokenRefused
        return person


class _Answering:
    """Sends an answer with the headers that all answers have, and remembers whether it began."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = self._request_id
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)
