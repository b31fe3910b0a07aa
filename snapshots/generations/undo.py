"""Undo: a retired stream is made live again, by the same fence and swap as a fresh one.

Nothing is copied and nothing is added: the stream is the one that it was, with its lines, its tree head, its entity
tags, so that the undo of an undo leads back to where it began. What follows it is recorded after its head. Nothing is
sent, issued or called.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import msgspec
import psycopg
from psycopg import Connection

from domain.accounts import Access, as_it_is_now, require_administrator
from domain.application import Actor, Application
from domain.control import AccountClosed, ActivationFailed, NumbersGiven, StreamActivated
from domain.errors import CounterfoilError, RestoreError
from domain.ids import AccountId
from domain.parties import Value
from domain.store.database import APP, Database, DatabaseUnavailable, Row
from domain.store.statements import statements
from snapshots.fresh.building import StreamBusy
from snapshots.fresh.swap import CountDiffers, Fresh, Live, MovedOn, read_live, swap
from snapshots.generations.stream_report import ActivationReport
from snapshots.generations.streams import Kept, differ, find_retired
from snapshots.progress import Keep, keep_nothing
from snapshots.restoring.meanwhile import read_changed, with_both_sides
from snapshots.restoring.report import OnMeanwhile
from snapshots.restoring.restore import require_owner

SQL = statements("snapshots.fresh", "fresh.sql")


@dataclass(eq=False)
class ActivationRefused(RestoreError):
    """A retired stream was not made live again; *report* says all of why. Nothing was changed."""

    code: ClassVar[str] = "activation.refused"
    report: ActivationReport

    def __str__(self) -> str:
        return self.report.reason or "the stream was not made live again"


class BooksClosedBetween(ActivationRefused):
    """Documents in a closed period would be made, changed or removed."""

    code: ClassVar[str] = "activation.books-closed"
    hint = "the account's owner can go on all the same with --change-closed-periods (change_closed_periods)"


class ChangedBetween(ActivationRefused):
    """The account changed while the streams were compared."""

    code: ClassVar[str] = "activation.account-changed"


@dataclass(eq=False)
class StreamDamaged(RestoreError):
    """A retired stream does not hold what its head says."""

    code: ClassVar[str] = "stream.damaged"
    stream: int
    what: str
    found: int
    expected: int

    def __str__(self) -> str:
        return (
            f"stream {self.stream} holds {self.found:,} {self.what}; expected {self.expected:,}; it was not made live"
        )


class ActivationChoices(NamedTuple):
    """What whoever makes a stream live again has chosen. ``change_closed_periods`` is for the owner alone.

    ``meanwhile``: whether changes made while the streams are compared refuse it, or are left in the replaced stream.
    ``account_at``: where the account must be, as a rehearsal's report said it; then nothing is discarded beside.
    """

    dry_run: bool = False
    change_closed_periods: bool = False
    meanwhile: OnMeanwhile = "refuse"
    account_at: str | None = None


def activate(
    application: Application,
    access: Access,
    actor: Actor,
    stream: int,
    *,
    choices: ActivationChoices = ActivationChoices(),  # noqa: B008 - immutable
    keep: Keep = keep_nothing,
) -> ActivationReport:
    """Make a retired stream of the account live again, or rehearse it. What was, or would be, done.

    *keep* is given the report in the swap's transaction.
    Raises ActivationRefused leaves with the report, StreamUnknown, StreamNotKept, StreamBusy, StreamDamaged,
    RoleLacking, OwnerOnly, AccountClosed, DatabaseUnavailable; then the account is as it was, which its control stream
    records unless it was a rehearsal.
    """
    check_activation(access, choices)
    try:
        with application.database.transaction(access.account) as connection:
            find_retired(connection, access.account, stream)  # who builds one holds its lock: say what it is first
        with kept_from_purging(application.database, access.account, stream):
            return _activate(application, access, actor, stream, choices, keep)
    except CounterfoilError as wrong:
        if not choices.dry_run:
            _record_failure(application, access, actor, stream, wrong)
        raise
    except psycopg.OperationalError as wrong:
        unavailable = DatabaseUnavailable.because(wrong)
        if not choices.dry_run:
            _record_failure(application, access, actor, stream, unavailable)
        raise unavailable from wrong


def check_activation(access: Access, choices: ActivationChoices) -> None:
    """What can be judged before the streams are looked at. Raises RoleLacking, OwnerOnly, AccountClosed."""
    require_administrator(access, "making a stream live again")
    if access.control.closed:
        raise AccountClosed
    if choices.change_closed_periods:
        require_owner(access, "changing closed periods")


@contextmanager
def kept_from_purging(database: Database, account: AccountId, stream: int) -> Iterator[None]:
    """Nobody purges the stream for the length of the ``with``. Raises StreamBusy where somebody just does."""
    with database.session(APP) as session:
        row = session.execute(SQL["lock_against_purging"], {"account": account, "stream": stream}).fetchone()
        if row is None or not row[0]:
            raise StreamBusy(stream)
        yield


def _record_failure(
    application: Application, access: Access, actor: Actor, stream: int, wrong: CounterfoilError
) -> None:
    failed = ActivationFailed(stream=stream, code=wrong.code, reason=str(wrong)[:2000])
    application.record_failure(access.account, actor, failed, wrong)


def _activate(  # noqa: PLR0917 - the door above names them
    application: Application, access: Access, actor: Actor, stream: int, choices: ActivationChoices, keep: Keep
) -> ActivationReport:
    account = access.account
    with application.database.transaction(account, snapshot=True) as connection:
        live = read_live(connection, account)
        _check_member(access, actor, live, choices)
        kept = find_retired(connection, account, stream)
        found = differ(connection, account, live, stream, at=application.clock())
    report = ActivationReport(
        outcome="would_activate",
        account=access.slug,
        account_at=f"{live.stream}.{live.position}",
        stream=stream,
        events=kept.frontier.size,
        root=kept.frontier.root().hex(),
        difference=found.found(),
    )
    _refuse_if_elsewhere(report, choices)
    _refuse_if_closed(report, choices)
    if choices.dry_run:
        return report
    fresh = Fresh(stream, kept.frontier, kept.frontier.size, found.entities, was="retired")

    def activated() -> ActivationReport:
        return _replace(report, outcome="activated", retired_stream=live.stream)

    def discard(connection: Connection[Row]) -> None:
        nonlocal report
        changed = read_changed(connection, account, live.stream, after=live.position)
        changed = with_both_sides(connection, account, changed, live=live.stream, after=live.position, fresh=stream)
        events = sum(one.events for one in changed)
        report = _replace(report, difference=found.found(changed), changed_meanwhile=events)
        _refuse_if_closed(report, choices)

    try:
        swap(
            application,
            account,
            actor,
            seen=live,
            fresh=fresh,
            at=application.clock(),
            finish=lambda connection: keep(connection, activated()),
            record=lambda: _recorded(report, live, kept, choices),
            discard=discard if choices.meanwhile == "discard" and choices.account_at is None else None,
        )
    except MovedOn as wrong:
        raise _changed(report, wrong) from wrong
    except CountDiffers as wrong:
        raise StreamDamaged(stream, wrong.what, wrong.found, wrong.expected) from wrong
    return activated()


def _check_member(access: Access, actor: Actor, live: Live, choices: ActivationChoices) -> None:
    """That who acts still is who they were when their access was looked up; from here on the swap sees to it."""
    now = as_it_is_now(access, live.control, actor)
    require_administrator(now, "making a stream live again")
    if choices.change_closed_periods:
        require_owner(now, "changing closed periods")


def _refuse_if_elsewhere(report: ActivationReport, choices: ActivationChoices) -> None:
    if choices.account_at not in (None, report.account_at):
        reason = (
            f"account_at: found the account at {report.account_at}; expected {choices.account_at}: rehearse it again"
        )
        raise ChangedBetween(_replace(report, outcome="refused", code=ChangedBetween.code, reason=reason))


def _refuse_if_closed(report: ActivationReport, choices: ActivationChoices) -> None:
    found = report.difference
    if not found.in_closed_periods_count or choices.change_closed_periods:
        return
    first = found.in_closed_periods[0]
    reason = (
        f"{found.in_closed_periods_count:,} documents in closed periods would change, first {first.kind}"
        f" {first.number or first.id} of {first.issue_date}; expected none, or the owner's word"
    )
    raise BooksClosedBetween(_replace(report, outcome="refused", code=BooksClosedBetween.code, reason=reason))


def _recorded(report: ActivationReport, live: Live, kept: Kept, choices: ActivationChoices) -> tuple[Value, ...]:
    """What the account's own history says of it."""
    found = report.difference
    activated = StreamActivated(
        stream=kept.stream,
        retired=live.stream,
        events=kept.frontier.size,
        created=sum(one.created for one in found.changes),
        replaced=sum(one.replaced for one in found.changes),
        removed=sum(one.removed for one in found.changes),
        lost_documents=tuple(one.number for one in found.lost_documents),
        discarded=report.changed_meanwhile,
        changed_closed_periods=bool(found.in_closed_periods_count and choices.change_closed_periods),
    )
    if not found.numbers_kept:
        return (activated,)
    highest = {f"{one.kind}/{one.series}": one.highest for one in found.numbers_kept}
    missing = {f"{one.kind}/{one.series}": one.missing for one in found.numbers_kept}
    return (NumbersGiven(stream=live.stream, highest=highest, missing=missing), activated)


def _changed(report: ActivationReport, moved: MovedOn) -> ChangedBetween:
    reason = f"the account changed since the streams were compared: {moved.what}; nothing was changed, begin again"
    return ChangedBetween(
        _replace(report, outcome="refused", code=ChangedBetween.code, reason=reason, changed_meanwhile=moved.events)
    )


def _replace(report: ActivationReport, **changes: Any) -> ActivationReport:
    return msgspec.structs.replace(report, **changes)
