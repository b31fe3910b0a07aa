"""Commands beside the stock library's PostgreSQL application: 8 writers on 8 accounts, each command one commit.

The commands are an invoice's life: drafted, issued, sent, paid. Both sides read the invoice before each but the first.
Ours also judges the command, computes totals and VAT, gives out the number, extends the verifiable log, and keeps
the snapshot; the stock aggregate records the same data, given to it ready-made.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast
from uuid import UUID

from eventsourcing.application import Application as StockApplication

from bench.data import SETTINGS
from bench.server import Place, compare, new_database, side
from bench.stock import Invoice, happen, stock_application
from domain import commands
from domain.accounts import Access, ensure_person, open_account
from domain.application import Actor, Application, utc_now
from domain.ids import AccountId, EntityId
from domain.kinds import Kind
from domain.parties import Value
from domain.store.database import Database
from domain.store.infrastructure import StreamApplication
from domain.store.mapper import RecordedEvent

WRITERS = 8
INVOICES_A_ROUND = 60  # of each writer: 1,920 commands
LINES = [
    {
        "line_id": "1",
        "name": "Volkorenbrood, gesneden",
        "quantity": "12",
        "unit": "C62",
        "net_price": "2.85",
        "vat": {"category": "S", "rate": "6"},
    },
    {
        "line_id": "2",
        "name": "Verjaardagstaart voor twaalf",
        "quantity": "1",
        "unit": "C62",
        "net_price": "34.50",
        "vat": {"category": "S", "rate": "6"},
    },
]
PAID = {"amount": "72.82", "means": "30", "reference": "+++090/9337/55493+++"}


def measure(place: Place) -> dict[str, float]:
    """``commands_vs_stock``: how many times as many commands a second as the stock application."""
    with (
        new_database(place, "bench_commands") as ours,
        new_database(place, "bench_stock") as theirs,
        Database(ours) as database,
        stock_application(theirs) as stock,
    ):
        writers = _writers(Application(database))
        events = _one_life(*writers[0])
        compared = compare(place, side(lambda: _all_ours(writers)), side(lambda: _all_stock(stock, events)))
    return {
        "commands_vs_stock": 1 / compared.ratio,
        "commands_a_second": WRITERS * INVOICES_A_ROUND * 4 / compared.ours,
        "stock_commands_a_second": WRITERS * INVOICES_A_ROUND * 4 / compared.peer,
    }


def _writers(application: Application) -> list[tuple[Application, AccountId, Actor, EntityId]]:
    """Accounts with a customer each, and who writes in them."""
    person = ensure_person(application.database, "bench@example.com", "Bench", at=utc_now())
    actor = Actor.person(person.id, "api")

    def account_with_customer(number: int) -> tuple[Application, AccountId, Actor, EntityId]:
        access: Access = open_account(application, f"Bench {number}", person, SETTINGS, via="api")
        return application, access.account, actor, new_customer(application, access.account, actor)

    return [account_with_customer(number) for number in range(WRITERS)]


def new_customer(application: Application, account: AccountId, actor: Actor) -> EntityId:
    """A fresh customer of the account."""
    fields = {"party": {"name": "Café De Zwaan", "address": {"country": "BE"}}}
    made: EntityId = application.run(account, actor, lambda work: commands.create(work, Kind.CUSTOMER, fields))
    return made


def new_draft(application: Application, account: AccountId, actor: Actor, customer: EntityId) -> EntityId:
    """A fresh draft of an invoice to *customer*."""
    fields = {"customer": customer, "lines": LINES}
    made: EntityId = application.run(
        account, actor, lambda work: commands.create(work, Kind.INVOICE, fields), reads=[customer]
    )
    return made


def _one_invoice(application: Application, account: AccountId, actor: Actor, customer: EntityId) -> EntityId:
    """Four commands, four commits."""
    id_ = new_draft(application, account, actor, customer)

    def then(fact: str, fields: dict[str, Any]) -> None:
        application.run(
            account, actor, lambda work: commands.record(work, Kind.INVOICE, id_, fact, fields), reads=[id_]
        )

    application.run(account, actor, lambda work: commands.issue(work, Kind.INVOICE, id_), reads=[id_, customer])
    then("sent", {"how": "email", "recipients": ["boekhouding@dezwaan.example.com"]})
    then("payment_registered", PAID)
    return id_


def _all_ours(writers: list[tuple[Application, AccountId, Actor, EntityId]]) -> None:
    def write(writer: tuple[Application, AccountId, Actor, EntityId]) -> None:
        for _ in range(INVOICES_A_ROUND):
            _one_invoice(*writer)

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, writers))


def _one_life(application: Application, account: AccountId, actor: Actor, customer: EntityId) -> list[Value]:
    """The data of the events that the four commands record."""
    id_ = _one_invoice(application, account, actor, customer)
    with StreamApplication(application.database, account) as stream:
        return [recorded.event.data for recorded in cast("Iterator[RecordedEvent]", stream.events.get(id_))]


def _all_stock(stock: StockApplication[UUID], life: list[Value]) -> None:
    def write(_: int) -> None:
        for _ in range(INVOICES_A_ROUND):
            invoice = happen(None, life[0])
            stock.save(invoice)
            for data in life[1:]:
                again: Invoice = stock.repository.get(invoice.id)
                stock.save(happen(again, data))

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))
