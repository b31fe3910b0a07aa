"""Request bodies: JSON objects within our limits, and uploads streamed to files."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from decimal import Decimal
from time import monotonic
from typing import Annotated, Any, TypeVar

import msgspec
from anyio import move_on_after
from fastapi import Depends
from starlette.requests import Request

from api.http.errors import BodyRefused, BodyTooLarge, BodyTooSlow, MediaTypeRefused
from domain.events import LINE_LIMITS, LineRefused, check_json

BODY_LIMIT_BYTES = LINE_LIMITS.max_bytes  # what is longer would not fit a line of the timeline either
PATIENCE_S = 30.0  # for the next bytes of a body; and for all of it, beside what it takes at the slowest speed
LEAST_BYTES_S = 4096  # slower than any line that an archive would be sent over
_JSON_TYPES = ("application/json", "application/merge-patch+json")
# Numbers with a point become decimals, digit for digit: an amount never passes through a float.
_decode = msgspec.json.Decoder(float_hook=Decimal).decode
T = TypeVar("T")


async def chunks(request: Request, limit_bytes: int) -> AsyncIterator[bytes]:
    """The body as it comes. Raises BodyTooLarge as soon as it is, by its own word or by count, and BodyTooSlow."""
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > limit_bytes:
        raise BodyTooLarge(limit_bytes)
    size = 0
    async for chunk in _timely(request.stream()):
        size += len(chunk)
        if size > limit_bytes:
            raise BodyTooLarge(limit_bytes)
        yield chunk


async def _timely(content: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    """*content* while it comes: a sender who says nothing for long, or almost nothing, would be waited for for ever."""
    began, size = monotonic(), 0
    async with aclosing(content):
        while True:
            chunk = None
            with move_on_after(PATIENCE_S):
                chunk = await anext(content, b"")
            slow = monotonic() - began > PATIENCE_S + size / LEAST_BYTES_S
            if chunk is None or slow:
                raise BodyTooSlow(LEAST_BYTES_S)
            if not chunk:
                return
            size += len(chunk)
            yield chunk


async def raw_body(request: Request) -> bytes:
    """A JSON body's bytes; none for no body. Raises BodyTooLarge or MediaTypeRefused."""
    raw = b"".join([chunk async for chunk in chunks(request, BODY_LIMIT_BYTES)])
    note(request, raw)
    if not raw:
        return b""
    check_not_encoded(request)
    found = media_type(request)
    if found not in _JSON_TYPES:
        raise MediaTypeRefused(found, _JSON_TYPES[0])
    return raw


def note(request: Request, raw: bytes) -> None:
    """Remember what was sent, so that a request that is sent again is known by it."""
    request.state.body_sha256 = hashlib.sha256(raw).digest()


def check_not_encoded(request: Request) -> None:
    """That the body is not compressed, which could make it any size. Raises MediaTypeRefused."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise MediaTypeRefused(f"the Content-Encoding {encoding}", "a body without one")


def media_type(request: Request) -> str:
    """The body's media type without its parameters, in lower case; empty when it states none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def optional_fields(request: Request, raw: Annotated[bytes, Depends(raw_body)]) -> dict[str, Any]:
    """The body's fields; none for no body. Raises BodyRefused."""
    if not raw:
        return {}
    try:
        check_json(raw.replace(b"\r", b" "))  # between values it is white space, within them no JSON
        fields: dict[str, Any] = _decode(raw)
    except LineRefused as wrong:
        raise BodyRefused(wrong.field, wrong.found, wrong.expected) from None
    except (msgspec.DecodeError, ValueError) as wrong:
        raise BodyRefused("", f"no JSON: {wrong}", "one JSON object") from None
    request.state.body = fields
    return fields


def required_fields(
    request: Request,
    raw: Annotated[bytes, Depends(raw_body)],
    fields: Annotated[dict[str, Any], Depends(optional_fields)],
) -> dict[str, Any]:
    """The body's fields. Raises BodyRefused, and MediaTypeRefused without a body."""
    if not raw:
        if media_type(request) not in _JSON_TYPES:
            raise MediaTypeRefused(media_type(request), _JSON_TYPES[0])
        raise BodyRefused("", "no body", "one JSON object")
    return fields


Fields = Annotated[dict[str, Any], Depends(required_fields)]
OptionalFields = Annotated[dict[str, Any], Depends(optional_fields)]
