"""Rows as COPY takes them in its binary format: nothing to escape for us, nothing to parse for the server.

A row is the number of its columns, and each column's length and bytes; numbers are big-endian, a time is microseconds
since the year 2000. The columns are those of `copy_events` and `copy_entities` in restore.sql, in that order.
"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Sequence
from datetime import UTC, datetime
from struct import Struct, error, pack
from typing import Any
from uuid import UUID

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

_EVENT_COLUMNS, _ENTITY_COLUMNS = 12, 9
_STREAM = Struct(">hi16sii")  # columns, account, stream
_SHORT = Struct(">ih")
_LENGTH = Struct(">i")
_ENTITY = Struct(">iqi16siii?")  # position, id, version, deleted
_NULL = _LENGTH.pack(-1)
# The part of an event's row that is of one width: position, id, version, time, leaf, and the length of the data.
_FIXED = Struct(">iqi16siiiqi32si")
_FIXED_EMPTY = _FIXED.pack(8, 0, 16, bytes(16), 4, 0, 8, 0, 32, bytes(32), 0)
_POSITION, _ID, _VERSION, _TIME, _LEAF, _DATA_LENGTH = 4, 16, 36, 44, 56, 88
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MOST_KNOWN = 10_000


class RowRefused(Exception):
    """A value that no row can hold: a version beyond 2³¹, a day that no calendar has. Taken like a refusal of the
    server's own.
    """


class EventRows:
    """Makes the rows of events of one stream, from the parts of their lines."""

    def __init__(self, account: str, stream: int) -> None:
        self._names = _Names(_stream(_EVENT_COLUMNS, account, stream))
        self._minutes = _Minutes()

    def rows(self, first_position: int, envelopes: Sequence[Any], leaves: Sequence[bytes]) -> bytes:
        """The rows of consecutive events. Raises RowRefused."""
        try:
            return self._rows(first_position, envelopes, leaves)
        except (ValueError, error) as wrong:
            raise RowRefused(str(wrong)) from wrong

    def _rows(self, first_position: int, envelopes: Sequence[Any], leaves: Sequence[bytes]) -> bytes:
        # Column by column, not row by row: each is converted by one call for a whole block, and then laid into all
        # rows by as many strided copies as it has bytes. A third faster than a `pack` for each row.
        names, minutes, count = self._names, self._minutes, len(envelopes)
        fixed = bytearray(_FIXED_EMPTY * count)
        _lay(fixed, _POSITION, pack(f">{count}q", *range(first_position, first_position + count)), 8)
        _lay(fixed, _ID, unhexlify(b"".join([parts[2] for parts in envelopes]).translate(None, b"-")), 16)
        _lay(fixed, _VERSION, pack(f">{count}i", *[int(parts[4]) for parts in envelopes]), 4)
        digits = b"".join([parts[5] for parts in envelopes]).translate(None, b"-:TZ.")
        times = [minutes[digits[at : at + 12]] + int(digits[at + 12 : at + 20]) for at in range(0, 20 * count, 20)]
        _lay(fixed, _TIME, pack(f">{count}q", *times), 8)
        _lay(fixed, _LEAF, b"".join(leaves), 32)
        datas = [parts[8] for parts in envelopes]
        _lay(fixed, _DATA_LENGTH, pack(f">{count}i", *map(len, datas)), 4)
        whole, width = bytes(fixed), _FIXED.size
        starts = [names[parts[0], parts[1], parts[6], parts[7]] for parts in envelopes]
        middles = [whole[at : at + width] for at in range(0, width * count, width)]
        return b"".join([piece for row in zip(starts, middles, datas, strict=True) for piece in row])


def _lay(rows: bytearray, offset: int, column: bytes, width: int) -> None:
    """Put a *column* of values, each *width* bytes, at *offset* into each row."""
    for byte in range(width):
        rows[offset + byte :: _FIXED.size] = column[byte::width]


class _Names(dict[tuple[bytes, bytes, bytes, bytes], bytes]):
    """What a row begins with: stream, type, type version, actor and way in. There are few."""

    def __init__(self, stream: bytes) -> None:
        self._stream = stream

    def __missing__(self, key: tuple[bytes, bytes, bytes, bytes]) -> bytes:
        type_name, type_version, actor, via = key
        if len(self) >= _MOST_KNOWN:
            self.clear()
        texts = b"".join(map(_text, (type_name, actor, via)))
        self[key] = found = self._stream + _SHORT.pack(2, int(type_version)) + texts
        return found


class _Minutes(dict[bytes, int]):
    """The microseconds from 2000 to a minute, such as ``202601310930``; many events share one."""

    def __missing__(self, digits: bytes) -> int:
        if len(self) >= _MOST_KNOWN:
            self.clear()
        text = digits.decode()
        at = datetime(int(text[:4]), int(text[4:6]), int(text[6:8]), int(text[8:10]), int(text[10:]), tzinfo=UTC)
        since = at - _EPOCH
        self[digits] = found = (since.days * 86_400 + since.seconds) * 1_000_000
        return found


def entity_prefix(account: str, stream: int) -> bytes:
    """What the rows of a stream's entities begin with."""
    return _stream(_ENTITY_COLUMNS, account, stream)


def entity_row(  # noqa: PLR0917 - the columns
    prefix: bytes, id_: str, version: int, position: int, kind: str, number: str | None, state: bytes, *, deleted: bool
) -> bytes:
    """The row of an entity, after its *prefix*."""
    fixed = _ENTITY.pack(8, position, 16, unhexlify(id_.replace("-", "")), 4, version, 1, deleted)
    numbered = _NULL if number is None else _text(number.encode())
    return b"".join((prefix, fixed, _text(kind.encode()), numbered, _LENGTH.pack(len(state)), state))


def placed(row: bytes, position: int) -> bytes:
    """The row of an entity, with another position."""
    at = _STREAM.size + _LENGTH.size
    return row[:at] + pack(">q", position) + row[at + 8 :]


def _stream(columns: int, account: str, stream: int) -> bytes:
    return _STREAM.pack(columns, 16, UUID(account).bytes, 4, stream)


def _text(text: bytes) -> bytes:
    return _LENGTH.pack(len(text)) + text
