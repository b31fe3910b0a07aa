"""Which of an archive's entities a restore is about: some kinds, some by name, or what an earlier restore left out.

Each brings what it needs: all that it refers to and that the account lacks, and so on from there. What it came from and
what it became are references too, so an invoice brings its quote.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, NamedTuple

import msgspec
from msgspec import Struct

from domain.entity import FieldRefused
from domain.errors import RestoreError
from domain.events import written_time
from domain.kinds import Kind
from projections.moments import Position, written_moment
from snapshots.format.manifest import SNAPSHOT_FILES, TIMELINE
from snapshots.reading.archive import Archive
from snapshots.reading.checking import GONE, KINDS, named_in, references_in
from snapshots.reading.examination import ENVELOPE

Records = Callable[[], Iterator[list[str]]]
_AT = 5  # the group of an envelope that is its time


class LeftOut(NamedTuple):
    """What a restore left out, as its report says: entities, and lines of which it could not tell whose they are."""

    archive: str
    entities: frozenset[str] = frozenset()
    lines: dict[str, frozenset[int]] = {}


class Chosen(NamedTuple):
    """The entities that a restore is about, needed ones among them. Those of *returning* come back although the account
    deleted them; *missing* were named, and the archive does not have them.
    """

    ids: frozenset[str]
    returning: frozenset[str]
    missing: tuple[str, ...]


@dataclass(eq=False)
class NotInArchive(RestoreError):
    """Entities that were named are not in the archive, or were deleted by then."""

    code: ClassVar[str] = "restore.not-in-archive"
    ids: tuple[str, ...]
    as_of: int | None

    def __str__(self) -> str:
        when = f" as of position {self.as_of:,}" if self.as_of is not None else ""
        more = f" and {len(self.ids) - 20:,} more" if len(self.ids) > 20 else ""
        return f"the archive has no {', '.join(self.ids[:20])}{more}{when}; expected ids of entities that it has"


@dataclass(eq=False)
class OtherReport(RestoreError):
    """The report that was given back is of a restore of another archive."""

    code: ClassVar[str] = "restore.other-report"
    found: str
    archive: str

    def __str__(self) -> str:
        return f"the report is of a restore of archive {self.found}; expected one of archive {self.archive}"


class _FaultGiven(Struct):
    file: str
    line: int | None = None
    entity: str | None = None


class _ReportGiven(Struct):
    archive: str
    outcome: str
    errors: str = "abort"
    left_out: tuple[str, ...] = ()
    faults: tuple[_FaultGiven, ...] = ()


_report = msgspec.json.Decoder(_ReportGiven).decode


def read_left_out(report: Any) -> LeftOut:
    """What the restore that *report*, JSON or what JSON says, tells of left out. Raises FieldRefused."""
    try:
        given = _report(report) if isinstance(report, bytes) else msgspec.convert(report, _ReportGiven)
    except msgspec.MsgspecError as wrong:
        raise FieldRefused("left_out", str(wrong)[:200], "the report of a restore, as JSON") from None
    if given.outcome not in ("restored", "nothing_to_add") or given.errors != "skip":
        found = f"a report of one that was {given.outcome}, with errors {given.errors}"
        raise FieldRefused("left_out", found, "the report of a restore that left records out (skip)")
    lines: dict[str, set[int]] = {}
    for fault in given.faults:
        if fault.entity is None and fault.line is not None:
            lines.setdefault(fault.file, set()).add(fault.line)
    known = {file: frozenset(numbers) for file, numbers in lines.items()}
    return LeftOut(given.archive, frozenset(given.left_out), known)


def entities_at(archive: Archive, lines: dict[str, frozenset[int]]) -> frozenset[str]:
    """Whose the archive's *lines* are, by file and number; none for a line that still says nobody."""
    found = set()
    for file in (TIMELINE, *SNAPSHOT_FILES.values()):
        wanted = lines.get(file)
        if not wanted:
            continue
        number = 0
        for block in archive.blocks(file):
            for line in block[:-1].split(b"\n"):
                number += 1
                if number in wanted and (id_ := named_in(line)) is not None:
                    found.add(id_)
    return frozenset(found)


def position_at(archive: Archive, moment: Position | datetime) -> int:
    """The last position of the archive's timeline that counts as of *moment*; of a time, the last before a later one.

    Raises FieldRefused for what the archive has not come to.
    """
    size = archive.manifest.tree_head.size
    if isinstance(moment, Position):
        stream = archive.manifest.stream
        if moment.stream not in (None, stream) or moment.position > size:
            found = written_moment(moment)
            raise FieldRefused("as_of", found, f"a position up to {size:,} of stream {stream}, which the archive is of")
        return moment.position
    taken_at, at = archive.manifest.taken_at, written_time(moment).encode()
    if moment > taken_at:
        raise FieldRefused("as_of", written_time(moment), f"a time up to {written_time(taken_at)}, when it was taken")
    position = 0
    for block in archive.blocks(TIMELINE):
        times = [parts[_AT] for parts in ENVELOPE.findall(block)]
        later = next((before for before, time in enumerate(times) if time > at), None)
        if later is not None:
            return position + later
        position += block.count(b"\n")
    return size


def choose(
    records: Records,
    faulty: Collection[str],
    *,
    kinds: Collection[Kind],
    named: Collection[str],
    left_out: Collection[str],
) -> Chosen:
    """The entities of *kinds*, those that are *named* and those that were *left_out*, each with what it needs.

    *records* gives what an examination noted across entities, a partition at a time, as often as it is called; *faulty*
    are entities with a fault of their own, of which it noted nothing. In memory are the ids that are chosen.
    """
    chosen, gone = set(), set()
    for partition in records():
        for record in partition:
            if record[0] == "E":
                id_ = record[1:37]
                if id_ in named or id_ in left_out or KINDS[int(record[37:39])] in kinds:
                    chosen.add(id_)
                if record[39] == GONE:
                    gone.add(id_)
    missing = [id_ for id_ in named if id_ not in faulty and (id_ not in chosen or id_ in gone)]
    chosen.update(id_ for id_ in faulty if id_ in named or id_ in left_out)
    begun = frozenset(chosen)
    while needed := _needed_by(chosen, records, faulty):
        chosen |= needed
    returning = (chosen - begun) | {id_ for id_ in named if id_ in chosen}
    return Chosen(frozenset(chosen), frozenset(returning), tuple(missing))


def _needed_by(chosen: set[str], records: Records, faulty: Collection[str]) -> set[str]:
    """What the *chosen* refer to that the account does not have, and was not chosen yet."""
    needed = set()
    for partition in records():
        own = {record[1:37] for record in partition if record[0] == "e" and record[39] != GONE}
        there = {record[1:37] for record in partition if record[0] == "E" and record[39] != GONE}
        for record in partition:
            target = record[1:37]
            if record[0] != "R" or target in chosen or target in own:
                continue
            if (target in there or target in faulty) and not chosen.isdisjoint(references_in(record).sources):
                needed.add(target)
    return needed
