"""Conditional GET (RFC 9110): who says which answer they have is told that it still is so, without the answer.

Answers that are read whole get a tag of their bytes here unless they have one; what is streamed has its own or none.
"""

from __future__ import annotations

import hashlib
import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_TAG = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_KEPT = (b"etag", b"link", b"cache-control", b"content-location", b"vary")


def is_unchanged(request: Request, etag: str) -> bool:
    """Whether *request* says that it has what *etag* names, strong or weak, or anything at all (``*``)."""
    return _names(request.headers, etag)


class Conditional:
    """Gives each JSON answer to a GET an entity tag, and answers 304 to who has it already."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        await self._app(scope, receive, _Answering(Headers(scope=scope), send))


class _Answering:
    """Holds an answer's start back until its body has come, where it comes at once."""

    def __init__(self, given: Headers, send: Send) -> None:
        self._given = given
        self._send = send
        self._start: Message | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_read_whole(message):
            self._start = message
            return
        start, self._start = self._start, None
        if start is not None:
            if message["type"] == "http.response.body" and not message.get("more_body"):
                message = self._judged(start, message)
            await self._send(start)
        await self._send(message)

    def _judged(self, start: Message, body: Message) -> Message:
        headers = MutableHeaders(scope=start)
        etag = headers.get("etag")
        if etag is None:
            etag = f'W/"{hashlib.sha256(body.get("body", b"")).hexdigest()[:32]}"'
            headers["ETag"] = etag
        if not _names(self._given, etag):
            return body
        start["status"] = 304
        start["headers"] = [(name, value) for name, value in start["headers"] if name.lower() in _KEPT]
        return {"type": "http.response.body", "body": b""}


def _is_read_whole(start: Message) -> bool:
    return start["status"] == 200 and Headers(raw=start["headers"]).get("content-type") == "application/json"


def _names(given: Headers, etag: str) -> bool:
    """Compared weakly, as GET wants it."""
    said = ",".join(given.getlist("if-none-match")).strip()
    return said == "*" or etag.removeprefix("W/") in _TAG.findall(said)
