"""Which event may follow which state of a document: the law for commands, imports and restores alike."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from operator import attrgetter
from typing import Any, ClassVar

import msgspec

from domain.codes import minor_unit
from domain.decimals import ZERO
from domain.documents import events as e
from domain.documents.document import Document, DocumentCorrected, DocumentImported, DocumentState, evolve, reckoned
from domain.documents.fields import ONLY_FOR, DocumentFields
from domain.entity import (
    Corrected,
    FieldRefused,
    Imported,
    KindRules,
    NotPossible,
    Reference,
    changed_fields,
    fact_of,
)
from domain.errors import DomainError
from domain.ids import EntityId
from domain.kinds import DOCUMENT_KINDS, Kind
from domain.lines import check_amount, check_lines, check_vat, net_amount

_S = DocumentState
_DRAFT = (_S.DRAFT,)
_OUT = tuple(state for state in DocumentState if state not in (_S.DRAFT, _S.DELETED, _S.CANCELLED))
_OPEN = (_S.ISSUED, _S.PARTLY_PAID)

POSSIBLE: dict[type[Any], dict[Kind, tuple[DocumentState, ...]]] = {
    e.Changed: dict.fromkeys(DOCUMENT_KINDS, _DRAFT),
    e.LinesChanged: dict.fromkeys(DOCUMENT_KINDS, _DRAFT),
    e.Issued: dict.fromkeys(DOCUMENT_KINDS, _DRAFT),
    e.DraftDeleted: dict.fromkeys(DOCUMENT_KINDS, _DRAFT),
    e.AttachmentAdded: dict.fromkeys(DOCUMENT_KINDS, _DRAFT),
    e.AttachmentRemoved: dict.fromkeys(DOCUMENT_KINDS, _DRAFT),
    e.Sent: dict.fromkeys(DOCUMENT_KINDS, _OUT),
    e.PaymentRegistered: {Kind.INVOICE: _OPEN, Kind.CREDIT_NOTE: (_S.ISSUED,)},
    e.PaymentReversed: {
        Kind.INVOICE: (_S.PARTLY_PAID, _S.PAID, _S.CREDITED),
        Kind.CREDIT_NOTE: (_S.ISSUED, _S.SETTLED),
    },
    e.Credited: {Kind.INVOICE: (*_OPEN, _S.PAID), Kind.RECEIPT: (_S.ISSUED,)},
    e.Reminded: {Kind.INVOICE: _OPEN},
    e.Accepted: {Kind.QUOTE: (_S.ISSUED,)},
    e.Declined: {Kind.QUOTE: (_S.ISSUED,)},
    e.Expired: {Kind.QUOTE: (_S.ISSUED,)},
    e.Delivered: {
        Kind.PURCHASE_ORDER: (_S.ISSUED, _S.PARTLY_DELIVERED),
        Kind.DELIVERY_NOTE: (_S.ISSUED,),
    },
    e.Converted: {
        Kind.QUOTE: (_S.ACCEPTED,),
        Kind.PURCHASE_ORDER: (_S.ISSUED, _S.PARTLY_DELIVERED, _S.DELIVERED),
        Kind.DELIVERY_NOTE: (_S.DELIVERED,),
    },
    e.ConversionUndone: {
        Kind.QUOTE: (_S.CONVERTED,),
        Kind.PURCHASE_ORDER: (_S.ISSUED, _S.PARTLY_DELIVERED, _S.DELIVERED, _S.INVOICED),
        Kind.DELIVERY_NOTE: (_S.INVOICED,),
    },
    e.Cancelled: {Kind.PURCHASE_ORDER: (_S.ISSUED,), Kind.DELIVERY_NOTE: (_S.ISSUED,)},
    DocumentCorrected: dict.fromkeys(DOCUMENT_KINDS, tuple(DocumentState)),
}
# What may be made from a document.
CONVERSIONS: dict[Kind, tuple[Kind, ...]] = {
    Kind.QUOTE: (Kind.INVOICE, Kind.PURCHASE_ORDER),
    Kind.PURCHASE_ORDER: (Kind.DELIVERY_NOTE, Kind.INVOICE),
    Kind.DELIVERY_NOTE: (Kind.INVOICE,),
}
# What a kind may be once it is out, beside the states that its payments and credits decide.
_STATES: dict[Kind, tuple[DocumentState, ...]] = {
    Kind.QUOTE: (_S.ISSUED, _S.ACCEPTED, _S.DECLINED, _S.EXPIRED, _S.CONVERTED),
    Kind.PURCHASE_ORDER: (_S.ISSUED, _S.PARTLY_DELIVERED, _S.DELIVERED, _S.INVOICED, _S.CANCELLED),
    Kind.DELIVERY_NOTE: (_S.ISSUED, _S.DELIVERED, _S.INVOICED, _S.CANCELLED),
}
_LATER_STEPS = frozenset(
    {
        "id", "version", "kind", "state", "totals", "payments", "credits", "sent", "reminders", "deliveries",
        "converted_to", "answered_on", "answered_by", "custom_fields",
    }
)  # fmt: skip
# What an issued document says to whoever got it: fixed from issue on.
_FIXED = tuple(name for name in Document.__struct_fields__ if name not in _LATER_STEPS)


@dataclass(eq=False)
class AmountDiffers(DomainError):
    """An amount is not what the document's own figures come to."""

    code: ClassVar[str] = "domain.amount-differs"
    field: str
    stated: str
    computed: str

    def __str__(self) -> str:
        return f"{self.field}: stated {self.stated}; the figures come to {self.computed}"


@dataclass(eq=False)
class TooMuch(DomainError):
    """More would be paid, given back or credited than is owed."""

    code: ClassVar[str] = "domain.too-much"
    what: str
    amount: str
    open: str

    def __str__(self) -> str:
        return f"{self.what}: {self.amount} is more than the {self.open} that is open"


def admit(state: Document | None, event: Any, *, kind: Kind) -> None:
    """Let *event* follow *state*, or raise NotPossible, FieldRefused, AmountDiffers or TooMuch."""
    if state is None:
        if isinstance(event, Imported):
            _check_whole(evolve(None, event, EntityId(""), 1, kind=kind))
            return
        if not isinstance(event, e.Drafted):
            raise NotPossible(kind.value, fact_of(event), "not there", "it is there")
        names, values, absent = _NOT_FOR[kind]
        if values(event) != absent:
            _check_fields(kind, {name: getattr(event, name) for name in names})
        _check_amounts(event, event.currency)
        return
    if isinstance(event, (e.Drafted, Imported)):
        raise NotPossible(kind.value, fact_of(event), "there already", "it is not there yet")
    possible = POSSIBLE[type(event)].get(kind, ())
    if state.state not in possible:
        allowed = " or ".join(one.value for one in possible) or "never"
        raise NotPossible(kind.value, fact_of(event), state.state.value, allowed)
    check = _CHECKS.get(type(event))
    if check is not None:
        check(state, event)


def _not_for(kind: Kind) -> tuple[list[str], Callable[[Any], Any], Any]:
    """The fields that a kind does not have; what gives their values; and those of a document that has none of them."""
    names = [name for name, kinds in ONLY_FOR.items() if kind not in kinds]
    values = attrgetter(*names)
    return names, values, values(e.Drafted(customer=EntityId(""), currency="EUR", language="en"))


_NOT_FOR = {kind: _not_for(kind) for kind in DOCUMENT_KINDS}


def _check_fields(kind: Kind, fields: dict[str, Any]) -> None:
    for name, kinds in ONLY_FOR.items():
        value = fields.get(name)
        if value is not None and value != () and kind not in kinds:
            raise FieldRefused(
                name, f"a value on a {kind.value}", f"it only on {', '.join(one.value for one in kinds)}"
            )


def _check_amounts(of: DocumentFields | e.LinesChanged, currency: str) -> None:
    """The lines, allowances and charges, and what else is an amount in *currency*."""
    digits = minor_unit(currency)
    check_lines(of.lines)
    for line in of.lines:
        if line.allowances or line.charges:
            for part in (*line.allowances, *line.charges):
                check_amount(f"lines[{line.line_id}]: an allowance or charge", part.amount, digits)
        due = net_amount(line, digits)
        if line.net_amount != due:
            raise AmountDiffers(f"lines[{line.line_id}].net_amount", str(line.net_amount), str(due))
    for name, parts in (("allowances", of.allowances), ("charges", of.charges)) if of.allowances or of.charges else ():
        for number, part in enumerate(parts):
            check_amount(f"{name}[{number}].amount", part.amount, digits)
            check_vat(f"{name}[{number}].vat", part.vat)
    if isinstance(of, DocumentFields):
        check_amount("prepaid", of.prepaid, digits)
        check_amount("rounding", of.rounding, digits)


def _check_corrected(state: Document, event: Corrected) -> None:
    after = evolve(state, event, state.id, state.version, kind=state.kind)
    if state.is_issued:
        for name in _FIXED:
            if getattr(after, name) != getattr(state, name):
                raise FieldRefused(
                    name, "another value", f"it as it was issued: an issued {state.kind.value} never changes; credit it"
                )
    _check_whole(after)


def _check_whole(document: Document) -> None:
    """That a document which came without the events that led to it is one that events could have led to."""
    kind, state = document.kind, document.state
    if state is _S.DELETED:
        raise FieldRefused("state", state.value, "none: what is deleted has no record")
    _check_fields(kind, {name: getattr(document, name) for name in _NOT_FOR[kind][0]})
    _check_amounts(document, document.currency)
    if any(preceding.document == document.id for preceding in document.preceding_invoices):
        raise FieldRefused("preceding_invoices", document.id, "another document than itself")
    _check_once("payments", "payment", [payment.id for payment in document.payments])
    _check_once("attachments", "attachment", [attachment.id for attachment in document.attachments])
    if state is _S.DRAFT:
        _check_draft(document)
    else:
        _check_out(document)
    expected = reckoned(document)
    if kind not in _STATES and state not in {one.state for one in expected}:
        reached = " or ".join(dict.fromkeys(one.state.value for one in expected))
        raise FieldRefused("state", state.value, f"{reached}, which its payments and credits come to")
    sums = next((one for one in expected if one.state is state), expected[0])
    assert sums.totals is not None, "a sum has totals"
    if document.totals is None:
        raise FieldRefused("totals", "none", "the totals of its lines")
    for name in sums.totals.__struct_fields__:
        _check_total(f"totals.{name}", getattr(document.totals, name), getattr(sums.totals, name))
    if document.vat_breakdown != sums.vat_breakdown:
        raise AmountDiffers("vat_breakdown", _written(document.vat_breakdown), _written(sums.vat_breakdown))


def _check_once(field: str, what: str, ids: list[str]) -> None:
    twice = next((id_ for id_, times in Counter(ids).items() if times > 1), None)
    if twice is not None:
        raise FieldRefused(field, f"{what} {twice} twice", f"each {what}'s id once")


def _check_draft(document: Document) -> None:
    for name in ("number", "payments", "credits", "sent", "reminders", "deliveries", "converted_to", "answered_on",
        "answered_by",
    ):  # fmt: skip
        if getattr(document, name):
            raise FieldRefused(name, "a value on a draft", "it only once the document is issued")


def _check_out(document: Document) -> None:
    kind = document.kind
    for name in ("number", "issue_date", "seller", "buyer", "lines"):
        if not getattr(document, name):
            raise FieldRefused(name, "none", f"it on an issued {kind.value}")
    payable, creditable = kind in (Kind.INVOICE, Kind.CREDIT_NOTE, Kind.RECEIPT), kind in (Kind.INVOICE, Kind.RECEIPT)
    later = {
        "payments": payable,
        "credits": creditable,
        "reminders": kind is Kind.INVOICE,
        "deliveries": kind in (Kind.PURCHASE_ORDER, Kind.DELIVERY_NOTE),
        "converted_to": kind in _STATES,
        "answered_on": kind is Kind.QUOTE,
        "answered_by": kind is Kind.QUOTE,
    }
    for name, may in later.items():
        if getattr(document, name) and not may:
            raise FieldRefused(name, f"a value on a {kind.value}", "none")
    digits = minor_unit(document.currency)
    for payment in document.payments:
        check_amount(f"payments[{payment.id}].amount", payment.amount, digits)
    for credit in document.credits:
        check_amount(f"credits[{credit.by}].amount", credit.amount, digits)
    _check_not_too_much(document)
    if kind is Kind.RECEIPT:
        due = reckoned(document)[0].totals
        if not document.payments or due is None or due.due + document.credited != ZERO:
            raise AmountDiffers("payments", "another sum", "the receipt's total, paid at once")
    if kind in _STATES:
        _check_step(document)


def _check_not_too_much(document: Document) -> None:
    sums = reckoned(msgspec.structs.replace(document, payments=(), credits=()))[0].totals
    assert sums is not None, "a sum has totals"
    paid = sum((payment.amount for payment in document.payments), ZERO)
    for what, amount, limit in (("payment", paid, sums.due), ("credit", document.credited, sums.with_vat)):
        if amount != ZERO and not _within(amount, limit):
            raise TooMuch(what, str(amount), str(limit))


def _check_step(document: Document) -> None:
    """That the facts of a quote, order or delivery note are those that its state tells of."""
    if document.state not in _STATES[document.kind]:
        known = ", ".join(one.value for one in _STATES[document.kind])
        raise FieldRefused("state", document.state.value, f"one of {known}")
    if document.kind is Kind.QUOTE:
        _check_answer(document)
    else:
        _check_deliveries(document)
    _check_conversions(document)


def _check_answer(quote: Document) -> None:
    accepted = quote.state in (_S.ACCEPTED, _S.CONVERTED)
    _check_there(quote, "answered_on", needed=accepted or quote.state is _S.DECLINED)
    if quote.answered_by and not accepted:
        raise FieldRefused("answered_by", "a value", f"none, since the quote is {quote.state.value}")
    if accepted and quote.answered_on:
        _check_in_time(quote, "answered_on", quote.answered_on)
    if quote.state is _S.EXPIRED and quote.valid_until is None:
        raise FieldRefused("valid_until", "none", "a value, since the quote is expired")


def _check_deliveries(document: Document) -> None:
    kind, state = document.kind, document.state
    needed = state in (_S.PARTLY_DELIVERED, _S.DELIVERED) or (kind is Kind.DELIVERY_NOTE and state is _S.INVOICED)
    if needed or state is not _S.INVOICED:
        _check_there(document, "deliveries", needed=needed)
    partly = [one.partly for one in document.deliveries]
    fits = all(partly[:-1]) and (kind is Kind.PURCHASE_ORDER or not any(partly))
    if state in (_S.PARTLY_DELIVERED, _S.DELIVERED):
        fits = fits and partly[-1] is (state is _S.PARTLY_DELIVERED)
    if not fits:
        found = ", ".join("in part" if one else "wholly" for one in partly)
        raise FieldRefused("deliveries", found, f"what leads to a {kind.value} that is {state.value}")


def _check_conversions(document: Document) -> None:
    possible = CONVERSIONS[document.kind]
    for made in document.converted_to:
        if made.kind not in possible:
            raise FieldRefused("converted_to", f"a {made.kind[:40]}", " or ".join(possible))
    _check_once("converted_to", "document", [made.document for made in document.converted_to])
    final = [made for made in document.converted_to if document.kind is Kind.QUOTE or made.kind == Kind.INVOICE]
    is_converted = document.state in (_S.CONVERTED, _S.INVOICED)
    if len(final) != is_converted:
        found = f"{len(final)} documents that end it"
        raise FieldRefused("converted_to", found, f"{int(is_converted)}, since it is {document.state.value}")


def _check_there(document: Document, name: str, *, needed: bool) -> None:
    if bool(getattr(document, name)) is not needed:
        found, expected = ("none", "a value") if needed else ("a value", "none")
        raise FieldRefused(name, found, f"{expected}, since the {document.kind.value} is {document.state.value}")


def _check_in_time(quote: Document, field: str, on: dt.date) -> None:
    if quote.valid_until and on > quote.valid_until:
        raise FieldRefused(field, on.isoformat(), f"a day up to {quote.valid_until}, the quote's last")


def _check_changed(state: Document, event: Any) -> None:
    fields = changed_fields(event)
    _check_fields(state.kind, fields)
    if any(preceding.document == state.id for preceding in fields.get("preceding_invoices", ())):
        raise FieldRefused("preceding_invoices", state.id, "another document than itself")
    if not fields.keys().isdisjoint(("currency", "prepaid", "rounding")):
        changed = msgspec.structs.replace(state, **fields)
        _check_amounts(changed, changed.currency)


def _check_lines_changed(state: Document, event: e.LinesChanged) -> None:
    _check_amounts(event, state.currency)


def _check_issued(state: Document, event: e.Issued) -> None:
    if not state.lines:
        raise FieldRefused("lines", "none", "at least one line (EN 16931 BR-16)")
    expected = state.totals
    assert expected is not None, "a draft's fold sets its totals"
    if state.kind is Kind.RECEIPT:
        paid = sum((payment.amount for payment in event.payments), ZERO)
        if not event.payments or paid != expected.due:
            raise AmountDiffers("payments", f"{paid} paid", f"{expected.due} to pay at once")
        if len({payment.id for payment in event.payments}) < len(event.payments):
            raise FieldRefused("payments", "a payment's id twice", "each payment's id once")
        expected = msgspec.structs.replace(expected, paid=paid, due=ZERO)
    elif event.payments:
        raise FieldRefused(
            "payments", f"a payment with the issue of a {state.kind.value}", "payments only with a receipt"
        )
    if event.totals != expected:
        for name in expected.__struct_fields__:
            _check_total(f"totals.{name}", getattr(event.totals, name), getattr(expected, name))
    if event.vat_breakdown != state.vat_breakdown:
        raise AmountDiffers("vat_breakdown", _written(event.vat_breakdown), _written(state.vat_breakdown))


def _written(breakdown: tuple[Any, ...]) -> str:
    return (
        "; ".join(f"{part.category} {part.rate or 0} % of {part.taxable}: {part.tax}" for part in breakdown)
        or "nothing"
    )


def _check_total(field: str, stated: Decimal | None, computed: Decimal | None) -> None:
    if stated != computed:
        raise AmountDiffers(field, str(stated), str(computed))


def _within(amount: Decimal, limit: Decimal) -> bool:
    """Whether *amount* takes off from *limit* without passing zero; both may be negative, as on a negative invoice."""
    return amount != 0 and (0 < amount <= limit if limit > 0 else limit <= amount < 0)


def _check_payment(state: Document, event: e.PaymentRegistered) -> None:
    assert state.totals is not None, "an issued document has totals"
    check_amount("amount", event.amount, minor_unit(state.currency))
    if any(payment.id == event.id for payment in state.payments):
        raise FieldRefused("id", f"payment {event.id} twice", "each payment's id once")
    if not _within(event.amount, state.totals.due):
        raise TooMuch("payment", str(event.amount), str(state.totals.due))


def _check_reversal(state: Document, event: e.PaymentReversed) -> None:
    if all(payment.id != event.payment for payment in state.payments):
        known = ", ".join(payment.id for payment in state.payments) or "none"
        raise FieldRefused("payment", event.payment, f"a payment of this document: {known}")


def _check_credit(state: Document, event: e.Credited) -> None:
    assert state.totals is not None, "an issued document has totals"
    check_amount("amount", event.amount, minor_unit(state.currency))
    if not _within(event.amount, state.totals.with_vat - state.credited):
        raise TooMuch("credit", str(event.amount), str(state.totals.with_vat - state.credited))


def _check_attachment(state: Document, event: e.AttachmentAdded) -> None:
    if any(attachment.id == event.id for attachment in state.attachments):
        raise FieldRefused("id", f"attachment {event.id} twice", "each attachment's id once")


def _check_attachment_removed(state: Document, event: e.AttachmentRemoved) -> None:
    if all(attachment.id != event.id for attachment in state.attachments):
        raise FieldRefused("id", event.id, "an attachment of this document")


def _check_acceptance(state: Document, event: e.Accepted) -> None:
    _check_in_time(state, "date", event.date)


def _check_expiry(state: Document, event: e.Expired) -> None:
    if state.valid_until is None or event.date <= state.valid_until:
        raise FieldRefused("date", event.date.isoformat(), f"a day after {state.valid_until or 'a valid_until'}")


def _check_delivered(state: Document, event: e.Delivered) -> None:
    if event.partly and state.kind is Kind.DELIVERY_NOTE:
        raise FieldRefused("partly", "true", "none: what a delivery note lists is handed over at once")


def _check_converted(state: Document, event: e.Converted) -> None:
    possible = CONVERSIONS[state.kind]
    if event.kind not in possible:
        raise FieldRefused("kind", event.kind, " or ".join(possible))


def _check_conversion_undone(state: Document, event: e.ConversionUndone) -> None:
    if all(made.document != event.document for made in state.converted_to):
        raise FieldRefused("document", event.document, "a document that was made from this one")


_CHECKS: dict[type[Any], Callable[[Document, Any], None]] = {
    e.Changed: _check_changed,
    e.LinesChanged: _check_lines_changed,
    e.Issued: _check_issued,
    e.PaymentRegistered: _check_payment,
    e.PaymentReversed: _check_reversal,
    e.Credited: _check_credit,
    e.AttachmentAdded: _check_attachment,
    e.AttachmentRemoved: _check_attachment_removed,
    e.Accepted: _check_acceptance,
    e.Expired: _check_expiry,
    e.Delivered: _check_delivered,
    e.Converted: _check_converted,
    e.ConversionUndone: _check_conversion_undone,
    DocumentCorrected: _check_corrected,
}


def _number(document: Document) -> str | None:
    return document.number


def references(document: Document) -> list[Reference]:
    """What the document points to: customer, layout, items, ledger accounts, other documents."""
    found = [Reference("customer", document.customer, (Kind.CUSTOMER,))]
    if document.layout:
        found.append(Reference("layout", document.layout, (Kind.LAYOUT,)))
    for line in document.lines:
        if line.item:
            found.append(Reference("lines.item", line.item, (Kind.ITEM,)))
        if line.ledger_account:
            found.append(Reference("lines.ledger_account", line.ledger_account, (Kind.LEDGER_ACCOUNT,)))
    if document.derived_from or document.converted_to or document.credits or document.preceding_invoices:
        found += [Reference("derived_from", origin.document, ()) for origin in document.derived_from]
        found += [Reference("converted_to", made.document, (Kind(made.kind),)) for made in document.converted_to]
        found += [Reference("credits.by", credit.by, (Kind.CREDIT_NOTE,)) for credit in document.credits]
        found += [
            Reference("preceding_invoices", one.document, (Kind.INVOICE, Kind.RECEIPT))
            for one in document.preceding_invoices
            if one.document
        ]
    return found


def _rules(kind: Kind) -> KindRules:
    return KindRules(
        kind=kind,
        state=Document,
        events={**e.EVENTS[kind], "imported": DocumentImported, "corrected": DocumentCorrected},
        creation="drafted",
        evolve=partial(evolve, kind=kind),
        admit=partial(admit, kind=kind),
        number=_number,
        references=references,
        older=e.OLDER,
    )


RULES: dict[Kind, KindRules] = {kind: _rules(kind) for kind in DOCUMENT_KINDS}
