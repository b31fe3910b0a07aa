"""Deriving an account anew from its events alone, and comparing: snapshots, numbers, positions, versions, the log.

Events are read entity by entity in blocks, so memory is a block, whatever the account's size and however much of it is
wrong. A repair puts snapshots right, in one transaction under the live stream's lock; events are never touched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar, NamedTuple

import msgspec
import psycopg
from psycopg import Connection

from domain.application import entity_row
from domain.control import Control
from domain.errors import DomainError, StoreError
from domain.events import Event, LineRefused, decode_lines, read_line, read_lines
from domain.ids import NIL, AccountId, EntityId
from domain.kinds import DOCUMENT_KINDS, Kind
from domain.parties import Value
from domain.rules import RULES
from domain.store.database import Database, Row
from domain.store.statements import statements
from domain.store.streams import AccountUnknown, EntityRow, NumberTaken
from domain.tree import EMPTY, leaf_hash
from domain.tree import append as append_leaves
from domain.work import decode_state, kind_of
from projections.ahead import ahead
from projections.listed import forget, wrong_rows

SQL = statements("projections", "rebuild.sql")
ROWS_A_BLOCK = 2_000
MOST_LISTED = 1_000
_LAST = "ffffffff-ffff-ffff-ffff-ffffffffffff"
_CONTROL = msgspec.json.Decoder(Control)


class Difference(Value, frozen=True, kw_only=True):
    """Something that is not what the events say: where, what was found, what would be right."""

    table: str
    entity: str | None = None
    position: int | None = None
    field: str
    found: str
    expected: str

    @property
    def is_in_log(self) -> bool:
        """Whether the log itself is not as it was recorded."""
        return self.table in ("events", "streams")

    def __str__(self) -> str:
        where = f" {self.entity}" if self.entity else f" position {self.position:,}" if self.position else ""
        return f"{self.table}{where}, {self.field}: found {self.found}; the events say {self.expected}"


class Rebuilt(Value, frozen=True, kw_only=True):
    """What a rebuild found; ``repaired`` counts the snapshots, series and rows of lists that it put right.

    ``remaining`` counts the differences that stand: all of a check's; after a repair, those that it cannot put right.
    """

    stream: int
    events: int
    entities: int
    root: str
    differences: tuple[Difference, ...] = ()
    differences_count: int = 0
    repaired: int = 0
    remaining: int = 0


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
        self.lasting = 0
        self.first_in_log: Difference | None = None

    def add(self, difference: Difference, *, lasting: bool = False) -> None:
        """Take *difference* in; what is in the log, and what else is *lasting*, no repair puts right."""
        self.count += 1
        self.lasting += lasting or difference.is_in_log
        if difference.is_in_log and self.first_in_log is None:
            self.first_in_log = difference
        if len(self.listed) < MOST_LISTED:
            self.listed.append(difference)


class _Folded(NamedTuple):
    """An entity that all events of were read: its state (None when a line cannot be read) and its last position."""

    id: EntityId
    position: int
    state: Any


def rebuild(database: Database, account: AccountId, *, check: bool) -> Rebuilt:
    """Derive the account's live stream anew and compare. With *check* nothing is changed; else snapshots are put right.

    Raises AccountUnknown; LogDamaged when there is something to repair and the log is not sound; NumberTaken when the
    events give one number twice. Then nothing was changed.
    """
    differences = _Differences()
    with database.transaction(account, snapshot=check) as connection:
        if not check:
            connection.execute(SQL["lock_live"], {"account": account})
        stream, head, frontier, control = _read_live(connection, account)
        key = {"account": account, "stream": stream}
        root = _check_log(connection, key, head, frontier, differences)
        entities, repaired = 0, 0
        numbers = _Numbers(_CONTROL.decode(control))
        after: str = NIL
        for block in chain(_folded_blocks(connection, key, differences), [[]]):
            entities += len(block)
            numbers.note(block)
            last = block[-1].id if block else _LAST
            wrong = _compare(connection, key, block, (after, last), differences)
            after = last
            if not check and differences.first_in_log is None:
                _put_entities(connection, key, wrong)
                repaired += len(wrong)
        wrong_series = _compare_series(connection, key, numbers, differences)
        # What lists look through is made from snapshots: where those were wrong, it is made anew with them.
        wrong_listed = 0 if repaired else _compare_listed(connection, account, stream, differences)
        if not check:
            if differences.first_in_log is not None and differences.count > differences.lasting:
                raise LogDamaged(str(differences.first_in_log))
            if repaired:
                _put_numbers(connection, key)
            if repaired or wrong_listed:
                forget(connection, account, stream)
            for series in wrong_series:
                connection.execute(SQL["put_series"], {**key, **series})
            repaired += len(wrong_series) + wrong_listed
    return Rebuilt(
        stream=stream,
        events=head,
        entities=entities,
        root=root,
        differences=tuple(differences.listed),
        differences_count=differences.count,
        repaired=repaired,
        remaining=differences.count if check else differences.lasting,
    )


def _compare_listed(connection: Connection[Row], account: AccountId, stream: int, differences: _Differences) -> int:
    """Compare what lists look through with the snapshots. How many of its rows are wrong."""
    count = 0
    for entity, found, expected in wrong_rows(connection, account, stream):
        differences.add(Difference(table="listed", entity=entity, field="row", found=found, expected=expected))
        count += 1
    return count


def _read_live(connection: Connection[Row], account: AccountId) -> Any:
    row = connection.execute(SQL["read_live"], {"account": account}).fetchone()
    if row is None:
        raise AccountUnknown(account)
    return row


def _put_entities(connection: Connection[Row], key: dict[str, Any], rows: list[EntityRow]) -> None:
    """Write the rows as they should be, but for their numbers: two may have been exchanged."""
    with connection.cursor() as cursor:
        cursor.executemany(SQL["put_entity"], [{**key, **row._asdict(), "number": None} for row in rows])


def _put_numbers(connection: Connection[Row], key: dict[str, Any]) -> None:
    """Give each entity that has no number the one that its state, which is right by now, says. Raises NumberTaken."""
    after: str = NIL
    while rows := connection.execute(SQL["read_unnumbered"], {**key, "after": after, "rows": ROWS_A_BLOCK}).fetchall():
        for id_, kind, state in rows:
            number = RULES[Kind(kind)].number(decode_state(Kind(kind), state))
            if number is not None:
                try:
                    connection.execute(SQL["put_number"], {**key, "id": id_, "number": number})
                except psycopg.errors.UniqueViolation as twice:
                    raise NumberTaken(kind, number) from twice
        after = rows[-1][0]


def rebuild_states(database: Database, account: AccountId) -> Iterator[tuple[EntityId, Any]]:
    """Each entity's state, folded from the live stream's events alone, in order of id.

    Takes the events as they were recorded: ``rebuild`` is what checks them. Memory is a few blocks of them.
    """
    state: Any = None
    with database.transaction(account, snapshot=True) as connection:
        stream = _read_live(connection, account)[0]
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
    if position <= before.position:
        _note(differences, event, position, "position", str(position), f"one after {before.position}")
    if state is None and event.type.partition(".")[2] not in (event.rules.creation, "imported"):
        _note(differences, event, position, "type", event.type, "the event that makes an entity")
        return _Folded(before.id, position, None)
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
    missing = {folded.id: folded for folded in block}
    wrong = []
    for id_, *found in _snapshots(connection, key, between):
        folded = missing.pop(id_, None)
        if folded is None:
            # No role of ours may delete a snapshot of the live stream.
            difference = Difference(
                table="entities", entity=id_, field="id", found="a snapshot", expected="no such entity"
            )
            differences.add(difference, lasting=True)
        elif folded.state is not None:
            expected = entity_row(kind_of(folded.state), folded.position, folded.state)
            if not _same(expected, found, differences):
                wrong.append(expected)
    for folded in missing.values():
        if folded.state is not None:
            differences.add(
                Difference(table="entities", entity=folded.id, field="id", found="nothing", expected="its snapshot")
            )
            wrong.append(entity_row(kind_of(folded.state), folded.position, folded.state))
    return wrong


def _snapshots(connection: Connection[Row], key: dict[str, Any], between: tuple[str, str]) -> Iterator[Row]:
    after, last = between
    while True:
        parameters = {**key, "after": after, "last": last, "rows": ROWS_A_BLOCK}
        rows = connection.execute(SQL["read_entities"], parameters).fetchall()
        yield from rows
        if len(rows) < ROWS_A_BLOCK:
            return
        after = rows[-1][0]


def _same(expected: EntityRow, found: list[Any], differences: _Differences) -> bool:
    is_same = True
    for field, value in zip(("kind", "version", "position", "number", "deleted", "state"), found, strict=True):
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


class _Numbers:
    """The highest number of each series of the formats in force, as folded documents pass by."""

    def __init__(self, control: Control) -> None:
        formats = {kind: control.number_format(kind) for kind in DOCUMENT_KINDS}
        self._numbers = {kind: re.compile(_pattern(text, r"(\d{%s,18})"), re.ASCII) for kind, text in formats.items()}
        self._keys = {kind.value: re.compile(_pattern(text, r"\{\}"), re.ASCII) for kind, text in formats.items()}
        self._highest: dict[tuple[str, str], int] = {}

    def note(self, entities: list[_Folded]) -> None:
        """Take the numbers of *entities* in."""
        for folded in entities:
            number = getattr(folded.state, "number", None)
            if number is None or (pattern := self._numbers.get(kind_of(folded.state))) is None:
                continue
            if match := pattern.fullmatch(number):
                key = (kind_of(folded.state).value, f"{number[: match.start(1)]}{{}}{number[match.end(1) :]}")
                self._highest[key] = max(int(match[1]), self._highest.get(key, 0))

    def highest(self, kind: str, series: str) -> int | None:
        """The highest number of a series, 0 for none; None for a series of no format in force, which gives out none."""
        pattern = self._keys.get(kind)
        return self._highest.get((kind, series), 0) if pattern is not None and pattern.fullmatch(series) else None


def _pattern(text: str, number: str) -> str:
    """A number format as a regular expression; *number* stands for the number, its least width for a %s in it."""
    parts = []
    for part in re.split(r"(\{[^}]*\})", text):
        if part.startswith("{number"):
            parts.append(number.replace("%s", part[len("{number:0") : -1] or "1"))
        else:
            parts.append({"{year}": r"\d{4}", "{month}": r"\d\d"}.get(part, re.escape(part)))
    return "".join(parts)


def _compare_series(
    connection: Connection[Row], key: dict[str, Any], numbers: _Numbers, differences: _Differences
) -> list[dict[str, Any]]:
    """Compare the series that are kept with the numbers that documents bear. Those that would be right.

    A series that has no row yet is looked up in the numbers themselves when it is first needed: that is no difference.
    """
    wrong = []
    for kind, series, highest in connection.execute(SQL["read_series"], key).fetchall():
        expected = numbers.highest(kind, series)
        if expected is not None and expected != highest:
            differences.add(
                Difference(table="series", field=f"{kind} {series}", found=str(highest), expected=str(expected))
            )
            wrong.append({"kind": kind, "series": series, "highest": expected})
    return wrong
