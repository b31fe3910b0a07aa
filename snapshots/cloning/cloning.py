"""Cloning an account into another, or into a new one: stream to stream, on the server, by build and swap as a restore.

Rows are copied as bytes, out of the source under its own account's policies, into the fresh stream under the role that
may only insert; the swap counts them. The source is read as one moment and never changed, but that its history tells of
the clone, in the same transaction that makes the clone live. A clone has no outward effect: every subscription in it is
paused until somebody resumes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import psycopg
from psycopg import Connection

from domain import control as c
from domain.accounts import Access, as_it_is_now, require_administrator, slug_of
from domain.application import Actor, Application, record_control
from domain.control import AccountClosed, Control, Role, RoleLacking
from domain.entity import FieldRefused, converted
from domain.errors import CounterfoilError, RestoreError
from domain.ids import AccountId, PersonId, new_id
from domain.kinds import Kind
from domain.parties import Value
from domain.store.database import Database, DatabaseUnavailable, Row, set_account
from domain.store.statements import statements
from domain.store.streams import AccountUnknown
from domain.subscriptions import SubscriptionState
from domain.work import decode_state
from projections.control_totals import ControlTotals, Totaller, differences
from projections.moments import Position
from snapshots.backup import Source, moment_named
from snapshots.cloning.carrying import Carried, carry, carry_files, decide
from snapshots.cloning.clone_report import CloneReport
from snapshots.cloning.cloned_rows import Copying, as_paused
from snapshots.cloning.unopened import NameTaken, begin_account, remove, sweep_never_opened
from snapshots.format.manifest import Meaning
from snapshots.fresh.building import StreamBuilder, builder, fresh_stream, sweep_abandoned
from snapshots.fresh.swap import Fresh, MovedOn, check_count, insert_segment, read_live, swap
from snapshots.progress import Keep, Progress, keep_nothing, no_progress
from snapshots.reading.checking import Checked, EntityFact, fact_of, partition_of
from snapshots.reading.spool import Spool
from snapshots.restoring.comparison import Comparison, Target, settings_that_differ
from snapshots.restoring.report import MOST_LISTED, Held, KindChanges
from snapshots.restoring.restore import NoRoom, require_owner

SQL = statements("snapshots.cloning", "cloning.sql")
RESTORE_SQL = statements("snapshots.fresh", "fresh.sql")
_USUAL_EVENT_BYTES = 1_000
_MOST_PARTITIONS = 1024
_CONTROL = msgspec.json.Decoder(Control)
_encode = msgspec.json.Encoder().encode
_decode_facts = msgspec.json.Decoder(list[EntityFact]).decode


class NewAccount(NamedTuple):
    """An account that is to be made by the clone: what it is called."""

    name: str


class CloneChoices(NamedTuple):
    """What whoever clones has chosen. ``change_closed_periods`` is for the owner of the account that is cloned into.

    ``account_at``: where that account must be, as a rehearsal's report said it.
    """

    as_of: Position | datetime | None = None
    dry_run: bool = False
    change_closed_periods: bool = False
    account_at: str | None = None


@dataclass(eq=False)
class IntoItself(RestoreError):
    """An account cannot be cloned into itself."""

    code: ClassVar[str] = "clone.into-itself"
    hint = "to go back to how it was, restore a backup as of that moment, or make a stream live again"
    account: str

    def __str__(self) -> str:
        return f"{self.account} would be cloned into itself; expected another account"


@dataclass(eq=False)
class CloneRefused(RestoreError):
    """The clone was refused, or a rehearsal found that it would be; *report* says all of why. Nothing was changed."""

    code: ClassVar[str] = "clone.refused"
    report: CloneReport

    def __str__(self) -> str:
        return self.report.reason or "the clone was refused"


class ClosedPeriodsCloned(CloneRefused):
    """Documents in a closed period of the account that is cloned into would be made, changed or removed."""

    code: ClassVar[str] = "restore.books-closed"
    hint = "the account's owner can go on all the same with --change-closed-periods (change_closed_periods)"


class TargetChanged(CloneRefused):
    """The account that is cloned into changed while the clone was made."""

    code: ClassVar[str] = "restore.account-changed"


def clone_account(
    application: Application,
    source: Access,
    actor: Actor,
    target: Access | NewAccount,
    *,
    choices: CloneChoices = CloneChoices(),  # noqa: B008 - immutable
    progress: Progress = no_progress,
    keep: Keep = keep_nothing,
) -> CloneReport:
    """Copy the account of *source* over *target*, or into a new one, or rehearse it. What was, or would be, done.

    *actor* is the cloning person, who administers both; *keep* is given the report in the transaction that makes the
    copy live. Raises RoleLacking, AccountClosed, OwnerOnly, IntoItself,
    NameTaken, FieldRefused, CloneRefused leaves with the report, what ``projections.moments.resolve`` does,
    DatabaseUnavailable, NoRoom; then both accounts are as they were, and it is on record unless it was a rehearsal.
    """
    check_clone(source, target, choices)
    clone = _Clone(application, source, actor, choices, progress, keep)
    try:
        return clone.over(target) if isinstance(target, Access) else clone.into_new(target.name)
    except CounterfoilError as wrong:
        raise _recorded(application, source, actor, target, choices, wrong) from wrong.__cause__
    except psycopg.OperationalError as wrong:
        unavailable = DatabaseUnavailable.because(wrong)
        raise _recorded(application, source, actor, target, choices, unavailable) from wrong
    except OSError as wrong:
        no_room = NoRoom(wrong.strerror or str(wrong))
        raise _recorded(application, source, actor, target, choices, no_room) from wrong


def check_clone(source: Access, target: Access | NewAccount, choices: CloneChoices) -> None:
    """What can be judged before either account is looked at. Raises RoleLacking, OwnerOnly, AccountClosed, IntoItself,
    FieldRefused.
    """
    require_administrator(source, "cloning an account")
    if isinstance(target, Access):
        require_administrator(target, "cloning into an account")
        if target.account == source.account:
            raise IntoItself(source.slug)
        if target.control.closed:
            raise AccountClosed
        if choices.change_closed_periods:
            require_owner(target, "changing closed periods")
    elif choices.account_at is not None:
        raise FieldRefused("account_at", choices.account_at, "none for a new account")


def _recorded(  # noqa: PLR0917 - the door's own
    application: Application,
    source: Access,
    actor: Actor,
    target: Access | NewAccount,
    choices: CloneChoices,
    wrong: CounterfoilError,
) -> CounterfoilError:
    """*wrong*, after it was put on record where that is possible: where nothing came into, if that is there."""
    if choices.dry_run:
        return wrong
    is_there = isinstance(target, Access)
    into = target.control.name if is_there else target.name  # type: ignore[union-attr]
    failed = c.CloneFailed(source=source.account, into=into, code=wrong.code, reason=str(wrong)[:2000])
    application.record_failure(target.account if is_there else source.account, actor, failed, wrong)  # type: ignore[union-attr]
    return wrong


class _Looked(NamedTuple):
    """What a first look at the source found."""

    totals_source: ControlTotals
    totals_result: ControlTotals
    held: tuple[Held, ...]
    held_count: int
    counts: dict[Kind, int]


class _Clone:
    """One clone, from the first look to the swap."""

    def __init__(  # noqa: PLR0917 - the door above names them
        self,
        application: Application,
        source: Access,
        actor: Actor,
        choices: CloneChoices,
        progress: Progress,
        keep: Keep,
    ) -> None:
        self._application = application
        self._database = application.database
        self._access = source
        self._actor = actor
        self._person = PersonId(actor.name.removeprefix("person:"))
        self._choices = choices
        self._progress = progress
        self._keep = keep
        self._at = application.clock()

    # Into an account that is there.

    def over(self, target: Access) -> CloneReport:
        """Clone over what *target* holds, or rehearse it."""
        database = self._database
        sweep_abandoned(database, target.account)
        with self._source() as (connections, source):
            with database.transaction(target.account, snapshot=True) as connection, ExitStack() as spools:
                live = read_live(connection, target.account)
                if self._choices.change_closed_periods:  # from here on the swap sees to it that nothing of it changes
                    require_owner(as_it_is_now(target, live.control, self._actor), "changing closed periods")
                partitions = _partitions(source.head + live.position)
                theirs, ours = (spools.enter_context(Spool(partitions)) for _ in range(2))
                there = Target(target.account, live.stream, live.position, live.control, theirs)
                there.read(connection, with_keys=False)
                today = self._at.astimezone(ZoneInfo(live.control.settings.time_zone)).date()
                comparison = Comparison(there, adding=False, today=today, given=source.control.numbers_given)
                looked = self._look(source, ours)
                for partition in range(partitions):
                    comparison.look(partition, _decode_facts(b"[" + ours.read(partition)[:-1] + b"]"))
            tally = comparison.tally
            carried = decide(connections[0], source, live.control, self._person)
            report = msgspec.structs.replace(
                self._report(source, looked, carried, account=target.slug),
                account_id=target.account,
                account_at=f"{live.stream}.{live.position}",
                changes=comparison.changes(),
                entities=comparison.entities(),
                **tally.losses(),
                undefined_fields=comparison.undefined_fields(source.control.custom_fields),
                settings=settings_that_differ(
                    Meaning(settings=source.control.settings, modules=source.control.modules), live.control
                ),
                numbers_kept=comparison.numbers_kept(),
                totals_account=there.totals,
                differences=tuple(differences(there.totals, looked.totals_result)),
            )
            self._refuse_if_elsewhere(report)
            self._refuse_if_closed(report)
            if self._choices.dry_run:
                return report
            with fresh_stream(database, target.account, self._actor, self._at) as fresh:
                built = self._fill(connections, source, target.account, fresh)
                at = self._application.clock()

                def finish(connection: Connection[Row]) -> None:
                    controls = self._lock_both(connection, target.account)
                    self._check_still(controls[target.account][1], "cloning into an account")
                    self._finish(connection, source, target.account, built, carried, at=at)
                    self._give(connection, source, controls[source.account], target.account, live.control.name, at=at)
                    self._keep(connection, cloned())
                    set_account(connection, target.account)

                def cloned() -> CloneReport:
                    return msgspec.structs.replace(
                        report,
                        outcome="cloned",
                        live_stream=built.stream,
                        retired_stream=live.stream,
                        events=built.events,
                        root=built.frontier.root().hex(),
                    )

                try:
                    swap(
                        self._application,
                        target.account,
                        self._actor,
                        seen=live,
                        fresh=built,
                        at=at,
                        finish=finish,
                        record=lambda: self._record(report, source, built, live.stream),
                        before=lambda connection: carry_files(connection, source, target.account),
                    )
                except MovedOn as wrong:
                    raise TargetChanged(_refused(report, wrong.code, str(wrong), wrong.events)) from wrong
        return cloned()

    def _record(self, report: CloneReport, source: Source, built: Fresh, retired: int) -> tuple[Value, ...]:
        received = self._received(report, source, built)
        if not report.numbers_kept:
            return (received,)
        highest = {f"{kept.kind}/{kept.series}": kept.highest for kept in report.numbers_kept}
        missing = {f"{kept.kind}/{kept.series}": kept.missing for kept in report.numbers_kept}
        return (c.NumbersGiven(stream=retired, highest=highest, missing=missing), received)

    def _refuse_if_elsewhere(self, report: CloneReport) -> None:
        expected = self._choices.account_at
        if expected not in (None, report.account_at):
            reason = (
                f"account_at: found {report.account} at {report.account_at}; expected {expected}: rehearse it again"
            )
            raise TargetChanged(_refused(report, TargetChanged.code, reason))

    def _refuse_if_closed(self, report: CloneReport) -> None:
        if not report.in_closed_periods_count or self._choices.change_closed_periods:
            return
        first = report.in_closed_periods[0]
        reason = (
            f"{report.in_closed_periods_count:,} documents in closed periods would change, first {first.kind}"
            f" {first.number or first.id} of {first.issue_date}; expected none, or the owner's word"
        )
        raise ClosedPeriodsCloned(_refused(report, ClosedPeriodsCloned.code, reason))

    # Into a new account. It is filled before it is opened: until then it has no history, and nobody has access to it.

    def into_new(self, name: str) -> CloneReport:
        """Clone into an account of that name that is made for it, or rehearse it."""
        sweep_never_opened(self._database)
        name, slug = name.strip(), slug_of(name)
        with self._source() as (connections, source):
            opened = converted({"name": name, "settings": source.control.settings}, c.Opened, from_attributes=True)
            account = AccountId(new_id(self._at))
            control = c.open_account(opened, account, self._at)
            c.admit(control, opened)
            first = self._first_events(source.control)
            for event in first:
                control = c.evolve(control, event)
            looked = self._look(source, None)
            carried = decide(connections[0], source, control, self._person)
            report = msgspec.structs.replace(
                self._report(source, looked, carried, account=slug),
                is_new=True,
                changes=tuple(
                    KindChanges(
                        kind=kind.value,
                        in_archive=count,
                        created=count,
                    )
                    for kind, count in looked.counts.items()
                ),
            )
            try:
                with builder(self._database, account, 1) as fresh:
                    begin_account(self._database, (account, name, slug), self._actor, at=self._at)
                    if self._choices.dry_run:
                        raise _Rehearsed
                    built = self._fill(connections, source, account, fresh)
                    received = self._received(report, source, built)
                    cloned = msgspec.structs.replace(
                        report,
                        outcome="cloned",
                        account_id=account,
                        live_stream=1,
                        events=built.events,
                        root=built.frontier.root().hex(),
                    )
                    events = (opened, *first, received)
                    self._open(source, carried, built, (account, name, slug), events, cloned)
            except BaseException as wrong:
                remove(self._database, account)
                if isinstance(wrong, _Rehearsed):
                    return report
                raise
        return cloned

    def _first_events(self, theirs: Control) -> list[Value]:
        """What the new account's history begins with, after it was opened."""
        mine = theirs.member(self._person)
        if mine is None:
            raise AccountUnknown(self._access.slug)
        fields = [
            c.CustomFieldDefined(**{name: getattr(field, name) for name in field.__struct_fields__})
            for field in theirs.custom_fields
        ]
        granted = c.AccessGranted(person=mine.person, name=mine.name, email=mine.email, role=Role.OWNER)
        return [granted, *(c.ModuleEnabled(module=module) for module in theirs.modules), *fields]

    def _open(  # noqa: PLR0917 - one caller, which has them all
        self,
        source: Source,
        carried: Carried,
        built: Fresh,
        named: tuple[AccountId, str, str],
        events: tuple[Value, ...],
        cloned: CloneReport,
    ) -> None:
        """Open the account with all that it holds, in one transaction. Raises NameTaken."""
        account, name, slug = named
        try:
            self._try_open(source, carried, built, named, events, cloned)
        except psycopg.errors.UniqueViolation as wrong:
            if wrong.diag.constraint_name != "accounts_slug_key":
                raise
            raise NameTaken(name, slug) from wrong
        except psycopg.OperationalError:
            # The connection may have gone after the commit and before we heard of it: then it is done.
            with self._database.transaction(account) as connection:
                row = connection.execute(RESTORE_SQL["lock_stream"], {"account": account, "stream": 1}).fetchone()
            if row is None or row[0] != "live":
                raise

    def _try_open(  # noqa: PLR0917 - as above
        self,
        source: Source,
        carried: Carried,
        built: Fresh,
        named: tuple[AccountId, str, str],
        events: tuple[Value, ...],
        cloned: CloneReport,
    ) -> None:
        account, name, slug = named
        at = self._application.clock()
        key = {"account": account, "stream": built.stream}
        with self._database.transaction(account) as connection:
            check_count(connection, key, built)
            last_at = connection.execute(RESTORE_SQL["last_time"], key).fetchone()
            carry_files(connection, source, account)
            controls = self._lock_both(connection, account)
            set_account(connection, account)
            connection.execute(SQL["name_account"], {"account": account, "slug": slug})
            head = {
                "head": built.frontier.size,
                "frontier": built.frontier.to_bytes(),
                "last_at": last_at and last_at[0],
            }
            connection.execute(SQL["open_stream"], {**key, **head})
            self._finish(connection, source, account, built, carried, at=at)
            recorded = (built.frontier.size + 1, "recorded", None, "recorded")
            insert_segment(connection, account, built.stream, recorded, at=at, by=self._actor.name)
            opened = events[0]
            assert isinstance(opened, c.Opened), "an account's history begins with it"
            begun = (0, c.open_account(opened, account, at))
            made = record_control(connection, account, self._actor, begun, events, at=at)
            assert made is not None, "nobody else knows the account yet"
            self._give(connection, source, controls[source.account], account, name, at=at)
            self._keep(connection, cloned)

    # Both.

    def _source(self) -> AbstractContextManager[tuple[tuple[Connection[Row], Connection[Row]], Source]]:
        return _reading(self._database, self._access.account, self._choices.as_of, self._at)

    def _look(self, source: Source, facts: Spool | None) -> _Looked:
        """Add up what the source holds, and what of it is paused; *facts* gets what is compared of each entity."""
        both, before, after = Totaller(), Totaller(), Totaller()
        held: list[Held] = []
        held_count = 0
        counts = dict.fromkeys(Kind, 0)
        mask = facts.partitions - 1 if facts is not None else 0
        for kind in Kind:
            for block, rows in source.snapshots(kind):
                counts[kind] += rows
                lines = block
                if kind is Kind.SUBSCRIPTION:
                    before.add(kind, block)
                    states = [decode_state(kind, one) for one in block.splitlines()]
                    active = [state for state in states if state.state is SubscriptionState.ACTIVE]
                    held_count += len(active)
                    held += [
                        Held(id=state.id, customer=state.customer, next_date=state.next_date.isoformat())
                        for state in active[: MOST_LISTED - len(held)]
                    ]
                    lines = b"".join(_encode(as_paused(state)) + b"\n" for state in states)
                    after.add(kind, lines)
                else:
                    both.add(kind, block)
                if facts is not None:
                    for one in lines.split(b"\n")[:-1]:
                        state = decode_state(kind, one)
                        fact = fact_of(Checked(state.id, kind, 0, state, one, is_gone=False))
                        facts.add(partition_of(state.id, mask), _encode(fact) + b",")
        before.merge(both)
        after.merge(both)
        return _Looked(before.totals(), after.totals(), tuple(held), held_count, counts)

    def _report(self, source: Source, looked: _Looked, carried: Carried, *, account: str) -> CloneReport:
        return CloneReport(
            outcome="would_clone",
            source_account=self._access.slug,
            source_stream=source.stream,
            source_position=source.head,
            source_root=source.frontier.root().hex(),
            account=account,
            events=source.head + looked.held_count,
            people=carried.report,
            held=looked.held,
            held_count=looked.held_count,
            totals_account=ControlTotals(),
            totals_source=looked.totals_source,
            totals_result=looked.totals_result,
        )

    def _fill(
        self,
        connections: tuple[Connection[Row], Connection[Row]],
        source: Source,
        account: AccountId,
        fresh: StreamBuilder,
    ) -> Fresh:
        """Copy lines and entities into the fresh stream; after the lines, every active subscription is paused."""
        copying = Copying(self._database, source, account, fresh.stream, self._progress)
        with ThreadPoolExecutor(1) as beside:
            entities = beside.submit(copying.entities, connections[1])
            events = copying.events(connections[0], fresh)
            copied = entities.result()
        frontier = copying.subscriptions(connections[0], fresh, self._actor, self._at)
        fresh.finish()
        sent = (events + fresh.sent_events, copied + fresh.sent_entities)
        return Fresh(fresh.stream, frontier, *sent)

    def _lock_both(self, connection: Connection[Row], other: AccountId) -> dict[AccountId, tuple[int, Control | None]]:
        """Lock both accounts' histories, in one order for all who clone; where they stand. One of them stays set."""
        found: dict[AccountId, tuple[int, Control | None]] = {}
        for account in sorted((self._access.account, other)):
            set_account(connection, account)
            position, control = connection.execute(SQL["lock_account"], {"account": account}).fetchall()[0]
            found[account] = (position, _CONTROL.decode(control) if control else None)
        return found

    def _check_still(self, control: Control | None, what: str) -> Control:
        """That whoever clones administers the account at this very moment. Raises AccountUnknown, RoleLacking."""
        assert control is not None, "an account that was opened has a history"
        member = control.member(self._person)
        if member is None:
            raise AccountUnknown(control.name)
        if member.role not in (Role.OWNER, Role.ADMINISTRATOR):
            raise RoleLacking(what, member.role.value, "owners and administrators")
        return control

    def _finish(
        self,
        connection: Connection[Row],
        source: Source,
        account: AccountId,
        built: Fresh,
        carried: Carried,
        *,
        at: datetime,
    ) -> None:
        """What stands beside the lines: how they came, and whose they are."""
        set_account(connection, account)
        carry(connection, source, account, built.stream, carried, actor=self._actor, at=at)
        if built.frontier.size > source.head:
            pauses = (source.head + 1, "recorded", None, "recorded")
            insert_segment(connection, account, built.stream, pauses, at=at, by=self._actor.name)

    def _give(
        self,
        connection: Connection[Row],
        source: Source,
        control: tuple[int, Control | None],
        account: AccountId,
        name: str,
        *,
        at: datetime,
    ) -> None:
        """Tell of the clone on the source's own history, which is locked."""
        given = c.CloneGiven(
            account=account,
            name=name,
            stream=source.stream,
            position=source.head,
            root=source.frontier.root().hex(),
        )
        before = (control[0], self._check_still(control[1], "cloning an account"))
        done = record_control(connection, source.account, self._actor, before, (given,), at=at)
        assert done is not None, "it is locked"

    def _received(self, report: CloneReport, source: Source, built: Fresh) -> c.CloneReceived:
        return c.CloneReceived(
            account=source.account,
            name=source.control.name,
            source_stream=source.stream,
            source_position=source.head,
            source_root=source.frontier.root().hex(),
            stream=built.stream,
            events=built.events,
            paused=report.held_count,
            created=sum(one.created for one in report.changes),
            replaced=sum(one.replaced for one in report.changes),
            removed=sum(one.removed for one in report.changes),
            lost_documents=tuple(one.number for one in report.lost_documents),
            changed_closed_periods=report.in_closed_periods_count > 0,
            numbers_given=source.control.numbers_given,
        )


@contextmanager
def _reading(
    database: Database, account: AccountId, as_of: Position | datetime | None, now: datetime
) -> Iterator[tuple[tuple[Connection[Row], Connection[Row]], Source]]:
    """Two connections that see one moment of the account, and its stream as it is or was *as_of*.

    They only read: that they could not be ended undoes nothing of what was done meanwhile.
    """
    is_done = False
    try:
        with database.transaction(account, snapshot=True) as first, database.beside(account, first) as second:
            moment = moment_named(first, account, None, as_of, now=now)
            yield (first, second), Source(first, account, lambda: second, moment)
            is_done = True
    except psycopg.OperationalError:
        if not is_done:
            raise


def _partitions(events: int) -> int:
    """Into how many parts so many events' entities fall, so that one part fits in memory."""
    wanted = 1
    while wanted * (1 << 20) < events * _USUAL_EVENT_BYTES and wanted < _MOST_PARTITIONS:
        wanted *= 2
    return wanted


def _refused(report: CloneReport, code: str, reason: str, changed_meanwhile: int = 0) -> CloneReport:
    return msgspec.structs.replace(
        report, outcome="refused", code=code, reason=reason, changed_meanwhile=changed_meanwhile
    )


class _Rehearsed(Exception):
    """A rehearsal came to its end."""
