"""What may be done to an entity beside changing it: each a POST to an address of its own, below the entity's.

An action reads its fields and runs one command; whether it may happen is for the domain's rules to say.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from domain import commands
from domain.documents.fields import Payment
from domain.entity import converted
from domain.ids import EntityId
from domain.kinds import Kind
from domain.parties import LongText, Value
from domain.rules import RULES
from domain.work import ReferenceUnknown, Work


class Made(NamedTuple):
    """An entity that an action made."""

    kind: Kind
    id: EntityId


Fields = dict[str, Any]
Run = Callable[[Work, Kind, EntityId, Fields], Made | None]


class Action(NamedTuple):
    """One action: its address below the entity, what it is, what its body holds, and how it is run."""

    path: str
    summary: str
    body: type[Struct] | None
    run: Run
    makes: bool = False


class NoFields(Value, frozen=True, kw_only=True):
    """An action that takes no fields."""


class MergeFields(Value, frozen=True, kw_only=True):
    """The entity that will stand for it."""

    into: EntityId


class IssueFields(Value, frozen=True, kw_only=True):
    """Date (default: the draft's, else today) and, for a receipt, the payments that it was paid with."""

    issue_date: date | None = None
    payments: tuple[Payment, ...] = ()


class ConvertFields(Value, frozen=True, kw_only=True):
    """The kind of the document to draft from it."""

    to: Literal["invoice", "purchase_order", "delivery_note"]


class ReversalFields(Value, frozen=True, kw_only=True):
    """When and why a payment turned out not to stand; the day defaults to today."""

    date: date | None = None
    reason: LongText | None = None


class ReasonFields(Value, frozen=True, kw_only=True):
    """Why."""

    reason: LongText | None = None


class ResumeFields(Value, frozen=True, kw_only=True):
    """The first day of the period to go on with; the one that was next unless given."""

    next_date: date | None = None


def of(kind: Kind) -> list[Action]:
    """The actions that entities of *kind* know."""
    if kind.is_document:
        return _of_document(kind)
    return list(_SUBSCRIPTION if kind is Kind.SUBSCRIPTION else _MASTER_DATA)


def _archive(work: Work, kind: Kind, id_: EntityId, fields: Fields) -> None:
    converted(fields, NoFields)
    commands.archive(work, kind, id_)


def _unarchive(work: Work, kind: Kind, id_: EntityId, fields: Fields) -> None:
    converted(fields, NoFields)
    commands.unarchive(work, kind, id_)


def _merge(work: Work, kind: Kind, id_: EntityId, fields: Fields) -> None:
    into = converted(fields, MergeFields).into
    target = work.find(into)
    if target is None or not isinstance(target, RULES[kind].state):
        raise ReferenceUnknown("into", into, kind.value)
    commands.merge(work, kind, id_, into)


def _issue(work: Work, kind: Kind, id_: EntityId, fields: Fields) -> None:
    given = fields.get("payments")
    if isinstance(given, list) and all(isinstance(payment, dict) for payment in given):
        defaults = {"date": work.today.isoformat()}
        fields = {**fields, "payments": [{"id": str(work.new_id()), **defaults, **payment} for payment in given]}
    wanted = converted(fields, IssueFields)
    payments = fields.get("payments", ())
    commands.issue(work, kind, id_, issue_date=wanted.issue_date, payments=payments)


def _convert(work: Work, kind: Kind, id_: EntityId, fields: Fields) -> Made:
    to = Kind(converted(fields, ConvertFields).to)
    return Made(to, commands.convert(work, kind, id_, to))


def _credit(work: Work, kind: Kind, id_: EntityId, fields: Fields) -> Made:
    converted(fields, NoFields)
    return Made(Kind.CREDIT_NOTE, commands.credit(work, id_, kind=kind))


def _pause(work: Work, _kind: Kind, id_: EntityId, fields: Fields) -> None:
    commands.pause(work, id_, converted(fields, ReasonFields).reason)


def _resume(work: Work, _kind: Kind, id_: EntityId, fields: Fields) -> None:
    commands.resume(work, id_, converted(fields, ResumeFields).next_date)


def _end(work: Work, _kind: Kind, id_: EntityId, fields: Fields) -> None:
    commands.end(work, id_, converted(fields, ReasonFields).reason)


def _invoice_period(work: Work, _kind: Kind, id_: EntityId, fields: Fields) -> Made:
    converted(fields, NoFields)
    return Made(Kind.INVOICE, commands.invoice_period(work, id_))


_MASTER_DATA = (
    Action("archive", "Offer it no longer for new documents", None, _archive),
    Action("unarchive", "Offer it again for new documents", None, _unarchive),
    Action("merge", "Let another of its kind stand for it", MergeFields, _merge),
)
_SUBSCRIPTION = (
    Action("pause", "Invoice nothing until it is resumed", ReasonFields, _pause),
    Action("resume", "Go on invoicing", ResumeFields, _resume),
    Action("end", "Invoice nothing any more", ReasonFields, _end),
    Action("invoice-period", "Make the invoice of the next period", None, _invoice_period, makes=True),
)
_CONVERTIBLE = (Kind.QUOTE, Kind.PURCHASE_ORDER, Kind.DELIVERY_NOTE)
_CREDITABLE = (Kind.INVOICE, Kind.RECEIPT)
# Each step of a document's life, by the event it is: its address, and what it says.
_STEPS = {
    "sent": ("sent", "Record that it went out"),
    "accepted": ("accepted", "Record that the customer said yes"),
    "declined": ("declined", "Record that the customer said no"),
    "expired": ("expired", "Record that its last day went by"),
    "delivered": ("delivered", "Record that goods were handed over"),
    "payment_registered": ("payments", "Register a payment"),
    "reminded": ("reminders", "Record a reminder that went out"),
    "cancelled": ("cancel", "Call it off"),
}


def _of_document(kind: Kind) -> list[Action]:
    known = [Action("issue", "Give it its number and fix what it says", IssueFields, _issue)]
    for fact in commands.steps_of(kind):
        if fact in _STEPS:
            path, summary = _STEPS[fact]
            known.append(Action(path, summary, RULES[kind].events[fact], _step(fact)))
    if kind in _CONVERTIBLE:
        known.append(Action("convert", "Draft another document from it", ConvertFields, _convert, makes=True))
    if kind in _CREDITABLE:
        known.append(Action("credit", "Draft a credit note over it", None, _credit, makes=True))
    return known


def _step(fact: str) -> Run:
    def step(work: Work, kind: Kind, id_: EntityId, fields: Fields) -> None:
        commands.record(work, kind, id_, fact, fields)

    return step


def reverse_payment(work: Work, kind: Kind, id_: EntityId, payment: str, fields: Fields) -> None:
    """Record that a payment turned out not to stand."""
    converted(fields, ReversalFields)
    commands.record(work, kind, id_, "payment_reversed", {**fields, "payment": payment})
