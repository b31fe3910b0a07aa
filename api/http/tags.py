"""Entity tags and cursors. Both carry the stream: after a swap the same number can mean other content."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, NamedTuple

from fastapi import Depends
from starlette.requests import Request

from api.http.errors import CursorRefused, IfMatchRefused
from domain.application import Expected
from domain.ids import EntityId

_TAG = re.compile(r'(?P<weak>W/)?"(?P<tag>[\x21\x23-\x7e]{0,64})"')
_OURS = re.compile(r"(\d{1,9})\.(\d{1,9})", re.ASCII)
_NEVER = (0, 0)  # streams and versions count from 1


class Seen(NamedTuple):
    """The stream and version of an entity that a caller saw."""

    stream: int
    version: int

    def of(self, entity: EntityId) -> Expected:
        """What a command of *entity* expects."""
        return Expected(entity, self.stream, self.version)


def etag(stream: int, version: int) -> str:
    """The entity tag of an entity's version."""
    return f'"{stream}.{version}"'


def if_match(request: Request) -> Seen | None:
    """What the caller saw, or None when they do not mind. Raises IfMatchRefused.

    A weak tag, or one of others, matches nothing (RFC 9110, 13.1.1), and so is stale whatever it says.
    """
    given = request.headers.getlist("if-match")
    if not given or given == ["*"]:
        return None
    tag = _TAG.fullmatch(given[0].strip()) if len(given) == 1 else None
    if tag is None:
        raise IfMatchRefused(", ".join(given)[:80])
    ours = _OURS.fullmatch(tag["tag"])
    return Seen(int(ours[1]), int(ours[2])) if ours and not tag["weak"] else Seen(*_NEVER)


IfMatch = Annotated[Seen | None, Depends(if_match)]


def to_cursor(*parts: str | int) -> str:
    """A cursor that leads on after *parts*."""
    return base64.urlsafe_b64encode("|".join(map(str, parts)).encode()).decode().rstrip("=")


def from_cursor(cursor: str, *, parts: int) -> list[str]:
    """The parts of a cursor that we gave out. Raises CursorRefused."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        found = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii").split("|")
    except (binascii.Error, ValueError):
        found = []
    if len(found) != parts or to_cursor(*found) != cursor:
        raise CursorRefused(cursor[:80])
    return found
