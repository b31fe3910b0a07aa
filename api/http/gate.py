"""What every request passes through: it gets an id, whoever makes it must be known, and no answer is ever cached.

An ASGI layer around everything else, so that no route, known or not, can be reached past it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import timedelta
from functools import partial
from urllib.parse import urlsplit

from anyio.to_thread import run_sync
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http import problems
from api.http.access import OPEN
from api.http.errors import OriginRefused, SessionRefused, TokenMissing, TokenRefused
from api.http.guessing import WrongTokens
from api.settings import Settings
from domain.application import Application
from domain.credentials import TOKEN, Entered, Entrance, From

OPENAPI_PATH = "/openapi.json"
OPEN_PATHS = frozenset({OPENAPI_PATH})  # what anybody may read: it says nothing of any account
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/=-]{1,200})", re.IGNORECASE)
_ACCOUNT = re.compile(r"/v1/accounts/([^/\0]+)")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; sandbox"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=()"),
    (b"referrer-policy", b"no-referrer"),
]
_FOR_TWO_YEARS = (b"strict-transport-security", b"max-age=63072000; includeSubDomains")


class Gate:
    """The outermost layer: request ids, authentication, headers, and the last resort for errors nobody expected."""

    def __init__(self, app: ASGIApp, application: Application, settings: Settings) -> None:
        self._app = app
        self._clock = application.clock
        self._settings = settings
        self._entrance = Entrance(application.database)
        self._wrong = WrongTokens()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        answering = _Answering(send, request.state.request_id, is_secure=is_secure(request, self._settings))
        try:
            if scope["path"] not in OPEN_PATHS and (scope["method"], scope["path"]) not in OPEN:
                request.state.enter = partial(self._entered, request)
                request.state.entered = await request.state.enter()
            await self._app(scope, receive, answering)
        except ClientDisconnect:
            return  # nobody is left to answer
        except Exception as error:
            if answering.begun:
                problems.LOG.exception("request %s broke off", request.state.request_id)
                raise
            await problems.answer(request, error)(scope, receive, answering)

    async def _entered(self, request: Request) -> Entered:
        given = request.headers.getlist("authorization")
        account = _ACCOUNT.match(request.scope["path"])
        named = account[1] if account else None
        if not given:
            return await self._by_session(request, named)
        bearer = _BEARER.fullmatch(given[0].strip()) if len(given) == 1 else None
        if bearer is None:
            raise TokenMissing
        return await self._by_token(bearer[1], origin(request).address, named)

    async def _by_token(self, token: str, address: str, account: str | None) -> Entered:
        self._wrong.check(address, token)
        entered = None
        if TOKEN.fullmatch(token):
            entered = await run_sync(self._look_up, token, account)
        if entered is None:
            self._wrong.count(address)
            raise TokenRefused
        self._wrong.keep_right(token)
        return entered

    def _look_up(self, token: str, account: str | None) -> Entered | None:
        return self._entrance.enter(token, account, is_session=False, at=self._clock())

    async def _by_session(self, request: Request, account: str | None) -> Entered:
        secret = request.cookies.get(cookie_name(request, self._settings))
        if secret is None:
            raise TokenMissing
        if request.method not in _SAFE:
            check_origin(request, self._settings, secret)
        idle = timedelta(minutes=self._settings.session_idle_minutes)

        def look_up() -> Entered | None:
            return self._entrance.enter(secret, account, is_session=True, at=self._clock(), idle=idle)

        entered = await run_sync(look_up)
        if entered is None:
            raise SessionRefused
        return entered


def origin(request: Request) -> From:
    """Where a request comes from; behind a trusted proxy, what that says (``api.http.app``)."""
    return From(request.client.host if request.client else "", request.headers.get("user-agent", ""))


def is_secure(request: Request, settings: Settings) -> bool:
    """Whether the browser speaks TLS: with us, with a trusted proxy, or as the public address says."""
    return request.scope["scheme"] == "https" or (settings.public_url or "").startswith("https:")


def cookie_name(request: Request, settings: Settings) -> str:
    """The name of the session's cookie: one that only this very host can have set, where that can be had."""
    return "__Host-counterfoil" if is_secure(request, settings) else "counterfoil"


def csrf_token(secret: str) -> str:
    """What a page of ours shows that it can read, and another site's cannot; made of the session's secret."""
    return hmac.new(secret.encode("utf-8", "surrogatepass"), b"csrf", hashlib.sha256).hexdigest()


def check_origin(request: Request, settings: Settings, secret: str | None) -> None:
    """That what a browser sends with a cookie comes from a page of ours. Raises OriginRefused.

    The session's token in a header proves it; without one, the page's Origin must be ours.
    """
    shown = request.headers.get("x-csrf-token")
    if shown is not None and secret is not None:
        if not hmac.compare_digest(shown.encode(), csrf_token(secret).encode()):
            raise OriginRefused("another X-CSRF-Token")
        return
    stated = request.headers.getlist("origin")
    ours = settings.public_url or f"{request.scope['scheme']}://{request.headers.get('host', '')}"
    if stated != [_origin_of(ours)]:
        raise OriginRefused(f"Origin {', '.join(stated)[:80] or 'none'}")


def _origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


class _Answering:
    """Sends an answer with the headers that all answers have, and remembers whether it began."""

    def __init__(self, send: Send, request_id: str, *, is_secure: bool) -> None:
        self._send = send
        self._request_id = request_id
        self._is_secure = is_secure
        self.begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            headers = message["headers"] = list(message["headers"])
            given = {name for name, _ in headers}
            headers.append((b"x-request-id", self._request_id.encode()))
            if self._is_secure:
                headers.append(_FOR_TWO_YEARS)
            headers += [header for header in _HEADERS if header[0] not in given]
        await self._send(message)
