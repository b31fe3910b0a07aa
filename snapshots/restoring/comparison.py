"""What an archive would change in an account: entity by entity, by kind, with what would be lost named.

The account's entities are spooled in the same partitions as the archive's, so that the two are compared in bounded
memory while the archive is examined.
"""

from __future__ import annotations

import copy
from array import array
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from itertools import chain, islice, pairwise
from operator import itemgetter
from types import MappingProxyType
from typing import Any, Generic, Literal, Protocol, TypeVar

import msgspec
from msgspec import Struct
from psycopg import Connection

from domain.control import Control, highest_of
from domain.custom_fields import CustomField, check_definition
from domain.decimals import ZERO
from domain.entity import FieldRefused
from domain.ids import AccountId
from domain.kinds import DOCUMENT_KINDS, Kind
from domain.numbering import DEFAULT_FORMAT, Series, series
from domain.store.database import Row
from domain.store.statements import statements
from domain.work import decode_state
from projections.control_totals import ControlTotals, Totaller
from snapshots.format.errors import ManifestRefused
from snapshots.format.manifest import Meaning
from snapshots.reading.checking import (
    DRAFT,
    GONE,
    HERE,
    Checked,
    DocumentFact,
    EntityFact,
    fact_of,
    match_keys,
    partition_of,
    unique_keys,
)
from snapshots.reading.examination import Across
from snapshots.reading.spool import Spool
from snapshots.restoring.meanwhile import Changed
from snapshots.restoring.report import (
    CHANGES,
    MOST_LISTED,
    CameBack,
    Change,
    FieldConflict,
    FieldUndefined,
    Held,
    InClosedPeriod,
    KindChanges,
    LeftDeleted,
    LostDocument,
    Named,
    NumbersKept,
    NumbersMissing,
    NumbersReused,
    SettingDiffers,
    WentBack,
)

T = TypeVar("T")
SQL = statements("snapshots.fresh", "fresh.sql")
_ROWS_A_FETCH = 1_000


class TargetRow(Struct, array_like=True):
    """An entity of the account as it is; *keys*: what must be unique of it, and by what it is taken for the same."""

    fact: EntityFact
    keys: tuple[list[str], list[str]]


_encode = msgspec.json.Encoder().encode
_rows = msgspec.json.Decoder(list[TargetRow]).decode


class Target:
    """The account that is restored into, as one moment saw it: its live stream, entities by partition, totals.

    What is added to ``totaller`` afterwards comes on top of the account's own.
    """

    def __init__(self, account: AccountId, stream: int, position: int, control: Control, spool: Spool) -> None:
        self.account = account
        self.stream = stream
        self.position = position
        self.control = control
        self.formats: dict[str, tuple[str, ...]] = {}
        self.count = 0
        self.totals = ControlTotals()
        self.totaller = Totaller()
        self._spool = spool

    def read(self, connection: Connection[Row], *, with_keys: bool) -> None:
        """Spool the live stream's entities. *with_keys* also by what an added one may be the same as."""
        self.formats = read_formats(connection, self.account)
        mask = self._spool.partitions - 1
        with connection.cursor("target") as cursor:
            cursor.execute(SQL["read_target"], {"account": self.account, "stream": self.stream})
            while rows := cursor.fetchmany(_ROWS_A_FETCH):
                by_kind: dict[Kind, list[bytes]] = {}
                for id_, kind_name, deleted, text in rows:
                    kind, state = Kind(kind_name), text.encode()
                    if not deleted:
                        by_kind.setdefault(kind, []).append(state)
                    decoded = decode_state(kind, state)
                    fact = fact_of(Checked(id_, kind, 0, decoded, state, deleted))
                    row = TargetRow(fact, _keys(kind, decoded) if with_keys else ([], []))
                    self._spool.add(partition_of(id_, mask), _encode(row) + b"\n")
                    self.count += 1
                for kind, lines in by_kind.items():
                    self.totaller.add(kind, b"\n".join(lines) + b"\n")
        self.totals = self.totaller.totals()

    def partition(self, partition: int) -> dict[str, EntityFact]:
        """The entities of a partition, by id."""
        return {row.fact.id: row.fact for row in self._read(partition)}

    def across(self) -> Iterator[Across]:
        """The entities as others may refer to them or be the same as."""
        for partition in range(self._spool.partitions):
            for row in self._read(partition):
                yield Across(row.fact.id, row.fact.kind, _standing(row.fact), *row.keys)

    def _read(self, partition: int) -> list[TargetRow]:
        lines = self._spool.read(partition)
        return _rows(b"[" + lines[:-1].replace(b"\n", b",") + b"]")


def _standing(fact: EntityFact) -> str:
    if fact.is_gone:
        return GONE
    return DRAFT if fact.document is not None and fact.document.state == "draft" else HERE


def _keys(kind: Kind, state: Any) -> tuple[list[str], list[str]]:
    return unique_keys(kind, state), match_keys(kind, state)


class Compared(Protocol):
    """The account that something is compared with: its live stream, itself, and its entities by partition.

    ``formats``: of each kind of document the formats that its numbers have had, as ``read_formats`` gives them.
    """

    stream: int
    control: Control
    formats: dict[str, tuple[str, ...]]

    def partition(self, partition: int) -> dict[str, EntityFact]:
        """The entities of a partition, by id."""
        ...


class _Formats(Struct):
    number_formats: dict[str, str] | None = None


class _Opened(Struct):
    settings: _Formats


_formats = msgspec.json.Decoder(_Formats).decode
_opened = msgspec.json.Decoder(_Opened).decode


def read_formats(connection: Connection[Row], account: AccountId) -> dict[str, tuple[str, ...]]:
    """Of each kind of document the formats that the account has had for its numbers, the one in force first.

    A series of an earlier one goes on where it was, should that format come back.
    """
    found: list[dict[str, str]] = []
    for type_, data in connection.execute(SQL["read_formats"], {"account": account}).fetchall():
        formats = (_opened(data).settings if type_ == "account.opened" else _formats(data)).number_formats
        if formats is not None or type_ == "account.opened":
            found.append(formats or {})
    return {
        kind.value: tuple(dict.fromkeys(formats.get(kind.value, DEFAULT_FORMAT) for formats in reversed(found)))
        for kind in DOCUMENT_KINDS
    }


class Listed(Generic[T]):
    """The first of some things, and how many there are in all."""

    def __init__(self) -> None:
        self.first: list[T] = []
        self.count = 0

    def add(self, one: T) -> None:
        """Count it, and keep it while there is room."""
        self.count += 1
        if len(self.first) < MOST_LISTED:
            self.first.append(one)


class Gap:
    """The ordinals of a series whose documents are lost, or come in, by the width that their numbers have."""

    def __init__(self, of: Series) -> None:
        self.series = of
        self.by_width: dict[Series, array[int]] = {}

    def add(self, of: Series, ordinal: int) -> None:
        """A number of the series, as *of* writes it."""
        self.by_width.setdefault(of, array("Q")).append(ordinal)


class Tally:
    """What has been compared so far: counts in full, lists up to a length."""

    def __init__(self) -> None:
        self.kinds = {
            kind: dict.fromkeys(("account", "archive", "created", "replaced", "removed", "unchanged"), 0)
            for kind in Kind
        }
        self.entities: dict[tuple[Kind, Change], Listed[Named]] = {}
        self.lost: Listed[LostDocument] = Listed()
        self.lost_sent = 0
        self.back: Listed[WentBack] = Listed()
        self.closed: Listed[InClosedPeriod] = Listed()
        self.gaps: dict[tuple[str, str], Gap] = {}
        self.events_lost = 0

    def losses(self) -> dict[str, Any]:
        """What is lost, goes back or lies in closed periods, as the fields that reports have in common."""
        return {
            "lost_documents": tuple(self.lost.first),
            "lost_documents_count": self.lost.count,
            "lost_documents_sent": self.lost_sent,
            "went_back": tuple(self.back.first),
            "went_back_count": self.back.count,
            "in_closed_periods": tuple(self.closed.first),
            "in_closed_periods_count": self.closed.count,
        }

    def exchange(self, ids: set[str], before: Tally, now: Tally) -> None:
        """Take back what *before* says of the entities *ids*, and say what *now* does. No lost number comes back."""
        for kind, counts in self.kinds.items():
            for name in counts:
                counts[name] += now.kinds[kind][name] - before.kinds[kind][name]
        for key in before.entities.keys() | now.entities.keys():
            mine = self.entities.setdefault(key, Listed())
            _exchange(mine, ids, before.entities.get(key, Listed()), now.entities.get(key, Listed()))
        _exchange(self.lost, ids, before.lost, now.lost)
        _exchange(self.back, ids, before.back, now.back)
        _exchange(self.closed, ids, before.closed, now.closed)
        self.lost_sent += now.lost_sent - before.lost_sent
        self.events_lost += now.events_lost - before.events_lost
        for series_key, gap in now.gaps.items():
            before_gap = before.gaps.get(series_key, Gap(gap.series))
            mine_gap = self.gaps.setdefault(series_key, Gap(gap.series))
            for of, ordinals in gap.by_width.items():
                for ordinal in set(ordinals) - set(before_gap.by_width.get(of, ())):
                    mine_gap.add(of, ordinal)


def _exchange(mine: Listed[Any], ids: set[str], before: Listed[Any], now: Listed[Any]) -> None:
    mine.count += now.count - before.count
    mine.first = ([one for one in mine.first if one.id not in ids] + now.first)[:MOST_LISTED]


class Comparison:
    """Adds up what becomes of each entity. ``look`` is handed to an examiner, and called once a partition.

    *given*: the highest numbers by series that come along, beside what documents bear, as the account's own history
    keeps them.
    """

    def __init__(
        self,
        target: Compared,
        *,
        adding: bool,
        today: date,
        defining: Iterable[CustomField] = (),
        given: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self.bringing: set[str] = set()  # what is added, or comes back
        self.candidates: dict[str, tuple[EntityFact, EntityFact]] = {}
        self.came_back: list[CameBack] = []
        self.deleted_here: Listed[LeftDeleted] = Listed()
        self.files: set[str] = set()
        self._may_return: frozenset[str] = frozenset()
        self._named: frozenset[str] = frozenset()
        self.tally = Tally()
        self.held: list[Held] = []
        self._target = target
        self._adding = adding
        self._today = today.isoformat()
        self._closed_until = target.control.settings.closed_until
        self._defined = {*target.control.defined_fields(), *((field.kind, field.key) for field in defining)}
        self._given = highest_of(target.control.numbers_given, given)
        self._undefined: dict[tuple[str, str], int] = {}
        self._series: dict[tuple[Kind, str], list[Series]] = {}
        self._highest: dict[tuple[str, str], int] = {}  # of each series, in the archive; adding, in the account
        self._brought: dict[tuple[str, str], Gap] = {}

    def may_return(self, returning: frozenset[str], *, named: frozenset[str]) -> None:
        """Make candidates of those *returning* that the account deleted, and of those *named* that it changed."""
        self._may_return = returning
        self._named = named

    def look(self, partition: int, facts: list[EntityFact]) -> None:
        """Compare a partition's sound entities with those of the account."""
        there = self._target.partition(partition)
        for fact in facts:
            row = there.pop(fact.id, None)
            if self._adding:
                self._note_own(row)
                self._add(fact, row)
            else:
                self._note_data(fact)
                if fact.document is not None and fact.number is not None:
                    self.note_number(fact.kind, fact.number, fact.document.issue_date)
                self.compare(row, fact)
        for row in there.values():
            if not self._adding:
                self.compare(row, None)
            elif not row.is_gone:
                self._note_own(row)
                self.tally.kinds[row.kind]["account"] += 1
                self._change("unchanged", row)

    def _note_own(self, row: EntityFact | None) -> None:
        """Note the number that a document of the account bears, beside what is added."""
        if row is not None and row.document is not None and row.number is not None:
            self.note_number(row.kind, row.number, row.document.issue_date)

    def revised(self, changed: Iterable[Changed]) -> Comparison:
        """The comparison with the account as it is now that it *changed*. This one stays as it is."""
        before, now = copy.copy(self), copy.copy(self)
        before.tally, now.tally = Tally(), Tally()
        ids: set[str] = set()
        for one in changed:
            ids.add(one.now.id)
            then = fact_of(one.then) if one.then else None
            before.compare(fact_of(one.was) if one.was else None, then)
            now.compare(fact_of(one.now), then)
        revised = copy.copy(self)
        revised.tally = copy.deepcopy(self.tally)
        revised.tally.exchange(ids, before.tally, now.tally)
        return revised

    def pass_over(self, kind: Kind, count: int) -> None:
        """Count entities that both have, letter for letter the same, and that nothing is to be said of."""
        for counted in ("account", "archive", "unchanged"):
            self.tally.kinds[kind][counted] += count

    def _add(self, fact: EntityFact, row: EntityFact | None) -> None:
        self._count(row, fact)
        if row is None:
            self._bring(fact)
            if not fact.is_gone:
                self._change("created", fact)
        elif not fact.is_gone and fact.id in (self._may_return if row.is_gone else self._named):
            self.bringing.add(fact.id)
            self.candidates[fact.id] = (fact, row)
        elif not row.is_gone:
            self._change("unchanged", row)
        elif not fact.is_gone:
            self.deleted_here.add(LeftDeleted(kind=fact.kind.value, id=fact.id, number=fact.number))

    def _bring(self, fact: EntityFact) -> None:
        self.bringing.add(fact.id)
        self._note_data(fact)
        if fact.document is not None:
            self.files.update(fact.document.attachments)
            if fact.number is not None:
                for of, borne, ordinal in self._places(fact.kind, fact.number, fact.document.issue_date):
                    self._brought.setdefault((fact.kind.value, of.key), Gap(of)).add(borne, ordinal)

    def settle(self, id_: str, *, comes: bool) -> None:
        """Note of a candidate whether it comes back; it stays as it is if not."""
        fact, row = self.candidates[id_]
        if not comes:
            self.bringing.discard(id_)
            self._change("unchanged", row)
            return
        self._bring(fact)
        was: Literal["deleted", "changed"] = "deleted" if row.is_gone else "changed"
        self.came_back.append(CameBack(kind=fact.kind.value, id=id_, number=fact.number, was=was))
        if row.is_gone:
            self._change("created", fact)
        else:
            self._change("replaced", fact, dated_before=row)

    def _count(self, row: EntityFact | None, fact: EntityFact | None) -> None:
        if row is not None and not row.is_gone:
            self.tally.kinds[row.kind]["account"] += 1
        if fact is not None and not fact.is_gone:
            self.tally.kinds[fact.kind]["archive"] += 1

    def compare(self, row: EntityFact | None, fact: EntityFact | None) -> None:
        """What becomes of the account's entity, or of none, when the archive's takes its place, or none does."""
        self._count(row, fact)
        if row is not None:
            self.tally.events_lost += max(0, row.version - (fact.version if fact is not None else 0))
        if row is not None and row.is_gone:
            row = None
        if fact is None or fact.is_gone:
            if row is not None:
                self._lose(row)
        elif row is None:
            self._change("created", fact)
        elif row.digest == fact.digest:
            self._change("unchanged", row)
        else:
            self._change("replaced", fact, dated_before=row)
            if row.document is not None and fact.document is not None:
                self._compare_documents(row, fact, row.document, fact.document)

    def _compare_documents(self, row: EntityFact, fact: EntityFact, now: DocumentFact, then: DocumentFact) -> None:
        if row.number is None:
            return  # a draft has nothing to go back from
        if row.number != fact.number:
            self._lose_document(row, now)
            return
        due_now, due_then = _due(now), _due(then)
        changes = now.state != then.state or due_now != due_then or now.sent > then.sent
        owes_more = due_now is not None and due_then is not None and due_then > due_now
        # Of two that went different ways, neither version is the earlier one; that more is owed says it all the same.
        if changes and (row.version >= fact.version or owes_more):
            self.tally.back.add(
                WentBack(
                    kind=row.kind.value,
                    id=row.id,
                    number=row.number,
                    state_now=_state_shown(now),
                    state_then=_state_shown(then),
                    due_now=due_now,
                    due_then=due_then,
                    currency=now.currency,
                )
            )

    def _lose(self, row: EntityFact) -> None:
        self._change("removed", row)
        if row.document is not None and row.number is not None:
            self._lose_document(row, row.document)

    def _lose_document(self, row: EntityFact, document: DocumentFact) -> None:
        assert row.number is not None, "only an issued document is lost"
        self.tally.lost_sent += document.sent > 0
        self.tally.lost.add(
            LostDocument(
                kind=row.kind.value,
                id=row.id,
                number=row.number,
                issue_date=document.issue_date,
                sent=document.sent > 0,
                with_vat=document.totals.with_vat if document.totals else ZERO,
                currency=document.currency,
            )
        )
        for of, borne, ordinal in self._places(row.kind, row.number, document.issue_date):
            self.tally.gaps.setdefault((row.kind.value, of.key), Gap(of)).add(borne, ordinal)

    def note_number(self, kind: Kind, number: str, issue_date: str) -> None:
        """Note that a document of the archive bears *number*, so that its series goes on after it either way."""
        for of, _, ordinal in self._places(kind, number, issue_date):
            key = (kind.value, of.key)
            self._highest[key] = max(ordinal, self._highest.get(key, 0))

    def _places(self, kind: Kind, number: str, issue_date: str) -> Iterator[tuple[Series, Series, int]]:
        """Which document *number* is of each of the account's series that it belongs to, of formats in force once too.

        Formats of one key are one series, whatever their widths: first as it is written now, then as it is borne.
        """
        month = (kind, issue_date[:7])
        if month not in self._series:
            on = date.fromisoformat(issue_date)
            self._series[month] = [series(text, on) for text in self._target.formats[kind.value]]
        now: dict[str, Series] = {}
        seen: set[str] = set()
        for of in self._series[month]:
            now.setdefault(of.key, of)
            ordinal = of.ordinal(number)
            if ordinal is not None and of.key not in seen:
                seen.add(of.key)
                yield now[of.key], of, ordinal

    def _change(self, change: Change, fact: EntityFact, *, dated_before: EntityFact | None = None) -> None:
        self.tally.kinds[fact.kind][change] += 1
        listed = self.tally.entities.setdefault((fact.kind, change), Listed())
        listed.add(Named(change=change, kind=fact.kind.value, id=fact.id, number=fact.number))
        if self._closed_until is None or change == "unchanged":
            return
        dates = [
            one.document.issue_date for one in (fact, dated_before) if one is not None and one.document is not None
        ]
        closed = [dated for dated in dates if dated and dated <= self._closed_until.isoformat()]
        if closed:
            self.tally.closed.add(
                InClosedPeriod(
                    change=change, kind=fact.kind.value, id=fact.id, number=fact.number, issue_date=closed[0]
                )
            )

    def _note_data(self, fact: EntityFact) -> None:
        if fact.is_gone:
            return
        for kind, key in fact.custom_fields:
            if (kind, key) not in self._defined:
                self._undefined[kind, key] = self._undefined.get((kind, key), 0) + 1
        if fact.due_next is not None and fact.due_next[1] < self._today:
            self.held.append(Held(id=fact.id, customer=fact.due_next[0], next_date=fact.due_next[1]))

    def entities(self) -> tuple[Named, ...]:
        """The entities behind the counts of ``changes``, by kind and change, the first of each count."""
        return tuple(
            one
            for kind in Kind
            for change in CHANGES
            for one in self.tally.entities.get((kind, change), Listed()).first
        )

    def changes(self) -> tuple[KindChanges, ...]:
        """What becomes of each kind."""
        return tuple(
            KindChanges(
                kind=kind.value,
                in_account=counts["account"],
                in_archive=counts["archive"],
                created=counts["created"],
                replaced=counts["replaced"],
                removed=counts["removed"],
                unchanged=counts["unchanged"],
            )
            for kind, counts in self.tally.kinds.items()
        )

    def undefined_fields(self, defined: tuple[CustomField, ...]) -> tuple[FieldUndefined, ...]:
        """The custom fields with values that the account does not define, with labels where they were *defined*."""
        labels: dict[tuple[str, str], str] = {(field.kind, field.key): field.label for field in defined}
        return tuple(
            FieldUndefined(kind=kind, key=key, label=labels.get((kind, key)), values=count)
            for (kind, key), count in sorted(self._undefined.items())
        )

    def numbers_kept(self) -> tuple[NumbersKept, ...]:
        """The series of lost documents, when each goes on after the highest number ever given out."""
        return tuple(
            NumbersKept(
                kind=kind,
                series=of.key,
                highest=gap[-1][0],
                missing=tuple(borne.number(ordinal) for ordinal, borne in gap[:MOST_LISTED]),
                missing_count=len(gap),
                next_number=of.number(max(archived, gap[-1][0], given) + 1),
                retired_stream=self._target.stream,
            )
            for kind, of, gap, archived, given in self._gaps()
        )

    def numbers_reused(self) -> tuple[NumbersReused, ...]:
        """The series of lost documents, when their numbers are given out again."""
        return tuple(
            NumbersReused(
                kind=kind,
                series=of.key,
                lowest=gap[0][0],
                numbers=tuple(borne.number(ordinal) for ordinal, borne in gap[:MOST_LISTED]),
                numbers_count=len(gap),
                next_number=of.number(max(archived, min(gap[0][0] - 1, given)) + 1),
                retired_stream=self._target.stream,
            )
            for kind, of, gap, archived, given in self._gaps()
        )

    def numbers_missing(self) -> tuple[NumbersMissing, ...]:
        """The series that added documents carry on past numbers which nothing bears; a series may begin anywhere."""
        found = []
        for (kind, key), brought in sorted(self._brought.items(), key=itemgetter(0)):
            known = max(self._highest.get((kind, key), 0), self._given.get(f"{kind}/{key}", 0))
            ahead = sorted({one for ordinals in brought.by_width.values() for one in ordinals if one > known})
            if not ahead:
                continue
            before = [known or ahead[0] - 1, *ahead]
            between = chain.from_iterable(range(low + 1, high) for low, high in pairwise(before))
            of = brought.series
            missing = NumbersMissing(
                kind=kind,
                series=key,
                missing=tuple(map(of.number, islice(between, MOST_LISTED))),
                missing_count=ahead[-1] - before[0] - len(ahead),
                next_number=of.number(ahead[-1] + 1),
            )
            if missing.missing_count:
                found.append(missing)
        return tuple(found)

    def _gaps(self) -> Iterator[tuple[str, Series, list[tuple[int, Series]], int, int]]:
        """Of each series with lost numbers that it would give out again: those, the archive's highest, and the highest
        that earlier streams gave out. A number up to the archive's highest is not given out again either way.
        """
        for (kind, key), gap in sorted(self.tally.gaps.items()):
            archived = self._highest.get((kind, key), 0)
            lost = [
                (ordinal, of) for of, ordinals in gap.by_width.items() for ordinal in ordinals if ordinal > archived
            ]
            if lost:
                yield kind, gap.series, sorted(lost, key=itemgetter(0)), archived, self._given.get(f"{kind}/{key}", 0)


def fields_to_define(theirs: Iterable[CustomField], control: Control) -> list[CustomField]:
    """The archive's definitions that the account lacks. Raises ManifestRefused for one that no account could have."""
    ours = control.defined_fields()
    fresh: dict[tuple[str, str], CustomField] = {}
    for at, field in enumerate(theirs):
        if (field.kind, field.key) in fresh:
            raise ManifestRefused(f"custom_fields[{at}]", f"{field.kind}.{field.key} again", "each field once")
        try:
            check_definition(field)
        except FieldRefused as wrong:
            raise ManifestRefused(f"custom_fields[{at}].{wrong.field}", wrong.found, wrong.expected) from None
        if (field.kind, field.key) not in ours:
            fresh[field.kind, field.key] = field
    return list(fresh.values())


def conflicting_fields(theirs: Iterable[CustomField], control: Control) -> tuple[FieldConflict, ...]:
    """The custom fields whose values are of another sort in the account than in the archive."""
    ours = control.defined_fields()
    return tuple(
        FieldConflict(kind=field.kind, key=field.key, label=field.label, archive=_sort(field), account=_sort(known))
        for field in theirs
        if (known := ours.get((field.kind, field.key))) is not None and _sort(known) != _sort(field)
    )


def _sort(field: CustomField) -> str:
    return f"{field.type} of {', '.join(field.choices)}" if field.choices else field.type


def _due(document: DocumentFact) -> Decimal | None:
    return document.totals.due if document.totals is not None else None


def _state_shown(document: DocumentFact) -> str:
    return f"{document.state}, sent" if document.sent and document.state == "issued" else document.state


def settings_that_differ(meaning: Meaning, control: Control) -> tuple[SettingDiffers, ...]:
    """The settings that give the data meaning and are another in the account than where the data come from."""
    theirs, ours = meaning.settings, control.settings
    pairs = [
        ("currency", theirs.currency, ours.currency),
        ("country", theirs.country, ours.country),
        ("time_zone", theirs.time_zone, ours.time_zone),
        ("closed_until", theirs.closed_until, ours.closed_until),
        ("company VAT number", _vat(theirs.company), _vat(ours.company)),
        ("modules", ", ".join(meaning.modules), ", ".join(control.modules)),
    ]
    kinds = sorted({*theirs.number_formats, *ours.number_formats})
    pairs += [
        (
            f"number format of {kind}",
            theirs.number_formats.get(kind, DEFAULT_FORMAT),
            ours.number_formats.get(kind, DEFAULT_FORMAT),
        )
        for kind in kinds
    ]
    return tuple(
        SettingDiffers(setting=name, archive=str(archive or "none"), account=str(account or "none"))
        for name, archive, account in pairs
        if archive != account
    )


def _vat(company: Any) -> str | None:
    return company.vat_identifier if company is not None else None
