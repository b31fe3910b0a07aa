"""J17: events that are well formed and impossible. The rules refuse them whichever way they come in."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from domain import commands
from domain.documents.rules import AmountDiffers, TooMuch
from domain.entity import FieldRefused, NotPossible
from domain.errors import DomainError
from domain.ids import EntityId
from domain.kinds import Kind
from domain.rules import RULES
from tests.notebook import Notebook, line

ANYBODY = "01960000-0000-7000-8000-0000000000aa"


def admit(book: Notebook, kind: Kind, id_: EntityId | None, fact: str, **fields: Any) -> None:
    """Judge an event as a restore does: the state it would follow, and its data as a line carries them."""
    RULES[kind].admit(book.entities[id_] if id_ else None, commands.read_fields(kind, fact, fields))


def issue_data(book: Notebook, draft: EntityId) -> dict[str, Any]:
    """What an honest issue of the draft would say."""
    state = book.entities[draft]
    return {
        "number": "2026-00001",
        "issue_date": str(book.today),
        "seller": {"name": "Trapgevel"},
        "buyer": {"name": "Klant"},
        "totals": msgspec.to_builtins(state.totals, str_keys=True),
        "vat_breakdown": msgspec.to_builtins(state.vat_breakdown),
    }


def test_j17_an_honest_issue_passes() -> None:
    book = Notebook()
    draft = book.create(Kind.INVOICE)

    admit(book, Kind.INVOICE, draft, "issued", **issue_data(book, draft))


@pytest.mark.parametrize("total", ["lines", "without_vat", "vat", "with_vat", "due", "paid", "rounding", "allowances"])
@pytest.mark.parametrize("kind", [Kind.INVOICE, Kind.QUOTE, Kind.RECEIPT])
def test_j17_totals_that_the_lines_do_not_come_to_are_refused(kind: Kind, total: str) -> None:
    book = Notebook()
    draft = book.create(kind)
    data = issue_data(book, draft)
    if kind is Kind.RECEIPT:
        data["payments"] = [{"id": "1", "date": str(book.today), "amount": "12.10", "means": "10"}]
        data["totals"] |= {"paid": "12.10", "due": "0"}
        admit(book, kind, draft, "issued", **data)
    data["totals"] |= {total: "12.11"}

    with pytest.raises(AmountDiffers, match=total):
        admit(book, kind, draft, "issued", **data)


@pytest.mark.parametrize("kind", [Kind.INVOICE, Kind.RECEIPT])
def test_j17_a_vat_breakdown_that_the_lines_do_not_come_to_is_refused(kind: Kind) -> None:
    book = Notebook()
    draft = book.create(kind)
    data = issue_data(book, draft)
    if kind is Kind.RECEIPT:
        data["payments"] = [{"id": "1", "date": str(book.today), "amount": "12.10", "means": "10"}]
        data["totals"] |= {"paid": "12.10", "due": "0"}
    data["vat_breakdown"][0]["tax"] = "2.09"

    with pytest.raises(AmountDiffers, match="vat_breakdown"):
        admit(book, kind, draft, "issued", **data)


def test_j17_a_line_whose_net_amount_is_another_is_refused() -> None:
    book = Notebook()
    fields = {"customer": ANYBODY, "currency": "EUR", "language": "nl"}

    for amount in ({"net_amount": "10.01"}, {}):
        with pytest.raises(AmountDiffers, match="net_amount"):
            admit(book, Kind.INVOICE, None, "drafted", **fields, lines=[line(**amount)])


def test_j17_an_issue_with_a_payment_is_a_receipts_alone() -> None:
    book = Notebook()
    draft = book.create(Kind.INVOICE)
    payment = {"id": "1", "date": str(book.today), "amount": "12.10", "means": "10"}

    with pytest.raises(FieldRefused, match="payments"):
        admit(book, Kind.INVOICE, draft, "issued", **issue_data(book, draft), payments=[payment])


@pytest.mark.parametrize(
    ("fact", "by"), [("payment_registered", {"id": "1", "means": "30"}), ("credited", {"by": ANYBODY})]
)
@pytest.mark.parametrize("amount", ["12.11", "-0.01", "0.00", "999999999999999.99"])
def test_j17_more_than_is_owed_is_neither_paid_nor_credited(fact: str, by: dict[str, str], amount: str) -> None:
    book = Notebook()
    invoice = book.issued(Kind.INVOICE)
    dated = {"date": str(book.today)} if fact == "payment_registered" else {}

    with pytest.raises(TooMuch):
        admit(book, Kind.INVOICE, invoice, fact, **by, **dated, amount=amount)


def test_j17_a_negative_invoice_is_paid_back_and_not_paid() -> None:
    book = Notebook()
    invoice = book.issued(Kind.INVOICE, lines=[line(quantity="-1")])
    payment = {"id": "1", "means": "30", "date": str(book.today)}

    for amount in ("12.10", "-12.11"):
        with pytest.raises(TooMuch):
            admit(book, Kind.INVOICE, invoice, "payment_registered", **payment, amount=amount)
    admit(book, Kind.INVOICE, invoice, "payment_registered", **payment, amount="-12.10")


def test_j17_a_payment_comes_once_and_goes_once() -> None:
    book = Notebook()
    invoice = book.issued(Kind.INVOICE)
    book.record(Kind.INVOICE, invoice, "payment_registered", id="1", amount="1.00", means="30")
    payment = {"id": "1", "means": "30", "date": str(book.today), "amount": "1.00"}

    with pytest.raises(FieldRefused, match="twice"):
        admit(book, Kind.INVOICE, invoice, "payment_registered", **payment)
    with pytest.raises(FieldRefused, match="payment"):
        admit(book, Kind.INVOICE, invoice, "payment_reversed", payment="2", date=str(book.today))


@pytest.mark.parametrize(
    ("start", "next_date"),
    [
        ("2026-03-15", "2026-04-15"),
        ("2026-03-17", "2026-04-17"),
        ("2026-03-16", "2026-03-16"),
        ("2026-03-16", "2026-01-01"),
    ],
)
def test_j17_a_period_other_than_the_next_is_refused(start: str, next_date: str) -> None:
    book = Notebook()
    subscription = book.create(Kind.SUBSCRIPTION)

    with pytest.raises(FieldRefused):
        admit(
            book, Kind.SUBSCRIPTION, subscription, "period_invoiced", document=ANYBODY, start=start, next_date=next_date
        )


def test_j17_a_period_after_the_last_day_is_refused() -> None:
    book = Notebook()
    subscription = book.create(Kind.SUBSCRIPTION, until="2026-03-15")

    with pytest.raises(NotPossible, match="2026-03-15"):
        book.run(lambda work: commands.invoice_period(work, subscription))


@pytest.mark.parametrize(
    "fields",
    [
        {"lines": []},
        {"lines": [line(), line()]},
        {"lines": [line(net_amount="10.00")]},
        {"interval": {"n": 0, "unit": "weeks"}},
    ],
)
def test_j17_a_subscription_that_could_not_be_invoiced_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(FieldRefused):
        Notebook().create(Kind.SUBSCRIPTION, **fields)


def test_j17_a_first_event_that_does_not_create_is_refused_for_every_kind() -> None:
    book = Notebook()
    facts: dict[Kind, tuple[str, dict[str, Any]]] = {
        kind: ("sent", {"how": "email"}) for kind in Kind if kind.is_document
    }
    facts |= {kind: ("archived", {}) for kind in (Kind.CUSTOMER, Kind.ITEM, Kind.LAYOUT, Kind.LEDGER_ACCOUNT)}
    facts[Kind.SUBSCRIPTION] = ("paused", {})

    assert facts.keys() == set(Kind)
    for kind, (fact, fields) in facts.items():
        with pytest.raises(DomainError, match="not there"):
            admit(book, kind, None, fact, **fields)
