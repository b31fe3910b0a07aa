"""Whatever the history and the choices: a rehearsal says what the restore does, and the tables show what it said."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from domain import commands
from domain.errors import CounterfoilError
from domain.kinds import DOCUMENT_KINDS, Kind
from domain.work import decode_state
from projections.control_totals import ControlTotals, Totaller
from projections.moments import Position
from snapshots.cloning.clone_report import CloneReport
from snapshots.content import read_content
from snapshots.generations.stream_report import ActivationReport
from snapshots.generations.undo import ActivationChoices, activate
from snapshots.restoring.report import Held as Reported
from snapshots.restoring.report import RestoreReport
from tests.fixtures.accounts import OpenAccount
from tests.histories import History, histories, play
from tests.integration.restoring import Books, is_sound
from tests.integration.test_clone import Pair

pytestmark = pytest.mark.slow

few = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
_OF_ONE_RUN = ("outcome", "token", "live_stream", "retired_stream")


class Held(NamedTuple):
    """What an account's live stream holds: its entities' states by id, those that are gone left out."""

    states: dict[str, tuple[Kind, str]]
    totals: ControlTotals


def held(books: Books) -> Held:
    """What the tables show."""
    with books.application.database.transaction(books.access.account) as connection:
        rows = connection.execute(
            "SELECT entity_id::text, kind, state FROM entities NATURAL JOIN streams"
            " WHERE status = 'live' AND NOT deleted"
        ).fetchall()
    totaller = Totaller()
    for _, kind, state in rows:
        totaller.add(Kind(kind), state.encode() + b"\n")
    return Held({id_: (Kind(kind), state) for id_, kind, state in rows}, totaller.totals())


def said(report: RestoreReport | CloneReport | ActivationReport) -> dict[str, Any]:
    """All that a rehearsal and its restore say alike."""
    return {name: value for name, value in msgspec.structs.asdict(report).items() if name not in _OF_ONE_RUN}


def counted(before: Held, after: Held) -> dict[str, tuple[int, int, int, int]]:
    """Of each kind how many entities were created, replaced, removed and left as they were."""
    found = {}
    for kind in Kind:
        was, now = ({id_: state for id_, (of, state) in one.states.items() if of is kind} for one in (before, after))
        both = was.keys() & now.keys()
        same = sum(was[id_] == now[id_] for id_ in both)
        found[kind.value] = (len(now.keys() - was.keys()), len(both) - same, len(was.keys() - now.keys()), same)
    return found


def numbers(of: Held) -> set[tuple[str, str, str]]:
    """The documents' numbers."""
    states = [(kind, decode_state(kind, state)) for kind, state in of.states.values() if kind.is_document]
    return {(kind.value, state.id, state.number) for kind, state in states if state.number is not None}


_CHOICES = st.one_of(
    st.fixed_dictionaries(
        {"mode": st.just("overwrite"), "numbers": st.sampled_from(["keep-series", "reuse-numbers"])},
    ),
    st.fixed_dictionaries(
        {
            "mode": st.just("add"),
            "errors": st.just("skip"),
            "doubles": st.sampled_from(["match", "merge-customers"]),
            "only": st.one_of(st.just(()), st.sampled_from([(kind,) for kind in Kind])),
        }
    ),
)


@few
@given(
    before=histories(),
    since=histories(),
    choices=_CHOICES,
    elsewhere=st.booleans(),
    moved=st.sampled_from(["hold", "moved"]),
    as_of=st.one_of(st.none(), st.integers(0, 120)),
)
def test_a_rehearsal_says_what_the_restore_does_and_the_tables_show_what_it_said(
    fresh_account: OpenAccount,
    tmp_path_factory: pytest.TempPathFactory,
    before: History,
    since: History,
    choices: dict[str, Any],
    elsewhere: bool,
    moved: str,
    as_of: int | None,
) -> None:
    folder: Path = tmp_path_factory.mktemp("archives")
    books = Books(fresh_account())
    play(books.application, books.access, before)
    size = read_content(books.application.database, books.access.account).events
    archive = books.backup(folder)
    if elsewhere:
        books = Books(fresh_account())
    play(books.application, books.access, since)
    was = held(books)
    if as_of is not None:
        choices = {**choices, "as_of": Position(None, min(as_of, size))}

    rehearsed = books.restore(archive, **choices, subscriptions=moved, dry_run=True)
    assert held(books) == was
    report = books.restore(archive, **choices, subscriptions=moved)

    event(f"{choices['mode']} {report.outcome} skipped {report.skipped > 0} matched {len(report.matched) > 0}")
    assert said(report) == said(rehearsed)
    now = held(books)
    content = read_content(books.application.database, books.access.account)
    assert (report.events, report.root) == (content.events, content.root)
    assert (report.totals_account, report.totals_result) == (was.totals, now.totals)
    assert {one.kind: (one.created, one.replaced, one.removed, one.unchanged) for one in report.changes} == counted(
        was, now
    )
    assert {(one.kind, one.id, one.number) for one in report.lost_documents} == numbers(was) - numbers(now)
    assert is_sound(books)
    told = [*report.numbers_kept, *report.numbers_reused, *report.numbers_missing]
    assert_numbers_go_on(books, told, was, kept=report.numbers == "keep-series")
    assert_held(books, report.held, moved)


@few
@given(mine=histories(), since=histories(), theirs=histories(), at=st.one_of(st.none(), st.integers(0, 150)))
def test_a_rehearsal_says_what_a_clone_does_and_the_tables_show_what_it_said(
    fresh_account: OpenAccount, mine: History, since: History, theirs: History, at: int | None
) -> None:
    pair = Pair(fresh_account)
    books = pair.target
    play(pair.source.application, pair.source.access, mine)
    size = read_content(books.application.database, pair.source.access.account).events
    play(pair.source.application, pair.source.access, since)
    play(books.application, books.access, theirs)
    was = held(books)
    as_of = None if at is None else Position(None, min(at, size))

    rehearsed = pair.clone(as_of=as_of, dry_run=True)
    assert held(books) == was
    report = pair.clone(as_of=as_of, account_at=rehearsed.account_at)

    assert {**said(report), "root": None} == {**said(rehearsed), "root": None}
    now = held(books)
    content = read_content(books.application.database, books.access.account)
    assert (report.events, report.root) == (content.events, content.root)
    assert (report.totals_account, report.totals_result) == (was.totals, now.totals)
    assert {one.kind: (one.created, one.replaced, one.removed, one.unchanged) for one in report.changes} == counted(
        was, now
    )
    assert {(one.kind, one.id, one.number) for one in report.lost_documents} == numbers(was) - numbers(now)
    assert is_sound(books)
    assert_numbers_go_on(books, [*report.numbers_kept], was)


@few
@given(before=histories(), since=histories(), later=histories())
def test_a_rehearsal_says_what_an_undo_does_and_the_tables_show_what_it_said(
    fresh_account: OpenAccount,
    tmp_path_factory: pytest.TempPathFactory,
    before: History,
    since: History,
    later: History,
) -> None:
    books = Books(fresh_account())
    play(books.application, books.access, before)
    archive = books.backup(tmp_path_factory.mktemp("archives"))
    play(books.application, books.access, since)
    first = held(books)
    books.restore(archive)
    play(books.application, books.access, later)
    was = held(books)

    def undo(**choices: Any) -> ActivationReport:
        return activate(books.application, books.access, books.actor, 1, choices=ActivationChoices(**choices))

    rehearsed = undo(dry_run=True)
    report = undo(account_at=rehearsed.account_at)

    assert said(report) == said(rehearsed)
    now = held(books)
    assert now == first
    found = report.difference
    assert (found.totals_live, found.totals_stream) == (was.totals, now.totals)
    assert {one.kind: (one.created, one.replaced, one.removed, one.unchanged) for one in found.changes} == counted(
        was, now
    )
    assert {(one.kind, one.id, one.number) for one in found.lost_documents} == numbers(was) - numbers(now)
    assert {(one.kind, one.id, one.number) for one in found.regained_documents} == numbers(now) - numbers(was)
    assert is_sound(books)
    assert_numbers_go_on(books, [*found.numbers_kept], was)
    assert_held(books, found.held, "hold")


def assert_numbers_go_on(books: Books, told: list[Any], was: Held, *, kept: bool = True) -> None:
    """The numbers that are given out next are those that a report *told*, and new where the series are *kept*."""
    customer = books.customer()
    borne = {(kind, number) for kind, _, number in numbers(was) | numbers(held(books))}
    for kind in DOCUMENT_KINDS:
        if kind is Kind.RECEIPT:
            continue
        issued = books.state(kind, books.issued(customer, kind))
        year = f"{issued.number[:5]}{{}}"
        assert [one.next_number for one in told if (one.kind, one.series) == (kind, year)] in ([], [issued.number])
        if kept:
            assert (kind.value, issued.number) not in borne


def assert_held(books: Books, held_ones: tuple[Reported, ...], moved: str) -> None:
    """A subscription that is held invoices nothing; one that moved does."""
    for one in held_ones:
        id_: Any = one.id
        if moved == "hold":
            with pytest.raises(CounterfoilError):
                books.run(lambda work, id_=id_: commands.invoice_period(work, id_))
