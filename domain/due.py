"""Periods of subscriptions: what was invoiced, what has fallen due, and making the invoices of all that has.

Each invoice is a command of its own. A period is invoiced once, so doing it again, or twice at once, goes on where it
was left.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import NamedTuple

from domain import commands
from domain.application import Actor, Application
from domain.control import AccountClosed
from domain.entity import NotPossible
from domain.errors import DomainError
from domain.ids import AccountId, EntityId
from domain.kinds import Kind
from domain.parties import Value
from domain.subscriptions import Subscription, SubscriptionState, next_period
from domain.work import BooksClosed, Work

DAILY = "daily-invoices"
"""The module with which an account has the invoices of its subscriptions made by the service, each day."""

ACTOR = Actor.system("subscriptions", "subscription")
MOST_AT_ONCE = 10_000  # the report names each
MOST_SHOWN = 120  # periods that are due: ten years of months


class InvoicedPeriod(Value, frozen=True, kw_only=True):
    """A period, both days included, and the invoice that it got, in which stream."""

    start: date
    end: date
    document: EntityId
    number: str | None = None
    stream: int


class OpenPeriod(Value, frozen=True, kw_only=True):
    """A period, both days included, that has no invoice yet."""

    start: date
    end: date


class Periods(Value, frozen=True, kw_only=True):
    """A subscription's periods: invoiced in any stream of the account, begun and without an invoice, the next to come.

    ``waits`` says why what has begun cannot be invoiced now, where that is so.
    """

    subscription: EntityId
    state: SubscriptionState
    invoiced: tuple[InvoicedPeriod, ...] = ()
    due: tuple[OpenPeriod, ...] = ()
    next: OpenPeriod | None = None
    waits: str | None = None


class Made(Value, frozen=True, kw_only=True):
    """An invoice that was made for a period."""

    subscription: EntityId
    start: date
    document: EntityId
    number: str | None = None


class Waiting(Value, frozen=True, kw_only=True):
    """A period that has begun and got no invoice, and why."""

    subscription: EntityId
    start: date
    code: str
    reason: str


class DueReport(Value, frozen=True, kw_only=True):
    """What became of the periods that had begun by ``until``; ``more`` when there are some left for the next time."""

    until: date
    made: tuple[Made, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    more: bool = False


def periods_of(work: Work, id_: EntityId) -> Periods:
    """The periods of a subscription. Raises EntityUnknown."""
    state: Subscription = work.get(Kind.SUBSCRIPTION, id_)
    invoiced = [
        InvoicedPeriod(
            start=one.start,
            end=one.next_date - timedelta(days=1),
            document=one.document,
            number=one.number,
            stream=one.stream,
        )
        for one in work.reader.invoiced(id_)
    ]
    due: list[OpenPeriod] = []
    following = _from(state, state.next_date)
    while following is not None and following.start <= work.today and len(due) < MOST_SHOWN:
        due.append(following)
        following = _from(state, following.end + timedelta(days=1))
    waits = None
    if due:
        try:
            commands.due_period(work, id_)
        except (NotPossible, BooksClosed) as reason:
            waits = str(reason)
    return Periods(
        subscription=id_, state=state.state, invoiced=tuple(invoiced), due=tuple(due), next=following, waits=waits
    )


def _from(state: Subscription, start: date) -> OpenPeriod | None:
    """The period of *state* that begins on *start*; None where none does."""
    if state.state is SubscriptionState.ENDED or (state.until is not None and start > state.until):
        return None
    try:
        return OpenPeriod(start=start, end=next_period(start, state.interval, day=state.day) - timedelta(days=1))
    except (ValueError, OverflowError):  # the calendar ends
        return None


class _Next(NamedTuple):
    """A subscription's next period."""

    subscription: EntityId
    start: date


def invoice_due(
    application: Application,
    account: AccountId,
    actor: Actor,
    *,
    most: int = MOST_AT_ONCE,
    progress: Callable[[str, int, int], None] = lambda _what, _done, _of: None,
) -> DueReport:
    """Make the invoices of all periods of the account's subscriptions that have begun, oldest subscription first.

    What cannot be invoiced is told with its reason, and keeps nothing else from being. At most *most* invoices. Raises
    AccountClosed, and RoleLacking or AccountUnknown for whoever may not make invoices, before the first of them.
    """
    today, begun = application.run(account, actor, _begun)
    made: list[Made] = []
    waiting: list[Waiting] = []
    for count, one in enumerate(begun):
        progress("subscriptions", count, len(begun))
        following = one
        while following.start <= today and len(made) < most:
            try:
                done, after = application.run(account, actor, _invoicing(following), reads=[one.subscription])
            except AccountClosed:
                raise
            except DomainError as reason:
                waiting.append(
                    Waiting(subscription=one.subscription, start=following.start, code=reason.code, reason=str(reason))
                )
                break
            made += done
            if after is None:
                break
            following = after
    progress("subscriptions", len(begun), len(begun))
    return DueReport(until=today, made=tuple(made), waiting=tuple(waiting), more=len(made) >= most)


def _begun(work: Work) -> tuple[date, list[_Next]]:
    """Today, and the active subscriptions whose next period has begun."""
    found = [
        _Next(state.id, state.next_date)
        for state in work.all_of(Kind.SUBSCRIPTION)
        if state.state is SubscriptionState.ACTIVE
        and state.next_date <= work.today
        and (state.until is None or state.next_date <= state.until)
    ]
    return work.today, sorted(found)


def _invoicing(wanted: _Next) -> Callable[[Work], tuple[list[Made], _Next | None]]:
    """The command that invoices the period that is *wanted*, unless somebody else just did; and what is next then."""

    def invoice(work: Work) -> tuple[list[Made], _Next | None]:
        state = work.find(wanted.subscription)
        made = []
        if isinstance(state, Subscription) and state.next_date == wanted.start:
            document = commands.invoice_period(work, wanted.subscription)
            number = work.get(Kind.INVOICE, document).number
            made.append(Made(subscription=wanted.subscription, start=wanted.start, document=document, number=number))
            state = work.get(Kind.SUBSCRIPTION, wanted.subscription)
        if not isinstance(state, Subscription) or _from(state, state.next_date) is None:
            return made, None
        return made, _Next(state.id, state.next_date)

    return invoice
