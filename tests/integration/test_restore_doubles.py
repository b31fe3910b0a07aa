"""Two companies with the same chart of accounts become one: what both have is matched, and their customers merged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from api.sample.chart import CHART, parent_of
from domain import commands
from domain import control as c
from domain.ids import EntityId
from domain.kinds import Kind
from domain.work import Work
from projections.timeline import Filter, read_timeline
from snapshots.reading.inspection import inspect_archive
from snapshots.restoring.report import readable
from snapshots.restoring.restore import ChoiceUnfitting
from tests.fixtures.accounts import OpenAccount
from tests.integration.restoring import LINE, Books, as_file, is_sound

VAT = {"category": "S", "rate": "21"}


class Shop(NamedTuple):
    """A company's books, and what is in them."""

    books: Books
    chart: dict[str, EntityId]
    item: EntityId
    layout: EntityId
    customer: EntityId
    subscription: EntityId
    invoice: EntityId
    draft: EntityId


OpenShop = Callable[[str, str], Shop]


@pytest.fixture
def open_shop(fresh_account: OpenAccount) -> OpenShop:
    """Opens the books of a company by the Belgian minimum plan; its documents refer to all that can be matched."""

    def open_one(series: str, vat_identifier: str) -> Shop:
        books = Books(fresh_account())
        formats = c.SettingsChanged(number_formats={"invoice": f"{series}{{year}}-{{number:04}}"})
        books.application.record_control(books.access.account, books.actor, formats)
        chart: dict[str, EntityId] = {}

        def enter(work: Work) -> None:
            chart.clear()
            for entry in CHART:
                above = parent_of(entry.number)
                fields = {"number": entry.number, "name": entry.name, "type": entry.type}
                more = {"parent": chart[above]} if above else {}
                chart[entry.number] = commands.create(work, Kind.LEDGER_ACCOUNT, {**fields, **more})

        books.run(enter)
        item = books.make(
            Kind.ITEM, number="BEL-1", name="Bel", net_price="10.00", vat=VAT, ledger_account=chart["7001"]
        )
        layout = books.make(
            Kind.LAYOUT,
            name="Standaard",
            document_kinds=["invoice"],
            language="nl",
            template={},
            default_for=["invoice"],
        )
        customer = books.make(
            Kind.CUSTOMER, number="C-1", party={"name": "Fietspunt Leuven", "vat_identifier": vat_identifier}
        )
        line = {**LINE, "item": item, "ledger_account": chart["7001"]}
        subscription = books.make(
            Kind.SUBSCRIPTION,
            customer=customer,
            layout=layout,
            lines=[line],
            interval={"n": 1, "unit": "months"},
            next_date="2100-01-01",
        )
        draft = books.make(Kind.INVOICE, customer=customer, layout=layout, lines=[line])

        def issue(work: Work) -> EntityId:
            made = commands.create(work, Kind.INVOICE, {"customer": customer, "layout": layout, "lines": [line]})
            commands.issue(work, Kind.INVOICE, made)
            return made

        return Shop(books, chart, item, layout, customer, subscription, books.run(issue), draft)

    return open_one


def issued_here(books: Books, draft: EntityId) -> Any:
    books.run(lambda work: commands.issue(work, Kind.INVOICE, draft))
    return books.state(Kind.INVOICE, draft)


@pytest.mark.parametrize("doubles", ["match", "merge-customers"])
def test_two_companies_of_one_chart_become_one(open_shop: OpenShop, tmp_path: Path, doubles: str) -> None:
    theirs, ours = open_shop("L", "BE 0417.497.106"), open_shop("G", "BE0417497106")
    books = ours.books
    totals = [str(one.amount) for one in _receivables(books, tmp_path)]

    report = books.restore(theirs.books.backup(tmp_path), mode="add", doubles=doubles)

    merged = {one.id: one.into for one in report.matched if one.done == "merged"}
    expected = {theirs.chart[number]: ours.chart[number] for number in ours.chart}
    expected |= {theirs.item: ours.item, theirs.layout: ours.layout}
    if doubles == "merge-customers":
        expected[theirs.customer] = ours.customer
    assert merged == expected
    assert len(report.likely_doubles) == (0 if doubles == "merge-customers" else 1)
    assert totals == ["24.20"]
    assert [str(one.amount) for one in report.totals_result.receivables] == ["48.40"]
    assert is_sound(books)
    assert inspect_archive(as_file(books.backup(tmp_path))).is_sound


def _receivables(books: Books, folder: Path) -> Any:
    return inspect_archive(as_file(books.backup(folder))).control_totals.receivables


def test_documents_lead_to_what_theirs_were_merged_into_and_go_on_living(open_shop: OpenShop, tmp_path: Path) -> None:
    theirs, ours = open_shop("L", "BE0417497106"), open_shop("G", "be 0417 497 106")
    books = ours.books
    books.restore(theirs.books.backup(tmp_path), mode="add", doubles="merge-customers")

    issued = issued_here(books, theirs.draft)
    invoice = books.state(Kind.INVOICE, theirs.invoice)
    standing = books.run(
        lambda work: [
            work.standing(Kind.CUSTOMER, invoice.customer).id,
            work.standing(Kind.LEDGER_ACCOUNT, invoice.lines[0].ledger_account).id,
            work.standing(Kind.ITEM, invoice.lines[0].item).id,
            work.standing(Kind.LAYOUT, invoice.layout).id,
        ]
    )

    assert standing == [ours.customer, ours.chart["7001"], ours.item, ours.layout]
    assert invoice.number.startswith("L")
    assert issued.number.startswith("G")
    assert issued.number > books.state(Kind.INVOICE, ours.invoice).number
    credited = books.run(lambda work: commands.credit(work, theirs.invoice))
    assert books.state(Kind.CREDIT_NOTE, credited).customer
    assert is_sound(books)
    merges = read_timeline(books.application.database, books.access.account, Filter(type="customer.merged")).entries
    assert [(entry.actor, entry.via) for entry in merges] == [(books.actor.name, "restore")]


def test_s06_the_same_archive_added_again_changes_nothing_and_says_so(open_shop: OpenShop, tmp_path: Path) -> None:
    theirs, ours = open_shop("L", "BE0417497106"), open_shop("G", "BE0417497106")
    archive = theirs.books.backup(tmp_path)
    ours.books.restore(archive, mode="add", doubles="merge-customers")
    before = ours.books.rows()

    for doubles in ("merge-customers", "match"):
        report = ours.books.restore(archive, mode="add", doubles=doubles)

        assert report.outcome == "nothing_to_add"
        assert readable(report).startswith("Nothing to add: the account has all that the archive has.")
        assert (report.matched, report.likely_doubles) == ((), ())
        assert ours.books.rows() == before


def test_a_customer_of_whom_the_account_has_two_is_listed_and_not_merged(open_shop: OpenShop, tmp_path: Path) -> None:
    theirs, ours = open_shop("L", "BE0417497106"), open_shop("G", "BE0417497106")
    again = ours.books.make(Kind.CUSTOMER, party={"name": "Fietspunt, nog eens", "vat_identifier": "BE0417497106"})

    report = ours.books.restore(theirs.books.backup(tmp_path), mode="add", doubles="merge-customers")

    assert {(one.id, one.into) for one in report.likely_doubles} == {
        (theirs.customer, ours.customer),
        (theirs.customer, again),
    }
    assert ours.books.state(Kind.CUSTOMER, theirs.customer).merged_into is None
    assert ours.books.state(Kind.CUSTOMER, theirs.customer).number is None, "C-1 is the account's own"
    assert is_sound(ours.books)


def test_merging_customers_is_for_adding(open_shop: OpenShop, tmp_path: Path) -> None:
    ours = open_shop("G", "BE0417497106")

    with pytest.raises(ChoiceUnfitting, match="doubles"):
        ours.books.restore(ours.books.backup(tmp_path), doubles="merge-customers")
