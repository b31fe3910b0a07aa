"""The OpenAPI document's schemas, made from the structs that bodies are read into; and the kinds' addresses."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from msgspec import Struct

from api.http.problems import MEDIA_TYPE, Problem
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
_DEFAULTED = {"language", "currency", "unit", "type_code"}  # what the account's settings give when a body does not
_REF = "#/components/schemas/{name}"


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
PROBLEM_RESPONSE: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "A problem (RFC 9457): what was refused, and why",
        "content": {MEDIA_TYPE: {"schema": {"$ref": _REF.format(name="Problem")}}},
    }
}
_named: dict[str, type[Any]] = {}


def body_of(struct: type[Struct]) -> dict[str, Any]:
    """What an operation's description says of a JSON body that is read into *struct*."""
    name = f"{struct.__module__}.{struct.__qualname__}"
    _named[name] = struct
    # The reference is resolved when the document is made: names of components are only known for all together.
    return {"requestBody": {"content": {"application/json": {"schema": {"x-struct": name}}}}}


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of *app*."""
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    structs = [Problem, *_named.values()]
    references, components = msgspec.json.schema_components(structs, ref_template=_REF)
    of_struct = dict(zip(_named, references[1:], strict=True))
    for schemas in SCHEMAS.values():
        reference = of_struct[f"{schemas.creation.__module__}.{schemas.creation.__qualname__}"]
        component = components[reference["$ref"].rpartition("/")[2]]
        component["required"] = [name for name in component.get("required", ()) if name not in _DEFAULTED]
    parts = document.setdefault("components", {})
    parts["schemas"] = {**parts.get("schemas", {}), **components}
    parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"token": []}]
    for operations in document["paths"].values():
        for operation in operations.values():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            name = content.get("schema", {}).get("x-struct")
            if name:
                content["schema"] = of_struct[name]
    return document
