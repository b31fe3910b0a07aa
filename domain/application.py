"""Running commands against an account: read, decide, record; all of a command's events or none.

Two round trips a command: one reads the head of the live stream and the states that are named, one appends what was
decided, if the account still is where it was read. If not, the command is decided anew, once more freely, then queued
behind the account's lock, where nothing can come between.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

import msgspec
from psycopg import Connection

from domain import control as c
from domain.control import Control
from domain.events import Via, line, written_time
from domain.ids import AccountId, EntityId, PersonId
from domain.kinds import Kind
from domain.numbering import Series
from domain.parties import Value
from domain.rules import RULES
from domain.store.database import Database, Row, set_account
from domain.store.streams import (
    SQL,
    Batch,
    EntityRow,
    EventRow,
    Head,
    append,
    append_control,
    load,
)
from domain.tree import append as append_leaves
from domain.tree import leaf_hash
from domain.work import VersionStale, Work, is_gone

T = TypeVar("T")
_FREE_TRIES = 2  # more would starve a command on a busy account, fewer would queue it for one unlucky moment
_CONTROL = msgspec.json.Decoder(Control)
_encode = msgspec.json.Encoder().encode


class Actor(NamedTuple):
    """Who acts, and through which way in."""

    name: str
    via: Via

    @classmethod
    def person(cls, person: PersonId, via: Via) -> Actor:
        """A person acts."""
        return cls(f"person:{person}", via)

    @classmethod
    def system(cls, part: str, via: Via = "system") -> Actor:
        """A part of the system acts by itself."""
        return cls(f"system:{part}", via)


class Expected(NamedTuple):
    """What a caller saw of an entity: the stream it was in and its version."""

    entity: EntityId
    stream: int
    version: int


class Outcome(NamedTuple):
    """A command's result, the stream it is in and the position of its last event."""

    result: Any
    stream: int
    position: int


def utc_now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


class Application:
    """The service's commands and single reads, for all accounts. Safe to share between threads."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = utc_now) -> None:
        self.database = database
        self.clock = clock
        self._controls: dict[AccountId, tuple[int, Control]] = {}
        self._controls_lock = threading.Lock()

    def run(
        self,
        account: AccountId,
        actor: Actor,
        command: Callable[[Work], T],
        *,
        reads: Iterable[EntityId] = (),
        expected: Expected | None = None,
    ) -> T:
        """Run *command* on the account and record what it decided. What it returned.

        *reads* are entities that it will want, read with the head. Raises DomainError or StoreError leaves, and then
        nothing was recorded. *command* may be called several times, each time with a fresh Work.
        """
        outcome: T = self.outcome(account, actor, command, reads=reads, expected=expected).result
        return outcome

    def outcome(
        self,
        account: AccountId,
        actor: Actor,
        command: Callable[[Work], Any],
        *,
        reads: Iterable[EntityId] = (),
        expected: Expected | None = None,
    ) -> Outcome:
        """Like ``run``, but says where in which stream it was recorded as well."""
        named = [*reads, *([expected.entity] if expected else [])]
        with self.database.connection() as connection:
            for _ in range(_FREE_TRIES):
                done = self._attempt(connection, account, actor, command, named=named, expected=expected, lock=False)
                if done is not None:
                    return done
            while True:
                with connection.transaction():
                    done = self._attempt(connection, account, actor, command, named=named, expected=expected, lock=True)
                # Only a change of the account's own history can still come between: then once more.
                if done is not None:
                    return done

    def _attempt(
        self,
        connection: Connection[Row],
        account: AccountId,
        actor: Actor,
        command: Callable[[Work], Any],
        *,
        named: list[EntityId],
        expected: Expected | None,
        lock: bool,
    ) -> Outcome | None:
        """One try: None when the account moved on between reading and recording."""
        known = self._controls.get(account)
        loaded = load(connection, account, named, control_known=known[0] if known else -1, lock=lock)
        head = loaded.head
        if loaded.control is not None or known is None:
            known = (head.control_position, _CONTROL.decode(loaded.control or ""))
            with self._controls_lock:
                self._controls[account] = known
        now = self.clock()
        if head.last_at is not None and now < head.last_at:
            now = head.last_at  # a clock that went back: no event is earlier than the one before it
        work = Work(
            known[1],
            StreamReader(connection, account, head.stream, within=nullcontext() if lock else None),
            stream=head.stream,
            now=now,
            states=loaded.states,
        )
        if expected is not None:
            _check_expected(work, head, expected)
        result = command(work)
        if not work.decided:
            return Outcome(result, head.stream, head.position)
        _keep_attachments(connection, account, work.attachments, locked=lock)
        batch, leaves = _batch(work, head, actor, now)
        position = append(connection, account, head, append_leaves(head.frontier, leaves), batch)
        return None if position is None else Outcome(result, head.stream, position)

    def control(self, account: AccountId) -> Control:
        """The account as its control stream tells it. Raises AccountUnknown."""
        with self.database.connection() as connection:
            return self._control(connection, account)[1]

    def _control(self, connection: Connection[Row], account: AccountId) -> tuple[int, Control]:
        loaded = load(connection, account, [], control_known=-1, lock=False)
        return loaded.head.control_position, _CONTROL.decode(loaded.control or "")

    def record_control(self, account: AccountId, actor: Actor, *events: Value) -> Control:
        """Record *events* on the account's control stream, judged by its rules. The account after them."""
        with self.database.connection() as connection:
            while True:
                control = self._control(connection, account)
                recorded = record_control(connection, account, actor, control, events, at=self.clock())
                if recorded is not None:
                    return recorded

    def find(self, account: AccountId, kind: Kind, entity: EntityId) -> tuple[Any, int]:
        """An entity's state, and the live stream it is in. Raises EntityUnknown, also for a deleted one."""

        def look(work: Work) -> tuple[Any, int]:
            return work.get(kind, entity), work.stream

        return self.run(account, Actor.system("reader"), look, reads=[entity])

    def attachment(self, account: AccountId, sha256: str) -> bytes | None:
        """The bytes of an attached file."""
        with self.database.transaction(account) as connection:
            row = connection.execute(
                SQL["read_attachment"], {"account": account, "sha256": bytes.fromhex(sha256)}
            ).fetchone()
        return row[0] if row else None


def record_control(
    connection: Connection[Row],
    account: AccountId,
    actor: Actor,
    control: tuple[int, Control],
    events: Iterable[Value],
    *,
    at: datetime,
) -> Control | None:
    """Judge, fold and append control events decided on *control*, read at that position; None when it moved on.

    Opens no transaction: inside one, the swap of a stream and its record are one.
    """
    rows = []
    position, before = control
    after = before
    for event in events:
        c.admit(after, event)
        after = c.evolve(after, event)
        rows.append((c.CONTROL_TYPES[type(event)], 1, written_time(at), actor.name, actor.via, _encode(event).decode()))
    members = None
    if after.members != before.members:
        members = [(member.person, member.role.value) for member in after.members]
    done = append_control(connection, account, position, control=_encode(after).decode(), events=rows, members=members)
    return after if done is not None else None


class StreamReader:
    """A command's further reads of one stream."""

    def __init__(
        self,
        connection: Connection[Row],
        account: AccountId,
        stream: int,
        *,
        within: AbstractContextManager[Any] | None,
    ) -> None:
        self._connection = connection
        self._account = account
        self._stream = stream
        self._within = within

    def states(self, ids: list[EntityId]) -> list[tuple[str, str]]:
        """Kind and state of those entities that are there, deleted ones among them."""
        return self._rows("read_states", entities=ids) if ids else []

    def highest(self, kind: Kind, of: Series) -> int:
        """The highest number of a series: as last given out, or, on the first look, of all numbers there are."""
        rows = self._rows("read_highest", kind=kind.value, series=of.key)
        if rows:
            return int(rows[0][0])
        numbers = self._rows("read_numbers", kind=kind.value, prefix=of.prefix)
        return max((of.ordinal(number) or 0 for (number,) in numbers), default=0)

    def by_number(self, kind: Kind, number: str) -> EntityId | None:
        """The entity of *kind* that bears *number*."""
        rows = self._rows("find_number", kind=kind.value, number=number)
        return EntityId(rows[0][0]) if rows else None

    def of_kind(self, kind: Kind) -> list[str]:
        """The states of all entities of a kind that are not deleted."""
        return [state for (state,) in self._rows("read_kind", kind=kind.value)]

    def referring(self, kinds: Iterable[Kind], id_: EntityId) -> tuple[str, str] | None:
        """Kind, and number or id, of something of *kinds*, no draft, that holds the id."""
        rows = self._rows("find_reference", kinds=[kind.value for kind in kinds], entity=id_)
        return (rows[0][0], rows[0][2] or rows[0][1]) if rows else None

    def _rows(self, statement: str, **values: Any) -> list[Any]:
        with self._within or self._connection.transaction():
            if self._within is None:
                set_account(self._connection, self._account)
            parameters = {"account": self._account, "stream": self._stream, **values}
            return self._connection.execute(SQL[statement], parameters).fetchall()


def _check_expected(work: Work, head: Head, expected: Expected) -> None:
    state = work.find(expected.entity)
    found = f"{head.stream}.{state.version}" if state is not None else "none"
    if found != f"{expected.stream}.{expected.version}":
        raise VersionStale(expected.entity, f"{expected.stream}.{expected.version}", found)


def _keep_attachments(
    connection: Connection[Row], account: AccountId, attachments: dict[str, bytes], *, locked: bool
) -> None:
    """Before the events that name them: a file without an event is swept, an event without its file would be a loss."""
    if not attachments:
        return
    with nullcontext() if locked else connection.transaction():
        set_account(connection, account)
        for sha256, content in attachments.items():
            parameters = {"account": account, "sha256": bytes.fromhex(sha256), "bytes": content}
            connection.execute(SQL["insert_attachment"], parameters)


def _batch(work: Work, head: Head, actor: Actor, now: datetime) -> tuple[Batch, list[bytes]]:
    """What was decided, as rows, and the leaves of their lines."""
    at = written_time(now)
    events, leaves = [], []
    last: dict[EntityId, tuple[int, Any]] = {}
    for position, decided in enumerate(work.decided, head.position + 1):
        leaf = leaf_hash(
            line(
                type_name=decided.type,
                entity=decided.entity,
                version=decided.version,
                at=at,
                actor=actor.name,
                via=actor.via,
                data=decided.data,
            )
        )
        leaves.append(leaf)
        events.append(
            EventRow(
                decided.entity,
                decided.version,
                decided.type,
                1,
                at,
                actor.name,
                actor.via,
                decided.data.decode(),
                leaf.hex(),
            )
        )
        last[decided.entity] = (position, decided)
    entities = [entity_row(decided.kind, position, decided.state) for position, decided in last.values()]
    series = [(kind.value, key, highest) for (kind, key), highest in work.series.items()]
    return Batch(events, entities, series), leaves


def entity_row(kind: Kind, position: int, state: Any) -> EntityRow:
    """The row of an entity's snapshot at *position*."""
    return EntityRow(
        state.id,
        state.version,
        position,
        is_gone(state),
        kind.value,
        RULES[kind].number(state),
        _encode(state).decode(),
    )
