"""Changes made while an overwriting restore is at work: refused, or discarded, and named both ways."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import commands
from domain import control as c
from domain.control import AccountClosed
from domain.ids import EntityId
from domain.kinds import Kind
from projections.timeline import Filter, read_timeline
from snapshots.fresh import swap
from snapshots.restoring.report import RestoreReport, readable
from snapshots.restoring.restore import BooksClosedThen, ChangedMeanwhile, ChoiceUnfitting
from tests.fixtures.accounts import OpenAccount
from tests.integration.restoring import LINE, Books, is_sound

FOUND_BY_COMPARING = (
    "changes",
    "entities",
    "lost_documents",
    "lost_documents_count",
    "lost_documents_sent",
    "went_back",
    "went_back_count",
    "numbers_kept",
    "totals_account",
    "totals_result",
    "differences",
)


@pytest.fixture
def books(fresh_account: OpenAccount) -> Books:
    return Books(fresh_account())


@pytest.fixture
def just_before_the_swap(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """What is given happens once, when a fresh stream is built and the swap begins."""

    def let(happen: Callable[[], Any]) -> None:
        real = swap.swap

        def happen_then_swap(*args: Any, **kwargs: Any) -> None:
            monkeypatch.setattr("snapshots.restoring.restore.swap", real)
            happen()
            real(*args, **kwargs)

        monkeypatch.setattr("snapshots.restoring.restore.swap", happen_then_swap)

    return let


def compared(report: RestoreReport) -> dict[str, Any]:
    found = {name: getattr(report, name) for name in FOUND_BY_COMPARING}
    for name in ("entities", "lost_documents", "went_back"):
        found[name] = sorted(found[name], key=str)
    return found


def recorded(books: Books, type_: str) -> list[dict[str, Any]]:
    entries = read_timeline(books.application.database, books.access.account, Filter(type=type_)).entries
    return [{one.field: one.after for one in entry.changes} for entry in entries]


def test_what_was_discarded_is_counted_named_and_stays_readable_in_the_retired_stream(
    books: Books, tmp_path: Path, just_before_the_swap: Callable[[Callable[[], Any]], None]
) -> None:
    customer = books.customer()
    archive = books.backup(tmp_path)
    made: list[Any] = []

    def meanwhile() -> None:
        made.append(books.issued(customer))
        take_step(books, made[0], "sent", {"how": "email"})
        books.run(lambda work: commands.change(work, Kind.CUSTOMER, customer, {"notes": "called"}))

    just_before_the_swap(meanwhile)
    report = books.restore(archive, meanwhile="discard")

    invoice = made[0]
    number = report.lost_documents[0].number
    assert report.outcome == "restored"
    assert report.changed_meanwhile == 4
    assert [(one.kind, one.id, one.number, one.events) for one in report.changed_entities] == [
        ("invoice", invoice, number, 3),
        ("customer", customer, None, 1),
    ]
    lost = report.lost_documents
    assert [(one.id, one.with_vat, one.sent) for one in lost] == [(invoice, Decimal("24.20"), True)]
    assert (report.lost_documents_count, report.lost_documents_sent) == (1, 1)
    assert [kept.missing for kept in report.numbers_kept] == [(number,)]
    assert "MEANWHILE the account got 4 events; they stay readable in stream 1:" in readable(report)
    there = [row for row in books.rows()["events"] if row["stream_id"] == 1 and row["entity_id"] == invoice]
    assert len(there) == 3
    assert books.state(Kind.CUSTOMER, customer).notes is None
    assert books.state(Kind.INVOICE, books.issued(customer)).number > number
    finished = recorded(books, "restore.finished")
    assert [(one["discarded"], one["lost_documents"]) for one in finished] == [(4, [number])]
    assert is_sound(books)


def test_without_the_choice_the_refusal_names_what_changed_and_nothing_is_restored(
    books: Books, tmp_path: Path, just_before_the_swap: Callable[[Callable[[], Any]], None]
) -> None:
    archive = books.backup(tmp_path)
    just_before_the_swap(lambda: books.issued(books.customer()))

    with pytest.raises(ChangedMeanwhile) as refused:
        books.restore(archive)

    report = refused.value.report
    assert (report.outcome, report.changed_meanwhile, report.changed_entities_count) == ("refused", 3, 2)
    assert [one.kind for one in report.changed_entities] == ["customer", "invoice"]
    assert "MEANWHILE the account got 3 events:" in readable(report)
    assert report.changed_entities[1].number is not None
    assert is_sound(books)


def test_a_restore_that_came_between_is_not_discarded(
    books: Books, tmp_path: Path, just_before_the_swap: Callable[[Callable[[], Any]], None]
) -> None:
    archive = books.backup(tmp_path)
    just_before_the_swap(lambda: books.restore(archive))

    with pytest.raises(ChangedMeanwhile, match="lives in another stream"):
        books.restore(archive, meanwhile="discard")

    assert is_sound(books)


def test_settings_that_changed_meanwhile_are_looked_at_anew_where_changes_are_discarded(
    books: Books, tmp_path: Path, just_before_the_swap: Callable[[Callable[[], Any]], None]
) -> None:
    archive = books.backup(tmp_path)
    invoice = books.issued(books.customer())
    closed = c.SettingsChanged(closed_until=books.state(Kind.INVOICE, invoice).issue_date)
    just_before_the_swap(lambda: books.application.record_control(books.access.account, books.actor, closed))

    with pytest.raises(BooksClosedThen):
        books.restore(archive, meanwhile="discard")

    assert books.state(Kind.INVOICE, invoice).number


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (c.SettingsChanged(language="fr"), ChangedMeanwhile),
        (c.Closed(), AccountClosed),
    ],
)
def test_an_account_whose_own_history_moved_on_is_not_restored_over(
    books: Books,
    tmp_path: Path,
    just_before_the_swap: Callable[[Callable[[], Any]], None],
    change: Any,
    refusal: type[Exception],
) -> None:
    archive = books.backup(tmp_path)
    just_before_the_swap(lambda: books.application.record_control(books.access.account, books.actor, change))

    with pytest.raises(refusal):
        books.restore(archive)

    assert [row["status"] for row in books.rows()["streams"]] == ["live"]


@pytest.mark.parametrize("choice", [{"meanwhile": "discard"}, {"numbers": "reuse-numbers"}])
def test_a_choice_that_adding_has_no_use_for_is_refused(books: Books, tmp_path: Path, choice: dict[str, Any]) -> None:
    archive = books.backup(tmp_path)

    with pytest.raises(ChoiceUnfitting, match=next(iter(choice))):
        books.restore(archive, mode="add", **choice)


_STEPS = st.sampled_from(["customer", "rename", "issue", "send", "pay", "credit", "draft", "delete draft"])


def take_step(books: Books, invoice: EntityId, fact: str, fields: dict[str, str]) -> None:
    books.run(lambda work: commands.record(work, Kind.INVOICE, invoice, fact, fields))


def play(books: Books, steps: list[str]) -> None:
    """Do what *steps* say, as far as it can be done."""
    rows = books.rows()
    live = next(row["stream_id"] for row in rows["streams"] if row["status"] == "live")
    of_kind: dict[str, list[Any]] = {}
    for row in sorted(rows["entities"], key=lambda row: row["position"]):
        if row["stream_id"] == live and not row["deleted"]:
            of_kind.setdefault(row["kind"], []).append(row["entity_id"])
    for step in steps:
        customers, invoices = of_kind.setdefault("customer", []), of_kind.setdefault("invoice", [])
        if step == "customer" or not customers:
            customers.append(books.customer())
        elif step == "rename":
            first = customers[0]
            books.run(lambda work, first=first: commands.change(work, Kind.CUSTOMER, first, {"notes": str(work.now)}))
        elif step == "issue":
            invoices.append(books.issued(customers[-1]))
        elif step == "draft":
            invoices.append(books.make(Kind.INVOICE, customer=customers[0], lines=[LINE]))
        elif invoices:
            last = invoices[-1]
            state = books.state(Kind.INVOICE, last)
            if step == "delete draft" and state.number is None:
                books.run(lambda work, last=last: commands.delete(work, Kind.INVOICE, last))
                invoices.pop()
            elif step == "send" and state.number:
                take_step(books, last, "sent", {"how": "email"})
            elif step == "pay" and state.number and state.totals.due:
                paid = {"id": str(state.version), "amount": "1.00", "means": "30"}
                take_step(books, last, "payment_registered", paid)
            elif step == "credit" and state.number and state.state == "issued":
                books.run(lambda work, last=last: commands.credit(work, last))


@settings(max_examples=6, deadline=None)
@given(st.lists(_STEPS, max_size=6), st.lists(_STEPS, max_size=6), st.lists(_STEPS, min_size=1, max_size=8))
def test_the_report_on_what_was_discarded_is_that_of_a_restore_begun_afterwards(
    fresh_account: OpenAccount,
    tmp_path_factory: pytest.TempPathFactory,
    before: list[str],
    since: list[str],
    meanwhile: list[str],
) -> None:
    """What is worked out under the lock, from what changed alone, is what comparing everything anew comes to."""
    books = Books(fresh_account())
    play(books, before)
    archive = books.backup(tmp_path_factory.mktemp("archives"))
    play(books, since)
    rehearsed: list[RestoreReport] = []
    real = swap.swap

    def write_then_swap(*args: Any, **kwargs: Any) -> None:
        play(books, meanwhile)
        rehearsed.append(books.restore(archive, dry_run=True))
        real(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("snapshots.restoring.restore.swap", write_then_swap)
        report = books.restore(archive, meanwhile="discard")

    assert compared(report) == compared(rehearsed[0])
    assert is_sound(books)
