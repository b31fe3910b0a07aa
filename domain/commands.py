"""What people do with an account's entities: each command decides events on a ``Work``, or raises a DomainError.

Ids of new entities are made here, never taken from a caller. Dates are the seller's calendar.
"""

from __future__ import annotations

import calendar
import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any, NamedTuple

from msgspec.structs import replace

from domain import layouts, subscriptions
from domain.checksums import customer_faults
from domain.custom_fields import fitting
from domain.customers import Customer
from domain.decimals import ZERO
from domain.documents import events as e
from domain.documents.document import Document, DocumentState
from domain.documents.fields import Attachment, DerivedFrom, DocumentFields, Payment, PrecedingInvoice
from domain.documents.rules import CONVERSIONS
from domain.entity import Archived, Deleted, FieldRefused, Merged, NotPossible, Unarchived, changed_fields, converted
from domain.ids import EntityId
from domain.kinds import Kind
from domain.lines import Line, Period, with_net_amounts
from domain.parties import PaymentTerms, Value
from domain.rules import RULES
from domain.work import StillReferred, Work

MAX_ATTACHMENT_BYTES = 32 * 1024 * 1024  # 32 MiB: a command holds it in memory, several times over
# UNTDID 1001: commercial invoice, credit note (BT-3).
TYPE_CODES = {Kind.INVOICE: "380", Kind.CREDIT_NOTE: "381"}


def read_fields(kind: Kind, fact: str, fields: Mapping[str, Any]) -> Any:
    """The data of an event of *kind* from plain *fields*, as JSON carries them. Raises FieldRefused."""
    return converted(dict(fields), RULES[kind].events[fact])


def create(work: Work, kind: Kind, fields: Mapping[str, Any]) -> EntityId:
    """Make an entity of *kind* from *fields* (JSON values); language and currency default to the account's.

    A customer's VAT and bank account numbers are checked, as ``change`` does: FieldRefused for a wrong checksum.
    """
    made = create_from(work, kind, read_fields(kind, RULES[kind].creation, with_defaults(work, kind, fields)))
    if kind is Kind.CUSTOMER:
        _check_numbers(work.get(kind, made), fields)
    return made


def _check_numbers(customer: Customer, fields: Mapping[str, Any]) -> None:
    """Refuse the first wrong VAT or bank account number among *fields*; what was there before stays as it is."""
    for fault in customer_faults(customer):
        if re.split(r"[.\[]", fault.field)[0] in fields:
            raise fault


def with_defaults(work: Work, kind: Kind, fields: Mapping[str, Any]) -> dict[str, Any]:
    """*fields* with defaults where the kind has them: the account's language and currency, unit C62, type code."""
    settings = work.control.settings
    known = RULES[kind].events[RULES[kind].creation].__struct_fields__
    defaults = {"language": settings.language, "currency": settings.currency, "unit": "C62"}
    if kind in TYPE_CODES:
        defaults["type_code"] = TYPE_CODES[kind]
    return {**{name: value for name, value in defaults.items() if name in known}, **fields}


def create_from(work: Work, kind: Kind, data: Value) -> EntityId:
    """Make an entity of *kind* from the data of its creating event; a document's net amounts are computed here."""
    if isinstance(data, DocumentFields):
        data = replace(data, lines=with_net_amounts(data.lines, data.currency))
        work.check_open(data.issue_date)
    id_ = work.new_id()
    state = work.record(kind, id_, data)
    _check_across(work, kind, state)
    return id_


def change(work: Work, kind: Kind, id_: EntityId, fields: Mapping[str, Any]) -> None:
    """Set *fields* (JSON values; null takes an optional one away). Lines of a document are set as a whole."""
    state = work.get(kind, id_)
    fields = dict(fields)
    if not fields:
        return
    if kind.is_document:
        work.check_open(state.issue_date)
        amounts: dict[str, Any] = {
            name: fields.pop(name) for name in ("lines", "allowances", "charges") if name in fields
        }
        if fields:
            _change_draft(work, kind, state, read_fields(kind, "changed", fields))
        if amounts:
            now = {name: getattr(state, name) for name in ("lines", "allowances", "charges")}
            _change_lines(work, kind, id_, read_fields(kind, "lines_changed", {**now, **amounts}))
        return
    after = work.record(kind, id_, read_fields(kind, "changed", fields))
    if kind is Kind.LEDGER_ACCOUNT and after.number != state.number:
        _check_children(work, id_, after.number)
    if kind is Kind.CUSTOMER:
        _check_numbers(after, fields)
    _check_across(work, kind, after)


def _change_draft(work: Work, kind: Kind, state: Document, changed: Any) -> None:
    values = changed_fields(changed)
    work.check_open(values.get("issue_date"))
    currency = values.get("currency", state.currency)
    if currency != state.currency and state.lines:
        # Another minor unit rounds otherwise: lines are written anew for it, after they are taken off in the old one.
        work.record(kind, state.id, e.LinesChanged(lines=()))
        work.record(kind, state.id, changed)
        again = e.LinesChanged(lines=state.lines, allowances=state.allowances, charges=state.charges)
        _change_lines(work, kind, state.id, again)
        return
    work.record(kind, state.id, changed)


def _change_lines(work: Work, kind: Kind, id_: EntityId, changed: e.LinesChanged) -> None:
    state: Document = work.get(kind, id_)
    work.record(kind, id_, replace(changed, lines=with_net_amounts(changed.lines, state.currency)))


def archive(work: Work, kind: Kind, id_: EntityId) -> None:
    """Offer the entity no longer."""
    work.get(kind, id_)
    work.record(kind, id_, Archived())


def unarchive(work: Work, kind: Kind, id_: EntityId) -> None:
    """Offer the entity again."""
    work.get(kind, id_)
    work.record(kind, id_, Unarchived())
    _check_across(work, kind, work.get(kind, id_))


def merge(work: Work, kind: Kind, id_: EntityId, into: EntityId) -> None:
    """Let *into* stand for the entity; it stays for history."""
    work.get(kind, id_)
    survivor = work.get(kind, into)
    if kind is Kind.LEDGER_ACCOUNT:
        _check_children(work, id_, survivor.number)
    work.record(kind, id_, Merged(into=into))


def delete(work: Work, kind: Kind, id_: EntityId) -> None:
    """Delete an entity, a document only as a draft; what it was made from may be converted again then.

    Raises StillReferred while something but a draft refers to an entity that is no document.
    """
    state = work.get(kind, id_)
    if kind.is_document:
        work.check_open(state.issue_date)
        for derived in state.derived_from:
            origin = work.find(derived.document)
            if origin is not None and any(made.document == id_ for made in origin.converted_to):
                work.record(origin.kind, origin.id, e.ConversionUndone(document=id_))
        work.record(kind, id_, e.DraftDeleted())
        return
    found = work.referring(id_)
    if found:
        raise StillReferred(kind.value, f"{found[0]} {found[1]}")
    work.record(kind, id_, Deleted())


def _check_across(work: Work, kind: Kind, state: Any) -> None:
    """Rules over several entities of one kind: chart numbers, default layouts."""
    if kind is Kind.LEDGER_ACCOUNT and state.parent:
        parent = work.get(Kind.LEDGER_ACCOUNT, state.parent)
        if not state.number.startswith(parent.number) or state.number == parent.number:
            raise FieldRefused("number", state.number, f"a number that begins with its parent's, {parent.number}")
    if kind is Kind.LAYOUT and layouts.default_keys(state):
        for other in work.all_of(Kind.LAYOUT):
            both = set(layouts.default_keys(other)) & set(layouts.default_keys(state))
            if other.id != state.id and both:
                raise FieldRefused(
                    "default_for", f"{min(both)}, whose default is {other.name!r}", "one default for each"
                )


def _check_children(work: Work, id_: EntityId, number: str) -> None:
    """That *number* can be the number above all ledger accounts whose parent is *id_*."""
    for child in work.all_of(Kind.LEDGER_ACCOUNT):
        if child.parent == id_ and (not child.number.startswith(number) or child.number == number):
            raise FieldRefused("number", number, f"a number that {child.number}, whose parent it would be, begins with")


# Documents ------------------------------------------------------------------------------------------------------------


def issue(
    work: Work,
    kind: Kind,
    id_: EntityId,
    *,
    issue_date: date | None = None,
    payments: Iterable[Mapping[str, Any]] = (),
) -> str:
    """Give the draft its number and date (default: the draft's, else today's) and fix what it says. Its number.

    A receipt takes the payments that it was paid with. A credit note credits the invoices that it refers to.
    """
    draft: Document = work.get(kind, id_)
    on = issue_date or draft.issue_date or work.today
    work.check_open(on)
    number = work.next_number(kind, on)
    taken = converted([dict(payment) for payment in payments], tuple[Payment, ...], within="payments")
    issue_as(work, kind, id_, number=number, on=on, payments=taken)
    return number


def issue_as(
    work: Work, kind: Kind, id_: EntityId, *, number: str, on: date, payments: tuple[Payment, ...] = ()
) -> None:
    """Issue the draft under *number*, which its series or another system gave out."""
    draft: Document = work.get(kind, id_)
    customer: Customer = work.standing(Kind.CUSTOMER, draft.customer)
    work.check_references(draft)
    _check_origins_issued(work, draft)
    seller = draft.seller or work.control.settings.company
    if seller is None:
        raise FieldRefused("seller", "no company details", "the company in the account's settings")
    totals = draft.totals
    if totals is None:
        raise NotPossible(kind.value, "issued", draft.state.value, "draft")
    if kind is Kind.RECEIPT:
        paid = sum((payment.amount for payment in payments), ZERO)
        totals = replace(totals, paid=paid, due=totals.due - paid)
    issued = e.Issued(
        number=number,
        issue_date=on,
        due_date=_due_date(kind, draft, customer, on),
        seller=seller,
        buyer=draft.buyer or customer.party,
        totals=totals,
        vat_breakdown=draft.vat_breakdown,
        payments=payments,
    )
    after = work.record(kind, id_, issued)
    if kind is Kind.CREDIT_NOTE:
        _credit_preceding(work, after)


def _check_origins_issued(work: Work, draft: Document) -> None:
    """That no document that lasts points to one that can still be deleted."""
    origins = [("derived_from", origin.document) for origin in draft.derived_from]
    origins += [("preceding_invoices", one.document) for one in draft.preceding_invoices if one.document]
    for field, id_ in origins:
        origin: Document | None = work.find(id_)
        if origin is None or not origin.is_issued:
            raise FieldRefused(field, f"{id_}, a draft", "documents that are issued")


def _due_date(kind: Kind, draft: Document, customer: Customer, on: date) -> date | None:
    if kind not in (Kind.INVOICE, Kind.CREDIT_NOTE):
        return None
    if draft.due_date is not None:
        return draft.due_date
    terms = draft.payment_terms or customer.payment_terms
    return due_date(on, terms) if terms is not None and terms.days is not None else None


def due_date(on: date, terms: PaymentTerms) -> date:
    """The day on which something dated *on* is to be paid. Raises FieldRefused where the calendar ends before."""
    start = on
    if terms.end_of_month:
        start = on.replace(day=calendar.monthrange(on.year, on.month)[1])
    try:
        return start + timedelta(days=terms.days or 0)
    except OverflowError:
        raise FieldRefused("due_date", f"{terms.days} days after {start}", f"a day up to {date.max}") from None


def _credit_preceding(work: Work, note: Document) -> None:
    """Take the note's total back from the invoices it names, in their order, each up to what is left of it."""
    assert note.totals is not None, "an issued document has totals"
    left = note.totals.with_vat
    for preceding in note.preceding_invoices:
        document = work.find(preceding.document) if preceding.document else None
        if document is None or left <= 0 or document.state is DocumentState.CREDITED:
            continue
        amount = min(left, document.totals.with_vat - document.credited)
        if amount > 0:
            work.record(document.kind, document.id, e.Credited(by=note.id, amount=amount))
            left -= amount
    named = any(preceding.document for preceding in note.preceding_invoices)
    if named and left > 0:
        raise FieldRefused(
            "preceding_invoices",
            f"invoices with {note.totals.with_vat - left} left to credit",
            f"ones with the note's {note.totals.with_vat}",
        )


def record(work: Work, kind: Kind, id_: EntityId, fact: str, fields: Mapping[str, Any]) -> None:
    """A step of a document's life that is one event: sent, accepted, declined, expired, delivered, payment_registered,
    payment_reversed, reminded, cancelled. A date that the event has and *fields* lacks is today's.
    """
    work.get(kind, id_)
    data_type = RULES[kind].events.get(fact)
    if data_type is None or fact not in STEPS:
        raise NotPossible(kind.value, fact, "of a kind that never is", f"it is one of {', '.join(steps_of(kind))}")
    values = dict(fields)
    if "date" in data_type.__struct_fields__:
        values.setdefault("date", work.today.isoformat())
    if fact == "payment_registered":
        values.setdefault("id", str(work.new_id()))
    data = read_fields(kind, fact, values)
    work.check_open(getattr(data, "date", None))
    work.record(kind, id_, data)


STEPS = frozenset(
    {
        "sent",
        "accepted",
        "declined",
        "expired",
        "delivered",
        "payment_registered",
        "payment_reversed",
        "reminded",
        "cancelled",
    }
)


def steps_of(kind: Kind) -> list[str]:
    """The steps that ``record`` takes for documents of *kind*."""
    return [fact for fact in RULES[kind].events if fact in STEPS]


_NOT_CARRIED = {
    "issue_date",
    "due_date",
    "valid_until",
    "requested_delivery",
    "carrier",
    "parcels",
    "derived_from",
    "type_code",
}


def convert(work: Work, kind: Kind, id_: EntityId, to: Kind) -> EntityId:
    """Draft a document of kind *to* from this one, recording on both where it came from. The new document's id."""
    origin: Document = work.get(kind, id_)
    possible = CONVERSIONS.get(kind, ())
    if to not in possible:
        raise NotPossible(
            kind.value, f"converted to {to.value}", origin.state.value, f"to {' or '.join(possible) or 'nothing'}"
        )
    values = _carried(work, origin, to)
    del values["seller"], values["buyer"]  # copies, fixed at the issue of each document
    drafted = e.Drafted(
        **values,
        derived_from=(DerivedFrom(document=id_),),
        type_code=TYPE_CODES.get(to),
    )
    made = work.new_id()
    work.record(to, made, drafted)
    work.record(kind, id_, e.Converted(to=made, kind=to.value))  # type: ignore[arg-type]  # CONVERSIONS holds these kinds
    return made


def _carried(work: Work, origin: Document, to: Kind) -> dict[str, Any]:
    """What a document of kind *to* takes over from *origin*: with what stands for what was merged since, and those
    custom fields that *to* has as well.
    """
    values = {name: getattr(origin, name) for name in DocumentFields.__struct_fields__ if name not in _NOT_CARRIED}
    layout = work.standing(Kind.LAYOUT, origin.layout) if origin.layout else None
    return {
        **values,
        "customer": work.standing(Kind.CUSTOMER, origin.customer).id,
        "layout": layout.id if layout is not None and to.value in layout.document_kinds else None,
        "lines": _carried_lines(work, origin.lines),
        "custom_fields": fitting(to.value, origin.custom_fields, work.control.defined_fields()),
    }


def _carried_lines(work: Work, lines: Iterable[Line]) -> tuple[Line, ...]:
    defined = work.control.defined_fields()
    return tuple(
        replace(
            line,
            item=work.standing(Kind.ITEM, line.item).id if line.item else None,
            ledger_account=(
                work.standing(Kind.LEDGER_ACCOUNT, line.ledger_account).id if line.ledger_account else None
            ),
            custom_fields=fitting("line", line.custom_fields, defined),
        )
        for line in lines
    )


def credit(work: Work, id_: EntityId, *, kind: Kind = Kind.INVOICE) -> EntityId:
    """Draft a credit note over all that an invoice or receipt has left to credit in whole lines. The note's id."""
    origin: Document = work.get(kind, id_)
    if not origin.is_issued:
        raise NotPossible(kind.value, "credited", origin.state.value, "issued")
    if origin.totals is not None and origin.credited == origin.totals.with_vat:
        raise NotPossible(kind.value, "credited", origin.state.value, "something is left to credit")
    values = _carried(work, origin, Kind.CREDIT_NOTE)
    del values["prepaid"], values["preceding_invoices"]
    drafted = e.Drafted(
        **values,
        type_code=TYPE_CODES[Kind.CREDIT_NOTE],
        derived_from=(DerivedFrom(document=id_),),
        preceding_invoices=(PrecedingInvoice(document=id_, number=origin.number, date=origin.issue_date),),
    )
    made = work.new_id()
    work.record(Kind.CREDIT_NOTE, made, drafted)
    return made


def attach(work: Work, kind: Kind, id_: EntityId, attachment: Attachment, content: bytes) -> None:
    """Add a file to a draft; *content* is kept by its SHA-256, which *attachment* states. Raises FieldRefused."""
    work.check_open(work.get(kind, id_).issue_date)
    if len(content) > MAX_ATTACHMENT_BYTES:
        raise FieldRefused("size", f"{len(content):,} bytes", f"at most {MAX_ATTACHMENT_BYTES:,}")
    if attachment.size != len(content):
        raise FieldRefused("size", str(attachment.size), f"{len(content)}, the bytes that came")
    digest = hashlib.sha256(content).hexdigest()
    if attachment.sha256 != digest:
        raise FieldRefused("sha256", attachment.sha256, f"{digest}, the SHA-256 of the bytes that came")
    work.record(
        kind, id_, e.AttachmentAdded(**{name: getattr(attachment, name) for name in Attachment.__struct_fields__})
    )
    work.attachments[attachment.sha256] = content


def detach(work: Work, kind: Kind, id_: EntityId, attachment: str) -> None:
    """Take a file off a draft."""
    work.check_open(work.get(kind, id_).issue_date)
    work.record(kind, id_, e.AttachmentRemoved(id=attachment))


# Subscriptions --------------------------------------------------------------------------------------------------------


def pause(work: Work, id_: EntityId, reason: str | None = None) -> None:
    """Invoice nothing until it is resumed."""
    work.get(Kind.SUBSCRIPTION, id_)
    work.record(Kind.SUBSCRIPTION, id_, subscriptions.Paused(reason=reason))


def resume(work: Work, id_: EntityId, next_date: date | None = None) -> None:
    """Go on invoicing, with the period that begins on *next_date* (default: the one that was next).

    Periods from then on that were invoiced in any stream of the account are left out, which the state then names.
    """
    state: subscriptions.Subscription = work.get(Kind.SUBSCRIPTION, id_)
    asked = next_date or state.next_date
    left_out = tuple(one for one in work.reader.invoiced(id_) if one.next_date > asked)
    day = next_date.day if next_date else state.day
    free = subscriptions.first_free(asked, state.interval, day, left_out)
    resumed = subscriptions.Resumed(
        next_date=next_date, goes_on_from=free if free != asked else None, left_out=left_out
    )
    work.record(Kind.SUBSCRIPTION, id_, resumed)


def end(work: Work, id_: EntityId, reason: str | None = None) -> None:
    """Invoice nothing any more."""
    work.get(Kind.SUBSCRIPTION, id_)
    work.record(Kind.SUBSCRIPTION, id_, subscriptions.Ended(reason=reason))


def _check_not_held(work: Work, state: subscriptions.Subscription) -> None:
    """That the subscription did not come, or come back, with its next date already past: then it waits to be resumed.

    Nothing is recorded to hold it, so that a restored stream keeps its tree head; resuming is recorded, and lifts it.
    """
    back = work.reader.came_back(state.id)
    if back is not None and state.next_date < work.local_day(back):
        held = f"held since its stream was made live again on {work.local_day(back)}"
        raise NotPossible("subscription", "invoiced", held, "resumed")
    brought = work.reader.brought(state.id)
    if brought is None or brought.subscriptions == "moved":
        return
    came_on = work.local_day(brought.at)
    if brought.by == "clone" or state.next_date < came_on:
        raise NotPossible("subscription", "invoiced", f"held since it came by {brought.by} on {came_on}", "resumed")


def _check_not_invoiced(
    state: subscriptions.Subscription, following: date, invoiced: list[subscriptions.PeriodLeftOut]
) -> None:
    """That no other stream of the account invoiced the period that is next."""
    for one in invoiced:
        if state.next_date < one.next_date and one.start < following:
            raise NotPossible(
                "subscription",
                "invoiced",
                f"its period of {state.next_date} was invoiced by {one.number or one.document} in stream {one.stream}",
                "resumed, which leaves that period out",
            )


class Due(NamedTuple):
    """A subscription's period that can be invoiced: its first day, the first day after it, what was invoiced before."""

    start: date
    following: date
    invoiced: list[subscriptions.PeriodLeftOut]


def due_period(work: Work, id_: EntityId) -> Due:
    """The subscription's next period, which has begun.

    Raises NotPossible before the period has begun, once none begins any more, while the subscription is held, paused or
    ended, and where another stream of the account invoiced the period; BooksClosed where its first day is in closed
    books.
    """
    state: subscriptions.Subscription = work.get(Kind.SUBSCRIPTION, id_)
    start = state.next_date
    _check_not_held(work, state)
    if state.state is not subscriptions.SubscriptionState.ACTIVE:
        raise NotPossible("subscription", "invoiced", state.state.value, "active")
    if state.until is not None and start > state.until:
        raise NotPossible("subscription", "invoiced", f"over since {state.until}, its last day", "going on")
    if start > work.today:
        raise NotPossible(
            "subscription", "invoiced", f"next due on {start}", f"that day has come; today is {work.today}"
        )
    following = subscriptions.next_period(start, state.interval, day=state.day)
    invoiced = work.reader.invoiced(id_)
    _check_not_invoiced(state, following, invoiced)
    work.check_open(start)
    return Due(start, following, invoiced)


def invoice_period(work: Work, id_: EntityId) -> EntityId:
    """Make the invoice of the subscription's next period, issued at once when it is to be. The invoice's id.

    Raises what ``due_period`` does. Later periods that another stream invoiced are left out.
    """
    state: subscriptions.Subscription = work.get(Kind.SUBSCRIPTION, id_)
    start, following, invoiced = due_period(work, id_)
    customer: Customer = work.standing(Kind.CUSTOMER, state.customer)
    layout = work.standing(Kind.LAYOUT, state.layout) if state.layout else None
    drafted = e.Drafted(
        customer=customer.id,
        issue_date=start,
        currency=state.currency,
        language=customer.language,
        layout=layout.id if layout is not None else None,
        lines=with_net_amounts(_carried_lines(work, state.lines), state.currency),
        payment_terms=state.payment_terms,
        invoicing_period=Period(start=start, end=following - timedelta(days=1)),
        type_code=TYPE_CODES[Kind.INVOICE],
    )
    invoice = work.new_id()
    work.record(Kind.INVOICE, invoice, drafted)
    free = subscriptions.first_free(following, state.interval, state.day, invoiced)
    period = subscriptions.PeriodInvoiced(document=invoice, start=start, next_date=free)
    work.record(Kind.SUBSCRIPTION, id_, period)
    if state.auto_issue:
        issue(work, Kind.INVOICE, invoice)
    return invoice
