"""What can happen to a document: one class per fact, stored as ``<kind>.<fact>``, such as ``invoice.issued``."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta

from domain.documents.fields import Attachment, DocumentFields, Payment
from domain.entity import Older, partial
from domain.ids import EntityId
from domain.kinds import Kind
from domain.lines import DocumentAllowanceCharge, Line, Totals, VatBreakdown
from domain.parties import LongText, Party, Reference, Text, Value

Number = Annotated[str, Meta(min_length=1, max_length=100)]
_AMOUNTS = frozenset({"lines", "allowances", "charges"})


class Drafted(DocumentFields, frozen=True, kw_only=True):
    """The document was begun. Each line carries its net amount."""


Changed = partial(
    "Changed",
    DocumentFields,
    without=_AMOUNTS | {"derived_from"},
    doc="Fields of the draft changed, lines and origin apart: the whole new value of each.",
)


class LinesChanged(Value, frozen=True, kw_only=True):
    """The draft's lines, allowances and charges are these from now on."""

    lines: tuple[Line, ...]
    allowances: tuple[DocumentAllowanceCharge, ...] = ()
    charges: tuple[DocumentAllowanceCharge, ...] = ()


class Issued(Value, frozen=True, kw_only=True):
    """The document got its number and its date; from here on what it says is fixed."""

    number: Number
    issue_date: dt.date
    due_date: dt.date | None = None
    seller: Party
    buyer: Party
    totals: Totals
    vat_breakdown: tuple[VatBreakdown, ...] = ()
    payments: tuple[Payment, ...] = ()


How = Literal["email", "post", "peppol", "hand", "other"]


class Sent(Value, frozen=True, kw_only=True):
    """It went out: how, and to which addresses."""

    how: How
    recipients: Annotated[tuple[Text, ...], Meta(max_length=50)] = ()


class SentToOne(Value, frozen=True, kw_only=True):
    """It went out: how, and to which address. Version 1 of ``Sent``."""

    how: How
    to: Text | None = None


def _sent(before: SentToOne) -> Sent:
    return Sent(how=before.how, recipients=(before.to,) if before.to else ())


class Accepted(Value, frozen=True, kw_only=True):
    """The customer said yes, on *date*, the seller's calendar."""

    date: dt.date
    signed_by: Text | None = None


class Declined(Value, frozen=True, kw_only=True):
    """The customer said no."""

    date: dt.date
    reason: LongText | None = None


class Expired(Value, frozen=True, kw_only=True):
    """Its last day went by without an answer."""

    date: dt.date


class Converted(Value, frozen=True, kw_only=True):
    """Another document was made from it."""

    to: EntityId
    kind: Literal["invoice", "purchase_order", "delivery_note"]


class ConversionUndone(Value, frozen=True, kw_only=True):
    """The draft that was made from it was deleted: it is as before, and may be converted again."""

    document: EntityId


class Delivered(Value, frozen=True, kw_only=True):
    """Goods were handed over; ``partly`` when more is to come."""

    date: dt.date
    signed_by: Text | None = None
    partly: bool = False


class PaymentRegistered(Payment, frozen=True, kw_only=True):
    """Money came in, or, on a credit note, was given back."""


class PaymentReversed(Value, frozen=True, kw_only=True):
    """A payment turned out not to stand."""

    payment: Reference
    date: dt.date
    reason: LongText | None = None


class Credited(Value, frozen=True, kw_only=True):
    """A credit note took back *amount* of it."""

    by: EntityId
    amount: Decimal


class Reminded(Value, frozen=True, kw_only=True):
    """A reminder of *level* went out on *date*."""

    level: Annotated[int, Meta(ge=1, le=9)]
    date: dt.date


class Cancelled(Value, frozen=True, kw_only=True):
    """It is called off."""

    date: dt.date
    reason: LongText | None = None


class AttachmentAdded(Attachment, frozen=True, kw_only=True):
    """A file was attached."""


class AttachmentRemoved(Value, frozen=True, kw_only=True):
    """A file was taken off the draft."""

    id: Reference


class DraftDeleted(Value, frozen=True, kw_only=True):
    """The draft is gone; only the timeline knows it."""


_OF_ALL: dict[str, type[Value]] = {
    "drafted": Drafted,
    "changed": Changed,
    "lines_changed": LinesChanged,
    "issued": Issued,
    "sent": Sent,
    "attachment_added": AttachmentAdded,
    "attachment_removed": AttachmentRemoved,
    "draft_deleted": DraftDeleted,
}
_PAID: dict[str, type[Value]] = {"payment_registered": PaymentRegistered, "payment_reversed": PaymentReversed}
_CONVERTED: dict[str, type[Value]] = {"converted": Converted, "conversion_undone": ConversionUndone}

EVENTS: dict[Kind, dict[str, type[Value]]] = {
    Kind.INVOICE: {**_OF_ALL, **_PAID, "credited": Credited, "reminded": Reminded},
    Kind.CREDIT_NOTE: {**_OF_ALL, **_PAID},
    Kind.QUOTE: {
        **_OF_ALL,
        "accepted": Accepted,
        "declined": Declined,
        "expired": Expired,
        **_CONVERTED,
    },
    Kind.PURCHASE_ORDER: {**_OF_ALL, "delivered": Delivered, **_CONVERTED, "cancelled": Cancelled},
    Kind.DELIVERY_NOTE: {**_OF_ALL, "delivered": Delivered, **_CONVERTED, "cancelled": Cancelled},
    Kind.RECEIPT: {**_OF_ALL, "credited": Credited},
}

# What older versions of these facts were; every version that was ever recorded stays readable.
OLDER: dict[str, tuple[Older, ...]] = {"sent": (Older(SentToOne, _sent),)}
