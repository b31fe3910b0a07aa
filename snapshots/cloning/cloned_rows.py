"""The rows of a clone: lines and entities copied as bytes, and every active subscription paused after them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from datetime import datetime
from itertools import islice
from typing import Any

import msgspec
from psycopg import Connection

from domain.application import Actor
from domain.events import encode_data, line, type_of, written_time
from domain.ids import NIL, AccountId
from domain.kinds import Kind
from domain.rules import RULES
from domain.store.database import BUILDER, Database, Row
from domain.store.statements import statements
from domain.subscriptions import Paused, SubscriptionState
from domain.tree import Frontier, leaf_hash
from domain.tree import append as append_leaves
from domain.work import decode_state, is_gone
from projections.past import changed_since
from snapshots.backup import Source
from snapshots.fresh.building import StreamBuilder
from snapshots.progress import Progress
from snapshots.reading.checking import Checked
from snapshots.reading.examination import ENVELOPE

SQL = statements("snapshots.cloning", "cloning.sql")
_EVENTS_A_PIECE = 100_000  # one COPY, and one transaction, each: about 80 MB
_ROWS_A_BLOCK = 500  # rows come one by one; handed on together they cost a third
_PAUSED = Paused(reason="came with a clone")
_encode = msgspec.json.Encoder().encode


class Copying:
    """Copies rows of a source into a fresh stream of another account, as the bytes that PostgreSQL gives out."""

    def __init__(self, database: Database, source: Source, account: AccountId, stream: int, progress: Progress) -> None:
        self._database = database
        self._source = source
        self._account = account
        self._stream = stream
        self._progress = progress
        self._key = {
            "account": source.account,
            "stream": source.stream,
            "to_account": account,
            "to_stream": stream,
        }

    def events(self, connection: Connection[Row], fresh: StreamBuilder) -> int:
        """The lines; how many there were."""
        head = self._source.head
        sent = 0
        for after in range(0, head, _EVENTS_A_PIECE):
            last = min(after + _EVENTS_A_PIECE, head)
            parameters = {**self._key, "after": after, "last": last}
            with closing(_rows_out(connection, SQL["read_events"], parameters)) as rows:
                sent += fresh.copied(SQL["write_events"], rows)
            self._progress("timeline", sent, head)
        return sent

    def entities(self, connection: Connection[Row]) -> int:
        """The entities but for subscriptions, by a connection of one's own; how many there were."""
        source = self._source
        with (
            self._database.session(BUILDER) as session,
            StreamBuilder(session, self._account, self._stream) as fresh,
        ):
            parameters = {**self._key, "head": source.head, "but": Kind.SUBSCRIPTION.value}
            with closing(_rows_out(connection, SQL["read_entities"], parameters)) as rows:
                sent = fresh.copied(SQL["write_entities"], rows)
            if source.is_past:
                for kind in Kind:
                    if kind is not Kind.SUBSCRIPTION:
                        then = changed_since(connection, source.account, source.stream, source.head, kind=kind)
                        for block in _blocks(then):
                            fresh.entities(b"", 0, [_checked(kind, one.position, one.state) for one in block])
            fresh.finish()
            return sent + fresh.sent_entities

    def subscriptions(self, connection: Connection[Row], fresh: StreamBuilder, actor: Actor, at: datetime) -> Frontier:
        """The subscriptions, each active one with an event that pauses it. The log with those events."""
        source = self._source
        frontier = source.frontier
        key = {"account": source.account, "stream": source.stream}
        last_at = connection.execute(SQL["read_last_at"], key).fetchall()[0][0]
        pausing_at = written_time(at if last_at is None else max(at, last_at))
        for block in _blocks(_subscriptions(connection, source)):
            envelopes, leaves, rows = [], [], []
            for position, state in block:
                paused = as_paused(state)
                if paused is not state:
                    written = _pausing(paused, pausing_at, actor)
                    match = ENVELOPE.fullmatch(written + b"\n")
                    assert match is not None, "a line of ours is written as lines are"
                    envelopes.append(match.groups())
                    leaves.append(leaf_hash(written))
                    position = frontier.size + len(leaves)  # noqa: PLW2901 - the event that pauses it is its last
                rows.append(Checked(state.id, Kind.SUBSCRIPTION, position, paused, _encode(paused), is_gone(paused)))
            fresh.lines(frontier.size + 1, envelopes, leaves)
            fresh.entities(b"", 0, rows)
            frontier = append_leaves(frontier, leaves)
        return frontier


def _rows_out(
    connection: Connection[Row], statement: bytes, parameters: dict[str, Any]
) -> Generator[bytes, None, None]:
    """The rows of a COPY, some together. To be closed: one that stops half way holds its connection until then."""
    with connection.cursor().copy(statement, parameters) as copy:
        for block in _blocks(copy):
            yield b"".join(block)


def _blocks(of: Iterable[Any]) -> Iterator[list[Any]]:
    given = iter(of)
    while block := list(islice(given, _ROWS_A_BLOCK)):
        yield block


def _checked(kind: Kind, position: int, state: Any) -> Checked:
    return Checked(state.id, kind, position, state, _encode(state), is_gone(state))


def _subscriptions(connection: Connection[Row], source: Source) -> Iterator[tuple[int, Any]]:
    """The source's subscriptions with the positions of their last events, deleted ones among them."""
    key = {"account": source.account, "stream": source.stream, "head": source.head, "kind": Kind.SUBSCRIPTION.value}
    after = NIL
    while True:
        rows = connection.execute(SQL["read_unchanged"], {**key, "after": after, "rows": _ROWS_A_BLOCK}).fetchall()
        if not rows:
            break
        for position, state, after in rows:  # noqa: B007 - the last one is where the next block begins
            yield position, decode_state(Kind.SUBSCRIPTION, state)
    if source.is_past:
        yield from changed_since(connection, source.account, source.stream, source.head, kind=Kind.SUBSCRIPTION)


def as_paused(state: Any) -> Any:
    """An active subscription paused; any other as it is."""
    if state.state is not SubscriptionState.ACTIVE:
        return state
    rules = RULES[Kind.SUBSCRIPTION]
    rules.admit(state, _PAUSED)
    return rules.evolve(state, _PAUSED, state.id, state.version + 1)


def _pausing(paused: Any, at: str, actor: Actor) -> bytes:
    """The line of the event that led to *paused*."""
    return line(
        type_name=type_of(Kind.SUBSCRIPTION, _PAUSED),
        entity=paused.id,
        version=paused.version,
        at=at,
        actor=actor.name,
        via="clone",
        data=encode_data(_PAUSED),
    )
