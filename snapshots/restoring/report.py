"""What a restore, or its rehearsal, says: to machines as JSON, to people as text."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal, Protocol

from domain.parties import Value
from projections.control_totals import ControlTotals, Difference
from snapshots.format.authenticity import Authenticity
from snapshots.format.faults import Fault
from snapshots.format.manifest import AsOf
from snapshots.fresh.swap import Subscriptions
from snapshots.reading.checking import Correction

MOST_LISTED = 1_000  # of each list, in full; what is beyond is counted

Mode = Literal["overwrite", "add"]
OnErrors = Literal["abort", "skip"]
OnMeanwhile = Literal["refuse", "discard"]
Numbers = Literal["keep-series", "reuse-numbers"]
CustomFields = Literal["report", "define"]
Doubles = Literal["match", "merge-customers"]
Change = Literal["created", "replaced", "removed", "unchanged"]
CHANGES: tuple[Change, ...] = ("created", "replaced", "removed", "unchanged")


class KindChanges(Value, frozen=True, kw_only=True):
    """What becomes of the entities of a kind; ``in_archive`` counts what the archive has, deleted ones left out."""

    kind: str
    in_account: int = 0
    in_archive: int = 0
    created: int = 0
    replaced: int = 0
    removed: int = 0
    unchanged: int = 0


class Named(Value, frozen=True, kw_only=True):
    """An entity behind a count."""

    change: Change
    kind: str
    id: str
    number: str | None = None


class LostDocument(Value, frozen=True, kw_only=True):
    """An issued document that the account has and will not have any more; ``sent`` when it went out already."""

    kind: str
    id: str
    number: str
    issue_date: str
    sent: bool
    with_vat: Decimal
    currency: str


class WentBack(Value, frozen=True, kw_only=True):
    """A document that stays, but goes back to an earlier state."""

    kind: str
    id: str
    number: str | None = None
    state_now: str
    state_then: str
    due_now: Decimal | None = None
    due_then: Decimal | None = None
    currency: str


class InClosedPeriod(Value, frozen=True, kw_only=True):
    """A document dated in a period whose books are closed, that would be made, changed or removed."""

    change: Change
    kind: str
    id: str
    number: str | None = None
    issue_date: str


class PersonLinked(Value, frozen=True, kw_only=True):
    """To whom the events of a person the timeline names are linked in the account; ``verified`` is false where nothing
    but an archive that no trusted key vouches for says that they are that person's.
    """

    person: str
    name: str | None = None
    events: int
    linked_to: str
    linked_to_name: str
    has_access: bool
    verified: bool = True


class FieldUndefined(Value, frozen=True, kw_only=True):
    """A custom field that the archive's data has values of and the account does not define: kept, not shown."""

    kind: str
    key: str
    label: str | None = None
    values: int


class SettingDiffers(Value, frozen=True, kw_only=True):
    """A setting that gives the data meaning and is another in the account than in the archive."""

    setting: str
    archive: str
    account: str


class Held(Value, frozen=True, kw_only=True):
    """A subscription that invoices nothing until somebody resumes it, since its next date lay in the past; where
    subscriptions moved, one that goes on by itself all the same.
    """

    id: str
    customer: str
    next_date: str


class CameBack(Value, frozen=True, kw_only=True):
    """An entity that the account had deleted or changed, and that is again what it was in the archive."""

    kind: str
    id: str
    number: str | None = None
    was: Literal["deleted", "changed"]


class LeftDeleted(Value, frozen=True, kw_only=True):
    """An entity that the archive has and the account deleted: it stays deleted, unless it is named."""

    kind: str
    id: str
    number: str | None = None


class Matched(Value, frozen=True, kw_only=True):
    """An added entity that has what one of the account has, by which they are taken for the same, and what was done.

    ``merged`` into the account's own, its ``number_left_off``, ``no_default`` beside the account's default; nothing
    with a likely double.
    """

    kind: str
    id: str
    key: str
    into: str
    done: Literal["merged", "number_left_off", "no_default"] | None = None


class FieldDefined(Value, frozen=True, kw_only=True):
    """A custom field of the archive that the restore defines in the account."""

    kind: str
    key: str
    label: str
    type: str


class FieldConflict(Value, frozen=True, kw_only=True):
    """A custom field that account and archive define for values of another sort; the account's definition stays."""

    kind: str
    key: str
    label: str
    archive: str
    account: str


class NumbersKept(Value, frozen=True, kw_only=True):
    """A series that goes on after the highest number of the replaced stream, and the gap that this leaves."""

    kind: str
    series: str
    highest: int
    missing: tuple[str, ...]
    missing_count: int
    next_number: str
    retired_stream: int


class NumbersReused(Value, frozen=True, kw_only=True):
    """A series that gives numbers of the replaced stream out again: in that stream other documents bear them."""

    kind: str
    series: str
    lowest: int
    numbers: tuple[str, ...]
    numbers_count: int
    next_number: str
    retired_stream: int


class NumbersMissing(Value, frozen=True, kw_only=True):
    """A series that documents which came in carry on past numbers that no document of the account bears."""

    kind: str
    series: str
    missing: tuple[str, ...]
    missing_count: int
    next_number: str


class ChangedEntity(Value, frozen=True, kw_only=True):
    """An entity that changed while the restore was at work, and by how many events."""

    kind: str
    id: str
    number: str | None = None
    events: int


class RestoreReport(Value, frozen=True, kw_only=True):
    """All there is to know of a restore, or of one that was rehearsed (``would_restore``) or refused."""

    outcome: Literal["restored", "would_restore", "refused", "nothing_to_add"]
    reason: str | None = None
    code: str | None = None
    archive: str
    taken_at: str
    archive_as_of: AsOf | None = None
    source_account: str
    source_account_id: str
    from_other_account: bool = False
    account: str
    account_events: int = 0
    events_lost: int = 0
    token: str | None = None
    mode: Mode
    errors: OnErrors
    meanwhile: OnMeanwhile = "refuse"
    numbers: Numbers = "keep-series"
    custom_fields: CustomFields = "report"
    doubles: Doubles = "match"
    authenticity: Authenticity
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
    defined_fields: tuple[FieldDefined, ...] = ()
    conflicting_fields: tuple[FieldConflict, ...] = ()
    settings: tuple[SettingDiffers, ...] = ()
    subscriptions: Subscriptions = "hold"
    held: tuple[Held, ...] = ()
    held_count: int = 0
    corrections: tuple[Correction, ...] = ()
    corrections_count: int = 0
    matched: tuple[Matched, ...] = ()
    matched_count: int = 0
    likely_doubles: tuple[Matched, ...] = ()
    likely_doubles_count: int = 0
    numbers_kept: tuple[NumbersKept, ...] = ()
    numbers_reused: tuple[NumbersReused, ...] = ()
    numbers_missing: tuple[NumbersMissing, ...] = ()
    changed_meanwhile: int = 0
    changed_entities: tuple[ChangedEntity, ...] = ()
    changed_entities_count: int = 0
    faults: tuple[Fault, ...] = ()
    faults_count: int = 0
    skipped: int = 0
    left_out: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    only_entities: tuple[str, ...] = ()
    as_of: int | None = None
    came_back: tuple[CameBack, ...] = ()
    came_back_count: int = 0
    deleted_here: tuple[LeftDeleted, ...] = ()
    deleted_here_count: int = 0
    totals_account: ControlTotals
    totals_archive: ControlTotals
    totals_result: ControlTotals
    differences: tuple[Difference, ...] = ()


_DONE = {
    "merged": "the added one is merged into the account's own",
    "number_left_off": "the account's customer keeps it, the added one has none",
    "no_default": "the account's default stays, the added one is none",
}
_OUTCOMES = {
    "restored": "Restored",
    "would_restore": "Would restore (rehearsal: nothing was changed)",
    "refused": "Refused: the account is as it was",
    "nothing_to_add": "Nothing to add: the account has all that the archive has",
}


def readable(report: RestoreReport) -> str:
    """The report as text, for a person."""
    lines = [
        f"{_OUTCOMES[report.outcome]}.",
        (
            f"Archive {report.archive} of “{report.source_account}”, taken {report.taken_at};"
            f" into {report.account}, mode {report.mode}, with errors {report.errors}."
        ),
        f"Authenticity: {report.authenticity}.",
        *(f"  {one}" for one in report.authenticity.differing),
    ]
    if report.from_other_account:
        lines.append(f"The archive is of another account, {report.source_account_id}.")
    if report.events_lost:
        of = report.archive_as_of or f"of {report.taken_at}"
        lines.append(
            f"The archive is {of}: of the account's {report.account_events:,} events"
            f" {report.events_lost:,} are not in it, and go."
        )
    if report.reason:
        lines.append(f"Why: {report.reason}")
    if report.token:
        lines.append(f"Token, to do just this: {report.token}")
    if report.outcome == "restored":
        lines.append(
            f"The account now lives in stream {report.live_stream} ({report.events:,} events,"
            f" tree root {report.root}); stream {report.retired_stream} is kept for undo."
        )
    lines += _selection(report) + changes(report.changes) + losses(report) + _reused(report) + _meanwhile(report)
    lines += _corrections(report) + people(report.people) + _meaning(report) + _faults(report)
    if report.differences:
        lines.append("Control totals, account before → result:")
        lines += figures(report.differences)
    else:
        lines.append("Control totals: the result equals the account before, figure by figure.")
    return "\n".join(lines) + "\n"


def figures(found: tuple[Difference, ...]) -> list[str]:
    """Figures that differ, a line each."""
    return [f"  {one.figure}: {one.before} → {one.after}" for one in found[:40]] + _more(len(found), 40)


def _more(count: int, shown: int) -> list[str]:
    return [f"  … and {count - shown:,} more (all with --json)"] if count > shown else []


def changes(found: tuple[KindChanges, ...], came_from: str = "archive") -> list[str]:
    """What becomes of each kind, as a table."""
    rows = [one for one in found if one.in_account or one.in_archive]
    if not rows:
        return []
    head = f"{'kind':<16}{'account':>9}{came_from:>9}{'created':>9}{'replaced':>10}{'removed':>9}{'unchanged':>11}"
    return [
        head,
        *(
            f"{one.kind:<16}{one.in_account:>9,}{one.in_archive:>9,}{one.created:>9,}{one.replaced:>10,}"
            f"{one.removed:>9,}{one.unchanged:>11,}"
            for one in rows
        ),
    ]


class Losing(Protocol):
    """What reports of restores, clones and undos say alike of what is lost."""

    @property
    def lost_documents(self) -> tuple[LostDocument, ...]:
        """Issued documents that go, the first in full."""
        ...

    @property
    def lost_documents_count(self) -> int:
        """How many."""
        ...

    @property
    def lost_documents_sent(self) -> int:
        """How many of them were sent."""
        ...

    @property
    def went_back(self) -> tuple[WentBack, ...]:
        """Documents that stay but go back."""
        ...

    @property
    def went_back_count(self) -> int:
        """How many."""
        ...

    @property
    def in_closed_periods(self) -> tuple[InClosedPeriod, ...]:
        """Documents in closed periods that change."""
        ...

    @property
    def in_closed_periods_count(self) -> int:
        """How many."""
        ...

    @property
    def numbers_kept(self) -> tuple[NumbersKept, ...]:
        """Series that go on after what is lost."""
        ...


def losses(report: Losing) -> list[str]:
    """What is lost, a line each."""
    lines = []
    if report.lost_documents_count:
        lines.append(
            f"LOST: {report.lost_documents_count:,} issued documents,"
            f" {report.lost_documents_sent:,} of them sent already:"
        )
        lines += [
            f"  {one.kind} {one.number} of {one.issue_date}, {one.with_vat} {one.currency}"
            + (", sent" if one.sent else "")
            for one in report.lost_documents[:20]
        ]
        lines += _more(report.lost_documents_count, 20)
    if report.went_back_count:
        lines.append(f"GOING BACK: {report.went_back_count:,} documents:")
        lines += [
            f"  {one.kind} {one.number}: {one.state_now} → {one.state_then},"
            f" due {one.due_now} → {one.due_then} {one.currency}"
            for one in report.went_back[:20]
        ]
        lines += _more(report.went_back_count, 20)
    if report.in_closed_periods_count:
        lines.append(f"IN CLOSED PERIODS: {report.in_closed_periods_count:,} documents:")
        lines += [
            f"  {one.kind} {one.number or one.id} of {one.issue_date}: {one.change}"
            for one in report.in_closed_periods[:20]
        ]
        lines += _more(report.in_closed_periods_count, 20)
    lines += [
        f"Numbers: {kept.kind} goes on with {kept.next_number}; {_some(kept.missing, kept.missing_count)}"
        f" only in retired stream {kept.retired_stream}."
        for kept in report.numbers_kept
    ]
    return lines


def _reused(report: RestoreReport) -> list[str]:
    return [
        f"Numbers: {reused.kind} goes on with {reused.next_number}; {_some(reused.numbers, reused.numbers_count)}"
        f" given out AGAIN: other documents bear them in retired stream {reused.retired_stream}."
        for reused in report.numbers_reused
    ] + [
        f"Numbers: {one.kind} goes on with {one.next_number};"
        f" no document bears {_some(one.missing, one.missing_count)}."
        for one in report.numbers_missing
    ]


def _some(numbers: tuple[str, ...], count: int) -> str:
    return ", ".join(numbers[:5]) + (f" … ({count:,} in all)" if count > 5 else "")


def _corrections(report: RestoreReport) -> list[str]:
    if not report.corrections_count:
        return []
    head = (
        f"Corrections: {report.corrections_count:,} records are not what their events lead to; an event follows each:"
    )
    lines = [head, *(f"  {one}" for one in report.corrections[:20])]
    return lines + _more(report.corrections_count, 20)


def people(found: tuple[PersonLinked, ...]) -> list[str]:
    """To whom events are linked, a line each."""
    return [
        f"Events of {person.name or person.person}: {person.events:,}, linked to {person.linked_to_name}"
        f"{'' if person.verified else ' (who it was is not verified)'}"
        f"{'' if person.has_access else ' (no access to this account)'}."
        for person in found
    ]


def _selection(report: RestoreReport) -> list[str]:
    lines = []
    if report.as_of is not None:
        lines.append(f"As of position {report.as_of:,} of the archive's timeline.")
    if report.only or report.only_entities:
        lines.append(f"Only {', '.join([*report.only, *report.only_entities][:20])}, and what they need.")
    if report.came_back_count:
        lines.append(f"BROUGHT BACK: {report.came_back_count:,} that the account had deleted or changed:")
        lines += [f"  {one.kind} {one.number or one.id}, {one.was} here" for one in report.came_back[:20]]
        lines += _more(report.came_back_count, 20)
    if report.deleted_here_count:
        lines.append(f"{report.deleted_here_count:,} were deleted here and stay so; --only-entity brings one back:")
        for one in report.deleted_here[:20]:
            number = f" (number {one.number})" if one.number else ""
            lines.append(f"  {one.kind} {one.id}{number}")
        lines += _more(report.deleted_here_count, 20)
    return lines


def _meaning(report: RestoreReport) -> list[str]:
    lines = [f"Setting {one.setting}: archive {one.archive}, account {one.account}." for one in report.settings]
    lines += [
        f"Custom field {one.kind}.{one.key} is not defined here: {one.values:,} values kept, not shown."
        for one in report.undefined_fields
    ]
    defined = "is defined now" if report.outcome == "restored" else "would be defined"
    lines += [f"Custom field {one.kind}.{one.key} ({one.type}) {defined}." for one in report.defined_fields]
    lines += [
        f"Custom field {one.kind}.{one.key} is another here and stays so: archive {one.archive}, account {one.account}."
        for one in report.conflicting_fields
    ]
    if report.held:
        moved = report.subscriptions == "moved"
        what = "go on by themselves, since the account replaces theirs" if moved else "are held until resumed"
        lines.append(f"{report.held_count:,} subscriptions {what}: their next date has passed.")
        lines += [f"  {one.id}, next date {one.next_date}" for one in report.held[:20]]
        lines += _more(report.held_count, 20)
    lines += [f"Matched: {one.key}: {_DONE[one.done]}." for one in report.matched[:20] if one.done]
    lines += _more(report.matched_count, 20)
    lines += [f"Likely the same customer twice: {one.key}." for one in report.likely_doubles[:20]]
    lines += _more(report.likely_doubles_count, 20)
    return lines


def _meanwhile(report: RestoreReport) -> list[str]:
    if not report.changed_meanwhile:
        return []
    where = f"; they stay readable in stream {report.retired_stream}" if report.outcome == "restored" else ""
    return [
        f"MEANWHILE the account got {report.changed_meanwhile:,} events{where}:",
        *(f"  {one.kind} {one.number or one.id}: {one.events:,} events" for one in report.changed_entities[:20]),
        *_more(report.changed_entities_count, 20),
    ]


def _faults(report: RestoreReport) -> list[str]:
    if not report.faults_count:
        return []
    what = f"{report.skipped:,} records left out" if report.errors == "skip" else "nothing was restored"
    lines = [f"{report.faults_count:,} faults, {what}:"]
    lines += [f"  {fault}" for fault in report.faults[:40]]
    return lines + _more(report.faults_count, 40)
