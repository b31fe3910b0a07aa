"""Mode ``add``: what the account lacks comes in, what it has stays as it is, and what clashes is named."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from domain import commands
from domain.application import Actor
from domain.kinds import Kind
from projections.timeline import Filter, read_timeline
from snapshots.fresh import swap
from snapshots.reading.examination import Examiner
from snapshots.reading.inspection import inspect_archive
from snapshots.restoring.report import readable
from snapshots.restoring.restore import ArchiveFaulty, ChangedMeanwhile, NumbersClash
from tests.fixtures.accounts import OpenAccount
from tests.fixtures.archives import Edited
from tests.integration.restoring import LINE, Books, as_file, is_sound

VAT = {"category": "S", "rate": "21"}


@pytest.fixture
def books(fresh_account: OpenAccount) -> Books:
    return Books(fresh_account())


@pytest.fixture
def other(fresh_account: OpenAccount) -> Books:
    return Books(fresh_account())


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


def test_what_was_deleted_here_does_not_come_back_and_refuses_nothing(books: Books, tmp_path: Path) -> None:
    customer = books.customer("Gone")
    draft = books.make(Kind.INVOICE, customer=customer, lines=[LINE])
    quote = books.issued(customer, Kind.QUOTE)
    ledger = books.make(Kind.LEDGER_ACCOUNT, number="700000", name="Sales", type="income")
    item = books.make(Kind.ITEM, number="B-1", name="Bell", net_price="10.00", vat=VAT, ledger_account=ledger)
    archive = books.backup(tmp_path)
    books.run(lambda work: commands.delete(work, Kind.INVOICE, draft))
    books.run(lambda work: commands.delete(work, Kind.ITEM, item))
    books.run(lambda work: commands.delete(work, Kind.LEDGER_ACCOUNT, ledger))
    other = books.customer("Still here")
    books.run(lambda work: commands.merge(work, Kind.CUSTOMER, customer, other))
    before = books.rows()

    report = books.restore(archive, mode="add")

    assert report.outcome == "nothing_to_add"
    assert report.faults == ()
    assert report.people == ()
    assert report.events == 11
    assert books.rows() == before
    assert books.state(Kind.QUOTE, quote).customer == customer


def test_what_is_skipped_counts_nowhere_but_among_the_skipped(books: Books, other: Books, tmp_path: Path) -> None:
    customer = books.customer()
    first, second = (books.issued(customer) for _ in range(2))
    note = books.run(lambda work: commands.credit(work, first))
    other.issued(other.customer())

    report = other.restore(books.backup(tmp_path), mode="add", errors="skip")

    created = {one.kind: one.created for one in report.changes if one.created}
    assert created == {"customer": 1, "invoice": 1}
    assert {one.id for one in report.entities if one.change == "created"} == {customer, second}
    assert report.skipped == 2
    assert [(fault.code, fault.entity) for fault in report.faults] == [
        ("restore.numbers-clash", first),
        ("archive.reference-left-out", note),
    ]
    assert report.faults_count == 2
    assert is_sound(other)


def test_a_faulty_line_is_told_once_in_the_words_of_an_overwriting_restore(
    books: Books, other: Books, tmp_path: Path
) -> None:
    jan = books.customer("Jan")
    books.issued(jan)
    books.customer("Piet")
    archive = Edited(books.backup(tmp_path))
    archive.change_line("timeline.jsonl", b'"name":"Jan"', lambda line: line[:-1])
    archive.put_lines("timeline.jsonl", [*archive.lines("timeline.jsonl"), b"what is this?"])

    added = other.restore(archive.zipped(), mode="add", errors="skip")
    overwritten = other.restore(archive.zipped(), errors="skip")

    assert added.faults == overwritten.faults
    assert (added.faults_count, added.skipped) == (overwritten.faults_count, overwritten.skipped) == (3, 2)
    with pytest.raises(ArchiveFaulty) as refused:
        other.restore(archive.zipped(), mode="add")
    assert refused.value.report.faults == added.faults


def test_an_invoice_added_beside_others_carries_its_series_on(books: Books, other: Books, tmp_path: Path) -> None:
    customer = books.customer()
    kept = [books.issued(customer) for _ in range(3)]
    other.issued(other.customer())
    other.clock.now = books.clock.now

    other.restore(books.backup(tmp_path), mode="add", errors="skip")

    issued = other.state(Kind.INVOICE, other.issued(other.customer()))
    assert issued.number == f"{other.clock.now.year}-00004"
    assert books.state(Kind.INVOICE, kept[2]).number.endswith("-00003")


def test_a_gap_that_an_addition_leaves_is_explained_and_stays_on_record(
    books: Books, other: Books, tmp_path: Path
) -> None:
    customer = books.customer()
    invoices = [books.issued(customer) for _ in range(6)]
    quotes = [books.issued(customer, Kind.QUOTE) for _ in range(3)]
    other.issued(other.customer())
    other.clock.now = books.clock.now
    named = (invoices[2], invoices[5], quotes[2])

    rehearsed = other.restore(books.backup(tmp_path), mode="add", only_entities=named, dry_run=True)
    report = other.restore(books.backup(tmp_path), mode="add", only_entities=named)

    (missing,) = report.numbers_missing
    assert rehearsed.numbers_missing == (missing,)
    assert [number[5:] for number in missing.missing] == ["00002", "00004", "00005"]
    assert (missing.kind, missing.missing_count) == ("invoice", 3)
    assert "no document bears 2024-00002, 2024-00004, 2024-00005" in readable(report)
    assert other.state(Kind.INVOICE, other.issued(other.customer())).number == missing.next_number
    entries = read_timeline(other.application.database, other.access.account, Filter(type="restore.finished")).entries
    (finished,) = [{one.field: one.after for one in entry.changes} for entry in entries]
    assert list(finished["missing_numbers"].values()) == [list(missing.missing)]


def test_each_of_several_likely_doubles_is_listed(books: Books, other: Books, tmp_path: Path) -> None:
    party = {"name": "Klant", "vat_identifier": "BE0417497106"}
    theirs = [books.make(Kind.CUSTOMER, party=party) for _ in range(2)]
    mine = other.make(Kind.CUSTOMER, party=party)

    report = other.restore(books.backup(tmp_path), mode="add")

    assert sorted((one.id, one.into) for one in report.likely_doubles) == sorted((one, mine) for one in theirs)


def test_a_layout_keeps_the_defaults_that_the_account_has_no_layout_for(
    books: Books, other: Books, tmp_path: Path
) -> None:
    kinds = ["invoice", "quote", "receipt"]
    layout = {"document_kinds": kinds, "language": "nl", "template": {}}
    theirs = books.make(Kind.LAYOUT, name="Theirs", default_for=kinds, **layout)
    other.make(Kind.LAYOUT, name="Mine", default_for=["invoice", "quote"], **layout)

    other.restore(books.backup(tmp_path), mode="add")

    assert other.state(Kind.LAYOUT, theirs).default_for == ("receipt",)
    assert other.state(Kind.LAYOUT, theirs).version == 2
    assert is_sound(other)


def test_an_added_entitys_times_do_not_go_back_where_its_own_clock_was_ahead(
    books: Books, other: Books, tmp_path: Path
) -> None:
    books.clock.now += timedelta(days=3)
    item = books.make(Kind.ITEM, number="B-1", name="Bell", net_price="10.00", vat=VAT)
    other.make(Kind.ITEM, number="B-1", name="Bell", net_price="10.00", vat=VAT)

    other.restore(books.backup(tmp_path), mode="add")

    assert other.state(Kind.ITEM, item).merged_into
    assert inspect_archive(as_file(other.backup(tmp_path))).is_sound


def test_archived_things_are_matched_too(books: Books, other: Books, tmp_path: Path) -> None:
    for one in (books, other):
        item = one.make(Kind.ITEM, number="B-1", name="Bell", net_price="10.00", vat=VAT)
        customer = one.customer(number="7")
        one.run(lambda work, item=item: commands.archive(work, Kind.ITEM, item))
        one.run(lambda work, customer=customer: commands.archive(work, Kind.CUSTOMER, customer))

    report = other.restore(books.backup(tmp_path), mode="add")

    assert [one.kind for one in report.matched] == ["item", "customer"]
    assert is_sound(other)


def test_an_addition_catches_up_with_somebody_who_works_meanwhile(
    books: Books, other: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = books.customer("Theirs")
    archive = books.backup(tmp_path)
    real = swap.swap
    made: list[str] = []

    def write_then_swap(*args: Any, **kwargs: Any) -> None:
        if not made:
            made.append(other.customer("Just now"))
        real(*args, **kwargs)

    monkeypatch.setattr("snapshots.restoring.restore.swap", write_then_swap)

    report = other.restore(archive, mode="add")

    assert report.outcome == "restored"
    assert set(states(other)) == {theirs, made[0]}
    assert is_sound(other)


def test_an_addition_beside_somebody_who_never_rests_is_refused_and_loses_nothing(
    books: Books, other: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    books.customer("Theirs")
    archive = books.backup(tmp_path)
    real = Examiner.run
    made: list[str] = []

    def write_then_run(self: Examiner) -> Any:
        made.append(other.customer("Just now"))
        return real(self)

    monkeypatch.setattr(Examiner, "run", write_then_run)

    with pytest.raises(ChangedMeanwhile):
        other.restore(archive, mode="add")

    assert set(states(other)) == set(made)
    assert is_sound(other)


def test_only_added_events_are_counted_and_linked(books: Books, tmp_path: Path) -> None:
    editor = next(member for member in books.access.control.members if member.role == "editor")
    books.run(
        lambda work: commands.create(work, Kind.CUSTOMER, {"party": {"name": "Bo's"}}),
        Actor.person(editor.person, "api"),
    )
    earlier = books.backup(tmp_path)
    mine = books.customer("An's")
    later = books.backup(tmp_path)
    books.restore(earlier)

    report = books.restore(later, mode="add")

    assert [(person.person, person.events) for person in report.people] == [(books.person, 1)]
    assert mine in states(books)
    assert is_sound(books)


def test_an_addition_in_many_partitions_by_worker_processes_comes_to_the_same(
    books: Books, other: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for one in (books, other):
        one.make(Kind.ITEM, number="B-1", name="Bell", net_price="10.00", vat=VAT)
        customer = one.customer(number="7")
        invoice = one.issued(customer)
        one.run(lambda work, invoice=invoice: commands.credit(work, invoice))
        one.issued(customer, Kind.QUOTE)
    archive = books.backup(tmp_path)
    whole = other.restore(archive, mode="add", errors="skip", dry_run=True)
    monkeypatch.setattr("snapshots.reading.examination._PARTITION_BYTES", 300)
    monkeypatch.setattr("snapshots.reading.examination._WORKERS_FROM_BYTES", 0)

    parts = other.restore(archive, mode="add", errors="skip")

    assert sorted(map(str, parts.faults)) == sorted(map(str, whole.faults))
    assert {one.id for one in parts.matched} == {one.id for one in whole.matched}
    for name in ("changes", "skipped", "faults_count", "totals_result", "events", "people"):
        assert getattr(parts, name) == getattr(whole, name), name
    assert is_sound(other)
