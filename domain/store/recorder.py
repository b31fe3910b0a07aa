"""The ``eventsourcing`` library's recorder contracts, kept on our own tables, for one stream of one account.

The state of a stored event is the event's canonical line, its topic the stored type name, a notification's id the
position. Other software's events, of topics that are no types of ours, are kept too: their state as data, under a
system actor of their own, without a snapshot.

Writers queue on the account's live stream row, so positions have no gaps and the events of one call stand together.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    DatabaseError,
    DataError,
    IntegrityError,
    Notification,
    OperationalError,
    StoredEvent,
    Subscription,
)

from domain.events import LINE_TYPES, Event, LineRefused, encode_data, line, read_line, written_time
from domain.ids import AccountId, EntityId
from domain.kinds import Kind
from domain.rules import RULES
from domain.store.database import Database
from domain.store.statements import statements
from domain.store.streams import Batch, EntityRow, EventRow, Head, NumberTaken, append, load
from domain.tree import append as append_leaves
from domain.tree import leaf_hash
from domain.work import decode_state, is_gone, kind_of

SQL = statements("domain.store", "recorder.sql")
PLAIN_ACTOR = "system:library"  # marks events whose state is kept as it is, and is not a line
_POLL_S = 0.05  # what a subscriber waits before it looks again; nothing is waited while there is something to read
_LARGEST_VERSION = 2**31 - 1
_LARGEST_POSITION = 2**63 - 1


class EntityRecorder(AggregateRecorder):
    """Inserts and selects events by entity. Safe to share between threads."""

    def __init__(self, database: Database, account: AccountId, stream: int) -> None:
        self.account = account
        self.stream = stream
        self._database = database

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        """Record all or none. Raises IntegrityError where a version is there already or one is left out."""
        self._insert(stored_events)
        return None

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """An entity's events with versions above *gt* up to *lte*, at most *limit*; with *desc* the newest first."""
        rows = self._rows(
            "select_events_backwards" if desc else "select_events",
            entity=str(originator_id),
            gt=-1 if gt is None else gt,
            lte=_LARGEST_VERSION if lte is None else lte,
            limit=limit,
        )
        return [StoredEvent(_id_of(topic, id_), version, topic, state.encode()) for id_, version, topic, state in rows]

    def _rows(self, statement: str, **values: Any) -> list[Any]:
        parameters = {"account": self.account, "stream": self.stream, "plain": PLAIN_ACTOR, **values}
        with _translated(), self._database.transaction(self.account) as connection:
            return connection.execute(SQL[statement], parameters).fetchall()

    def _insert(self, stored_events: Sequence[StoredEvent]) -> list[int]:
        if not stored_events:
            return []
        ours = list(dict.fromkeys(EntityId(str(one.originator_id)) for one in stored_events if one.topic in LINE_TYPES))
        with _translated(), self._database.connection() as connection, connection.transaction():
            loaded = load(connection, self.account, ours, control_known=-1, lock=True)
            head = loaded.head
            if head.stream != self.stream:
                raise OperationalError(f"stream {self.stream} is not live any more; stream {head.stream} is")
            states = [decode_state(Kind(kind), state) for kind, state in loaded.states]
            batch, leaves = _batch(stored_events, head, {state.id: state for state in states})
            position = append(connection, self.account, head, append_leaves(head.frontier, leaves), batch)
            if position is None:
                raise OperationalError("the account's own history moved on; try again")
        return list(range(head.position + 1, position + 1))


class StreamRecorder(EntityRecorder, ApplicationRecorder):
    """Inserts and selects events by entity and by position. Safe to share between threads."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        """Record all or none. Their positions. Raises IntegrityError as ``EntityRecorder`` does."""
        return self._insert(stored_events)

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Events from position *start* to *stop*, at most *limit*, of *topics* if any are named; in order."""
        rows = self._rows(
            "select_notifications",
            first=0 if start is None else start + (not inclusive_of_start),
            last=_LARGEST_POSITION if stop is None else stop,
            every_type=not topics,
            types=list(topics),
            limit=limit,
        )
        return [
            Notification(_id_of(topic, id_), version, topic, state.encode(), id=position)
            for id_, version, topic, state, position in rows
        ]

    def max_notification_id(self) -> int | None:
        """The stream's head position, or None while nothing is recorded."""
        position: int = self._rows("head_position")[0][0]
        return position or None

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> Subscription[ApplicationRecorder]:
        """The events after position *gt* as they come, without end until it is stopped."""
        return PollingSubscription(self, gt, topics)


class PollingSubscription(Subscription[ApplicationRecorder]):
    """Reads on whenever there may be more.

    It polls, because NOTIFY takes one lock for the whole server at every commit: accounts would queue for each other.
    """

    def __init__(self, recorder: ApplicationRecorder, gt: int | None, topics: Sequence[str]) -> None:
        super().__init__(recorder, gt, topics)
        self._stopped = threading.Event()
        self._waiting: deque[Notification] = deque()

    def stop(self) -> None:
        """End the iteration, also one that waits in another thread."""
        super().stop()
        self._stopped.set()

    def __next__(self) -> Notification:
        while not self._stopped.is_set():
            if self._waiting:
                return self._waiting.popleft()
            found = self._recorder.select_notifications(
                self._last_notification_id or 0, 500, topics=self._topics, inclusive_of_start=False
            )
            if found:
                self._last_notification_id = found[-1].id
                self._waiting.extend(found)
            else:
                self._stopped.wait(_POLL_S)
        raise StopIteration


def _id_of(topic: str, entity: UUID) -> UUID | str:
    """Ours are text, as lines have them; the library's aggregates want UUIDs."""
    return str(entity) if topic in LINE_TYPES else entity


def _batch(stored_events: Sequence[StoredEvent], head: Head, states: dict[EntityId, Any]) -> tuple[Batch, list[bytes]]:
    """The rows of what is stored, with new snapshots of the entities of ours, and the leaves."""
    now = written_time(max(datetime.now(UTC), head.last_at or datetime.min.replace(tzinfo=UTC)))
    events, leaves, changed = [], [], {}
    for position, stored in enumerate(stored_events, head.position + 1):
        if stored.topic in LINE_TYPES:
            event = _read(stored)
            state = _follow(states.get(event.entity), event)
            states[event.entity] = state
            changed[event.entity] = _snapshot(state, position)
            raw, row = stored.state, _row_of(event)
        else:
            raw, row = _plain(stored, now)
        leaf = leaf_hash(raw)
        leaves.append(leaf)
        events.append(row._replace(leaf=leaf.hex()))
    return Batch(events, list(changed.values()), []), leaves


def _read(stored: StoredEvent) -> Event:
    try:
        event = read_line(stored.state)
    except LineRefused as wrong:
        raise DataError(str(wrong)) from wrong
    if (event.entity, event.version, event.type) != (
        str(stored.originator_id),
        stored.originator_version,
        stored.topic,
    ):
        raise DataError(f"the line is of {event.type} {event.entity} version {event.version}, not what it is stored as")
    return event


def _follow(state: Any | None, event: Event) -> Any:
    version = 0 if state is None else state.version
    if event.version != version + 1 or (state is not None and kind_of(state) is not event.rules.kind):
        raise IntegrityError(f"{event.entity} is at version {version}; found version {event.version}")
    return event.rules.evolve(state, event.data, event.entity, event.version)


def _snapshot(state: Any, position: int) -> EntityRow:
    kind = kind_of(state)
    written = msgspec.json.encode(state).decode()
    return EntityRow(state.id, state.version, position, is_gone(state), kind.value, RULES[kind].number(state), written)


def _row_of(event: Event) -> EventRow:
    data = encode_data(event.data).decode()
    return EventRow(
        event.entity, event.version, event.type, event.type_version, event.at, event.actor, event.via, data, ""
    )


def _plain(stored: StoredEvent, at: str) -> tuple[bytes, EventRow]:
    try:
        data = stored.state.decode()
    except UnicodeDecodeError as wrong:
        raise DataError("the state is not text: neither compressed nor encrypted states can be kept") from wrong
    id_, version, topic = str(stored.originator_id), stored.originator_version, stored.topic
    raw = line(type_name=topic, entity=id_, version=version, at=at, actor=PLAIN_ACTOR, via="system", data=stored.state)
    return raw, EventRow(id_, version, topic, 1, at, PLAIN_ACTOR, "system", data, "")


@contextmanager
def _translated() -> Iterator[None]:
    """The library's errors for the driver's."""
    try:
        yield
    except (psycopg.IntegrityError, NumberTaken) as wrong:
        raise IntegrityError(str(wrong)) from wrong
    except psycopg.DataError as wrong:
        raise DataError(str(wrong)) from wrong
    except psycopg.OperationalError as wrong:
        raise OperationalError(str(wrong)) from wrong
    except psycopg.DatabaseError as wrong:
        raise DatabaseError(str(wrong)) from wrong
