"""The same invoices as stock ``eventsourcing`` aggregates, on its own PostgreSQL recorder with its defaults."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from psycopg.conninfo import conninfo_to_dict

from domain.events import type_of
from domain.kinds import Kind
from domain.parties import Value


class Invoice(Aggregate):
    """An invoice: what each event says is kept as it is, as plain values; nothing is computed or judged."""

    @event("Drafted")
    def __init__(self, data: dict[str, Any]) -> None:
        self.fields = data
        self.state = "draft"
        self.sent = 0
        self.payments: list[dict[str, Any]] = []

    @event("Issued")
    def issue(self, data: dict[str, Any]) -> None:
        """It got its number."""
        self.fields = {**self.fields, **data}
        self.state = "issued"

    @event("Sent")
    def send(self, data: dict[str, Any]) -> None:  # noqa: ARG002 - the event keeps what the state does not
        """It went out."""
        self.sent += 1

    @event("PaymentRegistered")
    def pay(self, data: dict[str, Any]) -> None:
        """Money came in."""
        self.payments = [*self.payments, data]
        self.state = "paid"


def happen(invoice: Invoice | None, data: Value) -> Invoice:
    """The invoice after an event of ours, decided anew as a stock event."""
    values = msgspec.to_builtins(data, str_keys=True)
    fact = type_of(Kind.INVOICE, data).partition(".")[2]
    if invoice is None:
        return Invoice(data=values)
    {"issued": invoice.issue, "sent": invoice.send, "payment_registered": invoice.pay}[fact](data=values)
    return invoice


def stock_application(dsn: str) -> Application[UUID]:
    """The stock application on an empty database of its own."""
    parts = conninfo_to_dict(dsn)
    return Application(
        env={
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_DBNAME": str(parts["dbname"]),
            "POSTGRES_HOST": str(parts.get("host", "")),
            "POSTGRES_PORT": str(parts.get("port", "5432")),
            "POSTGRES_USER": str(parts.get("user", "")),
            "POSTGRES_PASSWORD": str(parts.get("password", "unused")),
        }
    )
