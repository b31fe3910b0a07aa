"""Records without events: whatever events can lead to can be imported and corrected to, and nothing else."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from domain import commands
from domain.documents import Document
from domain.documents.document import DocumentCorrected, DocumentImported
from domain.entity import FieldRefused, NotPossible
from domain.errors import DomainError
from domain.events import decode_data, rules_of
from domain.ids import EntityId
from domain.kinds import Kind
from domain.rules import RULES
from domain.work import is_gone, kind_of
from tests.fixtures.accounts import OpenAccount
from tests.histories import History, histories
from tests.integration.test_histories import lived
from tests.notebook import Notebook

pytestmark = pytest.mark.slow
ANYBODY = "0192f3a0-0000-7000-8000-000000000001"

few = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def whole_of(state: Any, fact: str) -> Any:
    """The event that says all of *state*."""
    data = RULES[kind_of(state)].events[fact]
    return data(**{name: getattr(state, name) for name in data.__struct_fields__})


@few
@given(histories())
def test_whatever_events_lead_to_can_be_imported_and_corrected_to(fresh_account: OpenAccount, history: History) -> None:
    _, found = lived(fresh_account, history)

    states: dict[EntityId, Any] = {}
    for event in found.events:
        id_ = EntityId(str(event.entity_id))
        rules = rules_of(event.type)
        before = states.get(id_)
        after = rules.evolve(before, decode_data(event.type, event.type_version, event.data), id_, event.version)
        states[id_] = after
        if is_gone(after):
            continue
        imported = whole_of(after, "imported")
        rules.admit(None, imported)
        assert rules.evolve(None, imported, id_, 1) == msgspec.structs.replace(after, version=1)
        corrected = whole_of(after, "corrected")
        rules.admit(after, corrected)
        assert rules.evolve(after, corrected, id_, event.version + 1) == msgspec.structs.replace(
            after, version=event.version + 1
        )


def invoice(**changes: Any) -> Document:
    """An issued and partly paid invoice of 24.20, with *changes* that nothing led to."""
    plain = {
        "id": "0192f3a0-0000-7000-8000-000000000001",
        "version": 1,
        "kind": "invoice",
        "customer": "0192f3a0-0000-7000-8000-000000000002",
        "issue_date": "2026-01-31",
        "currency": "EUR",
        "language": "nl",
        "lines": [
            {
                "line_id": "1",
                "name": "Bell",
                "quantity": "2",
                "unit": "C62",
                "net_price": "10.00",
                "vat": {"category": "S", "rate": "21"},
                "net_amount": "20.00",
            }
        ],
        "seller": {"name": "Us"},
        "buyer": {"name": "Them"},
        "number": "2026-00001",
        "state": "partly_paid",
        "totals": {"lines": "20.00", "without_vat": "20.00", "vat": "4.20", "with_vat": "24.20", "paid": "4.20",
                   "due": "20.00"},
        "vat_breakdown": [{"category": "S", "rate": "21", "taxable": "20.00", "tax": "4.20"}],
        "payments": [{"id": "p1", "date": "2026-02-01", "amount": "4.20", "means": "30"}],
        **changes,
    }  # fmt: skip
    return msgspec.convert({name: value for name, value in plain.items() if value is not None}, Document)


def test_an_issued_invoice_that_adds_up_is_imported() -> None:
    made = invoice()
    RULES[Kind.INVOICE].admit(None, whole_of(made, "imported"))
    assert isinstance(whole_of(made, "imported"), DocumentImported)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"number": None}, "number"),
        ({"seller": None}, "seller"),
        ({"issue_date": None}, "issue_date"),
        ({"lines": []}, "lines"),
        ({"state": "paid"}, "state"),
        ({"state": "draft"}, "number"),
        ({"state": "accepted"}, "state"),
        ({"state": "deleted"}, "state"),
        ({"totals": None}, "totals"),
        ({"vat_breakdown": []}, "vat_breakdown"),
        ({"valid_until": "2026-03-01"}, "valid_until"),
        ({"answered_on": "2026-03-01"}, "answered_on"),
        ({"deliveries": [{"date": "2026-03-01"}]}, "deliveries"),
        ({"payments": [{"id": "p1", "date": "2026-02-01", "amount": "4.20", "means": "30"}] * 2}, "payments"),
    ],
)
def test_an_invoice_that_no_events_lead_to_is_not_imported(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(DomainError) as refused:
        RULES[Kind.INVOICE].admit(None, whole_of(invoice(**changes), "imported"))
    assert getattr(refused.value, "field", None) == field


def test_an_invoice_that_is_paid_more_than_owed_is_not_imported() -> None:
    payments = [{"id": "p1", "date": "2026-02-01", "amount": "30.00", "means": "30"}]
    totals = {"lines": "20.00", "without_vat": "20.00", "vat": "4.20", "with_vat": "24.20", "paid": "30.00",
              "due": "-5.80"}  # fmt: skip
    with pytest.raises(DomainError, match=r"30\.00 is more than"):
        RULES[Kind.INVOICE].admit(None, whole_of(invoice(payments=payments, totals=totals, state="paid"), "imported"))


@pytest.mark.parametrize(
    "changes", [{"number": "2026-00002"}, {"issue_date": "2026-02-01"}, {"buyer": {"name": "Others"}}]
)
def test_what_an_issued_invoice_says_is_not_corrected(changes: dict[str, Any]) -> None:
    with pytest.raises(FieldRefused, match="never changes; credit it"):
        RULES[Kind.INVOICE].admit(invoice(), whole_of(invoice(**changes), "corrected"))


def test_what_came_after_the_issue_of_an_invoice_is_corrected_where_it_adds_up() -> None:
    corrected = whole_of(invoice(sent=3, custom_fields={"project": "x"}), "corrected")
    assert isinstance(corrected, DocumentCorrected)
    RULES[Kind.INVOICE].admit(invoice(), corrected)


def test_an_entity_that_is_there_is_not_imported_again() -> None:
    with pytest.raises(NotPossible):
        RULES[Kind.INVOICE].admit(invoice(), whole_of(invoice(), "imported"))


def told(kind: Kind) -> Document:
    """A document of *kind* that is near the end of its life: a quote that became an invoice, goods that came."""
    book = Notebook()
    made = book.issued(kind, **({"valid_until": str(book.today)} if kind is Kind.QUOTE else {}))
    if kind is Kind.QUOTE:
        book.record(kind, made, "accepted")
        book.run(lambda work: commands.convert(work, kind, made, Kind.INVOICE))
    else:
        book.record(kind, made, "delivered")
    found: Document = book.entities[made]
    return found


@pytest.mark.parametrize(
    ("kind", "changes", "field"),
    [
        (Kind.QUOTE, {"answered_on": "2026-03-17"}, "answered_on"),
        (Kind.QUOTE, {"state": "accepted"}, "converted_to"),
        (Kind.QUOTE, {"state": "issued", "converted_to": []}, "answered_on"),
        (Kind.QUOTE, {"state": "expired", "converted_to": [], "answered_on": None, "valid_until": None}, "valid_until"),
        (Kind.QUOTE, {"state": "declined", "converted_to": [], "answered_by": "Jan"}, "answered_by"),
        (Kind.QUOTE, {"converted_to": [{"document": ANYBODY, "kind": "credit_note"}]}, "converted_to"),
        (Kind.QUOTE, {"converted_to": [{"document": ANYBODY, "kind": "customer"}]}, "converted_to"),
        (Kind.PURCHASE_ORDER, {"state": "issued"}, "deliveries"),
        (Kind.PURCHASE_ORDER, {"state": "cancelled"}, "deliveries"),
        (Kind.PURCHASE_ORDER, {"state": "partly_delivered"}, "deliveries"),
        (Kind.PURCHASE_ORDER, {"deliveries": [{"date": "2026-03-16", "partly": True}]}, "deliveries"),
        (Kind.PURCHASE_ORDER, {"deliveries": [{"date": "2026-03-16"}] * 2}, "deliveries"),
        (Kind.PURCHASE_ORDER, {"state": "invoiced"}, "converted_to"),
        (Kind.PURCHASE_ORDER, {"converted_to": [{"document": ANYBODY, "kind": "invoice"}]}, "converted_to"),
        (Kind.DELIVERY_NOTE, {"deliveries": [{"date": "2026-03-16", "partly": True}]}, "deliveries"),
        (Kind.DELIVERY_NOTE, {"deliveries": []}, "deliveries"),
    ],
)
def test_t13_no_state_is_imported_or_corrected_to_that_no_steps_lead_to(
    kind: Kind, changes: dict[str, Any], field: str
) -> None:
    lived = told(kind)
    RULES[kind].admit(None, whole_of(lived, "imported"))
    forged = msgspec.convert({**msgspec.to_builtins(lived), **changes}, Document)

    for before, fact in ((None, "imported"), (lived, "corrected")):
        with pytest.raises(FieldRefused) as refused:
            RULES[kind].admit(before, whole_of(forged, fact))
        if fact == "imported":
            assert refused.value.field == field


def test_t13_who_answered_is_said_of_quotes_alone() -> None:
    with pytest.raises(FieldRefused, match="answered_by"):
        RULES[Kind.INVOICE].admit(None, whole_of(invoice(answered_by="Jan"), "imported"))


def test_a_delivery_note_is_not_delivered_in_part() -> None:
    book = Notebook()
    note = book.issued(Kind.DELIVERY_NOTE)
    with pytest.raises(FieldRefused, match="partly"):
        book.record(Kind.DELIVERY_NOTE, note, "delivered", partly=True)
