"""Checking an archive's entities: each one's events against the rules, and its snapshot against their fold.

Works on one partition of the archive at a time: all lines of the entities whose ids fall into it. A pure function of
bytes, so that partitions can be checked by several processes. What must be checked across entities (references,
numbers) comes out as keys, to be spooled and looked at again by target.
"""

from __future__ import annotations

import re
import zlib
from array import array
from collections.abc import Iterable
from decimal import Decimal
from hashlib import md5
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from domain.entity import where_and_why
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
_ID_LENGTH = 36
# Whose line it seems to be, where it is too broken to be read as JSON; no matter whether that is an id of ours.
_NAMED = re.compile(
    rb'\{(?:"type":"[a-z_.]{1,60}","type_version":\d{1,10},"entity"|"id"):'
    rb'"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"'
)


class PartitionInput(NamedTuple):
    """One partition: timeline lines with their positions, snapshot lines by kind with their line numbers.

    *copy_prefix* begins the rows that a builder copies (none are made without it); entities of *hold* are not copied
    but handed out; *partitions* is a power of two.
    """

    lines: bytes
    positions: bytes
    snapshots: dict[Kind, tuple[bytes, bytes]]
    partitions: int
    copy_prefix: bytes | None
    hold: frozenset[str]


class Checked(NamedTuple):
    """An entity that is sound: its fold, where its last event stands, and the line that says its state."""

    id: EntityId
    kind: Kind
    position: int
    state: Any
    line: bytes
    is_gone: bool


class _Sums(Struct, array_like=True):
    with_vat: Decimal
    due: Decimal


class DocumentFact(Struct, array_like=True):
    """What a report says of a document."""

    currency: str
    state: str
    issue_date: str
    sent: int
    totals: _Sums | None
    attachments: list[str] = []


class EntityFact(Struct, array_like=True):
    """What is compared and reported of an entity; ``digest`` tells one content from another."""

    id: str
    kind: Kind
    version: int
    number: str | None
    is_gone: bool
    digest: str
    document: DocumentFact | None
    custom_fields: list[tuple[str, str]]
    due_next: tuple[str, str] | None  # of an active subscription: its customer, and its next date


class PartitionChecked(NamedTuple):
    """What a partition comes to, in a form that travels well between processes."""

    facts: bytes
    faults: Faults
    totaller: Totaller
    across: dict[int, bytes]
    rows: bytes
    rows_count: int
    held: list[Checked]


_encode_facts = msgspec.msgpack.Encoder().encode
decode_facts = msgspec.msgpack.Decoder(list[EntityFact]).decode


def check_partition(given: PartitionInput) -> PartitionChecked:
    """The partition's sound entities, and what is wrong with the others."""
    entities, faults = _check(given)
    across: dict[int, list[str]] = {}
    for entity in entities:
        note_across(entity, given.partitions, across, faults)
    free = [entity for entity in entities if entity.id not in given.hold] if given.hold else entities
    totaller = Totaller()
    add_totals(totaller, free)
    rows = [] if given.copy_prefix is None else [entity_row(given.copy_prefix, entity) for entity in free]
    return PartitionChecked(
        facts=_encode_facts([fact_of(entity) for entity in entities]),
        faults=faults,
        totaller=totaller,
        across={partition: "".join(records).encode() for partition, records in across.items()},
        rows=b"".join(rows),
        rows_count=len(rows),
        held=[entity for entity in entities if entity.id in given.hold] if given.hold else [],
    )


def _check(given: PartitionInput) -> tuple[list[Checked], Faults]:
    faults = Faults()
    folded = _fold(_events(given, faults), faults)
    snapshots = _snapshots(given, faults)
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
            try:
                check_json(found.raw)
            except LineRefused as wrong:
                faults.add(line_fault(found.file, found.line, found.raw, wrong))
                continue
            reason = f"id: found {id_}, of which the timeline has no event; expected the events that lead to it"
            faults.add(_fault("archive.no-events", found.file, found.line, "id", id_, reason))
    return entities, faults


def fact_of(entity: Checked) -> EntityFact:
    """What is compared and reported of an entity."""
    state = entity.state
    fields = [(entity.kind.value, key) for key in state.custom_fields]
    document = None
    due_next = None
    if entity.kind.is_document:
        sums = _Sums(state.totals.with_vat, state.totals.due) if state.totals else None
        dated = state.issue_date.isoformat() if state.issue_date else ""
        attached = [attachment.sha256 for attachment in state.attachments]
        document = DocumentFact(state.currency, state.state.value, dated, state.sent, sums, attached)
        fields += [("line", key) for line in state.lines for key in line.custom_fields]
    elif entity.kind is Kind.SUBSCRIPTION:
        fields += [("line", key) for line in state.lines for key in line.custom_fields]
        if state.state == "active":
            due_next = (state.customer, state.next_date.isoformat())
    number = getattr(state, "number", None)
    digest = md5(entity.line, usedforsecurity=False).hexdigest()
    return EntityFact(entity.id, entity.kind, state.version, number, entity.is_gone, digest, document, fields, due_next)


def entity_row(prefix: bytes, entity: Checked) -> bytes:
    """The row that COPY takes for an entity, after *prefix* (account and stream)."""
    number = RULES[entity.kind].number(entity.state)
    return b"%b%b\t%d\t%d\t%b\t%b\t%b\t%b\n" % (
        prefix,
        entity.id.encode(),
        entity.state.version,
        entity.position,
        b"t" if entity.is_gone else b"f",
        entity.kind.value.encode(),
        b"\\N" if number is None else copy_text(number.encode()),
        copy_text(entity.line),
    )


def copy_text(value: bytes) -> bytes:
    """*value* as COPY's text format has it."""
    value = value.replace(b"\\", b"\\\\")
    return value.replace(b"\t", b"\\t").replace(b"\n", b"\\n").replace(b"\r", b"\\r")


KINDS = tuple(Kind)
_KIND_CODES = {kind: f"{number:02}" for number, kind in enumerate(KINDS)}
_TARGET_CODES = {kind: chr(65 + number) for number, kind in enumerate(KINDS)}
_ANY_DOCUMENT = "".join(_TARGET_CODES[kind] for kind in Kind if kind.is_document)


def note_across(entity: Checked, partitions: int, across: dict[int, list[str]], faults: Faults) -> None:
    """Note what must be looked at together with other entities, by the partition where they meet.

    Records end with a line feed; a reference that would break them is a fault. E: an entity that is there (id, kind,
    gone). R: a reference (target, source, source's kind, draft, kinds that it may lead to). U, M: a key that must be
    unique, or by which things are taken for the same (id, kind, key).
    """
    mask = partitions - 1
    kind = _KIND_CODES[entity.kind]
    id_ = entity.id
    across.setdefault(int(id_[-3:], 16) & mask, []).append(f"E{id_}{kind}{int(entity.is_gone)}\n")
    if entity.is_gone:
        return
    seen = set()
    draft = "1" if getattr(entity.state, "state", None) == "draft" else "0"
    for field, target, kinds in RULES[entity.kind].references(entity.state):
        if target in seen:
            continue
        seen.add(target)
        if len(target) != _ID_LENGTH or "\n" in target:
            reason = f"{entity.kind.value} {id_}: {field}: refers to {_shown(target)}; expected an id"
            file = SNAPSHOT_FILES[entity.kind]
            faults.add(_fault("archive.reference-unknown", file, None, field, id_, reason))
            continue
        targets = "".join([_TARGET_CODES[one] for one in kinds]) if kinds else _ANY_DOCUMENT
        record = f"R{target}{id_}{kind}{draft}{targets} {field}\n"
        across.setdefault(partition_of(target, mask), []).append(record)
    for letter, keys in (("U", unique_keys(entity.kind, entity.state)), ("M", match_keys(entity.kind, entity.state))):
        for key in keys:
            across.setdefault(zlib.crc32(key.encode()) & mask, []).append(f"{letter}{id_}{kind}{key}\n")


def partition_of(id_: str, mask: int) -> int:
    """The partition that an id falls into; 0 for what is none."""
    try:
        return int(id_[-3:], 16) & mask
    except ValueError:
        return 0


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
    named = _NAMED.match(raw)
    if named is not None:
        return named[1].decode()
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    found = value.get("entity", value.get("id")) if isinstance(value, dict) else None
    return found if isinstance(found, str) and is_canonical(found) else None


def _fold(events: Iterable[tuple[int, Event]], faults: Faults) -> dict[EntityId, tuple[int, Any]]:
    """Each entity's last position and state; what breaks a rule is noted, and its entity goes no further."""
    folded: dict[EntityId, tuple[int, Any]] = {}
    last_at: dict[EntityId, str] = {}
    for position, event in events:
        id_ = event.entity
        if id_ in faults.entities:
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
            rules.admit(state, event.data)
        except DomainError as wrong:
            faults.add(_fault(wrong.code, TIMELINE, position, getattr(wrong, "field", None), id_, str(wrong)))
            continue
        folded[id_] = (position, rules.evolve(state, event.data, id_, version))
        last_at[id_] = event.at
    return folded


def _snapshots(given: PartitionInput, faults: Faults) -> dict[EntityId, _Found]:
    found: dict[EntityId, _Found] = {}
    for kind, (lines, numbers) in given.snapshots.items():
        line_numbers = array("Q")
        line_numbers.frombytes(numbers)
        file = SNAPSHOT_FILES[kind]
        for line, raw in zip(line_numbers, lines.split(b"\n")[:-1], strict=True):
            id_ = EntityId(raw[7:43].decode("ascii", "replace"))
            if not is_canonical(id_):
                faults.add(_why_no_snapshot(file, line, raw))
                continue
            if id_ in found:
                reason = f"id: found {id_} again, after {found[id_].file} line {found[id_].line:,}; expected it once"
                faults.add(_fault("archive.snapshot-twice", file, line, "id", id_, reason))
                continue
            found[id_] = _Found(file, line, kind, raw)
    return found


def _why_no_snapshot(file: str, line: int, raw: bytes) -> Fault:
    try:
        check_json(raw)
    except LineRefused as wrong:
        return line_fault(file, line, raw, wrong)
    found = repr(raw[:50].decode(errors="replace"))
    return line_fault(file, line, raw, LineRefused("id", f"a line that begins with {found}", '{"id":"<UUID>", first'))


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
        path, reason = where_and_why(wrong)
        field = path.removeprefix(".") or None
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
