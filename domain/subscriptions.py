"""Subscriptions: what is invoiced again and again, each period at most once."""

from __future__ import annotations

import calendar
from collections.abc import Iterable
from datetime import date, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from domain.codes import Currency
from domain.entity import (
    Corrected,
    FieldRefused,
    Imported,
    KindRules,
    NotPossible,
    Reference,
    changed_fields,
    fact_of,
    partial,
    whole,
)
from domain.ids import EntityId
from domain.kinds import Kind
from domain.lines import CustomFields, Line, check_lines
from domain.parties import LongText, PaymentTerms, Text, Value


class SubscriptionState(StrEnum):
    """Where a subscription is in its life."""

    ACTIVE = "active"
    PAUSED = "paused"
    ENDED = "ended"


class Interval(Value, frozen=True, kw_only=True):
    """How long a period lasts: *n* months or weeks."""

    n: Annotated[int, Meta(ge=1, le=120)]
    unit: Literal["months", "weeks"]


class SubscriptionFields(Value, frozen=True, kw_only=True):
    """What is agreed. ``next_date`` is the first day of the period that is invoiced next, ``until`` the last day
    on which one may begin; both on the seller's calendar. Lines carry no net amount: each invoice computes its own.
    """

    customer: EntityId
    lines: tuple[Line, ...]
    interval: Interval
    next_date: date
    until: date | None = None
    currency: Currency
    layout: EntityId | None = None
    payment_terms: PaymentTerms | None = None
    auto_issue: bool = False
    custom_fields: CustomFields = {}


class Started(SubscriptionFields, frozen=True, kw_only=True):
    """The subscription began."""


Changed = partial("Changed", SubscriptionFields, doc="Fields of the subscription changed: the whole new value of each.")


class Paused(Value, frozen=True, kw_only=True):
    """Nothing is invoiced until it is resumed."""

    reason: LongText | None = None


class PeriodLeftOut(Value, frozen=True, kw_only=True):
    """A period that *document* invoiced in another stream of the account, from ``start`` up to before ``next_date``."""

    start: date
    next_date: date
    document: EntityId
    number: Text | None = None
    stream: Annotated[int, Meta(ge=1, le=2**31 - 1)]


class Resumed(Value, frozen=True, kw_only=True):
    """Invoicing goes on, with the period that begins on ``next_date``; or, where periods that were invoiced in other
    streams are left out, with the one that begins on ``goes_on_from``.
    """

    next_date: date | None = None
    goes_on_from: date | None = None
    left_out: tuple[PeriodLeftOut, ...] = ()


class Ended(Value, frozen=True, kw_only=True):
    """Nothing is invoiced any more."""

    reason: LongText | None = None


class PeriodInvoiced(Value, frozen=True, kw_only=True):
    """The period that began on ``start`` got its invoice."""

    document: EntityId
    start: date
    next_date: date


class Subscription(SubscriptionFields, frozen=True):
    """A subscription as it is; ``invoiced_until`` is the last day that an invoice covers, ``day`` the day of the month
    on which its periods begin where the month has one. ``left_out`` is what the last resumption left out.
    """

    id: EntityId
    version: int
    day: Annotated[int, Meta(ge=1, le=31)]
    state: SubscriptionState = SubscriptionState.ACTIVE
    invoiced_until: date | None = None
    left_out: tuple[PeriodLeftOut, ...] = ()


SubscriptionImported = whole(Imported, Subscription)
SubscriptionCorrected = whole(Corrected, Subscription)

EVENTS: dict[str, type[Value]] = {
    "started": Started,
    "changed": Changed,
    "paused": Paused,
    "resumed": Resumed,
    "ended": Ended,
    "period_invoiced": PeriodInvoiced,
    "imported": SubscriptionImported,
    "corrected": SubscriptionCorrected,
}

_POSSIBLE: dict[type[Value], tuple[SubscriptionState, ...]] = {
    Changed: (SubscriptionState.ACTIVE, SubscriptionState.PAUSED),
    Paused: (SubscriptionState.ACTIVE,),
    # An active one may be resumed too: that is how the hold of a restore is lifted.
    Resumed: (SubscriptionState.PAUSED, SubscriptionState.ACTIVE),
    Ended: (SubscriptionState.ACTIVE, SubscriptionState.PAUSED),
    PeriodInvoiced: (SubscriptionState.ACTIVE,),
    SubscriptionCorrected: tuple(SubscriptionState),
}


def next_period(start: date, interval: Interval, *, day: int | None = None) -> date:
    """The first day of the period after the one that begins on *start*: for months, on *day* (default: start's) of the
    month, or on its last where it is shorter.
    """
    if interval.unit == "weeks":
        return start + timedelta(weeks=interval.n)
    month = start.month - 1 + interval.n
    year, month = start.year + month // 12, month % 12 + 1
    return date(year, month, min(day or start.day, calendar.monthrange(year, month)[1]))


def first_free(start: date, interval: Interval, day: int, invoiced: Iterable[PeriodLeftOut]) -> date:
    """The first day, from *start* on and as the interval has it, of a period that none of *invoiced* reaches into.

    Raises FieldRefused where the calendar ends before.
    """
    ahead = [one for one in invoiced if one.next_date > start]
    try:
        while ahead:
            following = next_period(start, interval, day=day)
            if not any(one.start < following for one in ahead):
                break
            start = following
            ahead = [one for one in ahead if one.next_date > start]
    except (ValueError, OverflowError):
        raise FieldRefused("next_date", f"none free after {start}", f"one up to {date.max}") from None
    return start


def evolve(state: Subscription | None, event: Any, entity_id: EntityId, version: int) -> Subscription:
    """The subscription after *event*."""
    if state is None:
        fields = {name: getattr(event, name) for name in event.__struct_fields__}
        return Subscription(id=entity_id, version=version, **{"day": event.next_date.day, **fields})
    changes: dict[str, Any] = {}
    match event:
        case PeriodInvoiced():
            changes = {"next_date": event.next_date, "invoiced_until": event.next_date - timedelta(days=1)}
        case Paused():
            changes = {"state": SubscriptionState.PAUSED}
        case Resumed():
            changes = {"state": SubscriptionState.ACTIVE, "left_out": event.left_out, **_begins_on(event.next_date)}
            if event.goes_on_from is not None:
                changes["next_date"] = event.goes_on_from
        case Ended():
            changes = {"state": SubscriptionState.ENDED}
        case Corrected():
            changes = changed_fields(event)
        case _:
            changes = changed_fields(event)
            changes |= _begins_on(changes.get("next_date"))
    return msgspec.structs.replace(state, version=version, **changes)


def _begins_on(next_date: date | None) -> dict[str, Any]:
    return {"next_date": next_date, "day": next_date.day} if next_date is not None else {}


def admit(state: Subscription | None, event: Any) -> None:
    """The rules of subscriptions. Raises NotPossible or FieldRefused."""
    fact = fact_of(event)
    if state is None:
        if not isinstance(event, (Started, Imported)):
            raise NotPossible("subscription", fact, "not there", "it is there")
        _check(evolve(None, event, EntityId(""), 0))
        return
    possible = _POSSIBLE.get(type(event), ())
    if state.state not in possible:
        allowed = " or ".join(one.value for one in possible) or "it is not there yet"
        raise NotPossible("subscription", fact, state.state.value, allowed)
    if isinstance(event, PeriodInvoiced):
        _check_period(state, event)
    elif isinstance(event, Resumed):
        _check_resumed(state, event)
    elif isinstance(event, (Changed, Corrected)):
        after = evolve(state, event, state.id, state.version)
        _check(after)
        if state.invoiced_until and (after.invoiced_until is None or after.invoiced_until < state.invoiced_until):
            found = after.invoiced_until.isoformat() if after.invoiced_until else "none"
            raise FieldRefused("invoiced_until", found, f"{state.invoiced_until} or later: what is invoiced stays so")


def _check_resumed(state: Subscription, event: Resumed) -> None:
    if event.next_date and state.invoiced_until and event.next_date <= state.invoiced_until:
        raise _invoiced_already(event.next_date, state.invoiced_until)
    asked = event.next_date or state.next_date
    if event.goes_on_from is None:
        return
    if not event.left_out:
        raise FieldRefused("goes_on_from", event.goes_on_from.isoformat(), "none where no period is left out")
    if event.goes_on_from <= asked:
        raise FieldRefused("goes_on_from", event.goes_on_from.isoformat(), f"a day after {asked}")


def _check_period(state: Subscription, event: PeriodInvoiced) -> None:
    if event.start != state.next_date:
        raise FieldRefused(
            "start", event.start.isoformat(), f"{state.next_date}, the period that is next: each is invoiced once"
        )
    if event.next_date <= event.start:
        raise FieldRefused("next_date", event.next_date.isoformat(), f"a day after {event.start}")
    if state.until and event.start > state.until:
        raise FieldRefused("start", event.start.isoformat(), f"a day up to {state.until}, its last")


def _check(state: Subscription) -> None:
    if not state.lines:
        raise FieldRefused("lines", "none", "at least one line")
    check_lines(state.lines)
    if any(line.net_amount is not None for line in state.lines):
        raise FieldRefused("lines.net_amount", "an amount", "none: each invoice computes its own")
    if state.invoiced_until and state.next_date <= state.invoiced_until:
        raise _invoiced_already(state.next_date, state.invoiced_until)


def _invoiced_already(found: date, invoiced_until: date) -> FieldRefused:
    return FieldRefused("next_date", found.isoformat(), f"a day after {invoiced_until}, invoiced already")


def _references(state: Subscription) -> list[Reference]:
    references = [Reference("customer", state.customer, (Kind.CUSTOMER,))]
    if state.layout:
        references.append(Reference("layout", state.layout, (Kind.LAYOUT,)))
    for line in state.lines:
        if line.item:
            references.append(Reference("lines.item", line.item, (Kind.ITEM,)))
        if line.ledger_account:
            references.append(Reference("lines.ledger_account", line.ledger_account, (Kind.LEDGER_ACCOUNT,)))
    return references


RULES = KindRules(
    kind=Kind.SUBSCRIPTION,
    state=Subscription,
    events=EVENTS,
    creation="started",
    evolve=evolve,
    admit=admit,
    number=lambda _: None,
    references=_references,
)
