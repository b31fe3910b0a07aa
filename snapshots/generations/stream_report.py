"""What is said of an account's streams: what each is, how it differs from the live one, what bringing it back did."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from domain.parties import Value
from projections.control_totals import ControlTotals, Difference
from snapshots.restoring.report import (
    Held,
    InClosedPeriod,
    LostDocument,
    Named,
    NumbersKept,
    WentBack,
    figures,
    losses,
)

Status = Literal["building", "live", "retired", "abandoned", "purged"]


class SegmentListed(Value, frozen=True, kw_only=True):
    """A range of positions of a stream, from ``first_position`` on, that came the same way."""

    first_position: int
    came_by: str
    at: dt.datetime
    by: str
    by_name: str | None = None
    source: str | None = None
    authenticity: str


class Swapped(Value, frozen=True, kw_only=True):
    """A time that a stream became live, or was retired (``live`` false): when and by whom, and the other stream."""

    live: bool
    at: dt.datetime
    by: str
    by_name: str | None = None
    other: int


class KindDifference(Value, frozen=True, kw_only=True):
    """What becomes of the entities of a kind when the account lives in the stream instead of its live one."""

    kind: str
    in_live: int = 0
    in_stream: int = 0
    created: int = 0
    replaced: int = 0
    removed: int = 0
    unchanged: int = 0


class StreamListed(Value, frozen=True, kw_only=True):
    """One generation of an account's data: what made it, when, by whom, and how far it came.

    ``made_by`` is what brought what it holds, beside what was recorded in it (``recorded``: nothing did).
    ``kept_until``: from then on a retired stream may be purged. What differs is said of retired streams: by kind, and
    how many issued documents only it, or only the live one, has.
    """

    stream: int
    status: Status
    made_by: str
    created_at: dt.datetime
    created_by: str
    created_by_name: str | None = None
    segments: tuple[SegmentListed, ...] = ()
    swaps: tuple[Swapped, ...] = ()
    events: int
    root: str
    entities: int = 0
    kept_until: dt.datetime | None = None
    differences: tuple[KindDifference, ...] = ()
    documents_only_here: int = 0
    documents_only_live: int = 0
    archive: str | None = None


class StreamDifference(Value, frozen=True, kw_only=True):
    """What a retired stream has otherwise than the live one; said as what making it live would do."""

    live_stream: int
    live_events: int
    changes: tuple[KindDifference, ...] = ()
    entities: tuple[Named, ...] = ()
    regained_documents: tuple[LostDocument, ...] = ()
    regained_documents_count: int = 0
    lost_documents: tuple[LostDocument, ...] = ()
    lost_documents_count: int = 0
    lost_documents_sent: int = 0
    went_back: tuple[WentBack, ...] = ()
    went_back_count: int = 0
    in_closed_periods: tuple[InClosedPeriod, ...] = ()
    in_closed_periods_count: int = 0
    held: tuple[Held, ...] = ()
    held_count: int = 0
    numbers_kept: tuple[NumbersKept, ...] = ()
    totals_live: ControlTotals
    totals_stream: ControlTotals
    differences: tuple[Difference, ...] = ()


class StreamShown(Value, frozen=True, kw_only=True):
    """A stream, and how it differs from the live one while it is retired."""

    stream: StreamListed
    difference: StreamDifference | None = None


class ActivationReport(Value, frozen=True, kw_only=True):
    """All there is to know of a stream that was made live again, or of a rehearsal or refusal of that.

    ``account_at``: the live stream that it was compared with, and how far that was.
    """

    outcome: Literal["activated", "would_activate", "refused"]
    reason: str | None = None
    code: str | None = None
    account: str
    account_at: str
    stream: int
    retired_stream: int | None = None
    events: int
    root: str
    changed_meanwhile: int = 0
    difference: StreamDifference


_OUTCOMES = {
    "activated": "Live again",
    "would_activate": "Would be live again (rehearsal: nothing was changed)",
    "refused": "Refused: the account is as it was",
}


def readable_activation(report: ActivationReport) -> str:
    """The report as text, for a person."""
    lines = [
        f"{_OUTCOMES[report.outcome]}.",
        f"Stream {report.stream} of {report.account}: {report.events:,} events, tree root {report.root}.",
    ]
    if report.reason:
        lines.append(f"Why: {report.reason}")
    if report.outcome == "activated":
        lines.append(f"Stream {report.retired_stream}, in which the account lived, is kept for undo.")
    if report.changed_meanwhile:
        lines.append(f"The account got {report.changed_meanwhile:,} events meanwhile.")
    return "\n".join(lines) + "\n" + readable_difference(report.difference, report.stream)


def readable_difference(found: StreamDifference, stream: int) -> str:
    """What would change, as text."""
    lines = _changes(found, stream) + losses(found)
    if found.regained_documents_count:
        lines.append(f"Back again: {found.regained_documents_count:,} issued documents that only stream {stream} has:")
        lines += [
            f"  {one.kind} {one.number} of {one.issue_date}, {one.with_vat} {one.currency}"
            for one in found.regained_documents[:20]
        ]
        if found.regained_documents_count > 20:
            lines.append(f"  … and {found.regained_documents_count - 20:,} more (all with --json)")
    if found.held_count:
        lines.append(f"{found.held_count:,} subscriptions are held until resumed: their next date has passed.")
    if found.differences:
        lines.append(f"Control totals, live stream {found.live_stream} → stream {stream}:")
        lines += figures(found.differences)
    else:
        lines.append("Control totals: both streams come to the same, figure by figure.")
    return "\n".join(lines) + "\n"


def _changes(found: StreamDifference, stream: int) -> list[str]:
    rows = [one for one in found.changes if one.in_live or one.in_stream]
    if not rows:
        return []
    there, here = f"stream {found.live_stream}", f"stream {stream}"
    head = f"{'kind':<16}{there:>12}{here:>12}{'created':>9}{'replaced':>10}{'removed':>9}{'unchanged':>11}"
    return [
        head,
        *(
            f"{one.kind:<16}{one.in_live:>12,}{one.in_stream:>12,}{one.created:>9,}{one.replaced:>10,}"
            f"{one.removed:>9,}{one.unchanged:>11,}"
            for one in rows
        ),
    ]
