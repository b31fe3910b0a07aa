"""A document as it is, and the fold that leads there."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from domain.codes import minor_unit
from domain.decimals import ZERO
from domain.documents import events as e
from domain.documents.fields import Attachment, DocumentFields, Payment
from domain.entity import Corrected, Imported, changed_fields, whole
from domain.ids import EntityId
from domain.kinds import Kind
from domain.lines import Totals, VatBreakdown, totals, vat_breakdown
from domain.parties import Text, Value


class DocumentState(StrEnum):
    """Where a document is in its life; which of these a kind knows follows from its rules."""

    DRAFT = "draft"
    ISSUED = "issued"
    PARTLY_PAID = "partly_paid"
    PAID = "paid"
    CREDITED = "credited"
    SETTLED = "settled"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    EXPIRED = "expired"
    CONVERTED = "converted"
    PARTLY_DELIVERED = "partly_delivered"
    DELIVERED = "delivered"
    INVOICED = "invoiced"
    CANCELLED = "cancelled"
    REVERSED = "reversed"
    DELETED = "deleted"


class Conversion(Value, frozen=True, kw_only=True):
    """A document that was made from this one."""

    document: EntityId
    kind: str


class Credit(Value, frozen=True, kw_only=True):
    """What a credit note took back."""

    by: EntityId
    amount: Decimal


class Reminder(Value, frozen=True, kw_only=True):
    """A reminder that went out."""

    level: Annotated[int, Meta(ge=1, le=9)]
    date: dt.date


class Handover(Value, frozen=True, kw_only=True):
    """Goods that were handed over."""

    date: dt.date
    signed_by: Text | None = None
    partly: bool = False


class Document(DocumentFields, frozen=True):
    """A document of any of the six kinds. ``totals`` and ``vat_breakdown`` are those of its lines as they are."""

    id: EntityId
    version: int
    kind: Kind
    number: e.Number | None = None
    state: DocumentState = DocumentState.DRAFT
    totals: Totals | None = None
    vat_breakdown: tuple[VatBreakdown, ...] = ()
    payments: tuple[Payment, ...] = ()
    credits: tuple[Credit, ...] = ()
    sent: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    reminders: tuple[Reminder, ...] = ()
    deliveries: tuple[Handover, ...] = ()
    converted_to: tuple[Conversion, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    answered_on: dt.date | None = None
    answered_by: Text | None = None

    @property
    def credited(self) -> Decimal:
        """How much of it credit notes took back."""
        return sum((credit.amount for credit in self.credits), ZERO)

    @property
    def is_issued(self) -> bool:
        """Whether it has its number and is out of the seller's hands."""
        return self.state is not DocumentState.DRAFT and self.state is not DocumentState.DELETED


DocumentImported = whole(Imported, Document, without=frozenset({"kind"}))
DocumentCorrected = whole(Corrected, Document, without=frozenset({"kind"}))


def summed(document: Document) -> Document:
    """The document with totals and VAT breakdown of its lines, payments and credits."""
    sums, breakdown = _sums(document)
    return msgspec.structs.replace(document, totals=sums, vat_breakdown=breakdown)


def _sums(of: DocumentFields) -> tuple[Totals, tuple[VatBreakdown, ...]]:
    digits = minor_unit(of.currency)
    breakdown = vat_breakdown(of.lines, of.allowances, of.charges, of.vat_exemptions, digits)
    sums = totals(of.lines, of.allowances, of.charges, breakdown, digits=digits, paid=of.prepaid, rounding=of.rounding)
    return sums, breakdown


_PAID_STATE = {
    Kind.INVOICE: (DocumentState.ISSUED, DocumentState.PARTLY_PAID, DocumentState.PAID),
    Kind.CREDIT_NOTE: (DocumentState.ISSUED, DocumentState.ISSUED, DocumentState.SETTLED),
}


def _with_payments(document: Document, version: int, payments: tuple[Payment, ...]) -> Document:
    paid = sum([payment.amount for payment in payments], document.prepaid or ZERO)
    return _settled(document, version, paid or None, payments=payments)


def _settled(document: Document, version: int, paid: Decimal | None, **changes: Any) -> Document:
    """The document after *changes* to what was paid or credited: its due amount, and the state that follows."""
    before = document.totals
    assert before is not None, "only an issued document is paid or credited, and that has totals"
    credits = changes.get("credits", document.credits)
    credited = sum([credit.amount for credit in credits], ZERO)
    due = before.with_vat - (paid or ZERO) + (before.rounding or ZERO) - credited
    if document.kind is Kind.RECEIPT:
        state = DocumentState.REVERSED if credited == before.with_vat else document.state
    elif credits and credited == before.with_vat:
        state = DocumentState.CREDITED
    else:
        untouched, partly, wholly = _PAID_STATE[document.kind]
        # Paid wholly, and then credited in part, it is overpaid: nothing is open.
        nothing_open = due <= 0 if before.with_vat >= 0 else due >= 0
        state = wholly if nothing_open else partly if paid else untouched
    return msgspec.structs.replace(
        document,
        version=version,
        state=state,
        totals=msgspec.structs.replace(before, paid=paid, due=due),
        **changes,
    )


def evolve(state: Document | None, event: Any, entity_id: EntityId, version: int, *, kind: Kind) -> Document:
    """The document after *event*. Total: what was recorded is never judged again."""
    if state is None:
        given = msgspec.structs.asdict(event)
        if isinstance(event, Imported):
            return Document(entity_id, version, kind, **given)
        sums, breakdown = _sums(event)
        return Document(entity_id, version, kind, totals=sums, vat_breakdown=breakdown, **given)
    changes: dict[str, Any]
    match event:
        case e.Issued():
            return _issued(state, event, version)
        case e.Sent():
            changes = {"sent": state.sent + 1}
        case e.PaymentRegistered():
            payment = Payment(**msgspec.structs.asdict(event))
            return _with_payments(state, version, (*state.payments, payment))
        case e.PaymentReversed():
            kept = tuple(payment for payment in state.payments if payment.id != event.payment)
            return _with_payments(state, version, kept)
        case e.Credited():
            credits = (*state.credits, Credit(by=event.by, amount=event.amount))
            return _settled(state, version, state.totals.paid if state.totals else None, credits=credits)
        case e.LinesChanged():
            changed = msgspec.structs.replace(
                state, version=version, lines=event.lines, allowances=event.allowances, charges=event.charges
            )
            return summed(changed)
        case e.Reminded():
            changes = {"reminders": (*state.reminders, Reminder(level=event.level, date=event.date))}
        case e.Delivered():
            handover = Handover(date=event.date, signed_by=event.signed_by, partly=event.partly)
            reached = DocumentState.PARTLY_DELIVERED if event.partly else DocumentState.DELIVERED
            changes = {"deliveries": (*state.deliveries, handover), "state": reached}
        case e.Accepted():
            changes = {"state": DocumentState.ACCEPTED, "answered_on": event.date, "answered_by": event.signed_by}
        case e.Declined():
            changes = {"state": DocumentState.DECLINED, "answered_on": event.date}
        case e.Expired():
            changes = {"state": DocumentState.EXPIRED}
        case e.Converted():
            made = (*state.converted_to, Conversion(document=event.to, kind=event.kind))
            changes = {"converted_to": made, "state": _converted_state(state, event)}
        case e.ConversionUndone():
            left = tuple(one for one in state.converted_to if one.document != event.document)
            changes = {"converted_to": left, "state": _unconverted_state(state, left)}
        case e.Cancelled():
            changes = {"state": DocumentState.CANCELLED}
        case e.AttachmentAdded():
            attachment = Attachment(**msgspec.structs.asdict(event))
            changes = {"attachments": (*state.attachments, attachment)}
        case e.AttachmentRemoved():
            changes = {"attachments": tuple(one for one in state.attachments if one.id != event.id)}
        case e.DraftDeleted():
            changes = {"state": DocumentState.DELETED}
        case Corrected():
            changes = changed_fields(event)
        case _:
            return summed(msgspec.structs.replace(state, version=version, **changed_fields(event)))
    return msgspec.structs.replace(state, version=version, **changes)


def reckoned(document: Document) -> tuple[Document, ...]:
    """The document as its own lines, payments and credits make it, whatever it says of its totals and its state; more
    than one where its history decides. Of quotes, orders and delivery notes the state is their history alone.
    """
    bare = summed(msgspec.structs.replace(document, payments=(), credits=()))
    if document.state is DocumentState.DRAFT:
        return (bare,)
    assert bare.totals is not None, "a sum has totals"
    if document.kind not in (*_PAID_STATE, Kind.RECEIPT):
        return (bare,)
    issued = msgspec.structs.replace(bare, state=DocumentState.ISSUED)
    paid = sum((payment.amount for payment in document.payments), document.prepaid or ZERO) or None
    settled = _settled(issued, document.version, paid, payments=document.payments, credits=document.credits)
    if document.payments or document.credits:
        return (settled,)
    if bare.totals.paid and not bare.totals.due and document.kind in _PAID_STATE:
        issued = msgspec.structs.replace(issued, state=_PAID_STATE[document.kind][2])
    return (issued, settled)


def _issued(state: Document, event: e.Issued, version: int) -> Document:
    changes = msgspec.structs.asdict(event)
    issued = msgspec.structs.replace(state, version=version, state=DocumentState.ISSUED, **changes)
    if event.totals.due or issued.kind not in _PAID_STATE or not event.totals.paid:
        return issued
    return msgspec.structs.replace(issued, state=_PAID_STATE[issued.kind][2])


def _converted_state(state: Document, event: e.Converted) -> DocumentState:
    if state.kind is Kind.QUOTE:
        return DocumentState.CONVERTED
    return DocumentState.INVOICED if event.kind == "invoice" else state.state


def _unconverted_state(state: Document, left: tuple[Conversion, ...]) -> DocumentState:
    """The state that a document was in before the conversion that is undone; *left* are its others."""
    if state.kind is Kind.QUOTE:
        return DocumentState.ACCEPTED
    if any(one.kind == "invoice" for one in left):
        return DocumentState.INVOICED
    if not state.deliveries:
        return DocumentState.ISSUED
    return DocumentState.PARTLY_DELIVERED if state.deliveries[-1].partly else DocumentState.DELIVERED
