"""Parties: sellers, buyers, payees (EN 16931 BG-4, BG-7, BG-10, BG-11)."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from domain.codes import Country

Name = Annotated[str, Meta(min_length=1, max_length=300)]
Text = Annotated[str, Meta(min_length=1, max_length=500)]
LongText = Annotated[str, Meta(min_length=1, max_length=10_000)]
Reference = Annotated[str, Meta(min_length=1, max_length=200)]


class Value(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """Base of all values inside entities: immutable, absent rather than null, no field that we do not know.

    Nothing immutable can be part of a cycle, so the garbage collector need not look: a quarter less for a rebuild.
    """


class Identifier(Value, frozen=True, kw_only=True):
    """An identifier and the scheme it belongs to (ISO 6523 ICD or EAS code), as in BT-29, BT-30, BT-46."""

    scheme: Annotated[str, Meta(max_length=20)] | None = None
    value: Reference


class Address(Value, frozen=True, kw_only=True):
    """A postal address (BG-5, BG-8, BG-15): up to three lines."""

    lines: Annotated[tuple[Text, ...], Meta(max_length=3)] = ()
    city: Text | None = None
    post_code: Annotated[str, Meta(max_length=40)] | None = None
    subdivision: Text | None = None
    country: Country


class Contact(Value, frozen=True, kw_only=True):
    """Whom to ask (BG-6, BG-9)."""

    name: Text | None = None
    phone: Text | None = None
    email: Text | None = None


class Party(Value, frozen=True, kw_only=True):
    """A company or person that trades (BG-4, BG-7); ``name`` is BT-27 or BT-44."""

    name: Name
    trading_name: Name | None = None
    identifiers: tuple[Identifier, ...] = ()
    legal_registration: Identifier | None = None
    vat_identifier: Reference | None = None
    tax_registration: Reference | None = None
    legal_form: Annotated[str, Meta(max_length=1000)] | None = None
    electronic_address: Identifier | None = None
    address: Address | None = None
    contact: Contact | None = None


class BankAccount(Value, frozen=True, kw_only=True):
    """Where money goes to (BG-17)."""

    iban: Annotated[str, Meta(min_length=4, max_length=40)]
    bic: Annotated[str, Meta(max_length=20)] | None = None
    holder: Name | None = None


class PaymentTerms(Value, frozen=True, kw_only=True):
    """When a document falls due (BT-20): *days* after its date or its month's end; or in words."""

    days: Annotated[int, Meta(ge=0, le=3650)] | None = None
    end_of_month: bool = False
    text: LongText | None = None
