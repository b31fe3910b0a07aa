"""Net amounts, VAT and totals by EN 16931, against figures computed by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from domain import commands
from domain.documents.document import Document
from domain.documents.rules import AmountDiffers, TooMuch
from domain.entity import FieldRefused
from domain.kinds import Kind
from tests.notebook import Notebook, line


def invoice(*lines: dict[str, Any], **fields: Any) -> Document:
    """A drafted invoice of *lines*, numbered in their order."""
    book = Notebook()
    numbered = [{**one, "line_id": str(number)} for number, one in enumerate(lines, 1)]
    document: Document = book.entities[book.create(Kind.INVOICE, lines=numbered, **fields)]
    return document


@pytest.mark.parametrize(
    ("facts", "net"),
    [
        # 3 × 0.335 = 1.005: a half goes up.
        ({"quantity": "3", "net_price": "0.335"}, "1.01"),
        # −3 × 0.335 = −1.005: a half goes away from zero.
        ({"quantity": "-3", "net_price": "0.335"}, "-1.01"),
        # 7 × 10 ÷ 3 = 23.333…
        ({"quantity": "7", "net_price": "10", "price_base_quantity": "3"}, "23.33"),
        # 2 × 10.00 − 1.50 + 0.25 = 18.75
        ({"quantity": "2", "allowances": [{"amount": "1.50"}], "charges": [{"amount": "0.25"}]}, "18.75"),
        ({"quantity": "0", "net_price": "9.99"}, "0.00"),
        ({"quantity": "1", "net_price": "0.000001"}, "0.00"),
    ],
)
def test_a_lines_net_amount_is_rounded_once_half_up(facts: dict[str, Any], net: str) -> None:
    document = invoice(line(**facts))

    assert str(document.lines[0].net_amount) == net


@pytest.mark.parametrize(("currency", "net"), [("EUR", "10.01"), ("JPY", "10"), ("TND", "10.005")])
def test_amounts_have_the_decimals_of_their_currency(currency: str, net: str) -> None:
    document = invoice(line(net_price="10.005"), currency=currency)

    assert str(document.lines[0].net_amount) == net


def test_vat_is_computed_on_the_sum_of_its_category_and_rate() -> None:
    # Three lines of 0.33 at 7.5 %: 0.99 × 0.075 = 0.07425 → 0.07; line by line it would be 3 × 0.02 = 0.06.
    document = invoice(*[line(net_price="0.33", vat={"category": "S", "rate": "7.5"})] * 3)

    assert [(str(part.taxable), str(part.tax)) for part in document.vat_breakdown] == [("0.99", "0.07")]


def test_the_totals_follow_from_lines_allowances_charges_and_vat() -> None:
    standard, reduced = {"category": "S", "rate": "21"}, {"category": "S", "rate": "6"}
    document = invoice(
        line(quantity="2", net_price="100.00", vat=standard),
        line(quantity="3", net_price="9.39", vat=reduced),
        allowances=[{"amount": "20.00", "vat": standard}],
        charges=[{"amount": "15.00", "vat": reduced}],
        prepaid="50.00",
        rounding="0.02",
    )

    # Lines 200.00 + 28.17; S 21 %: 180.00 → 37.80; S 6 %: 43.17 → 2.5902 → 2.59.
    assert [(str(part.taxable), str(part.tax)) for part in document.vat_breakdown] == [
        ("180.00", "37.80"),
        ("43.17", "2.59"),
    ]
    totals = document.totals
    assert totals is not None
    assert {name: str(getattr(totals, name)) for name in totals.__struct_fields__} == {
        "lines": "228.17",
        "allowances": "20.00",
        "charges": "15.00",
        "without_vat": "223.17",
        "vat": "40.39",
        "with_vat": "263.56",
        "paid": "50.00",
        "rounding": "0.02",
        "due": "213.58",
    }


def test_categories_without_tax_stand_apart_in_the_breakdown_with_their_reason() -> None:
    document = invoice(
        line(net_price="100", vat={"category": "K", "rate": "0"}),
        line(net_price="7", vat={"category": "O"}),
        vat_exemptions=[{"category": "K", "reason": "Intra-Community supply", "code": "VATEX-EU-IC"}],
    )

    assert [
        (part.category, str(part.taxable), str(part.tax), part.exemption_code) for part in document.vat_breakdown
    ] == [
        ("K", "100.00", "0.00", "VATEX-EU-IC"),
        ("O", "7.00", "0.00", None),
    ]


@pytest.mark.parametrize(
    "vat",
    [{"category": "S"}, {"category": "S", "rate": "0"}, {"category": "S", "rate": "-1"}, {"category": "L"}]
    + [{"category": category, "rate": "21"} for category in ("Z", "E", "AE", "K", "G", "O")],
)
def test_a_rate_that_does_not_fit_its_category_is_refused(vat: dict[str, str]) -> None:
    with pytest.raises(FieldRefused, match="vat"):
        invoice(line(vat=vat))


@pytest.mark.parametrize(
    "fields",
    [
        {"lines": [line(), line()]},
        {"lines": [line(net_price="-0.01")]},
        {"lines": [line(price_base_quantity="0")]},
        {"lines": [line(allowances=[{"amount": "0.001"}])]},
        {"lines": [line(quantity="1000000000000000")]},
        {"lines": [line(net_price="0.0000001")]},
        {"allowances": [{"amount": "1.005", "vat": {"category": "S", "rate": "21"}}]},
        {"prepaid": "1.001"},
        {"rounding": "0.001"},
        {"lines": [line(quantity="NaN")]},
        {"lines": [line(quantity="1E+3")]},
        {"lines": [line(quantity="sNaN")]},
        {"lines": [line(quantity="Infinity")]},
        {"lines": [line(quantity="1E+999999999")]},
        {"lines": [line(quantity="9" * 40)]},
        {"lines": [line(quantity="9" * 15, net_price="9" * 15)]},
        {"lines": [line(vat={"category": "S", "rate": "100.01"})]},
    ],
)
def test_figures_that_no_document_can_have_are_refused(fields: dict[str, Any]) -> None:
    book = Notebook()

    with pytest.raises(FieldRefused):
        book.create(Kind.INVOICE, **fields)
    assert Kind.INVOICE not in {decided.kind for decided in book.decided}


def test_another_currency_rounds_the_lines_anew() -> None:
    book = Notebook()
    id_ = book.create(Kind.INVOICE, lines=[line(net_price="10.55")])

    book.run(lambda work: commands.change(work, Kind.INVOICE, id_, {"currency": "JPY"}))

    document = book.entities[id_]
    assert (str(document.lines[0].net_amount), str(document.totals.vat), str(document.totals.due)) == ("11", "2", "13")


def test_payments_add_up_to_what_is_due_and_never_beyond() -> None:
    book = Notebook()
    id_ = book.issued(Kind.INVOICE)

    book.record(Kind.INVOICE, id_, "payment_registered", amount="12.00", means="30")
    with pytest.raises(TooMuch):
        book.record(Kind.INVOICE, id_, "payment_registered", amount="0.11", means="30")
    for amount in ("0", "-1.00", "0.001"):
        with pytest.raises((TooMuch, FieldRefused)):
            book.record(Kind.INVOICE, id_, "payment_registered", amount=amount, means="30")
    book.record(Kind.INVOICE, id_, "payment_registered", amount="0.10", means="30")

    assert (book.entities[id_].state, book.entities[id_].totals.due) == ("paid", 0)


def test_a_payment_that_did_not_stand_is_owed_again() -> None:
    book = Notebook()
    id_ = book.issued(Kind.INVOICE)
    book.record(Kind.INVOICE, id_, "payment_registered", id="one", amount="12.10", means="59")

    book.record(Kind.INVOICE, id_, "payment_reversed", payment="one")

    assert (book.entities[id_].state, str(book.entities[id_].totals.due)) == ("issued", "12.10")


def test_an_invoice_paid_and_then_credited_in_part_stays_paid() -> None:
    book = Notebook()
    id_ = book.issued(Kind.INVOICE, lines=[line(), line(line_id="2", net_price="5.00")])
    book.record(Kind.INVOICE, id_, "payment_registered", amount="18.15", means="30")
    customer = book.entities[id_].customer

    book.issued(
        Kind.CREDIT_NOTE, customer=customer, lines=[line(net_price="5.00")], preceding_invoices=[{"document": id_}]
    )

    assert (book.entities[id_].state, str(book.entities[id_].totals.due)) == ("paid", "-6.05")


def test_credit_notes_never_take_back_more_than_the_invoice_came_to() -> None:
    book = Notebook()
    id_ = book.issued(Kind.INVOICE)
    customer = book.entities[id_].customer
    too_much = book.create(
        Kind.CREDIT_NOTE, customer=customer, lines=[line(net_price="10.01")], preceding_invoices=[{"document": id_}]
    )

    with pytest.raises(FieldRefused, match=r"12\.11"):
        book.issue(Kind.CREDIT_NOTE, too_much)

    assert (book.entities[id_].state, book.entities[too_much].state) == ("issued", "draft")


def test_a_credit_note_spreads_over_the_invoices_it_names_in_their_order() -> None:
    book = Notebook()
    first = book.issued(Kind.INVOICE)
    customer = book.entities[first].customer
    second = book.issued(Kind.INVOICE, customer=customer)

    note = book.issued(
        Kind.CREDIT_NOTE,
        customer=customer,
        lines=[line(net_price="15.00")],
        preceding_invoices=[{"document": first}, {"document": second}],
    )

    assert str(book.entities[note].totals.with_vat) == "18.15"
    assert [str(book.entities[id_].credited) for id_ in (first, second)] == ["12.10", "6.05"]
    assert [book.entities[id_].state for id_ in (first, second)] == ["credited", "issued"]


@pytest.mark.parametrize("payments", [[], ["12.09"], ["12.11"], ["6.00", "6.00"]])
def test_a_receipt_is_paid_with_exactly_what_it_comes_to(payments: list[str]) -> None:
    book = Notebook()
    id_ = book.create(Kind.RECEIPT)
    given = [
        {"id": str(number), "date": str(book.today), "amount": amount, "means": "10"}
        for number, amount in enumerate(payments)
    ]

    with pytest.raises(AmountDiffers, match=r"12\.10"):
        book.issue(Kind.RECEIPT, id_, payments=given)


def test_a_receipt_rounded_for_cash_is_paid_rounded() -> None:
    book = Notebook()
    id_ = book.create(Kind.RECEIPT, lines=[line(net_price="10.01")], rounding="-0.01")

    book.issue(Kind.RECEIPT, id_)

    totals = book.entities[id_].totals
    assert (str(totals.with_vat), totals.paid, totals.due) == ("12.11", Decimal("12.10"), 0)


def test_an_odd_figure_is_named_by_its_place() -> None:
    with pytest.raises(FieldRefused, match=r"lines\[1\]\.quantity: found sNaN"):
        Notebook().create(Kind.INVOICE, lines=[line(), line(line_id="2", quantity="sNaN")])


def test_a_due_date_after_the_calendar_ends_is_refused() -> None:
    book = Notebook()
    draft = book.create(Kind.INVOICE, issue_date="9999-12-31", payment_terms={"days": 1})

    with pytest.raises(FieldRefused, match="due_date: found 1 days after 9999-12-31"):
        book.issue(Kind.INVOICE, draft)


@pytest.mark.parametrize("payment", [{}, {"id": "1", "date": "yesterday", "amount": "1", "means": "10"}])
def test_a_payment_that_is_none_is_refused_by_its_field(payment: dict[str, str]) -> None:
    book = Notebook()
    draft = book.create(Kind.RECEIPT, lines=[line()])

    with pytest.raises(FieldRefused, match=r"^payments\[0\]"):
        book.issue(Kind.RECEIPT, draft, payments=[payment])
