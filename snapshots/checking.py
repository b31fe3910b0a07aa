"""Checking an archive's entities: each one's events against the rules, and its snapshot against their fold.

Works on one partition of the archive at a time: all lines of the entities whose ids fall into it. A pure function of
bytes, so that partitions can be checked by several processes. What must be checked across entities (references,
numbers) comes out as keys, to be spooled and looked at again by target.
"""

from __future__ import annotations

from array import array
from collections.abc import Container, Iterable
from hashlib import md5
from typing import Any, NamedTuple

import msgspec

from domain.errors import DomainError
from domain.events import Event, LineRefused, check_json, read_line, read_lines
from domain.ids import EntityId, is_canonical
from domain.kinds import Kind
from domain.layouts import Layout, default_keys
from domain.rules import RULES
from domain.work import decode_state, is_gone, kind_of
from projections.control_totals import Totaller
from snapshots.faults import Fault, Faults
from snapshots.manifest import SNAPSHOT_FILES, TIMELINE

_encode = msgspec.json.Encoder().encode


class PartitionInput(NamedTuple):
    """One partition: timeline lines with their positions, snapshot lines by kind with their line numbers."""

    lines: bytes
    positions: bytes
    snapshots: dict[Kind, tuple[bytes, bytes]]


class Checked(NamedTuple):
    """An entity that is sound: its fold, where its last event stands, and the line that says its state."""

    id: EntityId
    kind: Kind
    position: int
    state: Any
    line: bytes
    is_gone: bool

    @property
    def digest(self) -> str:
        """What tells one content from another when account and archive are compared."""
        return md5(self.line, usedforsecurity=False).hexdigest()


class PartitionChecked(NamedTuple):
    """What a partition comes to."""

    entities: list[Checked]
    faults: Faults


def check_partition(given: PartitionInput, *, leave_out: Container[str] = ()) -> PartitionChecked:
    """The partition's sound entities, and what is wrong with the others. Those of *leave_out* are not looked at."""
    faults = Faults()
    folded = _fold(_events(given, faults), faults, leave_out)
    snapshots = _snapshots(given, faults, leave_out)
    entities = []
    for id_, (position, state) in folded.items():
        found = snapshots.pop(id_, None)
        if id_ in faults.entities:
            continue
        line = _encode(state)
        gone = is_gone(state)
        fault = _compare(id_, position, state, b"" if gone else line, found)
        if fault is None:
            entities.append(Checked(id_, kind_of(state), position, state, line, gone))
        else:
            faults.add(fault)
    for id_, found in snapshots.items():
        if id_ not in faults.entities:
            reason = f"id: found {id_}, of which the timeline has no event; expected the events that lead to it"
            faults.add(_fault("archive.no-events", found.file, found.line, "id", id_, reason))
    return PartitionChecked(entities, faults)


class _Found(NamedTuple):
    """A snapshot line and where it stands."""

    file: str
    line: int
    kind: Kind
    raw: bytes


def _fault(code: str, file: str, line: int | None, field: str | None, entity: str | None, reason: str) -> Fault:  # noqa: PLR0917
    return Fault(code=code, file=file, line=line, field=field, entity=entity, reason=reason)


def _events(given: PartitionInput, faults: Faults) -> Iterable[tuple[int, Event]]:
    positions = array("Q")
    positions.frombytes(given.positions)
    if not positions:
        return ()
    events = read_lines(given.lines)
    if events is not None:
        return zip(positions, events, strict=True)
    return _events_one_by_one(given.lines, positions, faults)


def _events_one_by_one(lines: bytes, positions: Iterable[int], faults: Faults) -> list[tuple[int, Event]]:
    events = []
    for position, raw in zip(positions, lines.split(b"\n")[:-1], strict=True):
        try:
            events.append((position, read_line(raw)))
        except LineRefused as wrong:
            faults.add(line_fault(TIMELINE, position, raw, wrong))
    return events


def line_fault(file: str, line: int, raw: bytes, wrong: LineRefused) -> Fault:
    """The fault of a line that was refused, with the entity that it seems to be about."""
    entity = _seeming_entity(raw)
    return _fault(wrong.code, file, line, wrong.field or None, entity, str(wrong))


def _seeming_entity(raw: bytes) -> str | None:
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    named = value.get("entity", value.get("id")) if isinstance(value, dict) else None
    return named if isinstance(named, str) and is_canonical(named) else None


def _fold(
    events: Iterable[tuple[int, Event]], faults: Faults, leave_out: Container[str]
) -> dict[EntityId, tuple[int, Any]]:
    """Each entity's last position and state; what breaks a rule is noted, and its entity goes no further."""
    folded: dict[EntityId, tuple[int, Any]] = {}
    last_at: dict[EntityId, str] = {}
    for position, event in events:
        id_ = event.entity
        if id_ in faults.entities or id_ in leave_out:
            continue
        before = folded.get(id_)
        state: Any = before[1] if before else None
        version = state.version + 1 if before else 1
        rules = event.rules
        if event.version != version:
            reason = f"version: found {event.version}; expected {version}, the entity's next"
            faults.add(_fault("archive.version-gap", TIMELINE, position, "version", id_, reason))
            continue
        if before is None:
            if not is_canonical(id_):
                reason = f"entity: found {id_!r}; expected a UUID in lower case with hyphens"
                faults.add(_fault("line.refused", TIMELINE, position, "entity", id_, reason))
                continue
        elif event.at < last_at[id_]:
            reason = f"at: found {event.at}; expected no time before {last_at[id_]}, that of the entity's last event"
            faults.add(_fault("archive.time-goes-back", TIMELINE, position, "at", id_, reason))
            continue
        elif kind_of(state) is not rules.kind:
            reason = f"type: found {event.type} for a {kind_of(state).value}; expected an event of its kind"
            faults.add(_fault("archive.kind-changes", TIMELINE, position, "type", id_, reason))
            continue
        try:
            rules.admit(None if state is not None and is_gone(state) else state, event.data)
        except DomainError as wrong:
            faults.add(_fault(wrong.code, TIMELINE, position, getattr(wrong, "field", None), id_, str(wrong)))
            continue
        folded[id_] = (position, rules.evolve(state, event.data, id_, version))
        last_at[id_] = event.at
    return folded


def _snapshots(given: PartitionInput, faults: Faults, leave_out: Container[str]) -> dict[EntityId, _Found]:
    found: dict[EntityId, _Found] = {}
    for kind, (lines, numbers) in given.snapshots.items():
        line_numbers = array("Q")
        line_numbers.frombytes(numbers)
        file = SNAPSHOT_FILES[kind]
        for line, raw in zip(line_numbers, lines.split(b"\n")[:-1], strict=True):
            id_ = EntityId(raw[7:43].decode("ascii", "replace"))
            if id_ in leave_out:
                continue
            if id_ in found:
                reason = f"id: found {id_} again, after {found[id_].file} line {found[id_].line:,}; expected it once"
                faults.add(_fault("archive.snapshot-twice", file, line, "id", id_, reason))
                continue
            found[id_] = _Found(file, line, kind, raw)
    return found


def _compare(id_: EntityId, position: int, state: Any, line: bytes, found: _Found | None) -> Fault | None:
    """What is wrong with an entity's snapshot line, which must be the fold of its events, byte for byte."""
    if found is not None and found.raw == line and found.kind is kind_of(state):
        return None
    if found is None:
        if not line:
            return None
        kind = kind_of(state)
        reason = f"no line for {id_}, whose events the timeline has; expected its snapshot"
        return _fault("archive.snapshot-missing", SNAPSHOT_FILES[kind], None, "id", id_, reason)
    if not line:
        reason = f"id: found {id_}, which the timeline deletes at line {position:,}; expected no snapshot"
        return _fault("archive.snapshot-of-deleted", found.file, found.line, "id", id_, reason)
    if found.kind is not kind_of(state):
        reason = f"id: found {id_} among the {found.kind.value}s; expected it in {SNAPSHOT_FILES[kind_of(state)]}"
        return _fault("archive.snapshot-misplaced", found.file, found.line, "id", id_, reason)
    return _differing(id_, position, line, found)


def _differing(id_: EntityId, position: int, line: bytes, found: _Found) -> Fault:
    try:
        check_json(found.raw)
        decode_state(found.kind, found.raw)
    except LineRefused as wrong:
        return msgspec.structs.replace(line_fault(found.file, found.line, found.raw, wrong), entity=id_)
    except msgspec.ValidationError as wrong:
        reason, _, path = str(wrong).partition(" - at `")
        field = path.rstrip("`").removeprefix("$").removeprefix(".") or None
        text = f"{field}: {reason}" if field else reason
        return _fault("line.refused", found.file, found.line, field, id_, text)
    stated, folded = msgspec.json.decode(found.raw), msgspec.json.decode(line)
    for name in [*folded, *(name for name in stated if name not in folded)]:
        if stated.get(name) != folded.get(name):
            reason = (
                f"{name}: found {_shown(stated.get(name))}; expected {_shown(folded.get(name))},"
                f" which the events up to timeline line {position:,} lead to"
            )
            return _fault("archive.snapshot-differs", found.file, found.line, name, id_, reason)
    return _fault("archive.snapshot-differs", found.file, found.line, None, id_, "not written as a snapshot line is")


def _shown(value: Any) -> str:
    text = _encode(value).decode() if value is not None else "nothing"
    return text if len(text) <= 80 else text[:77] + "..."


def unique_keys(kind: Kind, state: Any) -> list[str]:
    """What no other entity of the account may have: number per kind, default layout per document kind and language."""
    number = RULES[kind].number(state)
    keys = [f"{kind.value} number {number!r}"] if number is not None else []
    if isinstance(state, Layout):
        keys += [f"default layout for {key}" for key in default_keys(state)]
    return keys


def match_keys(kind: Kind, state: Any) -> list[str]:
    """By what an entity of another account is taken for the same thing: a layout's name, a customer's VAT number."""
    if is_gone(state) or getattr(state, "merged_into", None):
        return []
    if isinstance(state, Layout):
        return [f"{kind.value} named {state.name!r}"]
    if kind is Kind.CUSTOMER and state.party.vat_identifier:
        return [f"{kind.value} with VAT number {state.party.vat_identifier!r}"]
    return []


def add_totals(totaller: Totaller, entities: Iterable[Checked]) -> None:
    """Add the entities that are there to *totaller*."""
    by_kind: dict[Kind, list[bytes]] = {}
    for entity in entities:
        if not entity.is_gone:
            by_kind.setdefault(entity.kind, []).append(entity.line)
    for kind, lines in by_kind.items():
        totaller.add(kind, b"\n".join(lines) + b"\n")
