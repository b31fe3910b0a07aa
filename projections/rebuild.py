"""Deriving an account anew from its events alone, and comparing: snapshots, numbers, positions, versions, the log.

Events are read entity by entity in blocks, so memory is a block, whatever the account's size. A repair puts snapshots
right, in one transaction under the live stream's lock; events are never touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar, NamedTuple

from psycopg import Connection

from domain.application import entity_row
from domain.errors import DomainError, StoreError
from domain.events import Event, LineRefused, decode_lines, read_line, read_lines
from domain.ids import NIL, AccountId, EntityId
from domain.parties import Value
from domain.store.database import Database, Row
from domain.store.statements import statements
from domain.store.streams import EntityRow
from domain.tree import EMPTY, leaf_hash
from domain.tree import append as append_leaves
from domain.work import kind_of
from projections.ahead import ahead

SQL = statements("projections", "rebuild.sql")
ROWS_A_BLOCK = 2_000
MOST_LISTED = 1_000
_LAST = "ffffffff-ffff-ffff-ffff-ffffffffffff"


class Difference(Value, frozen=True, kw_only=True):
    """Something that is not what the events say: where, what was found, what would be right."""

    table: str
    entity: str | None = None
    position: int | None = None
    field: str
    found: str
    expected: str

    def __str__(self) -> str:
        where = f" {self.entity}" if self.entity else f" position {self.position:,}" if self.position else ""
        return f"{self.table}{where}, {self.field}: found {self.found}; the events say {self.expected}"


class Rebuilt(Value, frozen=True, kw_only=True):
    """What a rebuild found; ``repaired`` counts the snapshots that it put right."""

    stream: int
    events: int
    entities: int
    root: str
    differences: tuple[Difference, ...] = ()
    differences_count: int = 0
    repaired: int = 0


@dataclass(eq=False)
class LogDamaged(StoreError):
    """The log itself is not sound, so snapshots cannot be repaired from it."""

    code: ClassVar[str] = "store.log-damaged"
    first: str

    def __str__(self) -> str:
        return f"the log is damaged, nothing was repaired: {self.first}"


class _Differences:
    def __init__(self) -> None:
        self.listed: list[Difference] = []
        self.count = 0
        self.in_log = 0

    def add(self, difference: Difference) -> None:
        self.count += 1
        self.in_log += difference.table != "entities"
        if len(self.listed) < MOST_LISTED:
            self.listed.append(difference)


class _Folded(NamedTuple):
    """An entity that all events of were read: its state (None when a line cannot be read) and its last position."""

    id: EntityId
    position: int
    state: Any


def rebuild(database: Database, account: AccountId, *, check: bool) -> Rebuilt:
    """Derive the account's live stream anew and compare. With *check* nothing is changed; else snapshots are put right.

    Raises LogDamaged when there is something to repair and the log is not sound.
    """
    differences = _Differences()
    with database.transaction(account, snapshot=check) as connection:
        if not check:
            connection.execute(SQL["lock_live"], {"account": account})
        stream, head, frontier = connection.execute(SQL["read_live"], {"account": account}).fetchall()[0]
        key = {"account": account, "stream": stream}
        root = _check_log(connection, key, head, frontier, differences)
        entities, wrong = 0, []
        after: str = NIL
        for block in _folded_blocks(connection, key, differences):
            entities += len(block)
            wrong += _compare(connection, key, block, (after, block[-1].id), differences)
            after = block[-1].id
        wrong += _compare(connection, key, [], (after, _LAST), differences)
        if not check and wrong:
            if differences.in_log:
                raise LogDamaged(str(next(one for one in differences.listed if one.table != "entities")))
            for row in wrong:
                connection.execute(SQL["put_entity"], {**key, **row._asdict()})
    return Rebuilt(
        stream=stream,
        events=head,
        entities=entities,
        root=root,
        differences=tuple(differences.listed),
        differences_count=differences.count,
        repaired=0 if check else len(wrong),
    )


def rebuild_states(database: Database, account: AccountId) -> Iterator[tuple[EntityId, Any]]:
    """Each entity's state, folded from the live stream's events alone, in order of id.

    Takes the events as they were recorded: ``rebuild`` is what checks them. Memory is a few blocks of them.
    """
    state: Any = None
    with database.transaction(account, snapshot=True) as connection:
        stream, _, _ = connection.execute(SQL["read_live"], {"account": account}).fetchall()[0]
        with ahead(_blocks_by_entity(connection, {"account": account, "stream": stream})) as blocks:
            for event in chain.from_iterable(map(decode_lines, blocks)):
                if state is not None and state.id != event.entity:
                    yield state.id, state
                    state = None
                state = event.rules.evolve(state, event.data, event.entity, event.version)
    if state is not None:
        yield state.id, state


def _blocks_by_entity(connection: Connection[Row], key: dict[str, Any]) -> Iterator[bytes]:
    entity, version = NIL, 0
    while True:
        parameters = {**key, "entity": entity, "version": version, "rows": ROWS_A_BLOCK}
        lines, entity, version = connection.execute(SQL["read_lines"], parameters, binary=True).fetchall()[0]
        if lines is None:
            return
        yield lines


def _check_log(
    connection: Connection[Row], key: dict[str, Any], head: int, stored: bytes, differences: _Differences
) -> str:
    """That positions have no gap and the leaves are the tree that the stream row keeps. The root of the leaves."""
    frontier = EMPTY
    after = 0
    while True:
        parameters = {**key, "after": after, "rows": 4 * ROWS_A_BLOCK}
        leaves, first, last, count = connection.execute(SQL["read_leaves"], parameters, binary=True).fetchall()[0]
        if not count:
            break
        if first != after + 1 or last != after + count:
            differences.add(
                Difference(
                    table="events",
                    position=after + 1,
                    field="position",
                    found=f"a gap up to {last:,}",
                    expected="no gap",
                )
            )
        frontier = append_leaves(frontier, leaves)
        after = last
    if after != head:
        expected = f"{after:,}"
        differences.add(Difference(table="streams", field="head_position", found=f"{head:,}", expected=expected))
    if frontier.to_bytes() != bytes(stored):
        root = frontier.root().hex()
        differences.add(Difference(table="streams", field="frontier", found="another tree", expected=f"root {root}"))
    return frontier.root().hex()


def _folded_blocks(
    connection: Connection[Row], key: dict[str, Any], differences: _Differences
) -> Iterator[list[_Folded]]:
    """The entities in order of id, some at a time, each once all its events were read."""
    entity, version = NIL, 0
    open_: _Folded | None = None
    last_at = ""
    while True:
        parameters = {**key, "entity": entity, "version": version, "rows": ROWS_A_BLOCK}
        row = connection.execute(SQL["read_events"], parameters, binary=True).fetchone()
        assert row is not None, "an aggregate has a row"
        lines, positions, leaves, entity, version = row
        if lines is None:
            break
        done = []
        for event, position in _read(lines + b"\n", positions, leaves, differences):
            if open_ is None or open_.id != event.entity:
                if open_ is not None:
                    done.append(open_)
                open_, last_at = _Folded(event.entity, 0, None), ""
            if event.at < last_at:
                _note(differences, event, position, "at", event.at, f"no time before {last_at}")
            last_at = event.at
            open_ = _fold(open_, event, position, differences)
        if done:
            yield done
    if open_ is not None:
        yield [open_]


def _read(
    lines: bytes, positions: list[int], leaves: list[bytes], differences: _Differences
) -> Iterator[tuple[Event, int]]:
    """The events of a block, each held against its leaf."""
    raw = lines.split(b"\n")[:-1]
    for line, position, leaf in zip(raw, positions, leaves, strict=True):
        if leaf_hash(line) != leaf:
            found, expected = leaf_hash(line).hex(), leaf.hex()
            differences.add(
                Difference(table="events", position=position, field="line", found=f"leaf {found}", expected=expected)
            )
    events = read_lines(lines)
    if events is not None:
        yield from zip(events, positions, strict=True)
        return
    for line, position in zip(raw, positions, strict=True):
        try:
            yield read_line(line), position
        except LineRefused as wrong:
            differences.add(
                Difference(table="events", position=position, field="data", found=str(wrong), expected="a line of ours")
            )


def _fold(before: _Folded, event: Event, position: int, differences: _Differences) -> _Folded:
    state = before.state
    version = state.version + 1 if state is not None else 1
    if event.version != version:
        _note(differences, event, position, "version", str(event.version), str(version))
    try:
        state = event.rules.evolve(state, event.data, event.entity, event.version)
    except (DomainError, AttributeError, TypeError, AssertionError):
        _note(differences, event, position, "type", event.type, "an event that can follow")
    return _Folded(before.id, position, state)


def _note(differences: _Differences, event: Event, position: int, field: str, found: str, expected: str) -> None:  # noqa: PLR0917
    differences.add(
        Difference(table="events", entity=event.entity, position=position, field=field, found=found, expected=expected)
    )


def _compare(
    connection: Connection[Row],
    key: dict[str, Any],
    block: list[_Folded],
    between: tuple[str, str],
    differences: _Differences,
) -> list[EntityRow]:
    """Compare the snapshots of ids *between* (after, last) with what was folded. The rows that would be right."""
    after, last = between
    rows = connection.execute(SQL["read_entities"], {**key, "after": after, "last": last}).fetchall()
    there = {row[0]: row for row in rows}
    wrong = []
    for folded in block:
        found = there.pop(folded.id, None)
        if folded.state is None:
            continue
        expected = entity_row(kind_of(folded.state), folded.position, folded.state)
        if not _same(expected, found, differences):
            wrong.append(expected)
    for id_ in there:
        differences.add(
            Difference(table="entities", entity=id_, field="id", found="a snapshot", expected="no such entity")
        )
    return wrong


def _same(expected: EntityRow, found: Any, differences: _Differences) -> bool:
    if found is None:
        differences.add(
            Difference(table="entities", entity=expected.id, field="id", found="nothing", expected="its snapshot")
        )
        return False
    is_same = True
    for field, value in zip(("kind", "version", "position", "number", "deleted", "state"), found[1:], strict=True):
        right = getattr(expected, field)
        if value != right:
            is_same = False
            differences.add(
                Difference(
                    table="entities", entity=expected.id, field=field, found=_short(value), expected=_short(right)
                )
            )
    return is_same


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:197]}..."
