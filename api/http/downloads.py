"""Downloads of archives: whole or in ranges (RFC 9110, section 14), with the SHA-256 as a strong entity tag.

Read a piece at a time, each by a thread's errand: a slow reader holds neither a thread nor a database connection.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import AsyncIterator
from enum import Enum
from typing import Any, NamedTuple

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from api.http.attachments import as_attachment
from api.http.conditional import is_unchanged
from api.http.errors import PreconditionFailed, RangeRefused
from snapshots.shelves import Place, Stored
from snapshots.shelves.errors import StoredDamaged

_PIECE_BYTES = 1 << 20
_BINARY = {"type": "string", "format": "binary"}
_MOST_RANGES = 16  # more of them are answered by all of it, which is less work than putting them together
_RANGE = re.compile(r"(?P<first>\d{1,18})-(?P<last>\d{1,18})?|-(?P<suffix>\d{1,18})")
_TAGS = re.compile(r'(?:W/)?"[\x21\x23-\x7e]*"')


RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "All of it",
        "content": {"application/zip": {"schema": _BINARY}, "application/octet-stream": {"schema": _BINARY}},
    },
    206: {
        "description": "The ranges of it that were asked for",
        "content": {
            "application/zip": {"schema": _BINARY},
            "application/octet-stream": {"schema": _BINARY},
            "multipart/byteranges": {"schema": _BINARY},
        },
    },
    304: {"description": "It is what the caller has"},
}


class Archived(NamedTuple):
    """An archive to download: its id, where it is, and what is known of it."""

    archive: str
    place: Place
    name: str
    size: int
    sha256: str

    @property
    def etag(self) -> str:
        """Its strong entity tag."""
        return f'"{self.sha256}"'


class Span(NamedTuple):
    """Bytes from *start* up to *end*, which is not among them."""

    start: int
    end: int


class Whole(Enum):
    """What else than ranges may be asked for."""

    ALL = "every byte, in one piece"
    NOTHING = "no byte: the caller has it, or asks for the head alone"


def wanted(request: Request, archive: Archived) -> Whole | list[Span]:
    """Which bytes the answer has. Raises PreconditionFailed and RangeRefused."""
    _check_preconditions(request, archive)
    if request.method == "HEAD" or is_unchanged(request, archive.etag):
        return Whole.NOTHING
    return _ranges(request, archive)


def answer(request: Request, archive: Archived) -> Response:
    """The archive, or the ranges of it that are asked for; 304 for whoever has it.

    Raises PreconditionFailed, RangeRefused, StoredDamaged where it is not as long as it should be, and NotOnShelf.
    """
    spans = wanted(request, archive)
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": archive.etag,
        "Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(archive.sha256)).decode()}:",
    }
    if is_unchanged(request, archive.etag):
        return Response(status_code=304, headers=headers)
    headers["Content-Disposition"] = as_attachment(archive.name)
    media_type = "application/octet-stream" if archive.name.endswith(".age") else "application/zip"
    if spans is Whole.NOTHING:
        headers["Content-Length"] = str(archive.size)
        return Response(headers=headers, media_type=media_type)
    ranges = spans if isinstance(spans, list) else []
    parts = _parts(archive, ranges, media_type)
    headers["Content-Length"] = str(sum(len(part.head) + part.span.end - part.span.start for part in parts))
    if len(ranges) == 1:
        headers["Content-Range"] = _content_range(ranges[0], archive.size)
    elif ranges:
        media_type = f"multipart/byteranges; boundary={_boundary(parts)}"
    stored = archive.place.shelf.open(archive.place.name)
    if stored.size != archive.size:
        stored.close()
        raise StoredDamaged(archive.place.where, f"{stored.size:,} bytes", f"{archive.size:,}")
    return _Download(stored, parts, status=206 if ranges else 200, headers=headers, media_type=media_type)


def _check_preconditions(request: Request, archive: Archived) -> None:
    given = request.headers.getlist("if-match")
    if given and given != ["*"] and archive.etag not in _TAGS.findall(", ".join(given)):
        raise PreconditionFailed


def _ranges(request: Request, archive: Archived) -> Whole | list[Span]:
    """The ranges that are asked for, or all of it. Raises RangeRefused when there is nothing in any of them.

    A header that says nothing we understand is as none, and so is one behind an ``If-Range`` that is not ours.
    """
    given, unless = request.headers.getlist("range"), request.headers.getlist("if-range")
    if len(given) != 1 or (unless and unless != [archive.etag]):
        return Whole.ALL
    unit, _, text = given[0].partition("=")
    asked = [_RANGE.fullmatch(one.strip(" \t")) for one in text.split(",") if one.strip(" \t")]
    if unit.strip().lower() != "bytes" or not asked or len(asked) > _MOST_RANGES:
        return Whole.ALL
    found: list[Span] = []
    for one in asked:
        if one is None or (one["last"] and int(one["last"]) < int(one["first"])):
            return Whole.ALL
        found += _within(one, archive.size)
    if not found:
        raise RangeRefused(archive.size)
    is_more_than_all = sum(span.end - span.start for span in found) > archive.size
    return Whole.ALL if is_more_than_all else found


def _within(one: re.Match[str], size: int) -> list[Span]:
    if one["suffix"] is not None:
        start, end = max(0, size - int(one["suffix"])), size
    else:
        start, end = int(one["first"]), size if one["last"] is None else min(size, int(one["last"]) + 1)
    return [Span(start, end)] if start < end else []


class _Part(NamedTuple):
    """What is sent before some bytes, and which bytes."""

    head: bytes
    span: Span


def _parts(archive: Archived, spans: list[Span], media_type: str) -> list[_Part]:
    if len(spans) <= 1:
        return [_Part(b"", *(spans or [Span(0, archive.size)]))]
    boundary = secrets.token_hex(16)
    parts = [
        _Part(
            f"\r\n--{boundary}\r\nContent-Type: {media_type}\r\n"
            f"Content-Range: {_content_range(span, archive.size)}\r\n\r\n".encode(),
            span,
        )
        for span in spans
    ]
    return [*parts, _Part(f"\r\n--{boundary}--\r\n".encode(), Span(0, 0))]


def _boundary(parts: list[_Part]) -> str:
    return parts[-1].head.decode().strip("\r\n-")


def _content_range(span: Span, size: int) -> str:
    return f"bytes {span.start}-{span.end - 1}/{size}"


class _Download(StreamingResponse):
    """Parts of what is stored, which is let go of however the answer ends."""

    def __init__(
        self, stored: Stored, parts: list[_Part], *, status: int, headers: dict[str, str], media_type: str
    ) -> None:
        super().__init__(_sent(stored, parts), status, headers, media_type)
        self._stored = stored

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stored.close()


async def _sent(stored: Stored, parts: list[_Part]) -> AsyncIterator[bytes]:
    for part in parts:
        if part.head:
            yield part.head
        start = part.span.start
        while start < part.span.end:
            piece = await run_sync(stored.read, start, min(_PIECE_BYTES, part.span.end - start))
            if not piece:  # it was cut short since; the answer breaks off, and its length says so
                raise StoredDamaged(stored.name, f"{start:,} bytes", f"{part.span.end:,}")
            yield piece
            start += len(piece)
