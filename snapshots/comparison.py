"""What an archive would change in an account: entity by entity, by kind, with what would be lost named.

The account's entities are spooled in the same partitions as the archive's, so that the two are compared in bounded
memory while the archive is examined.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from hashlib import md5
from typing import Any, Literal

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
from snapshots.checking import Checked, match_keys, unique_keys
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
_KEYED = (Kind.CUSTOMER, Kind.ITEM, Kind.LAYOUT, Kind.LEDGER_ACCOUNT)

Change = Literal["created", "replaced", "removed"]


class _Totals(Struct):
    with_vat: Decimal = ZERO
    due: Decimal = ZERO


class DocumentFacts(Struct):
    """What a report says of a document, read from its snapshot."""

    currency: str = ""
    state: str = "draft"
    issue_date: str = ""
    sent: int = 0
    totals: _Totals | None = None


class TargetRow(Struct, array_like=True):
    """An entity of the account as it is."""

    id: str
    kind: Kind
    version: int
    number: str | None
    deleted: bool
    digest: str
    document: DocumentFacts | None
    keys: tuple[list[str], list[str]]


_facts = msgspec.json.Decoder(DocumentFacts).decode
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
                for id_, kind_name, version, number, deleted, text in rows:
                    kind, state = Kind(kind_name), text.encode()
                    if not deleted:
                        by_kind.setdefault(kind, []).append(state)
                    row = TargetRow(
                        id_,
                        kind,
                        version,
                        number,
                        deleted,
                        md5(state, usedforsecurity=False).hexdigest(),
                        _facts(state) if kind.is_document else None,
                        _keys(kind, state, number) if with_keys else ([], []),
                    )
                    self._spool.add(int(id_[-2:], 16) & mask, _encode(row) + b"\n")
                    self.count += 1
                for kind, lines in by_kind.items():
                    self.totaller.add(kind, b"\n".join(lines) + b"\n")
        self.totals = self.totaller.totals()

    def partition(self, partition: int) -> dict[str, TargetRow]:
        """The entities of a partition, by id."""
        lines = self._spool.read(partition)
        return {row.id: row for row in _rows(b"[" + lines[:-1].replace(b"\n", b",") + b"]")}

    def across(self) -> Iterator[Across]:
        """The entities as others may refer to them or be the same as."""
        for partition in range(self._spool.partitions):
            for row in self.partition(partition).values():
                yield Across(row.id, row.kind, row.deleted, row.keys[0], row.keys[1])


def _keys(kind: Kind, state: bytes, number: str | None) -> tuple[list[str], list[str]]:
    if kind in _KEYED:
        decoded = decode_state(kind, state)
        return unique_keys(kind, decoded), match_keys(kind, decoded)
    return ([f"{kind.value} number {number!r}"] if number is not None else [], [])


class Comparison:
    """Adds up what becomes of each entity. ``look`` is handed to an examiner, and called once a partition."""

    def __init__(self, target: Target, *, adding: bool, today: date) -> None:
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

    def look(self, partition: int, entities: list[Checked]) -> None:
        """Compare a partition's sound entities with those of the account."""
        there = self._target.partition(partition)
        for entity in entities:
            row = there.pop(entity.id, None)
            if row is not None and not row.deleted:
                self._kinds[row.kind]["account"] += 1
            if not entity.is_gone:
                self._kinds[entity.kind]["archive"] += 1
            if self._adding:
                if row is None:
                    self.added.add(entity.id)
                    self._note_data(entity)
                    if not entity.is_gone:
                        self._change("created", entity.kind, entity.id, _number(entity), _document(entity))
                elif not row.deleted:
                    self._kinds[row.kind]["unchanged"] += 1
                continue
            self._note_data(entity)
            self._compare(entity, row)
        for row in there.values():
            if not row.deleted:
                self._kinds[row.kind]["account"] += 1
                if self._adding:
                    self._kinds[row.kind]["unchanged"] += 1
                else:
                    self._lose(row)

    def _compare(self, entity: Checked, row: TargetRow | None) -> None:
        is_there = row is not None and not row.deleted
        if entity.is_gone:
            if row is not None and is_there:
                self._lose(row)
            return
        number, document = _number(entity), _document(entity)
        if row is None or not is_there:
            self._change("created", entity.kind, entity.id, number, document)
        elif row.digest == entity.digest:
            self._kinds[row.kind]["unchanged"] += 1
        else:
            self._change("replaced", entity.kind, entity.id, number or row.number, document or row.document)
            if row.document is not None and document is not None:
                self._compare_documents(row, entity, row.document, document)

    def _compare_documents(self, row: TargetRow, entity: Checked, now: DocumentFacts, then: DocumentFacts) -> None:
        if row.number is not None and row.number != _number(entity):
            self._lose_document(row, now)
            return
        goes_back = row.version > entity.state.version
        due_now, due_then = _due(now), _due(then)
        if goes_back and (now.state != then.state or due_now != due_then or now.sent > then.sent):
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

    def _lose(self, row: TargetRow) -> None:
        self._change("removed", row.kind, row.id, row.number, row.document)
        if row.document is not None and row.number is not None:
            self._lose_document(row, row.document)

    def _lose_document(self, row: TargetRow, document: DocumentFacts) -> None:
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

    def _change(self, change: Change, kind: Kind, id_: str, number: str | None, document: DocumentFacts | None) -> None:
        self._kinds[kind][change] += 1
        if len(self.entities) < MOST_LISTED:
            self.entities.append(Named(change=change, kind=kind.value, id=id_, number=number))
        dated = document.issue_date if document is not None else ""
        if self._closed_until is not None and dated and dated <= self._closed_until.isoformat():
            self.closed_count += 1
            if len(self.closed) < MOST_LISTED:
                closed = InClosedPeriod(change=change, kind=kind.value, id=id_, number=number, issue_date=dated)
                self.closed.append(closed)

    def _note_data(self, entity: Checked) -> None:
        if entity.is_gone:
            return
        state = entity.state
        for key in state.custom_fields:
            self._note_field(entity.kind.value, key)
        for line in getattr(state, "lines", ()):
            for key in line.custom_fields:
                self._note_field("line", key)
        if entity.kind is Kind.SUBSCRIPTION and state.state == "active" and state.next_date.isoformat() < self._today:
            self.held.append(Held(id=state.id, customer=state.customer, next_date=state.next_date.isoformat()))

    def _note_field(self, kind: str, key: str) -> None:
        if (kind, key) not in self._defined:
            self._undefined[kind, key] = self._undefined.get((kind, key), 0) + 1

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


def _number(entity: Checked) -> str | None:
    number: str | None = getattr(entity.state, "number", None)
    return number


def _document(entity: Checked) -> DocumentFacts | None:
    if not entity.kind.is_document:
        return None
    state: Any = entity.state
    sums = _Totals(state.totals.with_vat, state.totals.due) if state.totals else None
    dated = state.issue_date.isoformat() if state.issue_date else ""
    return DocumentFacts(state.currency, state.state.value, dated, state.sent, sums)


def _due(document: DocumentFacts) -> Decimal | None:
    return document.totals.due if document.totals is not None else None


def _state_shown(document: DocumentFacts) -> str:
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
