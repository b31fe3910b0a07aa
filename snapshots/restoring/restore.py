"""Restoring an archive into an account: examine, build a fresh stream beside the live one, swap.

Mode ``overwrite`` replaces everything in the account; ``add`` adds what the account lacks and changes nothing that it
has. A faulty archive changes nothing, or, with errors ``skip``, its faulty records and those that refer to them stay
out. Nothing is sent, issued or called: a restore has no outward effect but its report.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, BinaryIO, ClassVar, Literal, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import psycopg
from psycopg import Connection

from domain.accounts import Access, as_it_is_now, require_administrator
from domain.application import Actor, Application
from domain.control import (
    AccountClosed,
    AttributionTrusted,
    Control,
    CustomFieldDefined,
    NumbersGiven,
    NumbersReused,
    PersonLinked,
    RestoreBegun,
    RestoreFailed,
    RestoreFinished,
    Role,
)
from domain.custom_fields import CustomField
from domain.errors import ArchiveError, CounterfoilError, DomainError, RestoreError
from domain.events import written_time
from domain.ids import PersonId
from domain.kinds import Kind
from domain.parties import Value
from domain.store.database import DatabaseUnavailable, Row
from domain.store.statements import statements
from domain.tree import EMPTY, Frontier
from projections.control_totals import ControlTotals, Totaller, differences
from projections.moments import Position
from snapshots.container import Limits
from snapshots.copying import RowRefused
from snapshots.format.faults import Fault, Faults
from snapshots.format.manifest import ATTACHMENTS, SNAPSHOT_FILES, Manifest
from snapshots.fresh.building import StreamBuilder, fresh_stream, sweep_abandoned
from snapshots.fresh.swap import Fresh, Live, MovedOn, Subscriptions, insert_segment, read_live, swap
from snapshots.progress import Keep, Progress, keep_nothing, no_progress
from snapshots.reading.archive import Archive, open_archive
from snapshots.reading.checking import Checked, Correcting, add_totals
from snapshots.reading.examination import Clash, Examination, Examiner, partitions_for
from snapshots.reading.spool import Spool
from snapshots.restoring.adding import (
    CLASH,
    AddedSink,
    Kept,
    Returned,
    adjustments,
    is_return,
    number_clashes,
    returned,
)
from snapshots.restoring.attribution import Attributing, Attribution
from snapshots.restoring.comparison import (
    Comparison,
    Target,
    conflicting_fields,
    fields_to_define,
    settings_that_differ,
)
from snapshots.restoring.meanwhile import Changed, read_changed, with_both_sides
from snapshots.restoring.report import (
    MOST_LISTED,
    CustomFields,
    Doubles,
    FieldDefined,
    Mode,
    Numbers,
    OnErrors,
    OnMeanwhile,
    RestoreReport,
)
from snapshots.restoring.selecting import (
    Chosen,
    LeftOut,
    NotInArchive,
    OtherReport,
    Records,
    choose,
    entities_at,
    position_at,
)
from snapshots.restoring.token import Seen, check_token, seen, token_for
from snapshots.trust.encryption import Unlock
from snapshots.trust.signing import NO_KEYS, KeyRing

SQL = statements("snapshots.fresh", "fresh.sql")
_CATCH_UPS = 5  # times that an addition begins again, beside people who go on working, before it is refused


@dataclass(eq=False)
class Refused(RestoreError):
    """The restore was refused, or a rehearsal found that it would be; *report* says all of why. Nothing was changed."""

    code: ClassVar[str] = "restore.refused"
    report: RestoreReport

    def __str__(self) -> str:
        return self.report.reason or "the restore was refused"


class ArchiveFaulty(Refused):
    """Records of the archive are erroneous."""

    code: ClassVar[str] = "restore.archive-faulty"


class NumbersClash(Refused):
    """Archive and account have a number under different documents."""

    code: ClassVar[str] = "restore.numbers-clash"


class CannotReturn(Refused):
    """An entity that was named cannot go back to what the archive has."""

    code: ClassVar[str] = "restore.cannot-return"


class BooksClosedThen(Refused):
    """Documents in a closed period would be made, changed or removed."""

    code: ClassVar[str] = "restore.books-closed"
    hint = "the account's owner can go on all the same with --change-closed-periods (change_closed_periods)"


class ChangedMeanwhile(Refused):
    """The account changed while the restore was at work."""

    code: ClassVar[str] = "restore.account-changed"
    moved: MovedOn

    def __init__(self, report: RestoreReport, moved: MovedOn) -> None:
        super().__init__(report)
        self.moved = moved


@dataclass(eq=False)
class ChoiceUnfitting(RestoreError):
    """A choice was made that the mode has no use for."""

    code: ClassVar[str] = "restore.choice-unfitting"
    field: str
    found: str
    mode: Mode

    def __str__(self) -> str:
        return f"{self.field}: found {self.found}, which mode {self.mode} has no use for; expected it left out"


class Choices(NamedTuple):
    """What whoever restores has chosen. ``change_closed_periods`` is for the owner alone.

    ``trust_attribution``, for the owner alone: whom an archive names that no trusted key vouches for is believed.
    ``user_map``, as ``read_user_map`` gives it: whose events are which member's.
    ``from_other_account``: the archive may be of another account than the one that it is restored into.
    ``subscriptions``: ``moved`` where this account replaces the one that the archive is of, which lifts the hold on
    those whose next date has passed.
    ``accept_edits``: files of it that are not those that were signed or listed are taken for what they are.
    ``meanwhile`` and ``numbers`` are for overwriting: what becomes of changes made meanwhile, and of the numbers that
    are lost. ``custom_fields``: ``define`` adds the archive's definitions to the account's settings. ``doubles`` is for
    adding: ``merge-customers`` merges those of one VAT number too. ``token``, of a rehearsal's report: only if account,
    archive and choices are what they were then.
    ``only`` kinds, ``only_entities`` and what an earlier restore ``left_out`` are for adding: the archive's other
    entities stay out, but for what these need; entities that are named come back when they were deleted or changed.
    ``as_of`` a position or time of the archive's timeline: its lines up to there, and the entities as they were then.
    """

    mode: Mode = "overwrite"
    errors: OnErrors = "abort"
    dry_run: bool = False
    change_closed_periods: bool = False
    trust_attribution: bool = False
    user_map: dict[str, str] | None = None
    from_other_account: bool = False
    subscriptions: Subscriptions = "hold"
    accept_edits: bool = False
    meanwhile: OnMeanwhile = "refuse"
    numbers: Numbers = "keep-series"
    only: tuple[Kind, ...] = ()
    only_entities: tuple[str, ...] = ()
    left_out: LeftOut | None = None
    as_of: Position | datetime | None = None
    custom_fields: CustomFields = "report"
    doubles: Doubles = "match"
    token: str | None = None


_ONLY_FOR: dict[Mode, tuple[str, ...]] = {
    "overwrite": ("meanwhile", "numbers"),
    "add": ("only", "only_entities", "left_out", "doubles"),
}


def restore_archive(
    application: Application,
    access: Access,
    actor: Actor,
    file: BinaryIO,
    *,
    choices: Choices = Choices(),  # noqa: B008 - immutable
    limits: Limits = Limits(),  # noqa: B008 - immutable
    keys: KeyRing = NO_KEYS,
    unlock: Unlock | None = None,
    progress: Progress = no_progress,
    keep: Keep = keep_nothing,
) -> RestoreReport:
    """Restore the archive in *file* into the account of *access*, or rehearse it. What was, or would be, done.

    *actor* is the restoring person; *keys* judge whether the archive is authentic, *unlock* opens it when it is
    encrypted. *keep* is given the report in the swap's transaction. Raises ArchiveError leaves for a file that is no
    sound archive, Refused leaves with the report, RoleLacking, AccountClosed, DatabaseUnavailable, NoRoom; then the
    account is as it was, which its control stream records unless it was a rehearsal.
    """
    check_choices(access, choices)
    try:
        archive = open_archive(file, limits, keys, unlock=unlock, accept_edits=choices.accept_edits)
    except (ArchiveError, OSError) as wrong:
        refused = wrong if isinstance(wrong, ArchiveError) else NoRoom(wrong.strerror or str(wrong))
        if not choices.dry_run:
            _record_failure(application, access, actor, "unknown", refused)
        if refused is wrong:
            raise
        raise refused from wrong
    try:
        _check_account(archive.manifest, access, choices)
        what = None
        if choices.dry_run or choices.token:
            chosen = choices._replace(dry_run=False, token=None)._asdict()
            what = seen(file, archive.authenticity.verdict, chosen, actor.name)
        return _Restore(application, access, actor, archive, choices, what, progress, keep).run()
    except CounterfoilError as wrong:
        if not choices.dry_run:
            _record_failure(application, access, actor, archive.manifest.archive, wrong)
        raise
    except psycopg.OperationalError as wrong:
        unavailable = DatabaseUnavailable.because(wrong)
        if not choices.dry_run:
            _record_failure(application, access, actor, archive.manifest.archive, unavailable)
        raise unavailable from wrong
    except OSError as wrong:
        no_room = NoRoom(wrong.strerror or str(wrong))
        if not choices.dry_run:
            _record_failure(application, access, actor, archive.manifest.archive, no_room)
        raise no_room from wrong


@dataclass(eq=False)
class NoRoom(RestoreError):
    """A file that the restore works with could not be read or written."""

    code: ClassVar[str] = "restore.no-room"
    reason: str

    def __str__(self) -> str:
        return f"a working file could not be read or written: {self.reason}; nothing was restored"


@dataclass(eq=False)
class OtherAccount(RestoreError):
    """The archive is of another account, and nobody said that this is meant."""

    code: ClassVar[str] = "restore.other-account"
    hint = "if it is meant, say so with --from-other-account (from_other_account)"
    name: str
    id: str
    account: str

    def __str__(self) -> str:
        return f"the archive is of another account, “{self.name}” ({self.id}); expected one of {self.account}"


def check_choices(access: Access, choices: Choices) -> None:
    """What can be judged before the archive is looked at. Raises RoleLacking, OwnerOnly, AccountClosed and
    ChoiceUnfitting.
    """
    _check_role(access, choices)
    if access.control.closed:
        raise AccountClosed
    _check_fitting(choices)


def _check_role(access: Access, choices: Choices) -> None:
    require_administrator(access, "restoring")
    if choices.change_closed_periods:
        require_owner(access, "changing closed periods")
    if choices.trust_attribution:
        require_owner(access, "vouching for an archive's names")


def _check_fitting(choices: Choices) -> None:
    for mode, names in _ONLY_FOR.items():
        for name in names if mode != choices.mode else ():
            value = getattr(choices, name)
            if value != Choices._field_defaults[name]:
                found = ", ".join(map(str, value)) if name in ("only", "only_entities") else "a report"
                raise ChoiceUnfitting(name, value if isinstance(value, str) else found, choices.mode)


def _check_account(manifest: Manifest, access: Access, choices: Choices) -> None:
    if manifest.account.id != access.account and not choices.from_other_account:
        raise OtherAccount(manifest.account.name, manifest.account.id, access.slug)
    if choices.left_out is not None and choices.left_out.archive != manifest.archive:
        raise OtherReport(choices.left_out.archive, manifest.archive)


@dataclass(eq=False)
class OwnerOnly(RestoreError):
    """Only the account's owner may choose this."""

    code: ClassVar[str] = "restore.owner-only"
    what: str
    role: str

    def __str__(self) -> str:
        return f"{self.what} is for the account's owner; you are {self.role}"


def require_owner(access: Access, what: str) -> None:
    """That who has *access* owns the account. Raises OwnerOnly, naming *what* they wanted."""
    if access.role is not Role.OWNER:
        raise OwnerOnly(what, access.role.value)


def _record_failure(
    application: Application, access: Access, actor: Actor, archive: str, wrong: CounterfoilError
) -> None:
    failed = RestoreFailed(archive=archive, code=wrong.code, reason=str(wrong)[:2000])
    application.record_failure(access.account, actor, failed, wrong)


class _Restore:
    """One restore, from the first look to the swap."""

    def __init__(  # noqa: PLR0917 - the door above names them
        self,
        application: Application,
        access: Access,
        actor: Actor,
        archive: Archive,
        choices: Choices,
        what: Seen | None,
        progress: Progress,
        keep: Keep,
    ) -> None:
        self._what = what
        self._application = application
        self._database = application.database
        self._access = access
        self._actor = actor
        self._archive = archive
        self._choices = choices
        self._progress = progress
        self._keep = keep
        self._person = PersonId(actor.name.removeprefix("person:"))
        self._at = application.clock()
        self._is_authentic = archive.authenticity.verdict == "authentic"
        self._correcting = None if self._is_authentic else Correcting(actor.name, written_time(self._at))
        self._first_faults = Faults()
        self._as_of: int | None = None
        self._chosen: Chosen | None = None

    def run(self) -> RestoreReport:
        """Restore or rehearse."""
        sweep_abandoned(self._database, self._access.account)
        if self._choices.as_of is not None:
            self._as_of = position_at(self._archive, self._choices.as_of)
        for _ in range(_CATCH_UPS):
            try:
                return self._run_once()
            except ChangedMeanwhile as changed:
                if not self._catches_up(changed.moved):
                    raise
        return self._run_once()

    def _catches_up(self, moved: MovedOn) -> bool:
        """Whether the restore begins again after the account changed. Who discards has an answer to events only."""
        return self._choices.mode == "add" or (self._choices.meanwhile == "discard" and moved.settings)

    def _run_once(self) -> RestoreReport:
        self._first_faults = Faults()
        with ExitStack() as stack:
            with self._database.transaction(self._access.account, snapshot=True) as connection:
                live = read_live(connection, self._access.account)
                self._check_role(live.control)
                if self._what is not None and self._choices.token:
                    check_token(self._choices.token, self._access.account, live, self._what)
                self._partitions = partitions_for(self._archive, events_beside=live.position)
                spool = stack.enter_context(Spool(self._partitions))
                target = Target(self._access.account, live.stream, live.position, live.control, spool)
                target.read(connection, with_keys=self._choices.mode == "add")
            if self._choices.mode == "add":
                return self._add(live, target)
            return self._overwrite(live, target)

    def _check_role(self, control: Control) -> None:
        """That who restores may do so still, in the role that they have in the account by now."""
        self._access = as_it_is_now(self._access, control, self._actor)
        _check_role(self._access, self._choices)

    # Overwrite: one pass examines and builds; with faults and "skip", what was built goes and a second leaves them out

    def _overwrite(self, live: Live, target: Target) -> RestoreReport:
        try:
            return self._overwrite_without(None, live, target)
        except ArchiveFaulty:
            if self._choices.errors == "abort":
                raise
        self._first_faults = self._last.faults
        return self._overwrite_without(self._last.refused, live, target)

    def _overwrite_without(self, leave_out: frozenset[str] | None, live: Live, target: Target) -> RestoreReport:
        try:
            return self._build_over(leave_out, live, target)
        except (RowRefused, psycopg.DataError, psycopg.IntegrityError):
            # The server refuses some faulty lines before their check comes round; the check says what is wrong.
            comparison = self._comparison(target, live)
            found = self._examine(leave_out=leave_out, look=comparison.look, digested=target.count > 0)
            self._judge(leave_out, live, target, comparison, found)
            raise

    def _build_over(self, leave_out: frozenset[str] | None, live: Live, target: Target) -> RestoreReport:
        comparison = self._comparison(target, live)
        with self._fresh_stream() as fresh:
            found = self._examine(
                leave_out=leave_out, sink=fresh, fresh=fresh, look=comparison.look, digested=target.count > 0
            )
            report = self._judge(leave_out, live, target, comparison, found)
            self._refuse_if_closed(report)
            if fresh is None:
                return report
            fresh.finish()
            built = Fresh(fresh.stream, found.frontier, fresh.sent_events, fresh.sent_entities)

            def revise(changed: list[Changed]) -> RestoreReport:
                return self._revised(report, comparison.revised(changed), target, changed)

            return self._swap(live, built, report, found, "restore", revise=revise)

    def _judge(
        self,
        leave_out: frozenset[str] | None,
        live: Live,
        target: Target,
        comparison: Comparison,
        found: Examination,
    ) -> RestoreReport:
        """The report on a pass. Raises ArchiveFaulty for faults in what was not left out already."""
        report = self._report(live, target, comparison, found, result=found.totals)
        if leave_out is None or found.faults.entities - leave_out:
            self._last = found
            self._refuse_if_faulty(report, found)
        return report

    # Add: one pass finds what the account lacks and what clashes (with faults and "skip" another, without them); the
    # last builds on a copy of the live stream. When people worked meanwhile it begins again, from where they are.

    def _add(self, live: Live, target: Target) -> RestoreReport:
        self._chosen = self._choose(target)
        comparison, found, kept = self._look_at_added(frozenset(), live, target)
        self._first_faults = found.faults
        self._last = found
        if found.faults.count:
            if self._choices.errors == "abort":
                self._refuse_if_faulty(self._report(live, target, comparison, found, result=target.totals), found)
            comparison, found, kept = self._look_at_added(found.refused, live, target)
        returning = self._returning(live, target, comparison, found, kept)
        changes = adjustments(found.clashes, comparison.bringing, self._choices.doubles)
        report = _replace(
            self._report(live, target, comparison, found, result=target.totals),
            matched=tuple(changes.matched[:MOST_LISTED]),
            matched_count=len(changes.matched),
            likely_doubles=tuple(changes.doubles[:MOST_LISTED]),
            likely_doubles_count=len(changes.doubles),
        )
        self._refuse_if_closed(report)
        if not comparison.bringing:
            return _replace(
                report,
                outcome="nothing_to_add",
                defined_fields=(),
                events=live.position,
                root=live.frontier.root().hex(),
                people=(),
                differences=(),
            )
        with self._fresh_stream() as fresh:
            base = self._carry(live, fresh, report, but=list(returning))
            sink = AddedSink(fresh, changes.events, returning=returning, actor=self._actor, at=self._at)
            second = self._examine(
                leave_out=_AllBut(comparison.bringing),
                added=comparison.bringing,
                base=base,
                sink=sink,
                fresh=fresh,
                hold=frozenset(changes.events) | returning.keys(),
                unwritten=frozenset(returning),
            )
            frontier = sink.finish(second.frontier)
            before = Totaller()
            add_totals(before, (one.now for one in returning.values()))
            target.totaller.take_off(before)
            target.totaller.merge(second.totaller)
            target.totaller.merge(sink.adjusted)
            result = target.totaller.totals()
            report = _replace(
                report,
                events=frontier.size,
                root=frontier.root().hex(),
                people=self._attributed(live.control, second).report,
                totals_result=result,
                differences=tuple(differences(target.totals, result)),
            )
            if fresh is None:
                return report
            fresh.finish()
            sent = (live.position + fresh.sent_events, target.count - len(returning) + fresh.sent_entities)
            built = Fresh(fresh.stream, frontier, *sent)
            return self._swap(live, built, report, second, "add", files=comparison.files)

    def _choose(self, target: Target) -> Chosen | None:
        """What of the archive the restore is about, with what that needs; None for all. Raises NotInArchive."""
        named, given = self._choices.only_entities, self._choices.left_out
        if not self._choices.only and not named and given is None:
            return None
        left_out = given.entities | entities_at(self._archive, given.lines) if given is not None else frozenset()
        chosen: list[Chosen] = []

        def note(records: Records, faults: Faults) -> None:
            ids = frozenset(faults.entities)
            chosen.append(choose(records, ids, kinds=self._choices.only, named=named, left_out=left_out))

        self._examine(beside=target, choose=note)
        if chosen[0].missing:
            raise NotInArchive(chosen[0].missing, self._as_of)
        return chosen[0]

    def _without(self, refused: frozenset[str]) -> Container[str] | None:
        """What a pass leaves out: what the restore is not about, and what was *refused*."""
        if self._chosen is not None:
            return _AllBut(self._chosen.ids - refused)
        return refused or None

    def _look_at_added(
        self, refused: frozenset[str], live: Live, target: Target
    ) -> tuple[Comparison, Examination, dict[str, Checked]]:
        """What the account lacks, without the *refused*, what of it clashes with what the account has, and the entities
        that may come back.
        """
        returning = self._chosen.returning if self._chosen is not None else frozenset[str]()
        comparison = self._comparison(target, live)
        comparison.may_return(returning, named=frozenset(self._choices.only_entities))
        kept = Kept()

        def refuse(clashes: list[Clash]) -> list[Fault]:
            return number_clashes([clash for clash in clashes if clash[1] in comparison.bringing])

        found = self._examine(
            leave_out=self._without(refused),
            beside=target,
            added=comparison.bringing,
            refuse_clashes=refuse,
            look=comparison.look,
            digested=target.count > 0,
            sink=kept,
            hold=returning,
        )
        return comparison, found, kept.entities_held

    def _returning(
        self,
        live: Live,
        target: Target,
        comparison: Comparison,
        found: Examination,
        kept: dict[str, Checked],
    ) -> dict[str, Returned]:
        """The entities that come back, as the account has them. Raises CannotReturn, unless errors are skipped."""
        if not comparison.candidates:
            return {}
        key = {"account": self._access.account, "live": live.stream, "entities": list(comparison.candidates)}
        with self._database.transaction(self._access.account) as connection:
            rows = connection.execute(SQL["read_returning"], key).fetchall()
        returning: dict[str, Returned] = {}
        faults = Faults()
        for id_, kind, state, last_at in rows:
            one = returned(Kind(kind), state, last_at)
            try:
                comes = is_return(one, kept[id_])
            except DomainError as wrong:
                fault = Fault(
                    code=CannotReturn.code, file=SNAPSHOT_FILES[Kind(kind)], entity=id_, reason=f"{kind} {id_}: {wrong}"
                )
                faults.add(fault)
                comes = False
            comparison.settle(id_, comes=comes)
            if comes:
                returning[id_] = one
        self._first_faults.add_all(faults)
        if faults.count and self._choices.errors == "abort":
            report = self._report(live, target, comparison, found, result=target.totals)
            reason = str(faults.listed[0])
            raise CannotReturn(_replace(report, outcome="refused", code=CannotReturn.code, reason=reason))
        return returning

    def _carry(self, live: Live, fresh: StreamBuilder | None, report: RestoreReport, *, but: list[str]) -> Frontier:
        """Copy the live stream, as it was seen, into the fresh one, *but* the rows of some entities. The log to go on
        from.
        """
        if fresh is None:
            return live.frontier
        key = {"account": self._access.account, "stream": fresh.stream, "live": live.stream, "head": live.position}
        key["but"] = but
        with self._database.transaction(self._access.account) as connection:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            now = read_live(connection, self._access.account)
            if (now.stream, now.position) != (live.stream, live.position):
                raise self._changed(
                    live, report, MovedOn(now.position - live.position, swapped=now.stream != live.stream)
                )
            for statement in ("carry_events", "carry_entities"):
                connection.execute(SQL[statement], key)
        return live.frontier

    # Both

    def _fresh_stream(self) -> AbstractContextManager[StreamBuilder | None]:
        """The builder of a fresh stream; none for a rehearsal."""
        if self._choices.dry_run:
            return nullcontext()
        return self._begun()

    @contextmanager
    def _begun(self) -> Iterator[StreamBuilder]:
        with fresh_stream(self._database, self._access.account, self._actor, self._at) as fresh:
            begun = RestoreBegun(archive=self._archive.manifest.archive, mode=self._choices.mode, stream=fresh.stream)
            self._application.record_control(self._access.account, self._actor, begun)
            yield fresh

    def _examine(
        self,
        *,
        leave_out: Container[str] | None = None,
        beside: Target | None = None,
        added: Container[str] = (),
        refuse_clashes: Callable[[list[Clash]], list[Fault]] = lambda _: [],
        base: Frontier = EMPTY,
        sink: Any = None,
        fresh: StreamBuilder | None = None,
        hold: frozenset[str] = frozenset(),
        unwritten: frozenset[str] = frozenset(),
        look: Callable[..., None] | None = None,
        digested: bool = False,
        choose: Callable[[Records, Faults], None] | None = None,
    ) -> Examination:
        return Examiner(
            self._archive,
            leave_out=leave_out,
            beside=beside.across() if beside is not None else (),
            added=added,
            refuse_clashes=refuse_clashes,
            partitions=self._partitions,
            base=base,
            sink=sink,
            copy_prefix=fresh.copy_prefix if fresh is not None else None,
            hold=hold,
            look=look,
            digested=digested,
            correcting=self._correcting,
            unwritten=unwritten,
            as_of=self._as_of,
            now=None if self._is_authentic else self._at,
            choose=choose,
            progress=self._progress,
        ).run()

    def _comparison(self, target: Target, live: Live) -> Comparison:
        adding = self._choices.mode == "add"
        return Comparison(target, adding=adding, today=self._today(live), defining=self._defining(live.control))

    def _defining(self, control: Control) -> list[CustomField]:
        """The definitions that the account gets with the swap."""
        defines = self._choices.custom_fields == "define"
        return fields_to_define(self._archive.manifest.custom_fields, control) if defines else []

    def _today(self, live: Live) -> date:
        return self._at.astimezone(ZoneInfo(live.control.settings.time_zone)).date()

    def _report(
        self, live: Live, target: Target, comparison: Comparison, found: Examination, *, result: ControlTotals
    ) -> RestoreReport:
        manifest = self._archive.manifest
        faults = self._first_faults if self._first_faults.count else found.faults
        return RestoreReport(
            outcome="would_restore",
            token=self._token(live),
            archive=manifest.archive,
            taken_at=manifest.taken_at.isoformat(),
            archive_as_of=manifest.as_of,
            source_account=manifest.account.name,
            source_account_id=manifest.account.id,
            from_other_account=manifest.account.id != self._access.account,
            account=self._access.slug,
            account_events=live.position,
            mode=self._choices.mode,
            errors=self._choices.errors,
            authenticity=self._archive.authenticity,
            events=found.frontier.size,
            root=found.frontier.root().hex(),
            meanwhile=self._choices.meanwhile,
            numbers=self._choices.numbers,
            **self._compared(comparison),
            people=self._attributed(live.control, found).report,
            corrections=tuple(found.corrections),
            corrections_count=found.corrections_count,
            custom_fields=self._choices.custom_fields,
            doubles=self._choices.doubles,
            undefined_fields=comparison.undefined_fields(manifest.custom_fields),
            defined_fields=tuple(
                FieldDefined(kind=field.kind, key=field.key, label=field.label, type=field.type)
                for field in self._defining(live.control)
            ),
            conflicting_fields=conflicting_fields(manifest.custom_fields, live.control),
            settings=settings_that_differ(manifest.meaning, live.control),
            subscriptions=self._choices.subscriptions,
            held=tuple(comparison.held[:MOST_LISTED]),
            held_count=len(comparison.held),
            faults=tuple(faults.listed),
            faults_count=faults.count,
            skipped=len(self._last.refused) if self._first_faults.count else 0,
            left_out=tuple(sorted(self._last.refused)) if self._first_faults.count else (),
            only=tuple(kind.value for kind in self._choices.only),
            only_entities=self._choices.only_entities,
            as_of=self._as_of,
            came_back=tuple(comparison.came_back[:MOST_LISTED]),
            came_back_count=len(comparison.came_back),
            deleted_here=tuple(comparison.deleted_here.first),
            deleted_here_count=comparison.deleted_here.count,
            totals_account=target.totals,
            totals_archive=(manifest.control_totals if self._as_of is None else None) or found.totals,
            totals_result=result,
            differences=tuple(differences(target.totals, result)),
        )

    def _token(self, live: Live) -> str | None:
        """What ties a restore to this rehearsal."""
        if self._what is None or not self._choices.dry_run:
            return None
        return token_for(self._access.account, live, self._what)

    def _compared(self, comparison: Comparison) -> dict[str, Any]:
        """What a report says of archive and account, entity by entity."""
        tally = comparison.tally
        reuses = self._choices.numbers == "reuse-numbers"
        return {
            "changes": comparison.changes(),
            "events_lost": tally.events_lost,
            "entities": comparison.entities(),
            **tally.losses(),
            "numbers_kept": () if reuses else comparison.numbers_kept(),
            "numbers_reused": comparison.numbers_reused() if reuses else (),
            "numbers_missing": comparison.numbers_missing(),
        }

    def _revised(
        self, report: RestoreReport, comparison: Comparison, target: Target, changed: list[Changed]
    ) -> RestoreReport:
        """*report* on the account as it is now that it *changed*."""
        before, now, account = Totaller(), Totaller(), Totaller()
        add_totals(before, (one.was for one in changed if one.was is not None))
        add_totals(now, (one.now for one in changed))
        account.merge(target.totaller)
        account.merge(now)
        account.take_off(before)
        totals = account.totals()
        return _replace(
            report,
            **self._compared(comparison),
            **_named(changed),
            totals_account=totals,
            differences=tuple(differences(totals, report.totals_result)),
        )

    def _refuse_if_faulty(self, report: RestoreReport, found: Examination) -> None:
        if not found.faults.count:
            return
        clash = next((fault for fault in found.faults.listed if fault.code == CLASH), None)
        kind = NumbersClash if clash else ArchiveFaulty
        first = clash or found.faults.listed[0]
        more = f" ({found.faults.count:,} faults in all)" if found.faults.count > 1 else ""
        raise kind(_replace(report, outcome="refused", code=kind.code, reason=f"{first}{more}"))

    def _refuse_if_closed(self, report: RestoreReport) -> None:
        if not report.in_closed_periods_count or self._choices.change_closed_periods:
            return
        first = report.in_closed_periods[0]
        reason = (
            f"{report.in_closed_periods_count:,} documents in closed periods would change, first {first.kind}"
            f" {first.number or first.id} of {first.issue_date}; expected none, or the owner's word"
        )
        raise BooksClosedThen(_replace(report, outcome="refused", code=BooksClosedThen.code, reason=reason))

    def _swap(
        self,
        live: Live,
        fresh: Fresh,
        report: RestoreReport,
        found: Examination,
        came_by: Literal["restore", "add"],
        *,
        files: Container[str] | None = None,
        revise: Callable[[list[Changed]], RestoreReport] | None = None,
    ) -> RestoreReport:
        account = self._access.account
        archive = self._archive.manifest.archive
        at = self._application.clock()
        control: Control
        attribution: Attribution

        def finish(connection: Connection[Row]) -> None:
            nonlocal control, attribution
            # Whoever lost access meanwhile is linked to nothing, and restores nothing.
            control = read_live(connection, account).control
            self._check_role(control)
            attribution = self._attributed(control, found)
            if came_by == "add":
                key = {"account": account, "stream": fresh.stream, "live": live.stream, "head": live.position}
                connection.execute(SQL["carry_segments"], key)
                connection.execute(SQL["carry_attributions"], key)
                connection.execute(SQL["carry_came_back"], key)
            self._insert_segments(connection, fresh, came_by, attribution, at=at)
            if fresh.frontier.size >= found.corrected_from:  # what whoever restores adds to it, here
                own = (found.corrected_from, came_by, archive, "recorded")
                insert_segment(
                    connection,
                    account,
                    fresh.stream,
                    own,
                    at=at,
                    by=self._actor.name,
                    subscriptions=self._choices.subscriptions,
                )
            self._keep(connection, restored())

        def restored() -> RestoreReport:
            return _replace(
                report,
                outcome="restored",
                people=attribution.report,
                live_stream=fresh.stream,
                retired_stream=live.stream,
            )

        def record() -> tuple[Value, ...]:
            vouched: list[Value] = [
                PersonLinked(person=person, to=to, ground="consent" if (person, to) in control.consents else "owner")
                for person, to in attribution.mapped.items()
            ]
            if self._choices.trust_attribution and report.authenticity.verdict != "authentic":
                vouched.append(AttributionTrusted(archive=archive, stream=fresh.stream))
            defined = [CustomFieldDefined(**msgspec.structs.asdict(one)) for one in self._defining(live.control)]
            numbers = _numbers_on_record(live.stream, report)
            return (*defined, *numbers, *vouched, self._finished(fresh, report))

        def discard(connection: Connection[Row]) -> None:
            nonlocal report
            assert revise is not None, "only an overwriting restore discards"
            changed = read_changed(connection, account, live.stream, after=live.position)
            changed = with_both_sides(
                connection, account, changed, live=live.stream, after=live.position, fresh=fresh.stream
            )
            report = revise(changed)
            self._refuse_if_closed(report)

        try:
            swap(
                self._application,
                account,
                self._actor,
                seen=live,
                fresh=fresh,
                at=at,
                finish=finish,
                record=record,
                before=lambda connection: self._keep_attachments(connection, files),
                discard=discard if self._choices.meanwhile == "discard" and not self._choices.token else None,
            )
        except MovedOn as wrong:
            raise self._changed(live, report, wrong) from wrong
        return restored()

    def _insert_segments(
        self, connection: Connection[Row], fresh: Fresh, came_by: str, attribution: Attribution, *, at: datetime
    ) -> None:
        """How the archive's lines came, and to whom those by its people are linked."""
        account, archive = self._access.account, self._archive.manifest.archive
        names = {person.person: person.name for person in attribution.report}
        for one in attribution.segments:
            segment = (one.first_position, came_by, archive, one.authenticity)
            insert_segment(
                connection,
                account,
                fresh.stream,
                segment,
                at=at,
                by=self._actor.name,
                subscriptions=self._choices.subscriptions,
                trusted=one.attribution_trusted,
            )
            for person in one.people:
                parameters = {
                    "account": account,
                    "stream": fresh.stream,
                    "first": one.first_position,
                    "person": person.person,
                    "linked_to": person.linked_to,
                    "verified": person.verified,
                    "name": names[person.person],
                }
                connection.execute(SQL["insert_attribution"], parameters)

    def _attributed(self, control: Control, found: Examination) -> Attribution:
        """To whom the archive's events are linked. Raises UserMapRefused."""
        authenticity = self._archive.authenticity
        return Attributing(
            self._archive.manifest,
            authenticity.verdict,
            control,
            self._person,
            own_installation=authenticity.is_ours,
            trusted=self._choices.trust_attribution,
            user_map=self._choices.user_map,
            is_owner=self._access.role is Role.OWNER,
        ).decide(found.brought)

    def _finished(self, fresh: Fresh, report: RestoreReport) -> RestoreFinished:
        return RestoreFinished(
            archive=report.archive,
            mode=self._choices.mode,
            stream=fresh.stream,
            events=fresh.events,
            skipped=report.skipped,
            created=sum(one.created for one in report.changes),
            replaced=sum(one.replaced for one in report.changes),
            removed=sum(one.removed for one in report.changes),
            lost_documents=tuple(one.number for one in report.lost_documents),
            subscriptions=self._choices.subscriptions,
            discarded=report.changed_meanwhile,
            missing_numbers={f"{one.kind}/{one.series}": one.missing for one in report.numbers_missing},
            as_of=report.as_of,
            changed_closed_periods=report.in_closed_periods_count > 0,
        )

    def _changed(self, live: Live, report: RestoreReport, moved: MovedOn) -> ChangedMeanwhile:
        """The refusal, naming what the stream that was *live* got since it was seen."""
        with self._database.transaction(self._access.account) as connection:
            changed = read_changed(connection, self._access.account, live.stream, after=live.position)
        refused = _replace(report, outcome="refused", code=moved.code, reason=str(moved), **_named(changed))
        return ChangedMeanwhile(refused, moved)

    def _keep_attachments(self, connection: Connection[Row], files: Container[str] | None) -> None:
        """The attached *files*, or all, each by its hash; those that the account has already stay as they are.

        In order of their names, so that of two who bring the same files none waits for the other in a ring.
        """
        for file in sorted(self._archive.attachments(), key=lambda file: file.name):
            if files is not None and file.sha256 not in files:
                continue
            content = b"".join(self._archive.chunks(file.name))
            sha256 = bytes.fromhex(file.name.removeprefix(ATTACHMENTS))
            parameters = {"account": self._access.account, "sha256": sha256, "bytes": content}
            connection.execute(SQL["insert_attachment"], parameters)


class _AllBut:
    """Every id but those of a set."""

    def __init__(self, ids: Container[str]) -> None:
        self._ids = ids

    def __contains__(self, id_: object) -> bool:
        return id_ not in self._ids


def _named(changed: list[Changed]) -> dict[str, Any]:
    """What a report says of what the account got meanwhile."""
    return {
        "changed_meanwhile": sum(one.events for one in changed),
        "changed_entities": tuple(one.named for one in changed[:MOST_LISTED]),
        "changed_entities_count": len(changed),
    }


def _numbers_on_record(stream: int, report: RestoreReport) -> list[Value]:
    """What the control stream says of the numbers that the *stream* alone has, once it is retired."""
    record: list[Value] = []
    if report.numbers_kept:
        highest = {f"{kept.kind}/{kept.series}": kept.highest for kept in report.numbers_kept}
        missing = {f"{kept.kind}/{kept.series}": kept.missing for kept in report.numbers_kept}
        record.append(NumbersGiven(stream=stream, highest=highest, missing=missing))
    if report.numbers_reused:
        lowest = {f"{reused.kind}/{reused.series}": reused.lowest for reused in report.numbers_reused}
        numbers = {f"{reused.kind}/{reused.series}": reused.numbers for reused in report.numbers_reused}
        record.append(NumbersReused(stream=stream, lowest=lowest, numbers=numbers))
    return record


def _replace(report: RestoreReport, **changes: Any) -> RestoreReport:
    return msgspec.structs.replace(report, **changes)
