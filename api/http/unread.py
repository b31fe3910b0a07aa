"""A request that is answered before its body came: the connection ends with the answer.

Else the server would go on reading what nobody wants, for as long as somebody sends it. A short body, or none, is read
to its end, and the connection used again.
"""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SHORT_BYTES = 64 << 10


class Unread:
    """Says ``Connection: close`` where a body is left unread that may be long."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or not _may_be_long(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        has_come = False

        async def noting() -> Message:
            nonlocal has_come
            message = await receive()
            has_come = has_come or not message.get("more_body", False)
            return message

        async def ending(message: Message) -> None:
            if message["type"] == "http.response.start" and not has_come:
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self._app(scope, noting, ending)


def _may_be_long(headers: Headers) -> bool:
    length = headers.get("content-length", "0")
    return "transfer-encoding" in headers or not length.isdecimal() or int(length) > _SHORT_BYTES
