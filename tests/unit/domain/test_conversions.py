"""What documents become: each says what it came from, and what was made of it."""

from __future__ import annotations

from typing import Any

import pytest

from domain import commands
from domain.control import CustomFieldDefined
from domain.entity import FieldRefused, NotPossible
from domain.ids import EntityId
from domain.kinds import DOCUMENT_KINDS, Kind
from tests.notebook import Notebook, line

# From, step before, to → the state that the origin is in afterwards.
CONVERSIONS: dict[tuple[Kind, str | None, Kind], str] = {
    (Kind.QUOTE, "accepted", Kind.INVOICE): "converted",
    (Kind.QUOTE, "accepted", Kind.PURCHASE_ORDER): "converted",
    (Kind.PURCHASE_ORDER, None, Kind.DELIVERY_NOTE): "issued",
    (Kind.PURCHASE_ORDER, "delivered", Kind.DELIVERY_NOTE): "delivered",
    (Kind.PURCHASE_ORDER, "delivered", Kind.INVOICE): "invoiced",
    (Kind.PURCHASE_ORDER, None, Kind.INVOICE): "invoiced",
    (Kind.DELIVERY_NOTE, "delivered", Kind.INVOICE): "invoiced",
}


def convert(book: Notebook, kind: Kind, id_: EntityId, to: Kind) -> EntityId:
    return book.run(lambda work: commands.convert(work, kind, id_, to))


@pytest.mark.parametrize(("kind", "step", "to"), CONVERSIONS)
def test_a_document_becomes_another_and_both_know_it(kind: Kind, step: str | None, to: Kind) -> None:
    book = Notebook()
    origin = book.issued(kind, lines=[line(quantity="2"), line(line_id="2")], notes=[{"text": "Bel aan"}])
    if step is not None:
        book.record(kind, origin, step)

    made = convert(book, kind, origin, to)

    before, after = book.entities[origin], book.entities[made]
    assert before.state == CONVERSIONS[kind, step, to]
    assert [(one.document, one.kind) for one in before.converted_to] == [(made, to.value)]
    assert [one.document for one in after.derived_from] == [origin]
    assert (after.kind, after.state, after.number, after.issue_date) == (to, "draft", None, None)
    assert (after.lines, after.notes, after.totals) == (before.lines, before.notes, before.totals)
    assert (after.seller, after.buyer) == (None, None)
    book.issue(to, made)


@pytest.mark.parametrize("kind", DOCUMENT_KINDS)
@pytest.mark.parametrize("to", DOCUMENT_KINDS)
def test_a_document_becomes_nothing_else(kind: Kind, to: Kind) -> None:
    book = Notebook()
    if (kind, to) in {(origin, made) for origin, _, made in CONVERSIONS}:
        origin = book.create(kind)  # a draft becomes nothing yet
    else:
        origin = book.issued(kind)

    with pytest.raises(NotPossible):
        convert(book, kind, origin, to)

    assert [document.id for document in documents(book)] == [origin]


@pytest.mark.parametrize(("kind", "step", "to"), CONVERSIONS)
def test_a_deleted_draft_leaves_what_it_was_made_from_as_before(kind: Kind, step: str | None, to: Kind) -> None:
    book = Notebook()
    origin = book.issued(kind)
    if step is not None:
        book.record(kind, origin, step)
    before = book.entities[origin].state

    made = convert(book, kind, origin, to)
    book.run(lambda work: commands.delete(work, to, made))

    assert (book.entities[origin].state, book.entities[origin].converted_to) == (before, ())
    convert(book, kind, origin, to)


def documents(book: Notebook) -> list[Any]:
    return [state for state in book.entities.values() if hasattr(state, "derived_from")]


def test_a_custom_field_goes_along_where_the_other_kind_has_it() -> None:
    book = Notebook()
    for kind in ("quote", "invoice"):
        book.tell(defined(kind, "both"))
    book.tell(defined("quote", "quote_only"))
    quote = book.issued(Kind.QUOTE, custom_fields={"both": "a", "quote_only": "b"})
    book.record(Kind.QUOTE, quote, "accepted")

    invoice = convert(book, Kind.QUOTE, quote, Kind.INVOICE)

    assert book.entities[invoice].custom_fields == {"both": "a"}


def defined(kind: str, key: str) -> Any:
    return CustomFieldDefined(kind=kind, key=key, label=key, type="text")  # type: ignore[arg-type]


def test_a_layout_goes_along_where_it_is_for_the_other_kind() -> None:
    book = Notebook()
    layouts = [book.create(Kind.LAYOUT, document_kinds=kinds) for kinds in (["quote", "invoice"], ["quote"])]
    quotes = [book.issued(Kind.QUOTE, layout=layout) for layout in layouts]
    for quote in quotes:
        book.record(Kind.QUOTE, quote, "accepted")

    invoices = [convert(book, Kind.QUOTE, quote, Kind.INVOICE) for quote in quotes]

    assert [book.entities[invoice].layout for invoice in invoices] == [layouts[0], None]


@pytest.mark.parametrize(("kind", "state"), [(Kind.INVOICE, "credited"), (Kind.RECEIPT, "reversed")])
def test_a_credit_note_over_all_takes_a_document_back(kind: Kind, state: str) -> None:
    book = Notebook()
    origin = book.issued(kind, **({"prepaid": "2.00"} if kind is Kind.INVOICE else {}))

    note = book.run(lambda work: commands.credit(work, origin, kind=kind))
    book.issue(Kind.CREDIT_NOTE, note)

    credited, taking = book.entities[origin], book.entities[note]
    assert (credited.state, credited.credited) == (state, credited.totals.with_vat)
    assert (taking.type_code, taking.totals.due) == ("381", credited.totals.with_vat)
    assert [(one.document, one.number) for one in taking.preceding_invoices] == [(origin, credited.number)]
    with pytest.raises(NotPossible, match="left to credit"):
        book.run(lambda work: commands.credit(work, origin, kind=kind))


@pytest.mark.parametrize("field", ["derived_from", "preceding_invoices"])
def test_no_issued_document_points_to_a_draft(field: str) -> None:
    book = Notebook()
    draft = book.create(Kind.INVOICE)
    other = book.create(Kind.CREDIT_NOTE, **{field: [{"document": draft}]})

    with pytest.raises(FieldRefused, match="draft"):
        book.issue(Kind.CREDIT_NOTE, other)


def test_a_draft_is_not_credited() -> None:
    book = Notebook()
    draft = book.create(Kind.INVOICE)

    with pytest.raises(NotPossible):
        book.run(lambda work: commands.credit(work, draft))
