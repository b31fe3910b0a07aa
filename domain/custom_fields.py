"""Custom fields: defined per kind in the account's settings, their values kept on the entities."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Literal

from msgspec import Meta

from domain.entity import FieldRefused
from domain.parties import Name, Value

_DECIMAL = re.compile(r"-?\d{1,15}(\.\d{1,6})?", re.ASCII)

FieldKind = Literal[
    "customer",
    "item",
    "layout",
    "ledger_account",
    "subscription",
    "invoice",
    "credit_note",
    "quote",
    "receipt",
    "purchase_order",
    "delivery_note",
    "line",
]


class CustomField(Value, frozen=True, kw_only=True):
    """What the account added to a kind (``line``: to the lines of every document)."""

    kind: FieldKind
    key: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    label: Name
    type: Literal["text", "number", "money", "date", "yes_no", "choice"]
    choices: tuple[Name, ...] = ()


def check_definition(field: CustomField) -> None:
    """That the definition can be met. Raises FieldRefused."""
    if (field.type == "choice") != bool(field.choices):
        raise FieldRefused(
            "choices", "some" if field.choices else "none", "choices for the type choice, and only for it"
        )


def check_values(kind: str, values: dict[str, str | bool], defined: dict[tuple[str, str], CustomField]) -> None:
    """That each custom field is defined for the *kind* and has a value of its type. Raises FieldRefused."""
    for key, value in values.items():
        field = defined.get((kind, key))
        if field is None:
            known = ", ".join(sorted(name for of, name in defined if of == kind)) or "none is defined"
            raise FieldRefused(f"custom_fields.{key}", "a field that is not defined", f"one of: {known}")
        if not _fits(field, value):
            raise FieldRefused(f"custom_fields.{key}", repr(value)[:60], _expected(field))


def fitting(
    kind: str, values: dict[str, str | bool], defined: dict[tuple[str, str], CustomField]
) -> dict[str, str | bool]:
    """Those of *values* that an entity of *kind* can have too: defined for it, with a value of its type."""
    fields = {key: defined.get((kind, key)) for key in values}
    return {key: value for key, value in values.items() if (field := fields[key]) is not None and _fits(field, value)}


def _fits(field: CustomField, value: str | bool) -> bool:  # noqa: FBT001 - a yes/no field's value
    if field.type == "yes_no":
        return isinstance(value, bool)
    if not isinstance(value, str):
        return False
    match field.type:
        case "number" | "money":
            return _DECIMAL.fullmatch(value) is not None
        case "date":
            try:
                return date.fromisoformat(value).isoformat() == value
            except ValueError:
                return False
        case "choice":
            return value in field.choices
        case _:
            return len(value) <= 10_000


def _expected(field: CustomField) -> str:
    return {
        "text": "a text of at most 10,000 characters",
        "number": 'a number such as "12.5"',
        "money": 'an amount such as "12.50"',
        "date": "a date such as 2026-01-31",
        "yes_no": "true or false",
        "choice": f"one of: {', '.join(field.choices)}",
    }[field.type]
