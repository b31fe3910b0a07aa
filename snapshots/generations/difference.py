"""How a retired stream differs from the live one, entity by entity, in bounded memory: a merge of the two by id."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from itertools import starmap

import msgspec
from psycopg import Connection

from domain.control import Control
from domain.decimals import ZERO
from domain.ids import AccountId, EntityId
from domain.kinds import Kind
from domain.store.database import Row
from domain.store.statements import statements
from domain.work import decode_state
from projections.control_totals import Totaller, differences
from snapshots.fresh.swap import Live
from snapshots.generations.stream_report import KindDifference, StreamDifference
from snapshots.reading.checking import Checked, EntityFact, add_totals, fact_of
from snapshots.restoring.comparison import Comparison, read_formats
from snapshots.restoring.meanwhile import Changed
from snapshots.restoring.report import MOST_LISTED, LostDocument

SQL = statements("snapshots.generations", "streams.sql")
_ROWS_A_FETCH = 1_000


class _Numbered(msgspec.Struct):
    number: str | None = None
    issue_date: str = ""


_numbered = msgspec.json.Decoder(_Numbered).decode


class Difference:
    """What a stream has otherwise than the live one, and how many entities it holds."""

    def __init__(self, live: Live, today: date) -> None:
        self.entities = 0
        self._live = live
        self._block = _Block(live)
        self._comparison = Comparison(self._block, adding=False, today=today)
        self._regained: list[LostDocument] = []
        self._regained_count = 0
        self._both, self._only_live, self._only_there = Totaller(), Totaller(), Totaller()

    def read(self, connection: Connection[Row], account: AccountId, stream: int) -> None:
        """Compare all there is, as the connection's transaction sees it; that must be a snapshot of the account."""
        self._block.formats = read_formats(connection, account)
        connection.execute(SQL["merge_in_order"])
        with connection.cursor("both") as cursor:
            cursor.execute(SQL["read_both"], {"account": account, "live": self._live.stream, "stream": stream})
            while rows := cursor.fetchmany(_ROWS_A_FETCH):
                self._compare(rows)

    def _compare(self, rows: list[Row]) -> None:
        alike: dict[Kind, list[str]] = {}
        live, there = [], []
        for id_, kind_name, is_alike, live_deleted, live_state, deleted, state in rows:
            kind = Kind(kind_name)
            self.entities += state is not None
            # Of what is alike there is nothing to say, but that a subscription may be held all the same.
            if is_alike and kind is not Kind.SUBSCRIPTION:
                if not deleted:
                    alike.setdefault(kind, []).append(state)
                continue
            if is_alike or live_state is not None:
                live.append((id_, kind, live_deleted, state if is_alike else live_state))
            if state is not None:
                there.append((id_, kind, deleted, state))
        for kind, states in alike.items():
            self._both.add(kind, _lines(states))
            self._comparison.pass_over(kind, len(states))
            for one in map(_numbered, states) if kind.is_document else ():
                if one.number is not None:
                    self._comparison.note_number(kind, one.number, one.issue_date)
        _add_up(self._only_live, live)
        _add_up(self._only_there, there)
        self._block.rows = {row[0]: _fact(*row) for row in live}
        facts = list(starmap(_fact, there))
        self._note_regained(facts)
        self._comparison.look(0, facts)

    def _note_regained(self, facts: list[EntityFact]) -> None:
        for fact in facts:
            row = self._block.rows.get(fact.id)
            if fact.document is None or fact.number is None or (row is not None and row.number == fact.number):
                continue
            self._regained_count += 1
            if len(self._regained) < MOST_LISTED:
                totals = fact.document.totals
                self._regained.append(
                    LostDocument(
                        kind=fact.kind.value,
                        id=fact.id,
                        number=fact.number,
                        issue_date=fact.document.issue_date,
                        sent=fact.document.sent > 0,
                        with_vat=totals.with_vat if totals else ZERO,
                        currency=fact.document.currency,
                    )
                )

    def found(self, changed: Sequence[Changed] = ()) -> StreamDifference:
        """What was found; of the live stream as it is now that it *changed*, where that is given."""
        totals_live, totals_stream = Totaller(), Totaller()
        for totals, own in ((totals_live, self._only_live), (totals_stream, self._only_there)):
            totals.merge(self._both)
            totals.merge(own)
        before = Totaller()
        add_totals(before, (one.was for one in changed if one.was is not None))
        add_totals(totals_live, (one.now for one in changed))
        totals_live.take_off(before)
        live, there = totals_live.totals(), totals_stream.totals()
        comparison = self._comparison.revised(changed) if changed else self._comparison
        tally = comparison.tally
        return StreamDifference(
            live_stream=self._live.stream,
            live_events=self._live.position,
            changes=tuple(
                KindDifference(
                    kind=one.kind,
                    in_live=one.in_account,
                    in_stream=one.in_archive,
                    created=one.created,
                    replaced=one.replaced,
                    removed=one.removed,
                    unchanged=one.unchanged,
                )
                for one in comparison.changes()
            ),
            entities=tuple(one for one in comparison.entities() if one.change != "unchanged"),
            regained_documents=tuple(self._regained),
            regained_documents_count=self._regained_count,
            **tally.losses(),
            held=tuple(comparison.held[:MOST_LISTED]),
            held_count=len(comparison.held),
            numbers_kept=comparison.numbers_kept(),
            totals_live=live,
            totals_stream=there,
            differences=tuple(differences(live, there)),
        )


class _Block:
    """Some of the live stream's entities, as a comparison asks for them: a block after the other."""

    def __init__(self, live: Live) -> None:
        self.stream = live.stream
        self.control: Control = live.control
        self.formats: dict[str, tuple[str, ...]] = {}
        self.rows: dict[str, EntityFact] = {}

    def partition(self, _partition: int) -> dict[str, EntityFact]:
        """The block's entities, by id."""
        return dict(self.rows)


def _add_up(totaller: Totaller, rows: list[tuple[str, Kind, bool, str]]) -> None:
    by_kind: dict[Kind, list[str]] = {}
    for _, kind, deleted, state in rows:
        if not deleted:
            by_kind.setdefault(kind, []).append(state)
    for kind, states in by_kind.items():
        totaller.add(kind, _lines(states))


def _lines(states: list[str]) -> bytes:
    return "".join([f"{state}\n" for state in states]).encode()


def _fact(id_: str, kind: Kind, deleted: bool, state: str) -> EntityFact:  # noqa: FBT001 - a row's column
    line = state.encode()
    return fact_of(Checked(EntityId(id_), kind, 0, decode_state(kind, line), line, deleted))
