"""What an entity leads to: a document's payments and what it came from and became, a subscription's periods, what a
customer has not paid.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any, Literal

import msgspec
from fastapi import APIRouter
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from api.http import reads, replies
from api.http.actions import NoFields
from api.http.bodies import OptionalFields
from api.http.caller import Caller, Inside
from api.http.jobs import accepted
from api.http.outcomes import known_id
from api.http.schemas import COLLECTIONS
from api.invoicing import INVOICE_DUE
from domain.control import check_writes
from domain.documents.document import Document
from domain.documents.fields import Payment
from domain.due import periods_of
from domain.entity import converted
from domain.ids import EntityId
from domain.kinds import Kind
from domain.store.statements import statements
from projections.finding import Sort, Wanted, find_entities

SQL = statements("api.http", "reads.sql")
MOST_SHOWN = 1_000
PAYABLE = (Kind.INVOICE, Kind.CREDIT_NOTE, Kind.RECEIPT)
_document = msgspec.json.Decoder(Document).decode


class Payments(Struct, omit_defaults=True):
    """The payments of a document that stand, what they come to with what was prepaid, and what is still due."""

    items: tuple[Payment, ...]
    currency: str
    paid: Decimal | None
    due: Decimal | None


class Related(Struct, omit_defaults=True):
    """Another document, and what it is to the one that was asked for; without a kind when it is not there any more."""

    relation: Literal["made_from", "corrects", "made", "credited_by"]
    id: EntityId | None = None
    kind: str | None = None
    number: str | None = None
    state: str | None = None
    amount: Decimal | None = None
    address: str | None = None


class Relations(Struct):
    """What a document came from, and what came of it."""

    came_from: list[Related]
    led_to: list[Related]


class OpenInvoice(Struct, omit_defaults=True):
    """An invoice that is not paid in full."""

    id: EntityId
    number: str
    issue_date: date
    due_date: date | None
    currency: str
    total: Decimal
    open: Decimal
    overdue: bool = False


class Owed(Struct):
    """What is open in a currency, and how much of it is past its due date."""

    currency: str
    open: Decimal
    overdue: Decimal


class Statement(Struct):
    """What a customer has not paid on a day, by due date. ``items`` are the first 1,000, ``totals`` over all."""

    customer: EntityId
    day: date
    totals: list[Owed]
    items: list[OpenInvoice]


def add_routes(routes: APIRouter, kind: Kind) -> None:
    """The routes of what entities of *kind* lead to."""
    if kind in PAYABLE:
        routes.add_api_route(
            "/{entity}/payments", _payments(kind), methods=["GET"], summary="List the payments that stand"
        )
    if kind.is_document:
        routes.add_api_route(
            "/{entity}/related", _related(kind), methods=["GET"], summary="What it came from, and what came of it"
        )
    if kind is Kind.CUSTOMER:
        routes.add_api_route(
            "/{entity}/statement", _statement, methods=["GET"], summary="What the customer has not paid"
        )
    if kind is Kind.SUBSCRIPTION:
        routes.add_api_route(
            "/{entity}/periods", _periods, methods=["GET"], summary="Its periods: invoiced, due, and next"
        )
        routes.add_api_route(
            "/invoice-due",
            _invoice_due,
            methods=["POST"],
            status_code=202,
            summary="Make the invoices of all periods that have begun",
        )


def _read(asking: Caller, kind: Kind, entity: str) -> Document:
    return _document(reads.snapshot(asking.application, asking.access.account, kind, entity).state)


def _payments(kind: Kind) -> Callable[..., Response]:
    def payments(asking: Inside, entity: str) -> Response:
        found = _read(asking, kind, entity)
        totals = found.totals
        paid, due = (totals.paid, totals.due) if totals else (None, None)
        return replies.json(Payments(found.payments, found.currency, paid, due))

    return payments


def _related(kind: Kind) -> Callable[..., Response]:
    def related(asking: Inside, entity: str) -> Response:
        found = _read(asking, kind, entity)
        corrected = {one.document for one in found.preceding_invoices}
        came_from = [
            *(Related("made_from", one.document) for one in found.derived_from if one.document not in corrected),
            *(Related("corrects", one.document, number=one.number) for one in found.preceding_invoices),
        ]
        led_to = [
            *(Related("made", one.document) for one in found.converted_to),
            *(Related("credited_by", one.by, amount=one.amount) for one in found.credits),
        ]
        _look_up(asking, [*came_from, *led_to])
        return replies.json(Relations(came_from, led_to))

    return related


def _look_up(asking: Caller, found: list[Related]) -> None:
    """Say of each what it is by now."""
    account = asking.access.account
    ids = [one.id for one in found if one.id]
    with asking.application.database.transaction(account) as connection:
        rows = connection.execute(SQL["read_several"], {"account": account, "entities": ids}).fetchall()
    there: dict[str, Any] = {entity: (kind, state) for entity, kind, state in rows}
    for one in found:
        if one.id in there:
            kind, state = there[one.id]
            document = _document(state)
            one.kind, one.number, one.state = kind, document.number, document.state.value
            one.address = f"/v1/accounts/{account}/{COLLECTIONS[Kind(kind)]}/{one.id}"


def _statement(asking: Inside, entity: str) -> Response:
    customer = known_id(Kind.CUSTOMER, entity)
    reads.snapshot(asking.application, asking.access.account, Kind.CUSTOMER, customer)
    today = asking.today
    wanted = Wanted(customer=customer, state=("issued", "partly_paid"))
    items: list[OpenInvoice] = []
    totals: dict[str, Owed] = {}
    database, account, after = asking.application.database, asking.access.account, None
    while True:
        found = find_entities(database, account, Kind.INVOICE, wanted, Sort("due"), after=after, limit=MOST_SHOWN)
        for one in map(_open, found.states, [today] * len(found.states)):
            owed = totals.setdefault(one.currency, Owed(one.currency, Decimal(0), Decimal(0)))
            owed.open += one.open
            owed.overdue += one.open if one.overdue else 0
            if len(items) < MOST_SHOWN:
                items.append(one)
        after = found.following
        if after is None:
            return replies.json(Statement(customer, today, [totals[key] for key in sorted(totals)], items))


def _open(state: bytes, today: date) -> OpenInvoice:
    found = _document(state)
    assert found.totals is not None, "it is issued"
    assert found.number is not None, "it is issued"
    assert found.issue_date is not None, "it is issued"
    return OpenInvoice(
        id=found.id,
        number=found.number,
        issue_date=found.issue_date,
        due_date=found.due_date,
        currency=found.currency,
        total=found.totals.with_vat,
        open=found.totals.due,
        overdue=found.due_date is not None and found.due_date < today,
    )


def _periods(asking: Inside, entity: str) -> Response:
    id_ = known_id(Kind.SUBSCRIPTION, entity)
    account, actor = asking.access.account, asking.actor
    return replies.json(asking.application.run(account, actor, lambda work: periods_of(work, id_), reads=[id_]))


def _invoice_due(request: Request, asking: Inside, fields: OptionalFields) -> Response:
    converted(fields, NoFields)
    check_writes(asking.access.role, "making invoices")
    return accepted(request, asking, INVOICE_DUE, {})
