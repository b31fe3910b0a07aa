"""Errors ``skip``: faulty records, and those that refer to them, stay out; each is listed; the rest comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from domain.ids import EntityId
from domain.kinds import Kind
from domain.work import EntityUnknown
from snapshots.format.manifest import TIMELINE
from snapshots.restoring.restore import Refused
from tests.fixtures.accounts import OpenAccount
from tests.fixtures.archives import Edited
from tests.integration.restoring import Books, is_sound


@pytest.fixture
def books(fresh_account: OpenAccount) -> Books:
    return Books(fresh_account())


def is_there(books: Books, kind: Kind, id_: EntityId) -> bool:
    try:
        books.state(kind, id_)
    except EntityUnknown:
        return False
    return True


def nameless(archive: Edited) -> Edited:
    """The archive with a customer Jan who has no name, in the timeline and in the snapshots."""
    for name in (TIMELINE, "customers.jsonl"):
        archive.change_line(name, b'"name":"Jan"', lambda line: line.replace(b'{"name":"Jan"}', b"{}"))
    return archive


def test_a_customer_without_a_name_stays_out_and_their_invoices_go_too(books: Books, tmp_path: Path) -> None:
    jan, piet = books.customer("Jan"), books.customer("Piet")
    of_jan = [books.issued(jan) for _ in range(2)]
    of_piet = books.issued(piet)
    archive = nameless(Edited(books.backup(tmp_path)))

    report = books.restore(archive.zipped(), errors="skip")

    assert report.outcome == "restored"
    assert not any(is_there(books, Kind.INVOICE, invoice) for invoice in of_jan)
    assert not is_there(books, Kind.CUSTOMER, jan)
    assert is_there(books, Kind.INVOICE, of_piet)
    assert report.skipped == 3
    assert {fault.entity for fault in report.faults} == {jan, *of_jan}
    assert is_sound(books)
    counts = {(count.kind, count.state): count.count for count in report.totals_result.counts}
    assert counts == {("customer", "in use"): 1, ("invoice", "issued"): 1}


def test_what_is_skipped_is_told_in_the_words_of_abort(books: Books, tmp_path: Path) -> None:
    books.issued(books.customer("Jan"))
    archive = nameless(Edited(books.backup(tmp_path)))

    with pytest.raises(Refused) as refused:
        books.restore(archive.zipped())
    report = books.restore(archive.zipped(), errors="skip")

    assert report.faults == refused.value.report.faults
    assert report.faults_count == refused.value.report.faults_count


def test_a_line_that_is_no_json_costs_its_entity_and_nothing_else(books: Books, tmp_path: Path) -> None:
    jan, piet = books.customer("Jan"), books.customer("Piet")
    archive = Edited(books.backup(tmp_path))
    line = archive.change_line(TIMELINE, b'"name":"Jan"', lambda text: text[:-20])

    report = books.restore(archive.zipped(), errors="skip")

    assert (is_there(books, Kind.CUSTOMER, jan), is_there(books, Kind.CUSTOMER, piet)) == (False, True)
    first = next(fault for fault in report.faults if fault.line == line)
    assert (first.file, first.code) == (TIMELINE, "line.refused")
    assert is_sound(books)


def test_a_line_that_belongs_to_nobody_is_left_out(books: Books, tmp_path: Path) -> None:
    jan = books.customer("Jan")
    archive = Edited(books.backup(tmp_path))
    archive.put_lines(TIMELINE, [b"what is this?", *archive.lines(TIMELINE)])

    report = books.restore(archive.zipped(), errors="skip")

    assert is_there(books, Kind.CUSTOMER, jan)
    assert report.events == 1
    assert is_sound(books)


def test_a_sound_archive_loses_nothing_to_skip(books: Books, tmp_path: Path) -> None:
    books.issued(books.customer())
    first = Edited(books.backup(tmp_path))

    report = books.restore(first.zipped(), errors="skip")

    assert (report.skipped, report.faults) == (0, ())
    assert Edited(books.backup(tmp_path)).manifest["tree_head"] == first.manifest["tree_head"]


def test_what_was_left_out_comes_in_once_it_is_mended(books: Books, tmp_path: Path) -> None:
    jan = books.customer("Jan")
    of_jan = books.issued(jan)
    of_piet = books.issued(books.customer("Piet"))
    whole = Edited(books.backup(tmp_path))
    faulty = nameless(Edited(books.backup(tmp_path)))
    books.restore(faulty.zipped(), errors="skip")

    report = books.restore(whole.zipped(), mode="add")

    assert {(one.kind, one.id) for one in report.entities if one.change == "created"} == {
        ("customer", jan),
        ("invoice", of_jan),
    }
    assert is_there(books, Kind.INVOICE, of_piet)
    assert report.totals_result == report.totals_archive
    assert is_sound(books)


def test_both_documents_of_one_number_stay_out_and_both_are_listed(books: Books, tmp_path: Path) -> None:
    customer = books.customer()
    first, second, third = (books.issued(customer) for _ in range(3))
    archive = Edited(books.backup(tmp_path))
    numbers = [books.state(Kind.INVOICE, one).number.encode() for one in (first, second)]
    for name in (TIMELINE, "documents/invoices.jsonl"):
        archive.put_lines(name, [line.replace(numbers[1], numbers[0]) for line in archive.lines(name)])

    report = books.restore(archive.zipped(), errors="skip")

    assert {fault.entity for fault in report.faults} == {first, second}
    assert report.faults_count == report.skipped == 2
    assert [is_there(books, Kind.INVOICE, one) for one in (first, second, third)] == [False, False, True]


def test_a_rehearsal_of_skipping_says_what_the_restore_then_says(books: Books, tmp_path: Path) -> None:
    books.issued(books.customer("Jan"))
    archive = nameless(Edited(books.backup(tmp_path)))
    before = books.rows()

    rehearsed = books.restore(archive.zipped(), errors="skip", dry_run=True)

    assert books.rows() == before
    restored = books.restore(archive.zipped(), errors="skip")
    assert (rehearsed.outcome, restored.outcome) == ("would_restore", "restored")
    for name in ("changes", "faults", "skipped", "totals_result", "events", "root", "people"):
        assert getattr(rehearsed, name) == getattr(restored, name), name
