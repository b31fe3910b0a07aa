"""What an archive would change in an account: entity by entity, by kind, with what would be lost named.

The account's entities are spooled in the same partitions as the archive's, so that the two are compared in bounded
memory while the archive is examined.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any, Literal, Protocol

import msgspec
from msgspec import Struct

from domain.control import Control
from domain.decimals import ZERO
from domain.ids import AccountId, PersonId
from domain.kinds import Kind
from domain.numbering import series
from domain.store.database import Database
from domain.store.statements import statements
from domain.work import decode_state
from projections.control_totals import ControlTotals, Totaller
from snapshots.checking import (
    Checked,
    DocumentFact,
    EntityFact,
    fact_of,
    match_keys,
    partition_of,
    unique_keys,
)
from snapshots.examination import Across
from snapshots.manifest import Manifest
from snapshots.report import (
    MOST_LISTED,
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
)
from snapshots.spool import Spool

SQL = statements("snapshots", "restore.sql")
_ROWS_A_FETCH = 1_000

Change = Literal["created", "replaced", "removed"]


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
        self.count = 0
        self.totals = ControlTotals()
        self.totaller = Totaller()
        self._spool = spool

    def read(self, database: Database, *, with_keys: bool) -> None:
        """Spool the live stream's entities. *with_keys* also by what an added one may be the same as."""
        mask = self._spool.partitions - 1
        with (
            database.transaction(self.account, snapshot=True) as connection,
            connection.cursor("target") as cursor,
        ):
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
                yield Across(row.fact.id, row.fact.kind, row.fact.is_gone, *row.keys)

    def _read(self, partition: int) -> list[TargetRow]:
        lines = self._spool.read(partition)
        return _rows(b"[" + lines[:-1].replace(b"\n", b",") + b"]")


def _keys(kind: Kind, state: Any) -> tuple[list[str], list[str]]:
    return unique_keys(kind, state), match_keys(kind, state)


class Compared(Protocol):
    """The account that something is compared with: its live stream, itself, and its entities by partition."""

    stream: int
    control: Control

    def partition(self, partition: int) -> dict[str, EntityFact]:
        """The entities of a partition, by id."""
        ...


class Comparison:
    """Adds up what becomes of each entity. ``look`` is handed to an examiner, and called once a partition."""

    def __init__(self, target: Compared, *, adding: bool, today: date) -> None:
        self.added: set[str] = set()
        self._target = target
        self._adding = adding
        self._today = today.isoformat()
        self._closed_until = target.control.settings.closed_until
        self._defined = set(target.control.defined_fields())
        self._kinds = {
            kind: dict.fromkeys(("account", "archive", "created", "replaced", "removed", "unchanged"), 0)
            for kind in Kind
        }
        self._undefined: dict[tuple[str, str], int] = {}
        self._highest: dict[tuple[str, str], tuple[int, list[str]]] = {}
        self.entities: list[Named] = []
        self.lost: list[LostDocument] = []
        self.lost_count = 0
        self.back: list[WentBack] = []
        self.back_count = 0
        self.closed: list[InClosedPeriod] = []
        self.closed_count = 0
        self.held: list[Held] = []

    def look(self, partition: int, facts: list[EntityFact]) -> None:
        """Compare a partition's sound entities with those of the account."""
        there = self._target.partition(partition)
        for row in there.values():
            if not row.is_gone:
                self._kinds[row.kind]["account"] += 1
        for fact in facts:
            if not fact.is_gone:
                self._kinds[fact.kind]["archive"] += 1
            row_there = there.pop(fact.id, None)
            if self._adding:
                self._add(fact, row_there)
            else:
                self._note_data(fact)
                self._compare(fact, row_there)
        for row in there.values():
            if row.is_gone:
                continue
            if self._adding:
                self._kinds[row.kind]["unchanged"] += 1
            else:
                self._lose(row)

    def pass_over(self, kind: Kind, count: int) -> None:
        """Count entities that both have, letter for letter the same, and that nothing is to be said of."""
        for counted in ("account", "archive", "unchanged"):
            self._kinds[kind][counted] += count

    def _add(self, fact: EntityFact, row: EntityFact | None) -> None:
        if row is None:
            self.added.add(fact.id)
            self._note_data(fact)
            if not fact.is_gone:
                self._change("created", fact)
        elif not row.is_gone:
            self._kinds[row.kind]["unchanged"] += 1

    def _compare(self, fact: EntityFact, row: EntityFact | None) -> None:
        if row is not None and row.is_gone:
            row = None
        if fact.is_gone:
            if row is not None:
                self._lose(row)
        elif row is None:
            self._change("created", fact)
        elif row.digest == fact.digest:
            self._kinds[row.kind]["unchanged"] += 1
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
            self.back_count += 1
            if len(self.back) < MOST_LISTED:
                self.back.append(
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
        self.lost_count += 1
        if len(self.lost) < MOST_LISTED:
            self.lost.append(
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
        of = series(self._target.control.number_format(row.kind.value), date.fromisoformat(document.issue_date))
        ordinal = of.ordinal(row.number)
        if ordinal is not None:
            highest, missing = self._highest.setdefault((row.kind.value, of.key), (0, []))
            if len(missing) < MOST_LISTED:
                missing.append(row.number)
            self._highest[row.kind.value, of.key] = (max(highest, ordinal), missing)

    def _change(self, change: Change, fact: EntityFact, *, dated_before: EntityFact | None = None) -> None:
        self._kinds[fact.kind][change] += 1
        if len(self.entities) < MOST_LISTED:
            self.entities.append(Named(change=change, kind=fact.kind.value, id=fact.id, number=fact.number))
        if self._closed_until is None:
            return
        dates = [
            one.document.issue_date for one in (fact, dated_before) if one is not None and one.document is not None
        ]
        closed = [dated for dated in dates if dated and dated <= self._closed_until.isoformat()]
        if closed:
            self.closed_count += 1
            if len(self.closed) < MOST_LISTED:
                self.closed.append(
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
            for kind, counts in self._kinds.items()
        )

    def undefined_fields(self, manifest: Manifest) -> tuple[FieldUndefined, ...]:
        """The custom fields with values that the account does not define, with the archive's labels."""
        labels: dict[tuple[str, str], str] = {(field.kind, field.key): field.label for field in manifest.custom_fields}
        return tuple(
            FieldUndefined(kind=kind, key=key, label=labels.get((kind, key)), values=count)
            for (kind, key), count in sorted(self._undefined.items())
        )

    def numbers_kept(self) -> tuple[NumbersKept, ...]:
        """The series of lost documents, which go on after the highest number given out."""
        return tuple(
            NumbersKept(
                kind=kind,
                series=key,
                highest=highest,
                missing=tuple(sorted(missing)),
                retired_stream=self._target.stream,
            )
            for (kind, key), (highest, missing) in sorted(self._highest.items())
        )


def _due(document: DocumentFact) -> Decimal | None:
    return document.totals.due if document.totals is not None else None


def _state_shown(document: DocumentFact) -> str:
    return f"{document.state}, sent" if document.sent and document.state == "issued" else document.state


def settings_that_differ(manifest: Manifest, control: Control) -> tuple[SettingDiffers, ...]:
    """The settings that give the data meaning and are another in the account than in the archive."""
    theirs, ours = manifest.meaning.settings, control.settings
    pairs = [
        ("currency", theirs.currency, ours.currency),
        ("country", theirs.country, ours.country),
        ("time_zone", theirs.time_zone, ours.time_zone),
        ("closed_until", theirs.closed_until, ours.closed_until),
        ("company VAT number", _vat(theirs.company), _vat(ours.company)),
        ("modules", ", ".join(manifest.meaning.modules), ", ".join(control.modules)),
    ]
    kinds = sorted({*theirs.number_formats, *ours.number_formats})
    pairs += [
        (f"number format of {kind}", theirs.number_formats.get(kind), ours.number_formats.get(kind)) for kind in kinds
    ]
    return tuple(
        SettingDiffers(setting=name, archive=str(archive or "none"), account=str(account or "none"))
        for name, archive, account in pairs
        if archive != account
    )


def _vat(company: Any) -> str | None:
    return company.vat_identifier if company is not None else None


def people_linked(
    actors: dict[str, int], manifest: Manifest, control: Control, restoring: PersonId
) -> tuple[PersonLinked, ...]:
    """To whom the archive's events are linked: to their person, with access to the account; else to who restores."""
    names = {person.id: person.name for person in manifest.people}
    own = control.member(restoring)
    linked = []
    for actor, count in sorted(actors.items()):
        if not actor.startswith("person:"):
            continue
        person = PersonId(actor.removeprefix("person:"))
        member = control.member(person)
        to = member or own
        linked.append(
            PersonLinked(
                person=person,
                name=names.get(person) or (member.name if member else None),
                events=count,
                linked_to=to.person if to else restoring,
                linked_to_name=to.name if to else restoring,
                has_access=member is not None,
            )
        )
    return tuple(linked)
