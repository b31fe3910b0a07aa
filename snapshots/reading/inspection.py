"""Inspecting an archive: what is in it, and whether it is sound, without an account to compare it with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import BinaryIO

from domain.events import written_time
from domain.parties import Value
from projections.control_totals import ControlTotals
from snapshots.container import Limits
from snapshots.format.authenticity import Authenticity
from snapshots.format.faults import Fault
from snapshots.format.manifest import AsOf, FileListed, PersonNamed, Segment, TreeHead
from snapshots.progress import Progress, no_progress
from snapshots.reading.archive import open_archive
from snapshots.reading.checking import Correcting, Correction
from snapshots.reading.examination import Examiner
from snapshots.trust.encryption import Unlock
from snapshots.trust.signing import NO_KEYS, KeyRing


class Inspection(Value, frozen=True, kw_only=True):
    """What an archive says of itself and what was found in it; ``is_sound`` when nothing is wrong.

    An archive with files that are not those listed is not: whoever edited them must say so when it is restored.
    ``corrections`` are the lines of an edited or unsigned one that their events do not lead to: a restore would make an
    event of each.
    """

    is_sound: bool
    authenticity: Authenticity
    format_version: int
    product_version: str
    archive: str
    account_id: str
    account_name: str
    stream: int
    taken_at: str
    as_of: AsOf | None = None
    taken_by: str
    tree_head: TreeHead
    segments: tuple[Segment, ...]
    counts: dict[str, int]
    people: tuple[PersonNamed, ...]
    events_by: dict[str, int]
    control_totals: ControlTotals
    files: tuple[FileListed, ...]
    corrections: tuple[Correction, ...]
    corrections_count: int
    faults: tuple[Fault, ...]
    faults_count: int


def inspect_archive(
    file: BinaryIO,
    limits: Limits = Limits(),  # noqa: B008 - immutable
    keys: KeyRing = NO_KEYS,
    *,
    unlock: Unlock | None = None,
    progress: Progress = no_progress,
) -> Inspection:
    """Read the archive in *file* through and check all of it; *keys* judge whose it is. Needs no database.

    *unlock* opens it when it is encrypted. Raises ArchiveError leaves when it is no archive; which files are not those
    listed, and what is wrong with single records, is in the result.
    """
    archive = open_archive(file, limits, keys, unlock=unlock, accept_edits=True)
    manifest = archive.manifest
    # What a restore would make an event of is no fault, but a line that somebody wrote beside its events.
    is_authentic = archive.authenticity.verdict == "authentic"
    correcting = None if is_authentic else Correcting("system:inspection", written_time(manifest.taken_at))
    now = None if is_authentic else datetime.now(UTC)
    found = Examiner(archive, correcting=correcting, now=now, progress=progress).run()
    return Inspection(
        is_sound=found.faults.count == 0 and not archive.authenticity.differing,
        authenticity=archive.authenticity,
        format_version=manifest.format_version,
        product_version=manifest.product_version,
        archive=manifest.archive,
        account_id=manifest.account.id,
        account_name=manifest.account.name,
        stream=manifest.stream,
        taken_at=manifest.taken_at.isoformat(),
        as_of=manifest.as_of,
        taken_by=manifest.taken_by,
        tree_head=manifest.tree_head,
        segments=manifest.segments,
        counts=manifest.counts,
        people=manifest.people,
        events_by=found.actors,
        control_totals=found.totals,
        files=manifest.files,
        corrections=tuple(found.corrections),
        corrections_count=found.corrections_count,
        faults=tuple(found.faults.listed),
        faults_count=found.faults.count,
    )


def readable(inspection: Inspection) -> str:
    """The inspection as text, for a person."""
    lines = [
        (
            f"Archive {inspection.archive} of “{inspection.account_name}”, taken {inspection.taken_at}"
            f" by {inspection.taken_by}, format version {inspection.format_version}."
        ),
        f"Authenticity: {inspection.authenticity}.",
        *(f"  {one}" for one in inspection.authenticity.differing),
        *([f"It shows the account {inspection.as_of}."] if inspection.as_of else []),
        f"Tree head: {inspection.tree_head.size:,} events, root {inspection.tree_head.root}.",
        f"{'file':<36}{'rows':>10}{'bytes':>14}  sha256",
    ]
    lines += [
        f"{file.name:<36}{'' if file.rows is None else f'{file.rows:,}':>10}{file.bytes:>14,}  {file.sha256[:16]}…"
        for file in inspection.files
    ]
    names = {f"person:{person.id}": person.name for person in inspection.people}
    lines += [f"Events of {names.get(actor) or actor}: {count:,}" for actor, count in inspection.events_by.items()]
    lines += [f"Receivables {total.currency}: {total.amount}" for total in inspection.control_totals.receivables]
    if inspection.corrections_count:
        lines.append(f"Not what their events lead to: {inspection.corrections_count:,} records:")
        lines += [f"  {correction}" for correction in inspection.corrections[:40]]
        if inspection.corrections_count > 40:
            lines.append(f"  … and {inspection.corrections_count - 40:,} more (all with --json)")
    if inspection.is_sound:
        lines.append("Sound: every hash, line, snapshot, reference and total was checked.")
    elif not inspection.faults_count:
        lines.append("EDITED: every line, snapshot and reference was checked; restoring needs --accept-edits.")
    else:
        lines.append(f"FAULTY: {inspection.faults_count:,} faults:")
        lines += [f"  {fault}" for fault in inspection.faults[:40]]
        if inspection.faults_count > 40:
            lines.append(f"  … and {inspection.faults_count - 40:,} more (all with --json)")
    return "\n".join(lines) + "\n"
