"""What an overwriting restore takes away is named, and no number is given out twice for it."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from domain import commands
from domain import control as c
from domain.accounts import add_member, ensure_person, find_access
from domain.application import Actor
from domain.entity import NotPossible
from domain.errors import CounterfoilError
from domain.ids import EntityId
from domain.kinds import Kind
from domain.work import Work
from snapshots.reading.inspection import inspect_archive
from snapshots.restoring.report import readable
from snapshots.restoring.restore import BooksClosedThen, Choices, OwnerOnly, restore_archive
from tests.fixtures.accounts import OpenAccount
from tests.fixtures.archives import KEYS, Edited
from tests.integration.restoring import LINE, Books, as_file


@pytest.fixture
def books(fresh_account: OpenAccount) -> Books:
    return Books(fresh_account())


def member(books: Books, role: c.Role) -> None:
    """From here on somebody of *role* is at work."""
    person = ensure_person(
        books.application.database, f"{role.value}-{books.access.account}@example.com", "Cas", at=books.clock()
    )
    add_member(books.application, books.access, books.actor, email=person.email, name=None, role=role)
    books.access = find_access(books.application.database, person.id, books.access.account)
    books.actor = Actor.person(person.id, "api")


def numbers(books: Books, *invoices: EntityId) -> list[str]:
    return [books.state(Kind.INVOICE, invoice).number[-5:] for invoice in invoices]


def test_each_restore_of_several_keeps_the_numbers_that_it_loses(books: Books, tmp_path: Path) -> None:
    customer = books.customer()
    books.issued(customer)
    archive = books.backup(tmp_path)
    for _ in range(2):
        books.issued(customer)
    books.restore(archive)
    fourth = books.issued(customer)
    assert numbers(books, fourth) == ["00004"]

    report = books.restore(archive)

    assert [kept.highest for kept in report.numbers_kept] == [4]
    assert [lost.number[-5:] for lost in report.lost_documents] == ["00004"]
    assert numbers(books, books.issued(customer)) == ["00005"]


def test_a_series_goes_on_after_the_archives_numbers_where_those_are_higher(
    books: Books, fresh_account: OpenAccount, tmp_path: Path
) -> None:
    customer = books.customer()
    for _ in range(3):
        books.issued(customer)
    other = Books(fresh_account())
    lost = other.issued(other.customer())

    report = other.restore(books.backup(tmp_path))

    assert [one.id for one in report.lost_documents] == [lost]
    assert numbers(other, other.issued(customer)) == ["00004"]


def test_numbers_of_another_series_are_no_ones_gap(books: Books, tmp_path: Path) -> None:
    archive = books.backup(tmp_path)

    def imported(work: Work) -> None:
        customer = commands.create(work, Kind.CUSTOMER, {"party": {"name": "Klant"}})
        made = commands.create(work, Kind.INVOICE, {"customer": customer, "lines": [LINE]})
        commands.issue_as(work, Kind.INVOICE, made, number="OLD/17", on=date(2020, 2, 29))

    books.run(imported)

    report = books.restore(archive)

    assert [lost.number for lost in report.lost_documents] == ["OLD/17"]
    assert report.numbers_kept == ()


def test_a_quote_that_was_accepted_goes_back_and_a_changed_draft_does_not(books: Books, tmp_path: Path) -> None:
    customer = books.customer()
    quote = books.issued(customer, Kind.QUOTE)
    draft = books.make(Kind.INVOICE, customer=customer, lines=[LINE])
    archive = books.backup(tmp_path)
    books.run(lambda work: commands.record(work, Kind.QUOTE, quote, "sent", {"how": "email"}))
    books.run(lambda work: commands.record(work, Kind.QUOTE, quote, "accepted", {}))
    lines = {"lines": [LINE, {**LINE, "line_id": "2"}]}
    books.run(lambda work: commands.change(work, Kind.INVOICE, draft, lines))

    report = books.restore(archive, dry_run=True)

    assert [(back.id, back.state_now, back.state_then) for back in report.went_back] == [(quote, "accepted", "issued")]
    assert report.went_back_count == 1
    assert "accepted → issued" in readable(report)


def test_an_invoice_that_was_issued_since_and_was_a_draft_then_is_lost(books: Books, tmp_path: Path) -> None:
    draft = books.make(Kind.INVOICE, customer=books.customer(), lines=[LINE])
    archive = books.backup(tmp_path)
    books.run(lambda work: commands.issue(work, Kind.INVOICE, draft))

    report = books.restore(archive)

    assert [(lost.id, lost.with_vat) for lost in report.lost_documents] == [(draft, Decimal("24.20"))]
    books.run(lambda work: commands.issue(work, Kind.INVOICE, draft))
    assert numbers(books, draft) == ["00002"]


def test_the_report_has_totals_of_account_archive_and_result(books: Books, tmp_path: Path) -> None:
    customer = books.customer()
    books.issued(customer)
    archive = Edited(books.backup(tmp_path))
    books.issued(customer)

    report = books.restore(archive.zipped())

    figures = [
        [str(one.amount) for one in totals.receivables]
        for totals in (report.totals_account, report.totals_archive, report.totals_result)
    ]
    assert figures == [["48.40"], ["24.20"], ["24.20"]]
    assert ("48.40", "24.20") in {(one.before, one.after) for one in report.differences}


@pytest.mark.parametrize("role", [c.Role.VIEWER, c.Role.EDITOR])
def test_whoever_is_no_administrator_restores_nothing(books: Books, tmp_path: Path, role: c.Role) -> None:
    books.customer()
    archive = books.backup(tmp_path)
    member(books, role)
    before = books.rows()

    for choices in (Choices(), Choices(mode="add"), Choices(dry_run=True)):
        with pytest.raises(CounterfoilError) as refused:
            restore_archive(books.application, books.access, books.actor, as_file(archive), choices=choices)
        assert refused.value.code == "access.role-lacking"

    assert books.rows() == before


def test_an_administrator_cannot_give_the_owners_word(books: Books, tmp_path: Path) -> None:
    archive = books.backup(tmp_path)
    member(books, c.Role.ADMINISTRATOR)

    with pytest.raises(OwnerOnly):
        books.restore(archive, change_closed_periods=True)
    assert books.restore(archive).outcome == "restored"


def test_adding_to_a_closed_period_needs_the_owners_word(
    books: Books, fresh_account: OpenAccount, tmp_path: Path
) -> None:
    invoice = books.issued(books.customer())
    archive = books.backup(tmp_path)
    other = Books(fresh_account())
    closed = c.SettingsChanged(closed_until=books.state(Kind.INVOICE, invoice).issue_date)
    other.application.record_control(other.access.account, other.actor, closed)
    before = other.rows()

    with pytest.raises(BooksClosedThen):
        other.restore(archive, mode="add")

    assert other.rows() == before
    assert other.restore(archive, mode="add", change_closed_periods=True).outcome == "restored"


def test_an_archive_from_a_clock_that_was_ahead_dates_no_later_document(
    books: Books, fresh_account: OpenAccount, tmp_path: Path
) -> None:
    other = Books(fresh_account())
    today = other.clock.now.date()
    books.clock.now += timedelta(days=300_000)
    customer = books.customer()

    other.restore(books.backup(tmp_path))

    invoice = other.issued(customer)
    assert other.state(Kind.INVOICE, invoice).issue_date == today
    subscription = other.make(
        Kind.SUBSCRIPTION,
        customer=customer,
        lines=[LINE],
        interval={"n": 1, "unit": "months"},
        next_date=(today + timedelta(days=1)).isoformat(),
    )
    with pytest.raises(NotPossible, match="next due on"):
        other.run(lambda work: commands.invoice_period(work, subscription))
    assert inspect_archive(as_file(other.backup(tmp_path)), keys=KEYS).is_sound
