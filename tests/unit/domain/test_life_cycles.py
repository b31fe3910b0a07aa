"""Which event may follow which state, for every kind: each pair is tried, and only the lawful ones pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from domain import commands
from domain.documents import DocumentState
from domain.documents.fields import Attachment
from domain.entity import FieldRefused, NotPossible
from domain.ids import EntityId
from domain.kinds import DOCUMENT_KINDS, Kind
from domain.rules import RULES
from tests.notebook import Notebook, line

NOTHING = "5f" * 32
NOBODY = "01960000-0000-7000-8000-0000000000aa"
DRAFT_FACTS = frozenset(
    {"changed", "lines_changed", "issued", "attachment_added", "attachment_removed", "draft_deleted"}
)

# The diagrams of the life cycles, as DOMAIN.md draws them: state → what may happen in it.
DIAGRAM: dict[Kind, dict[str, set[str]]] = {
    Kind.INVOICE: {
        "draft": set(DRAFT_FACTS),
        "issued": {"sent", "payment_registered", "credited", "reminded"},
        "partly_paid": {"sent", "payment_registered", "payment_reversed", "credited", "reminded"},
        "paid": {"sent", "payment_reversed", "credited"},
        "credited": {"sent", "payment_reversed"},
        "deleted": set(),
    },
    Kind.CREDIT_NOTE: {
        "draft": set(DRAFT_FACTS),
        "issued": {"sent", "payment_registered", "payment_reversed"},
        "settled": {"sent", "payment_reversed"},
        "deleted": set(),
    },
    Kind.QUOTE: {
        "draft": set(DRAFT_FACTS),
        "issued": {"sent", "accepted", "declined", "expired"},
        "accepted": {"sent", "converted"},
        "declined": {"sent"},
        "expired": {"sent"},
        "converted": {"sent", "conversion_undone"},
        "deleted": set(),
    },
    Kind.PURCHASE_ORDER: {
        "draft": set(DRAFT_FACTS),
        "issued": {"sent", "delivered", "converted", "conversion_undone", "cancelled"},
        "partly_delivered": {"sent", "delivered", "converted", "conversion_undone"},
        "delivered": {"sent", "converted", "conversion_undone"},
        "invoiced": {"sent", "conversion_undone"},
        "cancelled": set(),
        "deleted": set(),
    },
    Kind.DELIVERY_NOTE: {
        "draft": set(DRAFT_FACTS),
        "issued": {"sent", "delivered", "cancelled"},
        "delivered": {"sent", "converted"},
        "invoiced": {"sent", "conversion_undone"},
        "cancelled": set(),
        "deleted": set(),
    },
    Kind.RECEIPT: {
        "draft": set(DRAFT_FACTS),
        "issued": {"sent", "credited"},
        "reversed": {"sent"},
        "deleted": set(),
    },
}
EVERY_PAIR = [
    (kind, state, fact)
    for kind, states in DIAGRAM.items()
    for state in states
    for fact in RULES[kind].events
    if fact not in ("drafted", "imported", "corrected")  # whole records have rules of their own
]


def in_state(book: Notebook, kind: Kind, state: str) -> EntityId:
    """A document of *kind* that was led into *state* by commands."""
    id_ = book.create(kind, **({"valid_until": str(book.today)} if kind is Kind.QUOTE else {}))
    book.run(lambda work: commands.attach(work, kind, id_, attachment("first"), b""))
    if state == "draft":
        return id_
    if state == "deleted":
        book.run(lambda work: commands.delete(work, kind, id_))
        return id_
    book.issue(kind, id_)
    for lead_on in PATHS.get((kind, state), PATHS.get(state, ())):
        lead_on(book, kind, id_)
    return id_


def step(fact: str, **fields: Any) -> Callable[[Notebook, Kind, EntityId], None]:
    return lambda book, kind, id_: book.record(kind, id_, fact, **fields)


def invoiced(book: Notebook, kind: Kind, id_: EntityId) -> None:
    book.run(lambda work: commands.convert(work, kind, id_, Kind.INVOICE))


def expired(book: Notebook, kind: Kind, id_: EntityId) -> None:
    book.pass_days(1)
    book.record(kind, id_, "expired")


def credited(book: Notebook, kind: Kind, id_: EntityId) -> None:
    note = book.run(lambda work: commands.credit(work, id_, kind=kind))
    book.issue(Kind.CREDIT_NOTE, note)


PATHS: dict[Any, tuple[Callable[[Notebook, Kind, EntityId], None], ...]] = {
    (Kind.CREDIT_NOTE, "issued"): (step("payment_registered", id="p", amount="2.10", means="30"),),
    "partly_paid": (step("payment_registered", id="p", amount="2.10", means="30"),),
    "paid": (step("payment_registered", id="p", amount="12.10", means="30"),),
    "settled": (step("payment_registered", id="p", amount="12.10", means="30"),),
    "credited": (step("payment_registered", id="p", amount="2.10", means="30"), credited),
    "reversed": (credited,),
    "accepted": (step("accepted"),),
    "declined": (step("declined"),),
    "expired": (expired,),
    "converted": (step("accepted"), invoiced),
    "partly_delivered": (step("delivered", partly=True),),
    "delivered": (step("delivered"),),
    "invoiced": (step("delivered"), invoiced),
    "cancelled": (step("cancelled"),),
}


def attachment(id_: str) -> Attachment:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    return Attachment(id=id_, name="leeg.txt", media_type="text/plain", size=0, sha256=empty)


def event_for(book: Notebook, kind: Kind, fact: str, state: Any) -> Any:
    """An event that nothing but the document's state could forbid."""
    day = str(book.today)
    other = {"id": "second", "name": "b.txt", "media_type": "text/plain", "size": 0, "sha256": NOTHING}
    payment = {"id": "q", "date": day, "amount": "0.50", "means": "30"}
    fields: dict[str, Any] = {
        "changed": {"buyer_reference": "B-1"},
        "lines_changed": {"lines": [line(net_amount="10.00")]},
        "sent": {"how": "email"},
        "attachment_added": other,
        "attachment_removed": {"id": "first"},
        "draft_deleted": {},
        "payment_registered": payment,
        "payment_reversed": {"payment": "p", "date": day},
        "credited": {"by": "01960000-0000-7000-8000-0000000000aa", "amount": "0.50"},
        "reminded": {"level": 1, "date": day},
        "converted": {"to": "01960000-0000-7000-8000-0000000000aa", "kind": "invoice"},
        "conversion_undone": {"document": state.converted_to[0].document if state.converted_to else NOBODY},
        "expired": {"date": str(book.today.replace(year=2030))},
    }
    given = fields.get(fact, {"date": day})
    if fact == "issued":
        totals = msgspec.to_builtins(state.totals, str_keys=True)
        given = {"number": "1", "issue_date": day, "seller": {"name": "S"}, "buyer": {"name": "B"}, "totals": totals}
        given["vat_breakdown"] = msgspec.to_builtins(state.vat_breakdown)
        if kind is Kind.RECEIPT:
            given["payments"] = [{**payment, "amount": "12.10"}]
            given["totals"] = {**totals, "paid": "12.10", "due": "0"}
    return commands.read_fields(kind, fact, given)


def is_possible(kind: Kind, state: Any, event: Any) -> bool:
    try:
        RULES[kind].admit(state, event)
    except NotPossible:
        return False
    except FieldRefused:
        # The state would allow it, but nothing was made from this very document.
        return type(event).__name__ == "ConversionUndone"
    return True


@pytest.mark.parametrize(("kind", "state", "fact"), EVERY_PAIR)
def test_an_event_follows_a_state_only_where_the_diagram_has_an_arrow(kind: Kind, state: str, fact: str) -> None:
    book = Notebook()
    document = book.entities[in_state(book, kind, state)]
    assert document.state == state
    event = event_for(book, kind, fact, document)

    assert is_possible(kind, document, event) == (fact in DIAGRAM[kind][state])


def test_the_diagrams_know_every_state_of_a_document() -> None:
    assert {state for states in DIAGRAM.values() for state in states} == {state.value for state in DocumentState}


@pytest.mark.parametrize("kind", DOCUMENT_KINDS)
def test_a_document_is_drafted_once_and_first(kind: Kind) -> None:
    book = Notebook()
    drafted = book.entities[book.create(kind)]
    sent = commands.read_fields(kind, "sent", {"how": "email"})
    again = commands.read_fields(kind, "drafted", {"customer": drafted.customer, "currency": "EUR", "language": "nl"})

    for before, event in ((None, sent), (drafted, again)):
        with pytest.raises(NotPossible):
            RULES[kind].admit(before, event)


MASTER_DATA = (Kind.CUSTOMER, Kind.ITEM, Kind.LAYOUT, Kind.LEDGER_ACCOUNT)
MASTER_DIAGRAM = {
    "there": {"changed", "archived", "merged", "deleted"},
    "archived": {"changed", "unarchived", "merged", "deleted"},
    "merged": set(),
    "deleted": set(),
}


@pytest.mark.parametrize("kind", MASTER_DATA)
@pytest.mark.parametrize("state", MASTER_DIAGRAM)
@pytest.mark.parametrize("fact", ["changed", "archived", "unarchived", "merged", "deleted"])
def test_master_data_lives_by_its_diagram(kind: Kind, state: str, fact: str) -> None:
    book = Notebook()
    other = book.create(kind)
    id_ = book.create(kind)
    if state == "archived":
        book.run(lambda work: commands.archive(work, kind, id_))
    elif state == "merged":
        book.run(lambda work: commands.merge(work, kind, id_, other))
    elif state == "deleted":
        book.run(lambda work: commands.delete(work, kind, id_))
    event = commands.read_fields(kind, fact, {"into": other} if fact == "merged" else {})

    assert is_possible(kind, book.entities[id_], event) == (fact in MASTER_DIAGRAM[state])


SUBSCRIPTION_DIAGRAM = {
    "active": {"changed", "paused", "resumed", "ended", "period_invoiced"},
    "paused": {"changed", "resumed", "ended"},
    "ended": set(),
}


@pytest.mark.parametrize("state", SUBSCRIPTION_DIAGRAM)
@pytest.mark.parametrize("fact", ["changed", "paused", "resumed", "ended", "period_invoiced"])
def test_a_subscription_lives_by_its_diagram(state: str, fact: str) -> None:
    book = Notebook()
    id_ = book.create(Kind.SUBSCRIPTION)
    if state == "paused":
        book.run(lambda work: commands.pause(work, id_))
    elif state == "ended":
        book.run(lambda work: commands.end(work, id_))
    invoice = "01960000-0000-7000-8000-0000000000aa"
    period = {"document": invoice, "start": str(book.today), "next_date": "2026-04-16"}
    event = commands.read_fields(Kind.SUBSCRIPTION, fact, period if fact == "period_invoiced" else {})

    assert is_possible(Kind.SUBSCRIPTION, book.entities[id_], event) == (fact in SUBSCRIPTION_DIAGRAM[state])
