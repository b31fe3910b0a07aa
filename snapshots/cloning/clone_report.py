"""What a clone, or its rehearsal, says: to machines as JSON, to people as text."""

from __future__ import annotations

from typing import Literal

from domain.parties import Value
from projections.control_totals import ControlTotals, Difference
from snapshots.restoring.report import (
    FieldUndefined,
    Held,
    InClosedPeriod,
    KindChanges,
    LostDocument,
    Named,
    NumbersKept,
    PersonLinked,
    SettingDiffers,
    WentBack,
    changes,
    figures,
    losses,
    people,
)


class CloneReport(Value, frozen=True, kw_only=True):
    """All there is to know of a clone, or of one that was rehearsed (``would_clone``) or refused.

    ``account`` is the short name of the account that was copied into, ``account_at`` the stream and position that it
    was at, and ``account_id`` its id, which a new one has once it is there. In ``changes``, ``in_archive`` counts what
    the source has. ``held`` are the subscriptions that were active there: all are paused here.
    """

    outcome: Literal["cloned", "would_clone", "refused"]
    reason: str | None = None
    code: str | None = None
    source_account: str
    source_stream: int
    source_position: int
    source_root: str
    account: str
    account_id: str | None = None
    account_at: str | None = None
    is_new: bool = False
    live_stream: int | None = None
    retired_stream: int | None = None
    events: int = 0
    root: str | None = None
    changes: tuple[KindChanges, ...] = ()
    entities: tuple[Named, ...] = ()
    lost_documents: tuple[LostDocument, ...] = ()
    lost_documents_count: int = 0
    lost_documents_sent: int = 0
    went_back: tuple[WentBack, ...] = ()
    went_back_count: int = 0
    in_closed_periods: tuple[InClosedPeriod, ...] = ()
    in_closed_periods_count: int = 0
    people: tuple[PersonLinked, ...] = ()
    undefined_fields: tuple[FieldUndefined, ...] = ()
    settings: tuple[SettingDiffers, ...] = ()
    held: tuple[Held, ...] = ()
    held_count: int = 0
    numbers_kept: tuple[NumbersKept, ...] = ()
    changed_meanwhile: int = 0
    totals_account: ControlTotals
    totals_source: ControlTotals
    totals_result: ControlTotals
    differences: tuple[Difference, ...] = ()


_OUTCOMES = {
    "cloned": "Cloned",
    "would_clone": "Would clone (rehearsal: nothing was changed)",
    "refused": "Refused: nothing was changed",
}


def readable_clone(report: CloneReport) -> str:
    """The report as text, for a person."""
    into = f"the new account {report.account}" if report.is_new else report.account
    lines = [
        f"{_OUTCOMES[report.outcome]}.",
        (
            f"{report.source_account}, stream {report.source_stream} up to position {report.source_position:,}"
            f" (tree root {report.source_root}), into {into}."
        ),
    ]
    if report.reason:
        lines.append(f"Why: {report.reason}")
    if report.outcome == "cloned":
        kept = f"; stream {report.retired_stream} is kept for undo" if report.retired_stream else ""
        lines.append(
            f"{report.account} now lives in stream {report.live_stream} ({report.events:,} events,"
            f" tree root {report.root}){kept}."
        )
    lines += changes(report.changes, "source") + losses(report) + people(report.people)
    lines += [f"Setting {one.setting}: source {one.archive}, account {one.account}." for one in report.settings]
    lines += [
        f"Custom field {one.kind}.{one.key} is not defined here: {one.values:,} values kept, not shown."
        for one in report.undefined_fields
    ]
    if report.held_count:
        lines.append(f"{report.held_count:,} subscriptions are paused until somebody resumes them.")
    if report.changed_meanwhile:
        lines.append(f"The account got {report.changed_meanwhile:,} events meanwhile.")
    if report.differences and not report.is_new:
        lines.append("Control totals, account before → result:")
        lines += figures(report.differences)
    return "\n".join(lines) + "\n"
