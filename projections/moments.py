"""Moments of an account's past: a position or a time as people name it, and the position that it comes to.

A position belongs to a stream, since after a swap the same number can mean other content. A time comes to the last
position before anything later was recorded: what stands behind it had not come yet, however old it says it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, NamedTuple

from psycopg import Connection

from domain.entity import FieldRefused
from domain.errors import StoreError
from domain.events import written_time
from domain.ids import AccountId
from domain.store.database import Row
from domain.store.statements import statements
from domain.store.streams import AccountUnknown, StreamUnknown

SQL = statements("projections", "moments.sql")
EXPECTED = "a position such as 1200 or 2.1200 (stream 2), or a time with its zone such as 2026-01-31T09:30:00Z"
_POSITION = re.compile(r"(?:(?P<stream>[1-9]\d{0,8})\.)?(?P<position>\d{1,18})", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


@dataclass(eq=False)
class MomentGone(StoreError):
    """The position is of a stream that no longer is the live one."""

    code: ClassVar[str] = "moment.gone"
    stream: int
    live: int

    def __str__(self) -> str:
        return f"as_of: the position is of stream {self.stream}; the account lives in stream {self.live}"


@dataclass(eq=False)
class MomentAhead(StoreError):
    """The account has not come to that moment yet."""

    code: ClassVar[str] = "moment.ahead"
    found: str
    last: str

    def __str__(self) -> str:
        return f"as_of: found {self.found}, which has not come yet; expected at most {self.last}"


class Position(NamedTuple):
    """A position as somebody named it; of the live stream, whichever that is, where *stream* is None."""

    stream: int | None
    position: int


class Moment(NamedTuple):
    """A position of a stream: all up to and with it counts, nothing behind it."""

    stream: int
    position: int


def read_moment(text: str) -> Position | datetime:
    """What *text* names: a position, or a time in UTC. Raises FieldRefused, also for a time without a zone."""
    position = _POSITION.fullmatch(text)
    if position:
        return Position(int(position["stream"]) if position["stream"] else None, int(position["position"]))
    try:
        if _TIME.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):  # no such day or hour, or none that the calendar reaches in UTC
        pass
    raise FieldRefused("as_of", repr(text[:60]), EXPECTED)


def written_moment(named: Position | datetime) -> str:
    """*named* as ``read_moment`` takes it."""
    if isinstance(named, datetime):
        return written_time(named)
    return str(named.position) if named.stream is None else f"{named.stream}.{named.position}"


def resolve(
    connection: Connection[Row],
    account: AccountId,
    named: Position | datetime,
    *,
    now: datetime,
    stream: int | None = None,
) -> Moment:
    """The position that *named* comes to, as the connection's transaction sees the account.

    In the live stream, or in *stream*, live or retired. 0 is the moment before anything was recorded. Raises
    AccountUnknown, StreamUnknown; MomentAhead for what has not come yet, *now* being the time; MomentGone for a
    position of another stream than that.
    """
    live, head, last_at = _read_head(connection, account, stream)
    if isinstance(named, datetime):
        # Where a clock went back, or what was restored came from one that was ahead, the last event is later than now.
        latest = now if last_at is None else max(now, last_at)
        if named > latest:
            raise MomentAhead(written_time(named), written_time(latest))
        parameters = {"account": account, "stream": live, "at": named}
        later = connection.execute(SQL["find_later"], parameters).fetchall()[0][0]
        return Moment(live, head if later is None else later - 1)
    if named.stream not in (None, live):
        raise MomentGone(named.stream, live)
    if named.position > head:
        raise MomentAhead(f"position {named.position:,}", f"{head:,}, the last of stream {live}")
    return Moment(live, named.position)


def resolve_head(connection: Connection[Row], account: AccountId, *, stream: int | None = None) -> Moment:
    """The last position of the live stream, or of *stream*. Raises AccountUnknown, StreamUnknown."""
    found, head, _ = _read_head(connection, account, stream)
    return Moment(found, head)


def _read_head(connection: Connection[Row], account: AccountId, stream: int | None) -> Row:
    row = connection.execute(SQL["read_head"], {"account": account, "stream": stream}).fetchone()
    if row is not None:
        return row
    if stream is not None:
        raise StreamUnknown(stream)
    raise AccountUnknown(account)
