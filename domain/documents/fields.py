"""What a document holds: the terms of EN 16931, for all six kinds; a table says which belong to which kind only."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated

from msgspec import Meta

from domain.codes import Currency, Language
from domain.ids import EntityId
from domain.kinds import Kind
from domain.lines import CustomFields, DocumentAllowanceCharge, Line, Period, VatExemption
from domain.parties import Address, Identifier, LongText, Name, Party, PaymentTerms, Reference, Text, Value

Code = Annotated[str, Meta(min_length=1, max_length=20)]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class Note(Value, frozen=True, kw_only=True):
    """A note and the code of what it is about (BG-1: BT-21, BT-22)."""

    subject: Code | None = None
    text: LongText


class Delivery(Value, frozen=True, kw_only=True):
    """Where and when it was delivered (BG-13): BT-70 name, BT-71 location, BT-72 date, BG-15 address."""

    name: Name | None = None
    location: Identifier | None = None
    date: dt.date | None = None
    address: Address | None = None


class DerivedFrom(Value, frozen=True, kw_only=True):
    """The document that this one was made from, and which of its lines (by line id; none named: all)."""

    document: EntityId
    lines: tuple[str, ...] = ()


class PrecedingInvoice(Value, frozen=True, kw_only=True):
    """The invoice that is corrected (BG-3): one of ours, or a number (BT-25) and date (BT-26)."""

    document: EntityId | None = None
    number: Reference | None = None
    date: dt.date | None = None


class Card(Value, frozen=True, kw_only=True):
    """The payment card used (BG-18): BT-87, its last digits, and BT-88."""

    number: Code
    holder: Name | None = None


class PaymentMeans(Value, frozen=True, kw_only=True):
    """How it is to be paid (BG-16 to BG-19), ``code`` from UNCL 4461 (BT-81)."""

    code: Code
    name: Text | None = None
    remittance: Text | None = None
    iban: Reference | None = None
    account_name: Name | None = None
    bic: Reference | None = None
    card: Card | None = None
    mandate: Reference | None = None
    debited_account: Reference | None = None


class SupportingDocument(Value, frozen=True, kw_only=True):
    """A document referred to (BG-24): BT-122 id, BT-123 description, BT-124 where it is.

    The attached file (BT-125), if there is one, is an attachment with the same ``id``.
    """

    id: Reference
    scheme: Annotated[str, Meta(max_length=20)] | None = None
    type_code: Code | None = None
    description: LongText | None = None
    uri: Annotated[str, Meta(max_length=2000)] | None = None


class Attachment(Value, frozen=True, kw_only=True):
    """A file that belongs to the document; its bytes are kept by their SHA-256."""

    id: Reference
    name: Annotated[str, Meta(min_length=1, max_length=255)]
    media_type: Annotated[str, Meta(pattern=r"^[a-z0-9.+-]+/[a-z0-9.+-]+$")]
    size: Annotated[int, Meta(ge=0, le=2**40)]
    sha256: Sha256
    description: LongText | None = None


class Payment(Value, frozen=True, kw_only=True):
    """Money received or, on a credit note, given back. ``means`` from UNCL 4461."""

    id: Reference
    date: dt.date
    amount: Decimal
    means: Code
    reference: Text | None = None


class DocumentFields(Value, frozen=True, kw_only=True):
    """What a document holds, of whichever kind. ``seller`` and ``buyer`` are copies, fixed at issue."""

    customer: EntityId
    issue_date: dt.date | None = None
    currency: Currency
    language: Language
    layout: EntityId | None = None
    lines: tuple[Line, ...] = ()
    allowances: tuple[DocumentAllowanceCharge, ...] = ()
    charges: tuple[DocumentAllowanceCharge, ...] = ()
    vat_exemptions: tuple[VatExemption, ...] = ()
    prepaid: Decimal | None = None
    rounding: Decimal | None = None
    seller: Party | None = None
    buyer: Party | None = None
    payee: Party | None = None
    tax_representative: Party | None = None
    process: Text | None = None
    specification: Text | None = None
    buyer_reference: Reference | None = None
    order_reference: Reference | None = None
    sales_order_reference: Reference | None = None
    contract_reference: Reference | None = None
    project_reference: Reference | None = None
    receiving_advice_reference: Reference | None = None
    despatch_advice_reference: Reference | None = None
    tender_reference: Reference | None = None
    invoiced_object: Identifier | None = None
    accounting_reference: Reference | None = None
    supporting_documents: tuple[SupportingDocument, ...] = ()
    vat_currency: Currency | None = None
    vat_total_in_vat_currency: Decimal | None = None
    delivery: Delivery | None = None
    notes: tuple[Note, ...] = ()
    payment_terms: PaymentTerms | None = None
    derived_from: tuple[DerivedFrom, ...] = ()
    type_code: Code | None = None
    due_date: dt.date | None = None
    tax_point_date: dt.date | None = None
    tax_point_code: Code | None = None
    invoicing_period: Period | None = None
    payment_means: tuple[PaymentMeans, ...] = ()
    creditor_identifier: Reference | None = None
    preceding_invoices: tuple[PrecedingInvoice, ...] = ()
    valid_until: dt.date | None = None
    requested_delivery: dt.date | None = None
    carrier: Text | None = None
    parcels: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    custom_fields: CustomFields = {}


_INVOICING = (Kind.INVOICE, Kind.CREDIT_NOTE)
_PAYABLE = (Kind.INVOICE, Kind.CREDIT_NOTE, Kind.RECEIPT)

ONLY_FOR: dict[str, tuple[Kind, ...]] = {
    "type_code": _INVOICING,
    "due_date": _INVOICING,
    "prepaid": _INVOICING,
    "payment_means": _PAYABLE,
    "tax_point_date": _PAYABLE,
    "tax_point_code": _PAYABLE,
    "invoicing_period": _PAYABLE,
    "creditor_identifier": _INVOICING,
    "preceding_invoices": _INVOICING,
    "payee": _PAYABLE,
    "tax_representative": _PAYABLE,
    "valid_until": (Kind.QUOTE,),
    "requested_delivery": (Kind.PURCHASE_ORDER,),
    "carrier": (Kind.DELIVERY_NOTE,),
    "parcels": (Kind.DELIVERY_NOTE,),
}
