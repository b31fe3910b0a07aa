"""The kinds' addresses, and what is read into which struct."""

from __future__ import annotations

from typing import Any, NamedTuple

from msgspec import Struct

from domain.documents.document import Document
from domain.documents.fields import DocumentFields
from domain.entity import partial
from domain.kinds import Kind
from domain.rules import RULES

COLLECTIONS: dict[Kind, str] = {
    Kind.CUSTOMER: "customers",
    Kind.ITEM: "items",
    Kind.LAYOUT: "layouts",
    Kind.LEDGER_ACCOUNT: "ledger-accounts",
    Kind.SUBSCRIPTION: "subscriptions",
    Kind.INVOICE: "invoices",
    Kind.CREDIT_NOTE: "credit-notes",
    Kind.QUOTE: "quotes",
    Kind.RECEIPT: "receipts",
    Kind.PURCHASE_ORDER: "purchase-orders",
    Kind.DELIVERY_NOTE: "delivery-notes",
}
DocumentChange = partial("DocumentChange", DocumentFields, doc="Fields of a draft to set; null takes one away.")


class Schemas(NamedTuple):
    """What bodies of a kind hold: to make one, to change one, and as it is."""

    creation: type[Struct]
    change: type[Struct]
    state: type[Struct]


def _of(kind: Kind) -> Schemas:
    rules = RULES[kind]
    change = DocumentChange if kind.is_document else rules.events["changed"]
    return Schemas(rules.events[rules.creation], change, Document if kind.is_document else rules.state)


SCHEMAS: dict[Kind, Schemas] = {kind: _of(kind) for kind in Kind}
_named: dict[str, type[Any]] = {}


def body_of(struct: type[Struct]) -> dict[str, Any]:
    """What an operation's description says of a JSON body that is read into *struct*."""
    name = name_of(struct)
    _named[name] = struct
    # The reference is resolved when the document is made: names of components are only known for all together.
    return {"requestBody": {"content": {"application/json": {"schema": {"x-struct": name}}}}}


def bodies() -> dict[str, type[Any]]:
    """The structs that bodies are read into, by name: those of the routes that were made."""
    return dict(_named)


def name_of(type_: Any) -> str:
    """A name for a type that no other has."""
    return f"{type_.__module__}.{type_.__qualname__}" if isinstance(type_, type) else str(type_)
