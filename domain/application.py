"""Running commands against an account: read, decide, record; all of a command's events or none.

Two round trips a command: one reads the head of the live stream and the states that are named, one appends what was
decided, if the account still is where it was read. If not, the command is decided anew, once more freely, then queued
behind the account's lock, where nothing can come between. Where this process was the last to write to the account, the
reading is spared as well (``domain.recent``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, date, datetime
from typing import Any, NamedTuple, TypeVar

import msgspec
import psycopg
from psycopg import Connection

from domain import control as c
from domain.control import Control
from domain.errors import CounterfoilError
from domain.events import TYPE_VERSIONS, Via, are_within, line, written_time
from domain.ids import AccountId, EntityId, PersonId
from domain.kinds import Kind
from domain.notices import told_of
from domain.numbering import Series
from domain.parties import Value
from domain.recent import MOST_STATE_BYTES, Recent, Seen, with_newer
from domain.rules import RULES
from domain.store.database import Database, DatabaseUnavailable, Row, set_account
from domain.store.streams import (
    SQL,
    AccountUnknown,
    Batch,
    EntityRow,
    EventRow,
    Head,
    append,
    append_control,
    load,
)
from domain.subscriptions import PeriodInvoiced, PeriodLeftOut
from domain.tree import append as append_leaves
from domain.tree import leaf_hash
from domain.work import Brought, TooMuchAtOnce, VersionStale, Work, decode_state, is_gone

T = TypeVar("T")
_FREE_TRIES = 2  # more would starve a command on a busy account, fewer would queue it for one unlucky moment
# A command that the server broke off because of others, wholly, is tried again on what is there by then.
_BROKEN_OFF = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)
_TRIES = 3
_CONTROL = msgspec.json.Decoder(Control)
_PERIOD = msgspec.json.Decoder(PeriodInvoiced)
_PURGED = msgspec.json.Decoder(c.PeriodsInvoiced)
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


class _Decision(NamedTuple):
    """What is to be decided, by whom, on which entities."""

    account: AccountId
    actor: Actor
    command: Callable[[Work], Any]
    named: list[EntityId]
    expected: Expected | None
    beside: Callable[[Connection[Row], Outcome], None] | None = None


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
        self._recent = Recent()

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
        beside: Callable[[Connection[Row], Outcome], None] | None = None,
    ) -> Outcome:
        """Like ``run``, but says where in which stream it was recorded as well.

        What *beside* changes by the connection it is given is in the same transaction; what it raises undoes all of it.
        """
        named = [*reads, *([expected.entity] if expected else [])]
        decision = _Decision(account, actor, command, named, expected, beside)
        return _tried(lambda: self._outcome(decision))

    def _outcome(self, decision: _Decision) -> Outcome:
        with self.database.connection() as connection:
            done = self._from_recent(connection, decision)
            for _ in range(_FREE_TRIES):
                if done is not None:
                    return done
                done = self._attempt(connection, decision, lock=False)
            while done is None:
                # Only a change of the account's own history can still come between: then once more.
                with connection.transaction():
                    done = self._attempt(connection, decision, lock=True)
            return done

    def _from_recent(self, connection: Connection[Row], decision: _Decision) -> Outcome | None:
        """One try on what was seen last, in one round trip. None when it was not enough or no longer so.

        A refusal counts only on what was read just now, and so does an answer without a decision: nothing proves them.
        """
        seen, control = self._recent.get(decision.account), self._controls.get(decision.account)
        if seen is None or control is None or not seen.alone or control[0] != seen.head.control_position:
            return None
        if not all(id_ in seen.states for id_ in decision.named):
            return None
        try:
            done = self._decide(connection, decision, control[1], seen, lock=False)
        except CounterfoilError:
            return None
        return done if done is not None and done.position > seen.head.position else None

    def _attempt(self, connection: Connection[Row], decision: _Decision, *, lock: bool) -> Outcome | None:
        """One try on what is read now: None when the account moved on between reading and recording."""
        account = decision.account
        known = self._controls.get(account)
        loaded = load(connection, account, decision.named, control_known=known[0] if known else -1, lock=lock)
        head = loaded.head
        if loaded.control is not None or known is None:
            known = (head.control_position, _CONTROL.decode(loaded.control or ""))
            with self._controls_lock:
                self._controls[account] = known
        states = {state.id: state for state in (decode_state(Kind(kind), text) for kind, text in loaded.states)}
        large = {id_ for id_, (_, text) in zip(states, loaded.states, strict=True) if len(text) > MOST_STATE_BYTES}
        seen = self._recent.get(account)
        if seen is not None and (seen.head.stream, seen.head.position) == (head.stream, head.position):
            seen = Seen(head, seen.states | states, seen.series, large, alone=True)
        else:
            seen = Seen(head, states, {}, large, alone=False)
        done = self._decide(connection, decision, known[1], seen, lock=lock)
        if done is not None and done.position == head.position and decision.beside is not None:
            with connection.transaction():  # nothing was to be recorded, but what goes with it is
                set_account(connection, account)
                decision.beside(connection, done)
        return done

    def _decide(
        self, connection: Connection[Row], decision: _Decision, control: Control, seen: Seen, *, lock: bool
    ) -> Outcome | None:
        account, head, now = decision.account, seen.head, self.clock()
        # No event is earlier than the one before it, where the clock went back or what was restored came from one that
        # was ahead. Dates of documents are by this clock all the same.
        at = now if head.last_at is None else max(now, head.last_at)
        within = nullcontext() if lock else None
        reader = StreamReader(connection, account, head.stream, within=within, series=seen.series)
        work = Work(control, reader, stream=head.stream, now=now, states=seen.states.values())
        if decision.expected is not None:
            _check_expected(work, head, decision.expected)
        result = decision.command(work)
        if not work.decided:
            return Outcome(result, head.stream, head.position)
        _check_writes(account, control, decision.actor)
        _keep_attachments(connection, account, work.attachments, locked=lock)
        batch, leaves = _batch(work, head, decision.actor, at)
        frontier = append_leaves(head.frontier, leaves)
        done = Outcome(result, head.stream, head.position + len(batch.events))
        with nullcontext() if decision.beside is None else connection.transaction():
            position = append(connection, account, head, frontier, batch)
            if position is not None and decision.beside is not None:
                decision.beside(connection, done)
        if position is None or lock:
            self._recent.forget(account)  # behind the lock it is not committed yet
        else:
            left = Head(head.stream, position, frontier, at, head.control_position)
            self._recent.keep(account, _left(seen, left, work, batch))
        return None if position is None else done

    def control(self, account: AccountId) -> Control:
        """The account as its control stream tells it. Raises AccountUnknown."""
        with self.database.connection() as connection:
            return self._control(connection, account)[1]

    def _control(self, connection: Connection[Row], account: AccountId) -> tuple[int, Control]:
        loaded = load(connection, account, [], control_known=-1, lock=False)
        return loaded.head.control_position, _CONTROL.decode(loaded.control or "")

    def record_control(
        self,
        account: AccountId,
        actor: Actor,
        *events: Value,
        beside: Callable[[Connection[Row], Control], None] | None = None,
    ) -> Control:
        """Record *events* on the account's control stream, judged by its rules. The account after them.

        What *beside* changes by the connection it is given is in the same transaction; it is told the account after it.
        Raises StoreError leaves.
        """

        def attempt() -> Control:
            while True:
                with self.database.transaction(account) as connection:
                    control = self._control(connection, account)
                    recorded = record_control(connection, account, actor, control, events, at=self.clock())
                    if recorded is not None:
                        if beside is not None:
                            beside(connection, recorded)
                        return recorded

        return _tried(attempt)

    def record_failure(self, account: AccountId, actor: Actor, failed: Value, wrong: CounterfoilError) -> None:
        """Record on the account's control stream that something *failed*; where that fails too, *wrong* says so."""
        try:
            self.record_control(account, actor, failed)
        except (CounterfoilError, psycopg.Error) as also:
            wrong.add_note(f"and it could not be put on record: {also}")

    def find(self, account: AccountId, kind: Kind, entity: EntityId) -> tuple[Any, int]:
        """An entity's state, and the live stream it is in. Raises EntityUnknown, also for a deleted one."""

        def look(work: Work) -> tuple[Any, int]:
            return work.get(kind, entity), work.stream

        with self.database.connection() as connection:
            reading = _Decision(account, Actor.system("reader"), look, [entity], None)
            found = self._attempt(connection, reading, lock=False)
        assert found is not None, "nothing was to be recorded"
        state: tuple[Any, int] = found.result
        return state

    def attachment(self, account: AccountId, sha256: str) -> bytes | None:
        """The bytes of an attached file."""
        with self.database.transaction(account) as connection:
            row = connection.execute(
                SQL["read_attachment"], {"account": account, "sha256": bytes.fromhex(sha256)}
            ).fetchone()
        return row[0] if row else None


def _check_writes(account: AccountId, control: Control, actor: Actor) -> None:
    """That a person who acts is a member who may do more than look. The append proves that they still are.

    Raises AccountUnknown, as for whoever never was a member, and RoleLacking.
    """
    if not actor.name.startswith("person:"):
        return
    member = control.member(PersonId(actor.name.removeprefix("person:")))
    if member is None:
        raise AccountUnknown(account)
    c.check_writes(member.role, "changing the account")


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

    Whoever is to be told of them is told with it. Opens no transaction: inside one, the swap of a stream and its record
    are one.
    """
    rows = []
    position, before = control
    after = before
    notices: list[tuple[PersonId, int]] = []
    for event_position, event in enumerate(events, position + 1):
        if actor.name.startswith("person:"):
            c.check_member(after, PersonId(actor.name.removeprefix("person:")), event)
        c.admit(after, event)
        after = c.evolve(after, event)
        notices += [(person, event_position) for person in told_of(after, event)]
        rows.append((c.CONTROL_TYPES[type(event)], 1, written_time(at), actor.name, actor.via, _encode(event).decode()))
    members = None
    if after.members != before.members:
        members = [(member.person, member.role.value) for member in after.members]
    done = append_control(connection, account, position, control=_encode(after).decode(), events=rows, members=members)
    if done is None:
        return None
    if after.erase_after != before.erase_after:
        connection.execute(SQL["set_erase_after"], {"account": account, "after": after.erase_after})
    if notices:
        people, positions = map(list, zip(*notices, strict=True))
        told = {"account": account, "people": people, "positions": positions, "at": at}
        connection.execute(SQL["insert_notices"], told)
    return after


def _left_out(period: PeriodInvoiced | c.InvoicedPeriod, number: str | None, stream: int) -> PeriodLeftOut:
    return PeriodLeftOut(
        start=period.start, next_date=period.next_date, document=period.document, number=number, stream=stream
    )


def _tried(attempt: Callable[[], T]) -> T:
    """What *attempt* comes to, begun anew a few times where the server broke it off. Raises DatabaseUnavailable."""
    for left in reversed(range(_TRIES)):
        try:
            return attempt()
        except psycopg.OperationalError as wrong:
            if not left or not isinstance(wrong, _BROKEN_OFF):
                raise DatabaseUnavailable.because(wrong) from wrong
    raise AssertionError("the last try returns or raises")


class StreamReader:
    """A command's further reads of one stream."""

    def __init__(
        self,
        connection: Connection[Row],
        account: AccountId,
        stream: int,
        *,
        within: AbstractContextManager[Any] | None,
        series: Mapping[tuple[Kind, str], int],
    ) -> None:
        self._connection = connection
        self._account = account
        self._stream = stream
        self._within = within
        self._series = series

    def states(self, ids: list[EntityId]) -> list[tuple[str, str]]:
        """Kind and state of those entities that are there, deleted ones among them."""
        return self._rows("read_states", entities=ids) if ids else []

    def highest(self, kind: Kind, of: Series) -> int:
        """The highest number of a series: as last given out, or, on the first look, of all numbers there are."""
        known = self._series.get((kind, of.key))
        if known is not None:
            return known
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

    def brought(self, id_: EntityId) -> Brought | None:
        """How and when the last of an entity's events that came from elsewhere did, unless it was resumed since."""
        rows = self._rows("find_segment", entity=id_)
        return Brought(*rows[0]) if rows else None

    def came_back(self, id_: EntityId) -> datetime | None:
        """When the stream was made live again with the entity in it, unless it was resumed since."""
        rows = self._rows("find_came_back", entity=id_)
        return rows[0][0] if rows else None

    def invoiced(self, id_: EntityId) -> list[PeriodLeftOut]:
        """The subscription's periods that any stream of the account invoiced, in their order, each once."""
        found: dict[tuple[date, EntityId], PeriodLeftOut] = {}
        for stream, data, number in self._rows("find_invoiced", entity=id_):
            period = _PERIOD.decode(data)
            found.setdefault((period.start, period.document), _left_out(period, number, stream))
        for (data,) in self._rows("find_invoiced_purged", entity=id_):
            kept = _PURGED.decode(data)
            for one in kept.periods:
                if one.subscription == id_:
                    found.setdefault((one.start, one.document), _left_out(one, one.number, kept.stream))
        return [found[key] for key in sorted(found)]

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
    """What was decided, as rows, and the leaves of their lines. Raises TooMuchAtOnce for what no archive could hold."""
    at = written_time(now)
    events, leaves = [], []
    last: dict[EntityId, tuple[int, Any]] = {}
    for position, decided in enumerate(work.decided, head.position + 1):
        written = line(
            type_name=decided.type,
            entity=decided.entity,
            version=decided.version,
            at=at,
            actor=actor.name,
            via=actor.via,
            data=decided.data,
        )
        if not are_within(written):
            raise TooMuchAtOnce(decided.kind.value, len(written))
        leaf = leaf_hash(written)
        leaves.append(leaf)
        events.append(
            EventRow(
                decided.entity,
                decided.version,
                decided.type,
                TYPE_VERSIONS[decided.type],
                at,
                actor.name,
                actor.via,
                decided.data.decode(),
                leaf.hex(),
            )
        )
        last[decided.entity] = (position, decided)
    entities = [entity_row(decided.kind, position, decided.state) for position, decided in last.values()]
    for row in entities:
        if not are_within(row.state.encode()):
            raise TooMuchAtOnce(row.kind, len(row.state))
    series = [(kind.value, key, highest) for (kind, key), highest in work.series.items()]
    return Batch(events, entities, series), leaves


def _left(seen: Seen, head: Head, work: Work, batch: Batch) -> Seen:
    """The account as this command leaves it; of what it decided, only what is small."""
    lengths = {row.id: len(row.state) for row in batch.entities}
    decided = {one.entity: one.state for one in work.decided}
    small = {id_: state for id_, state in decided.items() if lengths[id_] <= MOST_STATE_BYTES}
    kept = {id_: state for id_, state in seen.states.items() if id_ not in decided and id_ not in seen.large}
    return Seen(head, with_newer(kept, small), {**seen.series, **work.series}, set(), seen.alone)


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
