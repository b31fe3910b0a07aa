"""Checking an archive's entities: each one's events against the rules, and its snapshot against their fold.

Works on one partition of the archive at a time: all lines of the entities whose ids fall into it. A pure function of
bytes, so that partitions can be checked by several processes. What must be checked across entities (references,
numbers) comes out as keys, to be spooled and looked at again by target.
"""

from __future__ import annotations

import re
import zlib
from array import array
from collections.abc import Iterable, Iterator
from decimal import Decimal
from hashlib import md5
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Struct

from domain.decimals import PLAIN, odd_decimals
from domain.entity import where_and_why
from domain.errors import DomainError
from domain.events import (
    LINE_LIMITS,
    Event,
    LineLimits,
    LineRefused,
    are_within,
    check_json,
    encode_data,
    read_line,
    read_lines,
    type_of,
)
from domain.events import line as event_line
from domain.ids import EntityId, is_canonical
from domain.kinds import Kind
from domain.layouts import Layout, default_keys
from domain.parties import Value
from domain.rules import RULES
from domain.work import decode_state, is_gone, kind_of
from projections.control_totals import Totaller
from snapshots.copying import entity_row
from snapshots.format.faults import Fault, Faults
from snapshots.format.manifest import SNAPSHOT_FILES, TIMELINE
from snapshots.reading.spool import read_lines_back, read_places

KINDS = tuple(Kind)
TIMELINE_FILE = 0  # in a spool; a kind's snapshots: `file_of` it
_encode = msgspec.json.Encoder().encode
_ID_LENGTH = 36
# Whose line it seems to be, where it is too broken to be read as JSON; no matter whether that is an id of ours.
_NAMED = re.compile(
    rb'\{(?:"type":"[a-z_.]{1,60}","type_version":\d{1,10},"entity"|"id"):'
    rb'"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"'
)


class Correcting(NamedTuple):
    """On whose word a snapshot stands against its timeline: ``person:<id>``, and when, as lines say."""

    actor: str
    at: str


class PartitionInput(NamedTuple):
    """One partition: timeline lines with their positions, snapshot lines by kind with their line numbers.

    *copy_prefix* begins the rows that a builder copies (none are made without it); entities of *hold* are not copied
    but handed out; facts are *digested* for who compares them; what must be looked at across entities meets in one of
    so many *meetings*, a power of two. Without *correcting*, a snapshot that is not the fold of its events is a fault;
    with it, an event that leads there follows. *as_past* lines are those up to a past position, of which there are no
    snapshots.
    """

    lines: bytes
    positions: bytes
    snapshots: dict[Kind, tuple[bytes, bytes]]
    meetings: int
    copy_prefix: bytes | None
    hold: frozenset[str]
    correcting: Correcting | None = None
    limits: LineLimits = LINE_LIMITS
    digested: bool = False
    as_past: bool = False


class Spooled(NamedTuple):
    """One partition whose lines are in a `LineSpool`, at *places* of its file; the rest as in `PartitionInput`."""

    places: bytes
    meetings: int
    copy_prefix: bytes | None
    hold: frozenset[str]
    correcting: Correcting | None
    limits: LineLimits
    digested: bool
    as_past: bool


class Checked(NamedTuple):
    """An entity that is sound: its fold, where its last event stands, and the line that says its state."""

    id: EntityId
    kind: Kind
    position: int
    state: Any
    line: bytes
    is_gone: bool


class Correction(Value, frozen=True, kw_only=True):
    """What an edited or unsigned archive says of an entity that its events do not lead to: the snapshot line that
    differs (none: it was taken out), the fields, and the event that follows.
    """

    how: Literal["imported", "corrected", "removed"]
    file: str
    line: int | None = None
    kind: str
    id: str
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        where = f"{self.file} line {self.line:,}" if self.line else self.file
        fields = f": {', '.join(self.fields)}" if self.fields else ""
        return f"{where}: {self.kind} {self.id}, {self.how}{fields}"


class Appended(NamedTuple):
    """The line of a correcting event, and its entity's row, which waits for the position that the line will have; no
    row for one that is held.
    """

    line: bytes
    row: bytes | None
    correction: Correction


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
    appended: list[Appended]


_encode_facts = msgspec.msgpack.Encoder().encode
decode_facts = msgspec.msgpack.Decoder(list[EntityFact]).decode


def check_spooled(descriptor: int, given: Spooled) -> PartitionChecked:
    """`check_partition` of lines that are in the spool's open file."""
    files = {file: (lines, numbers) for file, numbers, lines in read_lines_back(read_places(descriptor, given.places))}
    lines, positions = files.pop(TIMELINE_FILE, (b"", b""))
    snapshots = {KINDS[file - 1]: some for file, some in files.items()}
    return check_partition(PartitionInput(lines, positions, snapshots, *given[1:]))


def check_partition(given: PartitionInput) -> PartitionChecked:
    """The partition's sound entities, and what is wrong with the others."""
    entities, corrected, faults = _check(given)
    everyone = entities + [entity for entity, _, _ in corrected]
    across = note_across(everyone, given.meetings, faults)
    hold = given.hold
    free = [entity for entity in everyone if entity.id not in hold] if hold else everyone
    totaller = Totaller()
    add_totals(totaller, free)
    prefix = given.copy_prefix
    rows = [] if prefix is None else [row_of(prefix, entity) for entity in entities if entity.id not in hold]
    appended = [
        Appended(line, None if prefix is None or entity.id in hold else row_of(prefix, entity), correction)
        for entity, line, correction in corrected
    ]
    return PartitionChecked(
        facts=_encode_facts([fact_of(entity, digested=given.digested) for entity in everyone]),
        faults=faults,
        totaller=totaller,
        across=across,
        rows=b"".join(rows),
        rows_count=len(rows),
        held=[entity for entity in everyone if entity.id in hold] if hold else [],
        appended=appended,
    )


_Corrected = tuple[Checked, bytes, Correction]


def _check(given: PartitionInput) -> tuple[list[Checked], list[_Corrected], Faults]:
    """The sound entities; those that a correcting event makes so, with its line; and the faults of the others."""
    faults = Faults()
    last_at: dict[EntityId, str] = {}
    folded = _fold(_events(given, faults), faults, last_at)
    snapshots = _snapshots(given, faults)
    entities = []
    corrected: list[_Corrected] = []
    for id_, (position, state) in folded.items():
        found = snapshots.pop(id_, None)
        if id_ in faults.entities:
            continue
        line = _encode(state)
        gone = is_gone(state)
        if given.as_past or _agrees(state, line, found, gone=gone):
            entities.append(Checked(id_, kind_of(state), position, state, line, gone))
        elif given.correcting is None or (found is not None and found.kind is not kind_of(state)):
            faults.add(_why_not(id_, position, state, b"" if gone else line, found))
        else:
            at = max(given.correcting.at, last_at[id_])
            try:
                made = _correct(id_, state, found, given.correcting._replace(at=at))
            except _NotCorrected as wrong:
                faults.add(wrong.fault)
                continue
            if made is None:
                entities.append(Checked(id_, kind_of(state), position, state, line, gone))
            else:
                corrected.append(made)
    for id_, found in snapshots.items():
        if id_ in faults.entities:
            continue
        if given.correcting is not None:
            try:
                made = _correct(id_, None, found, given.correcting)
            except _NotCorrected as wrong:
                faults.add(wrong.fault)
                continue
            assert made is not None, "what has no events differs from them"
            corrected.append(made)
            continue
        try:
            check_json(found.raw, given.limits)
        except LineRefused as wrong:
            faults.add(line_fault(found.file, found.line, found.raw, wrong))
            continue
        reason = f"id: found {id_}, of which the timeline has no event; expected the events that lead to it"
        faults.add(_fault("archive.no-events", found.file, found.line, "id", id_, reason))
    return entities, corrected, faults


class _NotCorrected(Exception):
    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


def _correct(id_: EntityId, state: Any, found: _Found | None, correcting: Correcting) -> _Corrected | None:
    """The entity as its snapshot says, and the event that leads there from *state*; None where nothing but the way it
    is written differs. Raises _NotCorrected.
    """
    if found is None:
        kind = kind_of(state)
        stated = None
        how: Literal["imported", "corrected", "removed"] = "removed"
    else:
        kind = found.kind
        stated = _stated(id_, found)
        how = "imported" if state is None else "corrected"
        if state is not None and msgspec.structs.replace(stated, version=state.version) == state:
            return None
    rules = RULES[kind]
    file, number = (found.file, found.line) if found is not None else (SNAPSHOT_FILES[kind], None)
    removal = rules.events.get("deleted") or rules.events.get("draft_deleted")
    if stated is not None:
        event_type = rules.events[how]
        event = event_type(**{name: getattr(stated, name) for name in event_type.__struct_fields__})
    elif removal is not None:
        event = removal()
    else:
        raise _NotCorrected(_why_not(id_, 0, state, _encode(state), None))
    version = state.version + 1 if state is not None else 1
    try:
        rules.admit(state, event)
    except DomainError as wrong:
        if stated is None:
            raise _NotCorrected(_why_not(id_, 0, state, _encode(state), None)) from None
        fault = _fault(wrong.code, file, number, getattr(wrong, "field", None), id_, str(wrong))
        raise _NotCorrected(fault) from None
    after = rules.evolve(state, event, id_, version)
    written = event_line(
        type_name=type_of(kind, event),
        entity=id_,
        version=version,
        at=correcting.at,
        actor=correcting.actor,
        via="import" if how == "imported" else "restore",
        data=encode_data(event),
    )
    if not are_within(written):
        reason = f"found a record whose event has {len(written):,} bytes; expected at most {LINE_LIMITS.max_bytes:,}"
        raise _NotCorrected(_fault("line.refused", file, number, None, id_, reason))
    checked = Checked(id_, kind, 0, after, _encode(after), is_gone(after))
    correction = Correction(
        how=how, file=file, line=number, kind=kind.value, id=id_, fields=tuple(_fields_between(state, stated))
    )
    return checked, written, correction


def _stated(id_: EntityId, found: _Found) -> Any:
    """What a snapshot line says, in whichever order and layout. Raises _NotCorrected."""
    try:
        check_json(found.raw, found.limits)
        stated: Any = decode_state(found.kind, found.raw)
    except LineRefused as wrong:
        fault = msgspec.structs.replace(line_fault(found.file, found.line, found.raw, wrong), entity=id_)
        raise _NotCorrected(fault) from None
    except msgspec.ValidationError as wrong:
        raise _NotCorrected(_refused_fields(id_, found, wrong)) from None
    for path, value in odd_decimals(stated):
        reason = f"{path}: found {str(value)[:40]}; expected {PLAIN}"
        raise _NotCorrected(_fault("line.refused", found.file, found.line, path, id_, reason))
    if kind_of(stated) is not found.kind:
        reason = f"kind: found {kind_of(stated).value}; expected {found.kind.value} in {found.file}"
        raise _NotCorrected(_fault("archive.snapshot-misplaced", found.file, found.line, "kind", id_, reason))
    return stated


def _fields_between(state: Any, stated: Any) -> Iterator[str]:
    if state is not None and stated is not None:
        for name in state.__struct_fields__:
            if name != "version" and getattr(state, name) != getattr(stated, name):
                yield name


def fact_of(entity: Checked, *, digested: bool = True) -> EntityFact:
    """What is compared and reported of an entity; not *digested* there is nothing that it could be compared with."""
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
    digest = md5(entity.line, usedforsecurity=False).hexdigest() if digested else ""
    return EntityFact(entity.id, entity.kind, state.version, number, entity.is_gone, digest, document, fields, due_next)


def row_of(prefix: bytes, entity: Checked) -> bytes:
    """The row that COPY takes for an entity, after *prefix* (account and stream)."""
    number = RULES[entity.kind].number(entity.state)
    version, kind = entity.state.version, entity.kind.value
    return entity_row(prefix, entity.id, version, entity.position, kind, number, entity.line, deleted=entity.is_gone)


_KIND_CODES = {kind: f"{number:02}" for number, kind in enumerate(KINDS)}
_TARGET_CODES = {kind: chr(65 + number) for number, kind in enumerate(KINDS)}
_ANY_DOCUMENT = "".join(_TARGET_CODES[kind] for kind in Kind if kind.is_document)


def note_across(entities: Iterable[Checked], meetings: int, faults: Faults) -> dict[int, bytes]:
    """What of a partition's *entities* must be looked at together with others, by where they meet.

    Records end with a line feed; a reference that would break them is a fault. E: an entity that is there (id, kind,
    standing). R: references to one target (target, sources' kind, draft, kinds that it may lead to, field, sources).
    U, M: a key that must be unique, or by which things are taken for the same (id, kind, key). T: what a credit note
    comes to (id, amount). C: what one takes back of a document (note, kind, document, amount).
    """
    mask = meetings - 1
    across: dict[int, list[str]] = {}
    sources: dict[tuple[EntityId, str, str, tuple[Kind, ...]], list[EntityId]] = {}
    for entity in entities:
        id_, state, kind = entity.id, entity.state, _KIND_CODES[entity.kind]
        across.setdefault(int(id_[-3:], 16) & mask, []).append(f"E{id_}{kind}{standing(state)}\n")
        if entity.is_gone:
            continue
        seen = set()
        draft = kind + ("1" if getattr(state, "state", None) == "draft" else "0")
        for field, target, kinds in RULES[entity.kind].references(state):
            if target not in seen:
                seen.add(target)
                sources.setdefault((target, draft, field, kinds), []).append(id_)
        for key in unique_keys(entity.kind, state):
            across.setdefault(zlib.crc32(key.encode()) & mask, []).append(f"U{id_}{kind}{key}\n")
        if entity.kind is Kind.CREDIT_NOTE:
            across.setdefault(partition_of(id_, mask), []).append(f"T{id_}{state.totals.with_vat}\n")
        for credit in getattr(state, "credits", ()):
            if _is_one_line(credit.by):
                record = f"C{credit.by}{kind}{id_}{credit.amount}\n"
                across.setdefault(partition_of(credit.by, mask), []).append(record)
        for key in match_keys(entity.kind, state):
            across.setdefault(zlib.crc32(key.encode()) & mask, []).append(f"M{id_}{kind}{key}\n")
    for (target, draft, field, kinds), ids in sources.items():
        if not _is_one_line(target):
            kind_of_sources = KINDS[int(draft[:2])]
            for source in ids:
                reason = f"{kind_of_sources.value} {source}: {field}: refers to {_shown(target)}; expected an id"
                file = SNAPSHOT_FILES[kind_of_sources]
                faults.add(_fault("archive.reference-unknown", file, None, field, source, reason))
            continue
        targets = "".join([_TARGET_CODES[one] for one in kinds]) if kinds else _ANY_DOCUMENT
        record = f"R{target}{draft}{targets} {field} {''.join(ids)}\n"
        across.setdefault(partition_of(target, mask), []).append(record)
    return {meeting: "".join(records).encode() for meeting, records in across.items()}


def _is_one_line(id_: str) -> bool:
    return len(id_) == _ID_LENGTH and "\n" not in id_


HERE, GONE, DRAFT = "0", "1", "2"


def standing(state: Any) -> str:
    """Whether what may refer to an entity can: it is HERE, GONE, or a DRAFT, which may be gone soon."""
    return GONE if is_gone(state) else DRAFT if getattr(state, "state", None) == "draft" else HERE


class References(NamedTuple):
    """What an R record says: who of one kind refers to *target* by *field*, all drafts or none."""

    target: str
    kind: Kind
    draft: bool
    kinds: tuple[Kind, ...]
    field: str
    sources: list[str]


def references_in(record: str) -> References:
    """The references that an R record notes."""
    codes, field, ids = record[40:].split(" ")
    return References(
        record[1:37],
        KINDS[int(record[37:39])],
        record[39] == "1",
        tuple([KINDS[ord(letter) - 65] for letter in codes]),
        field,
        [ids[at : at + _ID_LENGTH] for at in range(0, len(ids), _ID_LENGTH)],
    )


def file_of(kind: Kind) -> int:
    """The number of a kind's snapshots in a spool."""
    return KINDS.index(kind) + 1


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
    limits: LineLimits


def _fault(code: str, file: str, line: int | None, field: str | None, entity: str | None, reason: str) -> Fault:  # noqa: PLR0917
    return Fault(code=code, file=file, line=line, field=field, entity=entity, reason=reason)


def _events(given: PartitionInput, faults: Faults) -> Iterable[tuple[int, Event]]:
    positions = array("Q")
    positions.frombytes(given.positions)
    if not positions:
        return ()
    events = read_lines(given.lines, given.limits)
    if events is not None:
        return zip(positions, events, strict=True)
    return _events_one_by_one(given, positions, faults)


def _events_one_by_one(given: PartitionInput, positions: Iterable[int], faults: Faults) -> list[tuple[int, Event]]:
    events = []
    for position, raw in zip(positions, given.lines.split(b"\n")[:-1], strict=True):
        try:
            events.append((position, read_line(raw, given.limits)))
        except LineRefused as wrong:
            faults.add(line_fault(TIMELINE, position, raw, wrong))
    return events


def line_fault(file: str, line: int, raw: bytes, wrong: LineRefused) -> Fault:
    """The fault of a line that was refused, with the entity that it seems to be about."""
    entity = named_in(raw)
    return _fault(wrong.code, file, line, wrong.field or None, entity, str(wrong))


def named_in(raw: bytes) -> str | None:
    """Whose line it seems to be; None where that cannot be told."""
    named = _NAMED.match(raw)
    if named is not None:
        return named[1].decode()
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    found = value.get("entity", value.get("id")) if isinstance(value, dict) else None
    return found if isinstance(found, str) and is_canonical(found) else None


def _fold(
    events: Iterable[tuple[int, Event]], faults: Faults, last_at: dict[EntityId, str]
) -> dict[EntityId, tuple[int, Any]]:
    """Each sound entity's last position and state, and in *last_at* the time of its last event; of the others, what
    first breaks a rule is noted.
    """
    of_entity: dict[EntityId, list[tuple[int, Event]]] = {}
    for one in events:
        id_ = one[1].entity
        if id_ in of_entity:
            of_entity[id_].append(one)
        else:
            of_entity[id_] = [one]
    folded: dict[EntityId, tuple[int, Any]] = {}
    for id_, its in of_entity.items():
        if id_ not in faults.entities:
            _fold_one(id_, its, faults, folded, last_at)
    return folded


def _fold_one(
    id_: EntityId,
    events: list[tuple[int, Event]],
    faults: Faults,
    folded: dict[EntityId, tuple[int, Any]],
    last_at: dict[EntityId, str],
) -> None:
    state: Any = None
    version, at, position = 0, "", 0
    kind = events[0][1].rules.kind
    for position, event in events:
        rules = event.rules
        version += 1
        if event.version != version:
            reason = f"version: found {event.version}; expected {version}, the entity's next"
            fault = _fault("archive.version-gap", TIMELINE, position, "version", id_, reason)
        elif event.at < at:
            reason = f"at: found {event.at}; expected no time before {at}, that of the entity's last event"
            fault = _fault("archive.time-goes-back", TIMELINE, position, "at", id_, reason)
        elif rules.kind is not kind:
            reason = f"type: found {event.type} for a {kind.value}; expected an event of its kind"
            fault = _fault("archive.kind-changes", TIMELINE, position, "type", id_, reason)
        else:
            try:
                rules.admit(state, event.data)
            except DomainError as wrong:
                fault = _fault(wrong.code, TIMELINE, position, getattr(wrong, "field", None), id_, str(wrong))
            else:
                state = rules.evolve(state, event.data, id_, version)
                at = event.at
                continue
        faults.add(fault)
        return
    folded[id_] = (position, state)
    last_at[id_] = at


def _snapshots(given: PartitionInput, faults: Faults) -> dict[EntityId, _Found]:
    found: dict[EntityId, _Found] = {}
    for kind, (lines, numbers) in given.snapshots.items():
        line_numbers = array("Q")
        line_numbers.frombytes(numbers)
        file = SNAPSHOT_FILES[kind]
        for line, raw in zip(line_numbers, lines.split(b"\n")[:-1], strict=True):
            id_ = EntityId(snapshot_id(raw, in_any_layout=given.correcting is not None))
            if not is_canonical(id_):
                faults.add(_why_no_snapshot(file, line, raw, given.limits))
                continue
            if id_ in found:
                reason = f"id: found {id_} again, after {found[id_].file} line {found[id_].line:,}; expected it once"
                faults.add(_fault("archive.snapshot-twice", file, line, "id", id_, reason))
                continue
            found[id_] = _Found(file, line, kind, raw, given.limits)
    return found


class _Identified(Struct):
    id: str


_identified = msgspec.json.Decoder(_Identified).decode


def snapshot_id(raw: bytes, *, in_any_layout: bool) -> str:
    """Whose snapshot a line is, as it seems; *in_any_layout* of its keys and blanks."""
    if in_any_layout and not raw.startswith(b'{"id":"'):
        try:
            return _identified(raw).id
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return ""
    return raw[7:43].decode("ascii", "replace")


def _why_no_snapshot(file: str, line: int, raw: bytes, limits: LineLimits) -> Fault:
    try:
        check_json(raw, limits)
    except LineRefused as wrong:
        return line_fault(file, line, raw, wrong)
    found = repr(raw[:50].decode(errors="replace"))
    return line_fault(file, line, raw, LineRefused("id", f"a line that begins with {found}", '{"id":"<UUID>", first'))


def _agrees(state: Any, line: bytes, found: _Found | None, *, gone: bool) -> bool:
    """Whether an entity's snapshot line is the fold of its events, byte for byte; a deleted one has none."""
    if gone or found is None:
        return gone and found is None
    return found.raw == line and found.kind is kind_of(state)


def _why_not(id_: EntityId, position: int, state: Any, line: bytes, found: _Found | None) -> Fault:
    """What is wrong with the snapshot of an entity whose events lead to *line*; empty, to nothing."""
    if found is None:
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
        check_json(found.raw, found.limits)
        decode_state(found.kind, found.raw)
    except LineRefused as wrong:
        return msgspec.structs.replace(line_fault(found.file, found.line, found.raw, wrong), entity=id_)
    except msgspec.ValidationError as wrong:
        return _refused_fields(id_, found, wrong)
    stated, folded = msgspec.json.decode(found.raw), msgspec.json.decode(line)
    for name in [*folded, *(name for name in stated if name not in folded)]:
        if stated.get(name) != folded.get(name):
            reason = (
                f"{name}: found {_shown(stated.get(name))}; expected {_shown(folded.get(name))},"
                f" which the events up to timeline line {position:,} lead to"
            )
            return _fault("archive.snapshot-differs", found.file, found.line, name, id_, reason)
    return _fault("archive.snapshot-differs", found.file, found.line, None, id_, "not written as a snapshot line is")


def _refused_fields(id_: EntityId, found: _Found, wrong: msgspec.ValidationError) -> Fault:
    path, reason = where_and_why(wrong)
    field = path.removeprefix(".") or None
    text = f"{field}: {reason}" if field else reason
    return _fault("line.refused", found.file, found.line, field, id_, text)


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
        written = "".join(filter(str.isalnum, state.party.vat_identifier)).upper()
        return [f"{kind.value} with VAT number {written!r}"]
    return []


def add_totals(totaller: Totaller, entities: Iterable[Checked]) -> None:
    """Add the entities that are there to *totaller*."""
    by_kind: dict[Kind, list[Checked]] = {}
    for entity in entities:
        if not entity.is_gone:
            by_kind.setdefault(entity.kind, []).append(entity)
    for kind, its in by_kind.items():
        if kind.is_document:
            totaller.add_documents(kind, [entity.state for entity in its])
        else:
            totaller.add(kind, b"".join([entity.line + b"\n" for entity in its]))
