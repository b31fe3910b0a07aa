"""Reading an archive through once: hashes, log, every line, every entity, references and numbers; bounded in memory.

The timeline is read in order of position and spooled by entity; then partition by partition the events of each entity
are folded and held against its snapshot; then, by target, references and unique keys are looked at across entities.
What is sound can be handed on as it goes by: a restore builds its fresh stream in the same pass.
"""

from __future__ import annotations

import re
import zlib
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any, NamedTuple, Protocol

from domain.decimals import ZERO
from domain.events import LineRefused, read_line, written_time
from domain.kinds import Kind
from domain.tree import EMPTY, Frontier, leaf_hashes
from domain.tree import append as append_leaves
from projections.control_totals import ControlTotals, Totaller, differences
from snapshots.copying import placed
from snapshots.format.errors import FileDiffers, LinesBroken
from snapshots.format.faults import MOST_IN_FULL, Fault, Faults
from snapshots.format.manifest import MANIFEST, SNAPSHOT_FILES, TIMELINE, Segment
from snapshots.progress import Progress, no_progress
from snapshots.reading.archive import Archive
from snapshots.reading.checking import (
    DRAFT,
    GONE,
    HERE,
    KINDS,
    TIMELINE_FILE,
    Appended,
    Checked,
    Correcting,
    Correction,
    EntityFact,
    PartitionChecked,
    References,
    Spooled,
    check_spooled,
    decode_facts,
    file_of,
    line_fault,
    partition_of,
    references_in,
    snapshot_id,
)
from snapshots.reading.spool import LineSpool, Spool
from snapshots.reading.workers import in_order, without_collecting

# A partition's lines, their structs and states are some fifteen times its bytes. Of half a megabyte more of them stays
# in the processor's caches than of a whole one: 7 % less time.
_PARTITION_BYTES = 512 * 1024
_PARTITIONS_A_MEETING = 8  # what is looked at across entities is a tenth of their lines
_USUAL_EVENT_BYTES = 500
# The last three hexadecimal digits of an id, which are random, tell partitions apart.
_DIGITS = range(16**3)
_MOST_PARTITIONS = 2048
_WORKERS_FROM_BYTES = 48 * 1024 * 1024  # from here on two processes more are worth the 0.4 s that they take to start
# Fields that lead from what is issued to what is, too: what is converted leads to the draft that was made of it.
_TO_WHAT_IS_ISSUED = ("derived_from", "preceding_invoices", "credits.by")
_CLOCKS_DIFFER = timedelta(days=1)
_FILES_OF_LINES = frozenset((TIMELINE, *SNAPSHOT_FILES.values()))
# A whole line, never the end of one: what a sink is handed is what the log hashes. It may still be refused later.
ENVELOPE = re.compile(
    rb'^\{"type":"([a-z_]+\.[a-z_]+)","type_version":(\d{1,4}),'
    rb'"entity":"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{9}([0-9a-f]{3}))",'
    rb'"version":(\d{1,10}),"at":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)",'
    rb'"actor":"((?:person|system):[a-z0-9-]{1,40})","via":"([a-z]{1,20})",'
    rb'"data":(\{.*\})\}\n',
    re.MULTILINE,
)


class Sink(Protocol):
    """Who takes what is sound, as it goes by."""

    def lines(self, first_position: int, envelopes: list[Any], leaves: list[bytes]) -> None:
        """Lines that are kept, in order, from *first_position* on."""
        ...

    def entities(self, rows: bytes, count: int, held: list[Checked]) -> None:
        """Entities that are kept: rows for COPY, and those that were to be held."""
        ...


class Across(NamedTuple):
    """Something another system knows of: an entity of the account that an archive is added to."""

    id: str
    kind: Kind
    standing: str
    unique: list[str]
    match: list[str]


# A key, the archive's entity that has it, and the account's.
Clash = tuple[str, str, str]


class Brought(NamedTuple):
    """Lines of one of the archive's segments, as they stand in the fresh stream: the first one's position, and how many
    there are by each actor.
    """

    first_position: int
    segment: Segment
    actors: dict[str, int]


class Examination(NamedTuple):
    """What one pass found."""

    faults: Faults
    frontier: Frontier
    first_position: int
    events: int
    totals: ControlTotals
    totaller: Totaller
    actors: dict[str, int]
    brought: list[Brought]
    clashes: list[Clash]
    refused: frozenset[str]
    corrected_from: int
    corrections: list[Correction]
    corrections_count: int


class Examiner:
    """One pass over an archive, without the entities of *leave_out* and lines that belong to nobody.

    *beside* are the entities of an account that it is added to, *base* is that account's log. *added* are, once all
    entities went by *look*, those that the account lacks; *refuse_clashes* says which keys that archive and account
    have under different ids refuse an entity. Lines of *unwritten* entities are folded, but not handed on. *as_of* is
    the last line that counts: the entities are what the lines up to there lead to. *now*: no line may be of much later,
    since what is recorded afterwards is never earlier than what is there. *choose* is called with what was
    noted across entities, as often as it likes, and with the faults; what it is given is not checked any further then.
    """

    def __init__(
        self,
        archive: Archive,
        *,
        leave_out: Container[str] | None = None,
        beside: Iterable[Across] = (),
        added: Container[str] = (),
        refuse_clashes: Callable[[list[Clash]], list[Fault]] = lambda _: [],
        partitions: int | None = None,
        base: Frontier = EMPTY,
        sink: Sink | None = None,
        copy_prefix: bytes | None = None,
        hold: frozenset[str] = frozenset(),
        look: Callable[[int, list[EntityFact]], None] | None = None,
        correcting: Correcting | None = None,
        digested: bool = False,
        unwritten: frozenset[str] = frozenset(),
        as_of: int | None = None,
        now: datetime | None = None,
        choose: Callable[[Callable[[], Iterator[list[str]]], Faults], None] | None = None,
        progress: Progress = no_progress,
    ) -> None:
        self.archive = archive
        self.faults = Faults()
        self._leave_out: Container[str] = leave_out if leave_out is not None else ()
        self._leaves_out = leave_out is not None
        self._beside = beside
        self._added = added
        self._refuse_clashes = refuse_clashes
        self._base = base
        self._sink = sink
        self._copy_prefix = copy_prefix
        self._hold = hold
        self._look = look
        self._digested = digested
        self._correcting = correcting if as_of is None else None
        self._unwritten = unwritten
        self._as_of = as_of
        self._latest = written_time(now + _CLOCKS_DIFFER).encode() if now is not None else None
        self._choose = choose
        self._corrections: list[Correction] = []
        self._corrections_count = 0
        self._progress = progress
        self._totaller = Totaller()
        # By where in the archive they begin. Lines that no segment is listed for are as the archive itself is.
        self._segments = sorted(archive.manifest.segments, key=_first_position)
        if not self._segments or self._segments[0].first_position > 1:
            self._segments.insert(0, Segment(first_position=1, came_by="recorded", authenticity="recorded"))
        self._brought: list[tuple[int, Segment, Counter[bytes]]] = []
        self._unread = 0
        self._clashes: list[Clash] = []
        self._merged: dict[str, tuple[str, Kind]] = {}
        self._partitions = partitions or partitions_for(archive)
        self._meetings = max(1, self._partitions // _PARTITIONS_A_MEETING)
        self._partition = {b"%03x" % digits: digits & (self._partitions - 1) for digits in _DIGITS}
        self._attached = {file.sha256 for file in archive.attachments()}

    def run(self) -> Examination:
        """Read the archive through. Raises ContainerFault, and FileDiffers or ArchiveEdited when a file is another."""
        large = _size(self.archive) >= _WORKERS_FROM_BYTES
        with ExitStack() as stack:
            self._lines = stack.enter_context(LineSpool(self._partitions))
            check = stack.enter_context(in_order(check_spooled, lending=self._lines.descriptor, processes=large))
            stack.enter_context(without_collecting())
            self._across = stack.enter_context(Spool(self._meetings))
            self._frontier = self._read_timeline()
            corrected_from = self._frontier.size + 1
            # Of an entity with a line that is none, what the other lines lack by it is no further fault.
            self._broken = frozenset(self.faults.entities)
            for kind in SNAPSHOT_FILES:
                self._read_snapshots(kind)
            self._read_others()
            self._lines.write_out()
            for partition, checked in enumerate(check(self._given())):
                self._take(partition, checked)
            refused = self._check_across()
        totals = self._totaller.totals()
        is_whole = not self._leaves_out and self._as_of is None
        if not self.faults.count and is_whole and not self.archive.authenticity.differing:
            self._check_totals(totals)
        return Examination(
            faults=self.faults,
            frontier=self._frontier,
            first_position=self._base.size + 1,
            events=self._frontier.size - self._base.size,
            totals=totals,
            totaller=self._totaller,
            actors={
                actor.decode(): count
                for actor, count in sum((actors for _, _, actors in self._brought), Counter()).items()
            },
            brought=[
                Brought(first, segment, {actor.decode(): count for actor, count in actors.items()})
                for first, segment, actors in self._brought
            ],
            clashes=self._clashes,
            refused=refused,
            corrected_from=corrected_from,
            corrections=self._corrections,
            corrections_count=self._corrections_count,
        )

    # The timeline, in order of position

    def _read_timeline(self) -> Frontier:
        frontier = self._base
        whole = EMPTY
        line_number = 0
        rows = self.archive.listed(TIMELINE).rows or 0
        for block in self._blocks(TIMELINE):
            now, later = self._up_to_then(block, line_number)
            envelopes, numbers, raw = self._envelopes(now, line_number) if now else ([], [], [])
            line_number += block.count(b"\n")
            leaves = leaf_hashes(raw)
            if not self._leaves_out and self._base is EMPTY and self._as_of is None:
                frontier = whole = append_leaves(whole, leaves)
                listed = numbers
            else:
                whole = append_leaves(append_leaves(whole, leaves), leaf_hashes(later))
                kept = [at for at, parts in enumerate(envelopes) if parts[2].decode() not in self._leave_out]
                if self._unwritten:
                    kept = self._spool_unwritten(envelopes, numbers, raw, kept)
                envelopes, raw = [envelopes[at] for at in kept], [raw[at] for at in kept]
                leaves = [leaves[at] for at in kept]
                listed = [numbers[at] for at in kept]
                numbers = list(range(frontier.size + 1, frontier.size + 1 + len(kept)))
                frontier = append_leaves(frontier, leaves)
            self._check_times(envelopes, listed)
            # Rows say where a line will stand; a fault says where it stands.
            self._spool_lines(envelopes, listed if self._copy_prefix is None else numbers, raw)
            self._note_actors(envelopes, listed, numbers)
            if self._sink is not None and envelopes:
                self._sink.lines(frontier.size - len(leaves) + 1, envelopes, leaves)
            self._progress(TIMELINE, line_number, rows)
        if line_number != rows:
            raise FileDiffers(TIMELINE, "rows", f"{line_number:,}", f"{rows:,}")
        root, stated = whole.root().hex(), self.archive.manifest.tree_head.root
        if not self._unread and root != stated and not self.archive.authenticity.differs(TIMELINE, MANIFEST):
            raise FileDiffers(TIMELINE, "tree root of its lines", root, stated)
        return frontier

    def _check_times(self, envelopes: list[Any], listed: list[int]) -> None:
        latest = self._latest
        if latest is None or not envelopes or max(parts[5] for parts in envelopes) <= latest:
            return
        for parts, number in zip(envelopes, listed, strict=True):
            if parts[5] > latest:
                reason = f"at: found {parts[5].decode()}; expected no time after {latest.decode()}, a day from now"
                fault = Fault(
                    code="archive.time-ahead",
                    file=TIMELINE,
                    line=number,
                    field="at",
                    entity=parts[2].decode(),
                    reason=reason,
                )
                self.faults.add(fault)

    def _up_to_then(self, block: bytes, before: int) -> tuple[bytes, list[bytes]]:
        """A block's lines up to *as_of*, and those behind it."""
        rows = block.count(b"\n")
        if self._as_of is None or before + rows <= self._as_of:
            return block, []
        raw = block[:-1].split(b"\n")
        kept = max(self._as_of - before, 0)
        return b"".join(line + b"\n" for line in raw[:kept]), raw[kept:]

    def _spool_unwritten(
        self, envelopes: list[Any], numbers: list[int], raw: list[bytes], kept: list[int]
    ) -> list[int]:
        """Spool those of the *kept* lines that are only folded. The others."""
        folded = [at for at in kept if envelopes[at][2].decode() in self._unwritten]
        partitions = [self._partition[envelopes[at][3]] for at in folded]
        self._lines.add_lines(TIMELINE_FILE, partitions, [numbers[at] for at in folded], [raw[at] for at in folded])
        return [at for at in kept if envelopes[at][2].decode() not in self._unwritten]

    def _envelopes(self, block: bytes, before: int) -> tuple[list[Any], list[int], list[bytes]]:
        """The parts, line numbers and bytes of a block's lines; of what is no line of ours a fault is noted."""
        raw = block[:-1].split(b"\n")
        found = ENVELOPE.findall(block)
        numbers = list(range(before + 1, before + 1 + len(raw)))
        if len(found) == len(raw):
            return found, numbers, raw
        envelopes, kept, lines = [], [], []
        for number, line in zip(numbers, raw, strict=True):
            match = ENVELOPE.fullmatch(line + b"\n")
            if match is None:
                fault = self._why_no_line(number, line)
                self._unread += 1
                if fault.entity is None or fault.entity not in self._leave_out:
                    self.faults.add(fault)
            else:
                envelopes.append(match.groups())
                kept.append(number)
                lines.append(line)
        return envelopes, kept, lines

    def _why_no_line(self, number: int, line: bytes) -> Fault:
        try:
            read_line(line, self.archive.line_limits)
        except LineRefused as wrong:
            return line_fault(TIMELINE, number, line, wrong)
        return line_fault(TIMELINE, number, line, LineRefused("", "a line in another form", "the canonical line"))

    def _spool_lines(self, envelopes: list[Any], numbers: list[int], raw: list[bytes]) -> None:
        partition = self._partition
        self._lines.add_lines(TIMELINE_FILE, [partition[parts[3]] for parts in envelopes], numbers, raw)

    def _note_actors(self, envelopes: list[Any], listed: list[int], positions: list[int]) -> None:
        """Count by whom lines are, segment by segment: *listed* is where the archive has each, *positions* where it is
        kept.
        """
        begun = 0
        while begun < len(listed):
            at = bisect_right(self._segments, listed[begun], key=_first_position) - 1
            following = self._segments[at + 1 : at + 2]
            end = bisect_left(listed, following[0].first_position) if following else len(listed)
            if not self._brought or self._brought[-1][1] is not self._segments[at]:
                self._brought.append((positions[begun], self._segments[at], Counter()))
            self._brought[-1][2].update(parts[6] for parts in islice(envelopes, begun, end))
            begun = end

    def _blocks(self, file: str) -> Iterator[bytes]:
        """A file's blocks of lines. Raises LinesBroken where it is not made of lines: what follows cannot be told."""
        done = 0
        try:
            for block in self.archive.blocks(file):
                done += block.count(b"\n")
                yield block
        except LineRefused as wrong:
            raise LinesBroken(file, done + 1, wrong.found, wrong.expected) from None

    # Snapshots, in order of their files

    def _read_snapshots(self, kind: Kind) -> None:
        file = SNAPSHOT_FILES[kind]
        rows = self.archive.listed(file).rows or 0
        done = 0
        for block in self._blocks(file):
            raw = block[:-1].split(b"\n")
            if self._as_of is None:
                self._spool_snapshots(kind, raw, done)
            done += len(raw)
            self._progress(file, done, rows)
        if done != rows:
            raise FileDiffers(file, "rows", f"{done:,}", f"{rows:,}")

    def _spool_snapshots(self, kind: Kind, raw: list[bytes], before: int) -> None:
        numbers: Sequence[int] = range(before + 1, before + 1 + len(raw))
        if self._correcting is None and not self._leaves_out:
            partition = self._partition
            partitions = [partition.get(line[40:43], 0) for line in raw]  # 0 for what is no id: that is refused there
        else:
            ids = [snapshot_id(line, in_any_layout=self._correcting is not None) for line in raw]
            kept = [at for at, id_ in enumerate(ids) if not self._leaves_out or id_ not in self._leave_out]
            raw, numbers = [raw[at] for at in kept], [numbers[at] for at in kept]
            partitions = [partition_of(ids[at], self._partitions - 1) for at in kept]
        self._lines.add_lines(file_of(kind), partitions, numbers, raw)

    def _read_others(self) -> None:
        """Files without lines: attachments, and what is for people; they too must be those that are listed."""
        for file in self.archive.manifest.files:
            for _ in self.archive.chunks(file.name) if file.name not in _FILES_OF_LINES else ():
                pass

    # Entities, partition by partition

    def _given(self) -> Iterator[Spooled]:
        for partition in range(self._partitions):
            yield Spooled(
                self._lines.places(partition),
                self._meetings,
                self._copy_prefix,
                self._hold,
                self._correcting,
                self.archive.line_limits,
                self._digested,
                self._as_of is not None,
            )

    def _take(self, partition: int, checked: PartitionChecked) -> None:
        self.faults.add_all(checked.faults, but_of=self._broken)
        self._totaller.merge(checked.totaller)
        for target, records in checked.across.items():
            self._across.add(target, records)
        facts = decode_facts(checked.facts)
        self._check_attachments(facts)
        if self._look is not None:
            self._look(partition, facts)
        if self._sink is not None:
            self._sink.entities(checked.rows, checked.rows_count, checked.held)
        if checked.appended:
            self._append(checked.appended)
        self._progress("entities", partition + 1, self._partitions)

    def _append(self, appended: list[Appended]) -> None:
        """The correcting events of a partition follow all that came before."""
        first = self._frontier.size + 1
        appended = [one for one in appended if one.correction.id not in self._unwritten]
        lines = [one.line for one in appended]
        leaves = leaf_hashes(lines)
        self._frontier = append_leaves(self._frontier, leaves)
        self._corrections_count += len(appended)
        self._corrections += [one.correction for one in appended[: MOST_IN_FULL - len(self._corrections)]]
        if self._sink is None:
            return
        self._sink.lines(first, ENVELOPE.findall(b"\n".join(lines) + b"\n"), leaves)
        rows = [placed(one.row, position) for position, one in enumerate(appended, first) if one.row is not None]
        self._sink.entities(b"".join(rows), len(rows), [])

    def _check_attachments(self, facts: list[EntityFact]) -> None:
        for fact in facts:
            if fact.document is None or fact.is_gone:
                continue
            for sha256 in fact.document.attachments:
                if sha256 not in self._attached:
                    reason = f"attachments: {fact.id} has {sha256}, which is not in the archive; expected its file"
                    self.faults.add(
                        Fault(
                            code="archive.attachment-missing",
                            file=SNAPSHOT_FILES[fact.kind],
                            field="attachments",
                            entity=fact.id,
                            reason=reason,
                        )
                    )

    # Across entities: records of fixed width, by target

    def _check_across(self) -> frozenset[str]:
        """Note references to nothing and keys that two entities have; then who refers to what is left out for it."""
        mask = self._meetings - 1
        for one in self._beside:
            kind = KINDS.index(one.kind)
            self._across.add(partition_of(one.id, mask), f"e{one.id}{kind:02}{one.standing}\n".encode())
            for letter, keys in (("u", one.unique), ("m", one.match)):
                for key in keys:
                    self._across.add(zlib.crc32(key.encode()) & mask, f"{letter}{one.id}{kind:02}{key}\n".encode())
        if self._choose is not None:
            self._choose(self._records, self.faults)
            return frozenset(self.faults.entities)
        refused = set(self.faults.entities)
        for records in self._records():
            self._check_targets(records, refused)
        self._check_merges(refused)
        for fault in self._refuse_clashes(self._clashes):
            self.faults.add(fault)
        refused |= self.faults.entities
        while self._spread(refused):
            pass
        return frozenset(refused)

    def _records(self) -> Iterator[list[str]]:
        for partition in range(self._meetings):
            yield self._across.read(partition).decode().split("\n")[:-1]

    def _check_targets(self, records: list[str], refused: set[str]) -> None:
        there: dict[str, tuple[Kind, str]] = {}
        own: dict[str, tuple[Kind, str]] = {}
        notes: dict[str, Decimal] = {}
        credits: dict[str, list[str]] = {}
        keys: dict[str, list[str]] = {}
        for record in records:
            if record[0] == "E":
                there[record[1:37]] = (KINDS[int(record[37:39])], record[39])
            elif record[0] == "e":
                own[record[1:37]] = (KINDS[int(record[37:39])], record[39])
            elif record[0] in "UuMm":
                keys.setdefault(record[39:], []).append(record)
            elif record[0] == "T":
                notes[record[1:37]] = Decimal(record[37:])
            elif record[0] == "C":
                credits.setdefault(record[1:37], []).append(record)
        for key, holders in keys.items():
            if len(holders) > 1:
                self._check_key(key, holders, refused)
        for record in records:
            if record[0] == "R":
                self._check_references(references_in(record), there, own, refused)
        for note, records_of_it in credits.items():
            if note in notes:
                self._check_credits(note, notes[note], records_of_it, refused)

    def _check_credits(self, note: str, total: Decimal, credits: list[str], refused: set[str]) -> None:
        """That what a credit note takes back of documents is no more than it comes to, all of them together."""
        taken = sum((Decimal(record[75:]) for record in credits), ZERO)
        if taken <= total:
            return
        for record in credits:
            reason = f"credits.by: {note} takes back {taken} in all; it comes to {total}"
            self._refuse("archive.credited-twice", KINDS[int(record[37:39])], record[39:75], reason, refused)

    def _check_references(
        self, of: References, there: dict[str, tuple[Kind, str]], own: dict[str, tuple[Kind, str]], refused: set[str]
    ) -> None:
        target, kinds = of.target, of.kinds
        if of.field == "merged_into":
            self._merged.update(dict.fromkeys(of.sources, (target, of.kind)))

        lasting = (HERE,) if of.field in _TO_WHAT_IS_ISSUED else (HERE, DRAFT)

        def fits(found: tuple[Kind, str] | None) -> bool:
            return found is not None and found[0] in kinds and (of.draft or found[1] in lasting)

        found = there.get(target) if target in self._added else own.get(target, there.get(target))
        if fits(found) or target in self.faults.entities or target in refused:
            return  # a target's own fault says so; who refers to it goes with it
        fits_there = fits(there.get(target))
        expected = " or ".join(one.value for one in kinds) if len(kinds) < 6 else "a document"
        what = "which is not there" if found is None else f"which is {_what(found)}"
        where = "account" if target in own else "archive"
        reason = f"{of.field}: refers to {target}, {what}; expected {expected} of the {where}"
        for source in of.sources:
            if not fits_there or source in self._added:  # what is not added refers to nothing of the account
                self._refuse("archive.reference-unknown", of.kind, source, reason, refused)

    def _check_merges(self, refused: set[str]) -> None:
        """Note what is merged in a ring: nothing would stand for it, and whoever looked would look for ever."""
        known: set[str] = set()
        for first in self._merged:
            way: dict[str, Kind] = {}
            at = first
            while at in self._merged and at not in known and at not in way:
                target, way[at] = self._merged[at]
                at = target
            ring = list(way)[list(way).index(at) :] if at in way else []
            for id_ in ring:
                into = self._merged[id_][0]
                reason = f"merged_into: found {into}, which leads back; expected one that is merged no further"
                self._refuse("archive.merged-in-a-ring", way[id_], id_, reason, refused)
            known.update(way)

    def _check_key(self, key: str, holders: list[str], refused: set[str]) -> None:
        """Who has *key*, in the archive and in the account beside it: once in each, if it must be unique."""
        own = [record[1:37] for record in holders if record[0].islower()]
        theirs = [record for record in holders if record[0].isupper()]
        self._clashes += [(key, record[1:37], one) for record in theirs if record[1:37] not in own for one in own]
        if len(theirs) < 2 or theirs[0][0] != "U":
            return
        for at, record in enumerate(theirs):
            id_, another = record[1:37], theirs[0 if at else 1][1:37]
            reason = f"{key}: {id_} has it, and so has {another}; expected it once"
            self._refuse("archive.key-twice", KINDS[int(record[37:39])], id_, reason, refused)

    def _refuse(self, code: str, kind: Kind, id_: str, reason: str, refused: set[str]) -> None:
        refused.add(id_)
        self.faults.add(Fault(code=code, file=SNAPSHOT_FILES[kind], entity=id_, reason=f"{kind.value} {id_}: {reason}"))

    def _spread(self, refused: set[str]) -> bool:
        """Note who refers to what is refused. Whether there was anybody new."""
        if not refused:
            return False
        before = len(refused)
        for records in self._records():
            for record in records:
                if record[0] == "R" and record[1:37] in refused:
                    of = references_in(record)
                    reason = f"refers to {of.target}, which is left out"
                    for source in of.sources:
                        if source not in refused:
                            self._refuse("archive.reference-left-out", of.kind, source, reason, refused)
        return len(refused) > before

    def _check_totals(self, totals: ControlTotals) -> None:
        for one in differences(self.archive.manifest.control_totals or totals, totals):
            reason = f"control_totals, {one.figure}: found {one.before}; the snapshots come to {one.after}"
            self.faults.add(
                Fault(code="archive.totals-differ", file="manifest.json", field="control_totals", reason=reason)
            )


def _first_position(segment: Segment) -> int:
    return segment.first_position


def _size(archive: Archive) -> int:
    return sum(archive.listed(name).bytes for name in (TIMELINE, *SNAPSHOT_FILES.values()))


def partitions_for(archive: Archive, *, events_beside: int = 0) -> int:
    """Into how many partitions the entities of an archive fall, and those of an account of so many events."""
    size = max(_size(archive), events_beside * _USUAL_EVENT_BYTES)
    wanted = 1
    while wanted * _PARTITION_BYTES < size and wanted < _MOST_PARTITIONS:
        wanted *= 2
    return wanted


def _what(found: tuple[Kind, str]) -> str:
    return {GONE: "deleted", DRAFT: "a draft"}.get(found[1], f"a {found[0].value}")
