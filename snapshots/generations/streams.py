"""An account's streams: the live one, those it replaced, and what is left of those that were purged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from psycopg import Connection

from domain.accounts import read_people
from domain.application import Application
from domain.control import RestoreFinished, StreamPurged, StreamSwapped
from domain.errors import RestoreError
from domain.ids import AccountId, PersonId
from domain.kinds import DOCUMENT_KINDS
from domain.store.database import Database, Row
from domain.store.statements import statements
from domain.store.streams import StreamUnknown
from domain.tree import Frontier
from snapshots.fresh.swap import Live, read_live
from snapshots.generations.difference import Difference
from snapshots.generations.stream_report import (
    KindDifference,
    SegmentListed,
    Status,
    StreamListed,
    StreamShown,
    Swapped,
)

SQL = statements("snapshots.generations", "streams.sql")
_DOCUMENTS = frozenset(kind.value for kind in DOCUMENT_KINDS)
_swapped = msgspec.json.Decoder(StreamSwapped).decode
_restored = msgspec.json.Decoder(RestoreFinished).decode
_purged = msgspec.json.Decoder(StreamPurged).decode


@dataclass(eq=False)
class StreamNotKept(RestoreError):
    """The stream is not one that was retired and is kept."""

    code: ClassVar[str] = "stream.not-retired"
    stream: int
    status: str

    def __str__(self) -> str:
        return f"stream {self.stream} is {self.status}; expected a retired one"


class Kept(NamedTuple):
    """A stream that is not live: its number, status and log."""

    stream: int
    status: Status
    frontier: Frontier


def find_stream(connection: Connection[Row], account: AccountId, stream: int) -> Kept:
    """The stream of that number. Raises StreamUnknown."""
    row = connection.execute(SQL["find_stream"], {"account": account, "stream": stream}).fetchone()
    if row is None:
        raise StreamUnknown(stream)
    return Kept(stream, row[0], Frontier.from_bytes(row[1], row[2]))


def find_retired(connection: Connection[Row], account: AccountId, stream: int) -> Kept:
    """The retired stream of that number. Raises StreamUnknown, StreamNotKept."""
    found = find_stream(connection, account, stream)
    if found.status != "retired":
        raise StreamNotKept(stream, found.status)
    return found


def list_streams(application: Application, account: AccountId) -> list[StreamListed]:
    """The account's streams, newest first, each with how it differs from the live one."""
    with application.database.transaction(account, snapshot=True) as connection:
        return _Generations(application.database, connection, account).listed()


def show_stream(application: Application, account: AccountId, stream: int) -> StreamShown:
    """A stream, and all that a retired one has otherwise than the live one. Raises StreamUnknown."""
    with application.database.transaction(account, snapshot=True) as connection:
        found = find_stream(connection, account, stream)
        (listed,) = _Generations(application.database, connection, account).listed(only=stream)
        if found.status != "retired":
            return StreamShown(stream=listed)
        live = read_live(connection, account)
        difference = differ(connection, account, live, stream, at=application.clock())
    return StreamShown(stream=listed, difference=difference.found())


def differ(connection: Connection[Row], account: AccountId, live: Live, stream: int, *, at: datetime) -> Difference:
    """How a retired stream differs from the live one; of a snapshot's transaction."""
    found = Difference(live, at.astimezone(ZoneInfo(live.control.settings.time_zone)).date())
    found.read(connection, account, stream)
    return found


def retired_at(connection: Connection[Row], account: AccountId) -> dict[int, datetime]:
    """When each of the account's streams was last retired, by the account's own history."""
    rows = connection.execute(SQL["list_of_control"], {"account": account}).fetchall()
    return {_swapped(data).retired: at for type_, at, _, data in rows if type_ == "stream.swapped"}


class _Generations:
    """What an account's tables tell of its streams."""

    def __init__(self, database: Database, connection: Connection[Row], account: AccountId) -> None:
        self._connection = connection
        self._account = account
        self._live = read_live(connection, account)
        self._streams = self._rows("list_streams")
        self._segments = self._rows("list_segments")
        history = self._rows("list_of_control")
        self._swaps = [(at, by, _swapped(data)) for type_, at, by, data in history if type_ == "stream.swapped"]
        restored = [_restored(data) for type_, _, _, data in history if type_ == "restore.finished"]
        self._restored = {one.stream: "add" if one.mode == "add" else "restore" for one in restored}
        purged = [_purged(data) for type_, _, _, data in history if type_ == "stream.purged"]
        self._archives = {one.stream: one.archive for one in purged}
        self._names = self._read_names(database)

    def _rows(self, statement: str, **values: Any) -> list[Any]:
        return self._connection.execute(SQL[statement], {"account": self._account, **values}).fetchall()

    def _read_names(self, database: Database) -> dict[str, str]:
        actors = {row[3] for row in self._streams} | {row[4] for row in self._segments}
        actors |= {by for _, by, _ in self._swaps}
        people = [PersonId(actor.removeprefix("person:")) for actor in actors if actor.startswith("person:")]
        return {f"person:{id_}": person.name for id_, person in read_people(database, people).items()}

    def listed(self, only: int | None = None) -> list[StreamListed]:
        """The streams, or the one that is asked for."""
        return [self._listed(row) for row in self._streams if only in (None, row[0])]

    def _listed(self, row: Any) -> StreamListed:
        stream, status, created_at, created_by, head, frontier, entities = row
        segments = self._segments_of(stream)
        kinds = self._differences(stream) if status == "retired" else []
        return StreamListed(
            stream=stream,
            status=status,
            made_by=self._made_by(stream, segments),
            created_at=created_at,
            created_by=created_by,
            created_by_name=self._names.get(created_by),
            segments=tuple(segments),
            swaps=tuple(self._swaps_of(stream)),
            events=head,
            root=Frontier.from_bytes(head, frontier).root().hex(),
            entities=entities,
            kept_until=self._kept_until(stream) if status == "retired" else None,
            differences=tuple(difference for difference, _, _ in kinds),
            documents_only_here=_documents((one.kind, here) for one, here, _ in kinds),
            documents_only_live=_documents((one.kind, live) for one, _, live in kinds),
            archive=self._archives.get(stream),
        )

    def _made_by(self, stream: int, segments: list[SegmentListed]) -> str:
        """What came last before people recorded in it: the last segment is of that. An empty archive brings none."""
        if len(segments) > 1:
            return segments[-2].came_by
        return self._restored.get(stream, "recorded")

    def _segments_of(self, stream: int) -> list[SegmentListed]:
        return [
            SegmentListed(
                first_position=first,
                came_by=came_by,
                at=at,
                by=by,
                by_name=self._names.get(by),
                source=source,
                authenticity=authenticity,
            )
            for of, first, came_by, at, by, source, authenticity in self._segments
            if of == stream
        ]

    def _swaps_of(self, stream: int) -> list[Swapped]:
        return [
            Swapped(
                live=swap.live == stream,
                at=at,
                by=by,
                by_name=self._names.get(by),
                other=swap.retired if swap.live == stream else swap.live,
            )
            for at, by, swap in self._swaps
            if stream in (swap.live, swap.retired)
        ]

    def _kept_until(self, stream: int) -> datetime | None:
        """Until when retention keeps a stream; None where nothing says since when it is retired."""
        times = [at for at, _, swap in self._swaps if swap.retired == stream]
        return times[-1] + timedelta(days=self._live.control.settings.retention_days) if times else None

    def _differences(self, stream: int) -> list[tuple[KindDifference, int, int]]:
        rows = self._rows("count_differences", live=self._live.stream, stream=stream)
        return [(KindDifference(**dict(zip(_COUNTED, row, strict=False))), *row[len(_COUNTED) :]) for row in rows]


_COUNTED = ("kind", "in_live", "in_stream", "created", "replaced", "removed", "unchanged")


def _documents(counts: Iterable[tuple[str, int]]) -> int:
    return sum(count for kind, count in counts if kind in _DOCUMENTS)
