"""Mode ``add``: what the account lacks comes in, what it has stays as it is, and what clashes is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from domain import commands
from domain.kinds import Kind
from projections.rebuild import rebuild
from projections.timeline import Filter, read_timeline
from snapshots.restore import NumbersClash
from tests.fixtures.accounts import OpenAccount
from tests.integration.restoring import LINE, Books

VAT = {"category": "S", "rate": "21"}


@pytest.fixture
def books(fresh_account: OpenAccount) -> Books:
    return Books(fresh_account())


@pytest.fixture
def other(fresh_account: OpenAccount) -> Books:
    return Books(fresh_account())


def is_sound(books: Books) -> bool:
    return rebuild(books.application.database, books.access.account, check=True).differences_count == 0


def states(books: Books) -> dict[str, Any]:
    return {row["entity_id"]: (row["version"], row["state"]) for row in live_rows(books)}


def live_rows(books: Books) -> list[Any]:
    rows = books.rows()
    live = next(row["stream_id"] for row in rows["streams"] if row["status"] == "live")
    return [row for row in rows["entities"] if row["stream_id"] == live]


def test_what_the_account_has_stays_as_it_is_and_what_it_lacks_comes_in(
    books: Books, other: Books, tmp_path: Path
) -> None:
    mine = other.customer("Mine")
    before = states(other)
    theirs = books.customer("Theirs")
    quote = books.issued(theirs, Kind.QUOTE)

    report = other.restore(books.backup(tmp_path), mode="add")

    after = states(other)
    assert report.outcome == "restored"
    assert {id_: after[id_] for id_ in before} == before
    assert set(after) == {mine, theirs, quote}
    assert is_sound(other)
    assert {one.kind: one.created for one in report.changes if one.created} == {"customer": 1, "quote": 1}


def test_adding_the_same_archive_again_adds_nothing_and_says_so(books: Books, other: Books, tmp_path: Path) -> None:
    books.issued(books.customer())
    archive = books.backup(tmp_path)
    other.restore(archive, mode="add")
    before = other.rows()

    report = other.restore(archive, mode="add")

    assert report.outcome == "nothing_to_add"
    assert other.rows() == before


def test_an_archive_added_to_the_account_it_came_from_brings_nothing_back(books: Books, tmp_path: Path) -> None:
    gone = books.customer("Gone")
    archive = books.backup(tmp_path)
    books.run(lambda work: commands.delete(work, Kind.CUSTOMER, gone))
    before = books.rows()

    report = books.restore(archive, mode="add")

    assert report.outcome == "nothing_to_add"
    assert books.rows() == before


def test_a_document_number_that_both_have_fails_the_restore_naming_each(
    books: Books, other: Books, tmp_path: Path
) -> None:
    theirs = [books.issued(books.customer()) for _ in range(2)]
    other.issued(other.customer())
    archive = books.backup(tmp_path)
    before = other.rows()

    with pytest.raises(NumbersClash) as refused:
        other.restore(archive, mode="add")

    clashes = [fault for fault in refused.value.report.faults if fault.code == "restore.numbers-clash"]
    assert [fault.entity for fault in clashes] == theirs[:1]
    assert other.rows() == before


def test_with_skip_the_clashing_document_stays_out_and_the_rest_comes_in(
    books: Books, other: Books, tmp_path: Path
) -> None:
    customer = books.customer()
    theirs = [books.issued(customer) for _ in range(2)]
    other.issued(other.customer())

    report = other.restore(books.backup(tmp_path), mode="add", errors="skip")

    ids = set(states(other))
    assert theirs[0] not in ids
    assert {customer, theirs[1]} <= ids
    assert report.skipped == 1
    assert is_sound(other)


def test_items_and_ledger_accounts_of_one_number_and_layouts_of_one_name_become_one(
    books: Books, other: Books, tmp_path: Path
) -> None:
    layout = {
        "name": "Blue",
        "document_kinds": ["invoice"],
        "language": "nl",
        "template": {},
        "default_for": ["invoice"],
    }
    made = []
    for one in (books, other):
        ledger = one.make(Kind.LEDGER_ACCOUNT, number="700000", name="Sales", type="income")
        item = one.make(Kind.ITEM, number="B-1", name="Bell", net_price="10.00", vat=VAT, ledger_account=ledger)
        made.append((ledger, item, one.make(Kind.LAYOUT, **layout)))
    invoice = books.make(Kind.INVOICE, customer=books.customer(), lines=[{**LINE, "item": made[0][1]}])

    report = other.restore(books.backup(tmp_path), mode="add")

    assert {(one.kind, one.id, one.into) for one in report.matched} == {
        ("ledger_account", made[0][0], made[1][0]),
        ("item", made[0][1], made[1][1]),
        ("layout", made[0][2], made[1][2]),
    }
    assert other.state(Kind.ITEM, made[0][1]).merged_into == made[1][1]
    assert other.state(Kind.INVOICE, invoice).lines[0].item == made[0][1]
    merged = read_timeline(other.application.database, other.access.account, Filter(type="item.merged")).entries
    assert [(entry.actor, entry.via) for entry in merged] == [(other.actor.name, "restore")]
    assert is_sound(other)
    assert not report.faults


def test_another_default_layout_comes_in_as_no_default(books: Books, other: Books, tmp_path: Path) -> None:
    layout = {"document_kinds": ["invoice"], "language": "nl", "template": {}, "default_for": ["invoice"]}
    theirs = books.make(Kind.LAYOUT, name="Theirs", **layout)
    mine = other.make(Kind.LAYOUT, name="Mine", **layout)

    other.restore(books.backup(tmp_path), mode="add")

    assert other.state(Kind.LAYOUT, mine).default_for == ("invoice",)
    assert other.state(Kind.LAYOUT, theirs).default_for == ()
    assert is_sound(other)


def test_a_customer_number_that_is_taken_is_left_off_and_likely_doubles_are_listed(
    books: Books, other: Books, tmp_path: Path
) -> None:
    party = {"name": "Klant", "vat_identifier": "BE0417497106"}
    theirs = books.make(Kind.CUSTOMER, number="7", party=party)
    mine = other.make(Kind.CUSTOMER, number="7", party=party)

    report = other.restore(books.backup(tmp_path), mode="add")

    assert other.state(Kind.CUSTOMER, theirs).number is None
    assert other.state(Kind.CUSTOMER, mine).number == "7"
    assert [(one.id, one.into) for one in report.likely_doubles] == [(theirs, mine)]
    assert is_sound(other)


def test_added_events_stand_where_they_belong_in_time(books: Books, other: Books, tmp_path: Path) -> None:
    books.customer("First, there")
    other.clock.now = books.clock.now
    other.customer("Second, here")
    books.clock.now = other.clock.now
    books.customer("Third, there")

    other.restore(books.backup(tmp_path), mode="add")

    entries = read_timeline(other.application.database, other.access.account, Filter(kind="customer")).entries
    names = [next(one.after["name"] for one in entry.changes if one.field == "party") for entry in entries]
    assert names == ["Third, there", "Second, here", "First, there"]
    assert [entry.came_by for entry in entries] == ["add", "recorded", "add"]
    paged = []
    cursor = None
    for _ in range(3):
        page = read_timeline(
            other.application.database, other.access.account, Filter(kind="customer"), cursor=cursor, limit=1
        )
        paged += list(page.entries)
        cursor = page.cursor
    assert paged == list(entries)


def test_a_rehearsal_of_adding_changes_nothing_and_says_the_same(books: Books, other: Books, tmp_path: Path) -> None:
    books.issued(books.customer())
    other.customer()
    archive = books.backup(tmp_path)
    before = other.rows()

    rehearsed = other.restore(archive, mode="add", dry_run=True)

    assert other.rows() == before
    restored = other.restore(archive, mode="add")
    assert rehearsed.totals_result == restored.totals_result
    assert rehearsed.changes == restored.changes
