"""Some of an archive: kinds, entities by name with what they need, as they were, and what a restore left out."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from domain import commands
from domain.documents.fields import Attachment
from domain.entity import FieldRefused
from domain.ids import EntityId
from domain.kinds import Kind
from projections.moments import Position
from projections.timeline import Filter, read_timeline
from snapshots.reading.inspection import inspect_archive
from snapshots.restoring.report import RestoreReport
from snapshots.restoring.restore import ArchiveFaulty, CannotReturn, ChoiceUnfitting
from snapshots.restoring.selecting import LeftOut, NotInArchive, OtherReport, read_left_out
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


def created(report: RestoreReport) -> dict[str, int]:
    return {one.kind: one.created for one in report.changes if one.created}


def brought(report: RestoreReport) -> set[str]:
    return {one.id for one in report.entities if one.change == "created"}


def deleted(books: Books, kind: Kind, *ids: EntityId) -> None:
    for id_ in ids:
        books.run(lambda work, id_=id_: commands.delete(work, kind, id_))


def renamed(books: Books, customer: EntityId, name: str) -> None:
    books.run(lambda work: commands.change(work, Kind.CUSTOMER, customer, {"party": {"name": name}}))


def item(books: Books, number: str, **fields: Any) -> EntityId:
    return books.make(Kind.ITEM, number=number, name="Bell", net_price="10.00", vat=VAT, **fields)


def happened(books: Books, entity: EntityId) -> list[tuple[str, str]]:
    """What became of an entity, oldest first: type and way in."""
    entries = read_timeline(books.application.database, books.access.account, Filter(entity=entity)).entries
    return [(entry.type, entry.via) for entry in reversed(entries)]


# By name and by kind


def test_an_invoice_brings_what_it_refers_to_and_what_it_came_from_and_nothing_else(
    books: Books, other: Books, tmp_path: Path
) -> None:
    customer = books.customer()
    parent = books.make(Kind.LEDGER_ACCOUNT, number="70", name="Income", type="income")
    ledger = books.make(Kind.LEDGER_ACCOUNT, number="700000", name="Sales", type="income", parent=parent)
    bell = item(books, "B-1", ledger_account=ledger)
    style = books.make(Kind.LAYOUT, name="Ours", document_kinds=["quote", "invoice"], language="nl", template={})
    quote = books.issued(customer, Kind.QUOTE, lines=[{**LINE, "item": bell}], layout=style)
    books.run(lambda work: commands.record(work, Kind.QUOTE, quote, "accepted", {}))
    invoice = books.run(lambda work: commands.convert(work, Kind.QUOTE, quote, Kind.INVOICE))
    books.run(lambda work: commands.issue(work, Kind.INVOICE, invoice))
    books.issued(books.customer("Somebody else"))
    item(books, "B-2")

    report = other.restore(books.backup(tmp_path), mode="add", only_entities=(invoice,))

    assert brought(report) == {customer, parent, ledger, bell, style, quote, invoice}
    assert other.state(Kind.INVOICE, invoice).derived_from[0].document == quote
    assert is_sound(other)
    assert inspect_archive(as_file(other.backup(tmp_path))).is_sound


def test_what_the_account_has_brings_nothing_with_it(books: Books, other: Books, tmp_path: Path) -> None:
    order = books.issued(books.customer(), Kind.PURCHASE_ORDER)
    other.restore(books.backup(tmp_path), mode="add", only_entities=(order,))
    first, _ = (
        books.run(lambda work: commands.convert(work, Kind.PURCHASE_ORDER, order, Kind.DELIVERY_NOTE)) for _ in range(2)
    )

    report = other.restore(books.backup(tmp_path), mode="add", only_entities=(first,))

    assert brought(report) == {first}
    assert is_sound(other)


def test_some_kinds_come_with_what_they_need(books: Books, other: Books, tmp_path: Path) -> None:
    customer = books.customer()
    books.customer("Needed by nobody")
    bell = item(books, "B-1")
    books.issued(customer, lines=[{**LINE, "item": bell}])
    books.issued(customer, Kind.QUOTE)

    report = other.restore(books.backup(tmp_path), mode="add", only=(Kind.INVOICE,))

    assert created(report) == {"customer": 1, "item": 1, "invoice": 1}
    assert brought(report) >= {customer, bell}
    assert is_sound(other)


def test_the_same_selection_again_adds_nothing_and_says_so(books: Books, other: Books, tmp_path: Path) -> None:
    invoice = books.issued(books.customer())
    archive = books.backup(tmp_path)
    other.restore(archive, mode="add", only_entities=(invoice,))
    before = other.rows()

    report = other.restore(archive, mode="add", only_entities=(invoice,))

    assert report.outcome == "nothing_to_add"
    assert other.rows() == before


def test_only_files_that_the_selected_documents_have_come_along(books: Books, other: Books, tmp_path: Path) -> None:
    first, second = (books.make(Kind.INVOICE, customer=books.customer(), lines=[LINE]) for _ in range(2))
    digests = [attached(books, document, content) for document, content in ((first, b"one"), (second, b"two"))]

    other.restore(books.backup(tmp_path), mode="add", only_entities=(second,))

    kept = [other.application.attachment(other.access.account, digest) for digest in digests]
    assert kept == [None, b"two"]


def attached(books: Books, document: EntityId, content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    file = Attachment(id="1", name="a.txt", media_type="text/plain", size=len(content), sha256=digest)
    books.run(lambda work: commands.attach(work, Kind.INVOICE, document, file, content))
    return digest


def test_faults_elsewhere_do_not_keep_the_selected_out_and_their_own_do(
    books: Books, other: Books, tmp_path: Path
) -> None:
    jan, piet = books.customer("Jan"), books.customer("Piet")
    archive = Edited(books.backup(tmp_path))
    archive.change_line("timeline.jsonl", b'"name":"Jan"', lambda line: line.replace(b'"Jan"', b'""'))

    report = other.restore(archive.zipped(), mode="add", only_entities=(piet,))

    assert (report.outcome, report.faults) == ("restored", ())
    with pytest.raises(ArchiveFaulty) as refused:
        other.restore(archive.zipped(), mode="add", only_entities=(jan,))
    assert [(fault.entity, fault.line) for fault in refused.value.report.faults] == [(jan, 1)]


def test_what_is_not_in_the_archive_is_named(books: Books, other: Books, tmp_path: Path) -> None:
    gone, unknown = books.customer("Gone"), EntityId("01960000-0000-7000-8000-00000000abcd")
    deleted(books, Kind.CUSTOMER, gone)
    before = other.rows()

    with pytest.raises(NotInArchive, match=f"{gone}.*{unknown}"):
        other.restore(books.backup(tmp_path), mode="add", only_entities=(gone, unknown))

    assert other.rows() == before


@pytest.mark.parametrize("choice", [{"only": (Kind.ITEM,)}, {"only_entities": ("x",)}, {"left_out": LeftOut("x")}])
def test_a_selection_does_not_go_with_replacing_everything(
    books: Books, tmp_path: Path, choice: dict[str, Any]
) -> None:
    with pytest.raises(ChoiceUnfitting):
        books.restore(books.backup(tmp_path), **choice)


# Coming back


def test_just_this_deleted_customer_as_it_was_in_march(books: Books, tmp_path: Path) -> None:
    books.clock.now = datetime(2025, 3, 20, 9, tzinfo=UTC)
    customer = books.customer("As in March")
    books.clock.now = datetime(2025, 4, 20, 9, tzinfo=UTC)
    renamed(books, customer, "As in April")
    archive = books.backup(tmp_path)
    deleted(books, Kind.CUSTOMER, customer)
    newcomer = books.customer("Newcomer")

    march = datetime(2025, 3, 31, 22, tzinfo=UTC)
    report = books.restore(archive, mode="add", only_entities=(customer,), as_of=march)

    state = books.state(Kind.CUSTOMER, customer)
    assert (state.party.name, state.version) == ("As in March", 4)
    assert [kind for kind, _ in happened(books, customer)] == [
        "customer.created",
        "customer.changed",
        "customer.deleted",
        "customer.corrected",
    ]
    assert happened(books, customer)[-1][1] == "restore"
    assert [(one.id, one.was) for one in report.came_back] == [(customer, "deleted")]
    assert report.as_of == 1
    assert books.state(Kind.CUSTOMER, newcomer)
    assert is_sound(books)
    assert inspect_archive(as_file(books.backup(tmp_path))).is_sound


def test_a_changed_item_goes_back_when_it_is_named_and_only_once(books: Books, tmp_path: Path) -> None:
    bell, lamp = item(books, "B-1"), item(books, "L-1")
    archive = books.backup(tmp_path)
    for one in (bell, lamp):
        books.run(lambda work, one=one: commands.change(work, Kind.ITEM, one, {"net_price": "12.00"}))

    report = books.restore(archive, mode="add", only_entities=(bell,))

    assert [(one.id, one.was) for one in report.came_back] == [(bell, "changed")]
    assert {one.kind: one.replaced for one in report.changes if one.replaced} == {"item": 1}
    assert [str(books.state(Kind.ITEM, one).net_price) for one in (bell, lamp)] == ["10.00", "12.00"]
    before = books.rows()
    again = books.restore(archive, mode="add", only_entities=(bell,))
    assert (again.outcome, again.came_back) == ("nothing_to_add", ())
    assert books.rows() == before
    assert is_sound(books)


def test_a_deleted_draft_comes_back_to_work_on(books: Books, tmp_path: Path) -> None:
    draft = books.make(Kind.INVOICE, customer=books.customer(), lines=[LINE])
    archive = books.backup(tmp_path)
    deleted(books, Kind.INVOICE, draft)

    report = books.restore(archive, mode="add", only_entities=(draft,))

    assert [(one.id, one.was) for one in report.came_back] == [(draft, "deleted")]
    books.run(lambda work: commands.issue(work, Kind.INVOICE, draft))
    assert books.state(Kind.INVOICE, draft).number
    assert is_sound(books)


def test_what_is_needed_comes_back_although_it_was_deleted_here(books: Books, tmp_path: Path) -> None:
    start = books.backup(tmp_path)
    ledger = books.make(Kind.LEDGER_ACCOUNT, number="700000", name="Sales", type="income")
    bell = item(books, "B-1", ledger_account=ledger)
    customer = books.customer()
    masters = books.backup(tmp_path)
    invoice = books.issued(customer, lines=[{**LINE, "item": bell}])
    archive = books.backup(tmp_path)
    books.restore(start)
    books.restore(masters, mode="add")
    deleted(books, Kind.ITEM, bell)
    deleted(books, Kind.LEDGER_ACCOUNT, ledger)

    report = books.restore(archive, mode="add", only_entities=(invoice,))

    assert {one.id for one in report.came_back} == {bell, ledger}
    assert brought(report) == {bell, ledger, invoice}
    assert is_sound(books)
    assert inspect_archive(as_file(books.backup(tmp_path))).is_sound


def test_a_number_that_somebody_took_meanwhile_stays_theirs(books: Books, tmp_path: Path) -> None:
    customer, bell = books.customer(number="7"), item(books, "B-1")
    archive = books.backup(tmp_path)
    deleted(books, Kind.CUSTOMER, customer)
    deleted(books, Kind.ITEM, bell)
    books.customer("Newcomer", number="7")
    newer = item(books, "B-1")

    report = books.restore(archive, mode="add", only_entities=(customer, bell))

    assert books.state(Kind.CUSTOMER, customer).number is None
    assert books.state(Kind.ITEM, bell).merged_into == newer
    assert {one.id for one in report.matched} == {customer, bell}
    assert is_sound(books)


def test_an_issued_document_does_not_go_back(books: Books, tmp_path: Path) -> None:
    invoice = books.issued(books.customer())
    archive = books.backup(tmp_path)
    books.run(lambda work: commands.credit(work, invoice))
    payment = {"amount": "4.20", "means": "10"}
    books.run(lambda work: commands.record(work, Kind.INVOICE, invoice, "payment_registered", payment))
    before = books.rows()

    with pytest.raises(CannotReturn, match="issued"):
        books.restore(archive, mode="add", only_entities=(invoice,))

    assert books.rows() == before


def test_what_was_deleted_here_is_named_and_stays_out_unless_it_is_named(books: Books, tmp_path: Path) -> None:
    customer, bell = books.customer(number="7"), item(books, "B-1")
    archive = books.backup(tmp_path)
    deleted(books, Kind.CUSTOMER, customer)
    deleted(books, Kind.ITEM, bell)

    everything = books.restore(archive, mode="add")
    items = books.restore(archive, mode="add", only=(Kind.ITEM,))

    assert (everything.outcome, everything.deleted_here_count) == ("nothing_to_add", 2)
    assert {(one.kind, one.id, one.number) for one in everything.deleted_here} == {
        ("customer", customer, "7"),
        ("item", bell, "B-1"),
    }
    assert [one.id for one in items.deleted_here] == [bell]


def test_a_rehearsal_of_coming_back_changes_nothing_and_says_the_same(books: Books, tmp_path: Path) -> None:
    customer, bell = books.customer(), item(books, "B-1")
    archive = books.backup(tmp_path)
    deleted(books, Kind.CUSTOMER, customer)
    books.run(lambda work: commands.archive(work, Kind.ITEM, bell))
    before = books.rows()

    rehearsed = books.restore(archive, mode="add", only_entities=(customer, bell), dry_run=True)

    assert books.rows() == before
    restored = books.restore(archive, mode="add", only_entities=(customer, bell))
    for name in ("changes", "came_back", "totals_result", "events"):
        assert getattr(rehearsed, name) == getattr(restored, name), name
    in_use = {(one.kind, one.state): one.count for one in restored.totals_result.counts}
    assert in_use == {("customer", "in use"): 1, ("item", "in use"): 1}


def test_coming_back_in_many_partitions_by_worker_processes_comes_to_the_same(
    books: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    customers = tuple(books.customer(f"Klant {number}") for number in range(6))
    archive = books.backup(tmp_path)
    deleted(books, Kind.CUSTOMER, *customers[:3])
    renamed(books, customers[3], "Renamed")
    monkeypatch.setattr("snapshots.reading.examination._PARTITION_BYTES", 300)
    monkeypatch.setattr("snapshots.reading.examination._WORKERS_FROM_BYTES", 0)

    report = books.restore(archive, mode="add", only_entities=customers[:4])

    assert {one.id for one in report.came_back} == set(customers[:4])
    assert [books.state(Kind.CUSTOMER, one).party.name for one in customers] == [f"Klant {n}" for n in range(6)]
    assert is_sound(books)


# As it was


def test_an_account_goes_back_to_a_position_of_an_archive(books: Books, tmp_path: Path) -> None:
    first = books.customer("First")
    invoice = books.issued(first)
    position = len(books.rows()["events"])
    books.customer("Later")
    payment = {"amount": "4.20", "means": "10"}
    books.run(lambda work: commands.record(work, Kind.INVOICE, invoice, "payment_registered", payment))
    archive = books.backup(tmp_path)

    report = books.restore(archive, as_of=Position(None, position))

    assert (report.as_of, report.events) == (position, position)
    assert books.state(Kind.INVOICE, invoice).state == "issued"
    assert report.totals_result == report.totals_archive
    assert is_sound(books)


@pytest.mark.parametrize(
    "moment", [Position(None, 2), Position(9, 1), datetime(2030, 1, 1, tzinfo=UTC)], ids=["position", "stream", "time"]
)
def test_a_moment_that_the_archive_has_not_come_to_is_refused(
    books: Books, tmp_path: Path, moment: Position | datetime
) -> None:
    books.customer()

    with pytest.raises(FieldRefused, match="as_of"):
        books.restore(books.backup(tmp_path), mode="add", as_of=moment)


# What a restore left out


def as_json(report: RestoreReport) -> Any:
    return msgspec.json.decode(msgspec.json.encode(report))


def test_what_was_left_out_comes_in_alone_once_it_is_mended(books: Books, other: Books, tmp_path: Path) -> None:
    jan = books.customer("Jan")
    books.customer("Piet")
    invoice = books.issued(jan)
    good = books.backup(tmp_path)
    broken = Edited(good)
    broken.change_line("timeline.jsonl", b'"name":"Jan"', lambda line: line.replace(b'"Jan"', b'""'))
    skipped = other.restore(broken.zipped(), errors="skip")
    mine = other.customer("Mine")

    report = other.restore(good, mode="add", left_out=read_left_out(as_json(skipped)))

    assert set(skipped.left_out) == {jan, invoice}
    assert brought(report) == {jan, invoice}
    assert other.state(Kind.INVOICE, invoice).customer == jan
    assert other.state(Kind.CUSTOMER, mine)
    assert is_sound(other)


def test_a_line_that_said_nobody_is_found_by_its_place_once_it_is_mended(
    books: Books, other: Books, tmp_path: Path
) -> None:
    jan = books.customer("Jan")
    books.customer("Piet")
    good = books.backup(tmp_path)
    broken = Edited(good)
    for file, matching in (("timeline.jsonl", b'"name":"Jan"'), ("customers.jsonl", b'"name":"Jan"')):
        broken.change_line(file, matching, lambda _: b"what is this?")
    skipped = other.restore(broken.zipped(), mode="add", errors="skip")
    books.customer("Not in the archive")

    report = other.restore(good, mode="add", left_out=read_left_out(as_json(skipped)))

    assert skipped.left_out == ()
    assert brought(report) == {jan}


def test_a_report_of_another_archive_or_of_another_outcome_is_refused(
    books: Books, other: Books, tmp_path: Path
) -> None:
    books.customer("Jan")
    report = other.restore(books.backup(tmp_path), errors="skip")
    books.customer("Piet")

    with pytest.raises(OtherReport):
        other.restore(books.backup(tmp_path), mode="add", left_out=read_left_out(as_json(report)))
    for given in ({**as_json(report), "errors": "abort"}, {**as_json(report), "outcome": "refused"}, {}, "report"):
        with pytest.raises(FieldRefused, match="left_out"):
            read_left_out(given)


def test_an_archive_that_was_mended_in_its_lines_gives_back_what_was_left_out(
    books: Books, other: Books, tmp_path: Path
) -> None:
    jan = books.customer("Jan")
    books.customer("Piet")
    invoice = books.issued(jan)
    signed = Edited(books.backup(tmp_path))
    good = dict(signed.files)
    signed.files["timeline.jsonl"] = good["timeline.jsonl"].replace(b'"Jan"', b'""', 1)
    skipped = other.restore(signed.zipped(), errors="skip", accept_edits=True)
    signed.files["timeline.jsonl"] = good["timeline.jsonl"].replace(b'"Jan"', b'"Jan Mended"', 1)
    signed.files["customers.jsonl"] = good["customers.jsonl"].replace(b'"Jan"', b'"Jan Mended"', 1)

    report = other.restore(signed.zipped(), mode="add", left_out=read_left_out(as_json(skipped)), accept_edits=True)

    assert (skipped.authenticity.verdict, report.authenticity.verdict) == ("edited", "edited")
    assert brought(report) == {jan, invoice}
    assert other.state(Kind.CUSTOMER, jan).party.name == "Jan Mended"
    assert is_sound(other)
