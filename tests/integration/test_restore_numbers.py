"""The numbers of documents that a restore loses: the series goes on after them, or gives them out again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from domain import control as c
from domain.accounts import add_member, find_access
from domain.ids import EntityId
from domain.kinds import Kind
from projections.timeline import Filter, read_timeline
from snapshots.cloning.clone_report import CloneReport
from snapshots.cloning.cloning import CloneChoices, clone_account
from snapshots.generations.undo import activate
from snapshots.restoring.report import RestoreReport, readable
from tests.fixtures.accounts import OpenAccount
from tests.integration.restoring import Books, is_sound


@pytest.fixture
def books(fresh_account: OpenAccount) -> Books:
    return Books(fresh_account())


def number(books: Books, invoice: EntityId) -> str:
    found: str = books.state(Kind.INVOICE, invoice).number
    return found[-5:]


def recorded(books: Books, type_: str) -> list[dict[str, Any]]:
    entries = read_timeline(books.application.database, books.access.account, Filter(type=type_)).entries
    return [{one.field: one.after for one in entry.changes} for entry in entries]


def with_format(books: Books, text: str) -> None:
    changed = c.SettingsChanged(number_formats={"invoice": text})
    books.application.record_control(books.access.account, books.actor, changed)


def cloned_over(books: Books, source: Books, **choices: Any) -> CloneReport:
    """The report of a clone of *source* over the account, by who owns *source*."""
    owner = next(one for one in source.access.control.members if one.role is c.Role.OWNER)
    add_member(
        books.application, books.access, books.actor, email=owner.email, name=owner.name, role=c.Role.ADMINISTRATOR
    )
    into = find_access(books.application.database, owner.person, books.access.account)
    return clone_account(source.application, source.access, source.actor, into, choices=CloneChoices(**choices))


def with_two_lost(books: Books, folder: Path, **choices: Any) -> tuple[EntityId, RestoreReport]:
    """An account that had numbers 1 to 3 and lost 2 and 3."""
    customer = books.customer()
    books.issued(customer)
    archive = books.backup(folder)
    for _ in range(2):
        books.issued(customer)
    return customer, books.restore(archive, **choices)


def test_a_kept_series_says_how_it_goes_on_and_the_record_explains_the_gap(books: Books, tmp_path: Path) -> None:
    customer, report = with_two_lost(books, tmp_path)

    (kept,) = report.numbers_kept
    assert ([one[-5:] for one in kept.missing], kept.missing_count) == (["00002", "00003"], 2)
    assert kept.next_number.endswith("00004")
    assert number(books, books.issued(customer)) == "00004"
    (given,) = recorded(books, "numbers.given")
    assert given["stream"] == kept.retired_stream == 1
    assert list(given["missing"].values()) == [list(kept.missing)]
    assert is_sound(books)


def test_reused_numbers_are_given_out_again_and_the_record_says_which(books: Books, tmp_path: Path) -> None:
    customer, report = with_two_lost(books, tmp_path, numbers="reuse-numbers")

    (reused,) = report.numbers_reused
    assert (report.numbers, report.numbers_kept) == ("reuse-numbers", ())
    assert [one[-5:] for one in reused.numbers] == ["00002", "00003"]
    assert f"given out AGAIN: other documents bear them in retired stream {reused.retired_stream}" in readable(report)
    assert [number(books, books.issued(customer)) for _ in range(3)] == ["00002", "00003", "00004"]
    (again,) = recorded(books, "numbers.reused")
    assert again["stream"] == 1
    assert list(again["numbers"].values()) == [list(reused.numbers)]
    assert recorded(books, "numbers.given") == []
    assert is_sound(books)


def test_reusing_leaves_a_gap_that_an_earlier_restore_explained(books: Books, tmp_path: Path) -> None:
    customer, _ = with_two_lost(books, tmp_path)
    archive = books.backup(tmp_path)
    assert number(books, books.issued(customer)) == "00004"

    report = books.restore(archive, numbers="reuse-numbers")

    assert [one[-5:] for one in report.numbers_reused[0].numbers] == ["00004"]
    assert report.numbers_reused[0].next_number.endswith("00004")
    assert number(books, books.issued(customer)) == "00004"


def test_reusing_takes_back_what_an_earlier_restore_kept_when_those_documents_came_back_since(
    books: Books, tmp_path: Path
) -> None:
    customer = books.customer()
    books.issued(customer)
    one = books.backup(tmp_path)
    for _ in range(2):
        books.issued(customer)
    three = books.backup(tmp_path)
    books.restore(one)
    books.restore(three)

    report = books.restore(one, numbers="reuse-numbers")

    assert report.numbers_reused[0].next_number.endswith("00002")
    assert number(books, books.issued(customer)) == "00002"


@pytest.mark.parametrize("choice", ["keep-series", "reuse-numbers"])
def test_a_number_that_the_archive_has_on_another_document_leaves_no_gap(
    books: Books, fresh_account: OpenAccount, tmp_path: Path, choice: str
) -> None:
    customer = books.customer()
    for _ in range(3):
        books.issued(customer)
    other = Books(fresh_account())
    other.issued(other.customer())

    report = other.restore(books.backup(tmp_path), numbers=choice)

    assert report.lost_documents_count == 1
    assert (report.numbers_kept, report.numbers_reused) == ((), ())
    assert number(other, other.issued(customer)) == "00004"


def test_a_rehearsal_says_of_numbers_what_the_restore_does(books: Books, tmp_path: Path) -> None:
    customer = books.customer()
    archive = books.backup(tmp_path)
    books.issued(customer)

    for choice in ("keep-series", "reuse-numbers"):
        rehearsed = books.restore(archive, numbers=choice, dry_run=True)
        assert recorded(books, "numbers.given") == recorded(books, "numbers.reused") == []
        gaps = rehearsed.numbers_kept or rehearsed.numbers_reused
        assert [gap.next_number[-5:] for gap in gaps] == ["00002" if choice == "keep-series" else "00001"]


@pytest.mark.parametrize("way", ["restore", "undo", "clone"])
def test_lost_numbers_of_an_earlier_format_are_not_given_again_when_it_comes_back(
    books: Books, fresh_account: OpenAccount, tmp_path: Path, way: str
) -> None:
    customer = books.customer()
    books.issued(customer)
    archive = books.backup(tmp_path)
    if way == "undo":
        books.restore(archive)
    lost = [books.state(Kind.INVOICE, books.issued(customer)).number for _ in range(2)]
    with_format(books, "F-{year}-{number}")
    lost.append(books.state(Kind.INVOICE, books.issued(customer)).number)

    if way == "restore":
        kept = books.restore(archive).numbers_kept
    elif way == "undo":
        kept = activate(books.application, books.access, books.actor, 1).difference.numbers_kept
    else:
        kept = cloned_over(books, Books(fresh_account())).numbers_kept

    assert {number for gap in kept for number in gap.missing} >= set(lost)
    customer = books.customer()
    for text in ("F-{year}-{number}", "{year}-{number:05}"):
        with_format(books, text)
        assert books.state(Kind.INVOICE, books.issued(customer)).number not in lost
    assert is_sound(books)


def test_lost_numbers_are_named_as_their_documents_bore_them(books: Books, tmp_path: Path) -> None:
    customer = books.customer()
    archive = books.backup(tmp_path)
    lost = []
    for text in ("{year}-{number}", "{year}-{number:05}"):
        with_format(books, text)
        lost += [books.state(Kind.INVOICE, books.issued(customer)).number for _ in range(2)]

    (kept,) = books.restore(archive).numbers_kept

    assert [one[5:] for one in lost] == ["1", "2", "00003", "00004"]
    assert kept.missing == tuple(lost)
    assert kept.next_number == books.state(Kind.INVOICE, books.issued(books.customer())).number


def test_a_clone_says_how_a_series_goes_on_that_its_source_gave_out_further(
    books: Books, fresh_account: OpenAccount, tmp_path: Path
) -> None:
    source = Books(fresh_account())
    buyer = source.customer()
    archive = source.backup(tmp_path)
    for _ in range(5):
        source.issued(buyer)
    source.restore(archive)
    books.issued(books.customer())

    report = cloned_over(books, source)

    (kept,) = report.numbers_kept
    assert kept.next_number == books.state(Kind.INVOICE, books.issued(buyer)).number
    assert kept.next_number.endswith("00006")
