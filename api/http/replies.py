"""Answers: JSON from bytes, with the headers that lead on from it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from starlette.responses import Response

from api.http.tags import etag

_encode = msgspec.json.Encoder().encode
_JSON = "application/json"


def json(value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """*value* as JSON."""
    return Response(_encode(value), status, headers, _JSON)


def state(content: bytes, *, stream: int, version: int, status: int = 200, location: str | None = None) -> Response:
    """An entity's snapshot with its entity tag, and where it is when it was made just now."""
    headers = {"ETag": etag(stream, version)} | ({"Location": location} if location else {})
    return Response(content, status, headers, _JSON)


def collection(
    items: Iterable[bytes],
    *,
    stream: int,
    following: str | None = None,
    first: str | None = None,
    etag: str | None = None,
) -> Response:
    """A page of snapshots as they are stored; *following* is the address of the next, *first* that of the first."""
    body = b'{"stream":%d,"items":[%b]}' % (stream, b",".join(items))
    links = [f'<{address}>; rel="{rel}"' for rel, address in (("next", following), ("first", first)) if address]
    headers = ({"Link": ", ".join(links)} if links else {}) | ({"ETag": etag} if etag else {})
    return Response(body, 200, headers, _JSON)


def nothing() -> Response:
    """Done, and nothing to say about it."""
    return Response(status_code=204)
