"""Histories that can happen to an account: hypothesis strategies, and how to play them through the commands.

A history is a list of abstract steps, so that hypothesis can shrink it: each says what is tried, and picks by number
among the entities for which that makes sense by then. A step that nothing fits, or that a rule refuses, is skipped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

import msgspec
from hypothesis import strategies as st

from domain import commands
from domain.accounts import Access
from domain.application import Actor, Application
from domain.documents import Document
from domain.documents.fields import Attachment
from domain.errors import DomainError, StoreError
from domain.ids import EntityId, PersonId
from domain.kinds import DOCUMENT_KINDS, Kind
from domain.work import Work, is_gone, kind_of

FIRST_MOMENT = datetime(2024, 11, 20, 9, 0, tzinfo=UTC)  # so that histories of some weeks see a new year's series


class Clock:
    """A clock that stands until it is moved, back as well as on."""

    def __init__(self, now: datetime = FIRST_MOMENT) -> None:
        self.now = now

    def __call__(self) -> datetime:
        """The time."""
        return self.now


class Step(NamedTuple):
    """Something that is tried: a verb, numbers to choose by, how much time goes by before, and who tries it."""

    verb: str
    pick: int
    other: int
    amount: int
    seconds: int
    who: int


History: TypeAlias = list[Step]


@dataclass
class Played:
    """What came of a history: every state that commands led to, by entity and version, and the states at the end."""

    states: dict[tuple[EntityId, int], str] = field(default_factory=dict)
    now: dict[EntityId, Any] = field(default_factory=dict)
    done: int = 0
    refused: dict[str, int] = field(default_factory=dict)


def play(application: Application, access: Access, history: History) -> Played:
    """Play *history* on the account, each step a command of one of its members. What came of it.

    Where the application's clock is a ``Clock``, time goes by as the steps say.
    """
    player = _Player(application, access)
    for step in history:
        player.try_(step)
    return player.played


def histories(*, least: int = 25, most: int = 80) -> st.SearchStrategy[History]:
    """Histories over every kind, of *least* to *most* steps after some in which there comes to be something to sell."""
    step = st.builds(
        Step,
        verb=st.sampled_from([verb for verb in _VERBS for _ in range(_OFTEN.get(verb, 1))]),
        pick=st.integers(0, 40),
        other=st.integers(0, 40),
        amount=st.integers(1, 100_000),
        seconds=st.one_of(st.integers(-3_600, 3_600), st.integers(0, 20 * 86_400)),
        who=st.integers(0, 3),
    )
    return st.lists(step, min_size=least, max_size=most).map(lambda steps: [*_BEGINNING, *steps])


def _plain(verb: str, pick: int = 0) -> Step:
    return Step(verb, pick, pick, 1_000, 60, 0)


_BEGINNING = [
    *(_plain(verb) for verb in ("enter_customer", "enter_customer", "enter_ledger_account", "enter_item")),
    *(_plain("draft", kind) for kind in range(len(DOCUMENT_KINDS))),
]

Command: TypeAlias = Callable[[Work], Any]


class _Player:
    """Interprets steps against the account as it is by then."""

    def __init__(self, application: Application, access: Access) -> None:
        self.application = application
        self.access = access
        self.people: list[PersonId] = [member.person for member in access.control.members]
        self.played = Played()

    def try_(self, step: Step) -> None:
        clock = self.application.clock
        if isinstance(clock, Clock):
            clock.now += timedelta(seconds=step.seconds)
        command = _VERBS[step.verb](self, step)
        if command is None:
            return
        decided: list[Any] = []

        def run(work: Work) -> None:
            command(work)
            decided[:] = work.decided

        actor = Actor.person(self.people[step.who % len(self.people)], "api")
        if step.who == len(self.people):
            actor = Actor.system("tester")
        try:
            self.application.run(self.access.account, actor, run)
        except (DomainError, StoreError) as refusal:
            self.played.refused[refusal.code] = self.played.refused.get(refusal.code, 0) + 1
            return
        self.played.done += 1
        for one in decided:
            self.played.states[one.entity, one.version] = msgspec.json.encode(one.state).decode()
            self.played.now[one.entity] = one.state

    # Choosing.

    @property
    def today(self) -> date:
        return self.application.clock().date()

    def choose(self, pick: int, *kinds: Kind, states: tuple[str, ...] = (), latest: bool = False) -> Any | None:
        """The *pick*-th of the entities of *kinds*, in one of *states* if any are named; the *latest* counted first."""
        fitting = [
            state
            for state in self.played.now.values()
            if kind_of(state) in kinds
            and not is_gone(state)
            and not getattr(state, "merged_into", None)
            and (not states or state.state in states)
        ]
        if not fitting:
            return None
        return fitting[-1 - pick % len(fitting) if latest else pick % len(fitting)]

    def number(self, prefix: str, step: Step) -> str:
        """A number that is free, or, now and then, may be taken."""
        return f"{prefix}{step.amount % 3 if step.other % 10 == 9 else 10 + len(self.played.states)}"

    def lines(self, step: Step) -> list[dict[str, Any]]:
        lines = []
        for number in range(1 + step.other % 3):
            rate = ("21", "6", "0")[(step.pick + number) % 3]
            line: dict[str, Any] = {
                "line_id": str(number + 1),
                "name": f"Ding {step.pick} “é” \u2028",
                "quantity": str(Decimal(step.amount + number) / 4),
                "unit": "C62",
                "net_price": str(Decimal(step.amount % 977 + number) / 1000),
                "vat": {"category": "S" if rate != "0" else "Z", "rate": rate},
            }
            item = self.choose(step.pick + number, Kind.ITEM)
            if item is not None and number != 1:
                line |= {"item": item.id, "name": item.name}
            lines.append(line)
        return lines

    # What can be tried.

    def enter_customer(self, step: Step) -> Command:
        fields = {
            "number": self.number("K", step),
            "party": {"name": f"Klant {step.pick}", "address": {"country": "BE"}},
        }
        terms = {"days": step.other, "end_of_month": True} if step.other % 2 else {"days": step.other}
        return lambda work: commands.create(work, Kind.CUSTOMER, {**fields, "payment_terms": terms})

    def enter_item(self, step: Step) -> Command:
        fields: dict[str, Any] = {"number": self.number("A", step), "name": f"Ding {step.pick}", "unit": "C62"}
        fields |= {"net_price": str(Decimal(step.amount) / 1000), "vat": {"category": "S", "rate": "21"}}
        account = self.choose(step.pick, Kind.LEDGER_ACCOUNT)
        if account is not None:
            fields["ledger_account"] = account.id
        return lambda work: commands.create(work, Kind.ITEM, fields)

    def enter_layout(self, step: Step) -> Command:
        kind = DOCUMENT_KINDS[step.pick % len(DOCUMENT_KINDS)].value
        fields = {
            "name": f"Stijl {step.amount}",
            "document_kinds": [kind],
            "language": "nl",
            "template": {"top": "{number}"},
        }
        defaults = {"default_for": [kind]} if step.other % 2 else {}
        return lambda work: commands.create(work, Kind.LAYOUT, {**fields, **defaults})

    def enter_ledger_account(self, step: Step) -> Command:
        parent = self.choose(step.pick, Kind.LEDGER_ACCOUNT) if step.other % 2 else None
        number = self.number(parent.number if parent else "7", step)[:20]
        fields: dict[str, Any] = {"number": number, "name": f"Rekening {number}", "type": "income"}
        if parent is not None:
            fields["parent"] = parent.id
        return lambda work: commands.create(work, Kind.LEDGER_ACCOUNT, fields)

    def start_subscription(self, step: Step) -> Command | None:
        customer = self.choose(step.pick, Kind.CUSTOMER)
        if customer is None:
            return None
        interval = {"n": 1 + step.other % 3, "unit": "weeks" if step.amount % 2 else "months"}
        fields = {"customer": customer.id, "lines": self.lines(step), "interval": interval}
        choices = {"next_date": str(self.today), "auto_issue": step.other % 2 == 0}
        return lambda work: commands.create(work, Kind.SUBSCRIPTION, {**fields, **choices})

    def rename(self, step: Step) -> Command | None:
        state = self.choose(step.pick, Kind.CUSTOMER, Kind.ITEM, Kind.LAYOUT, Kind.LEDGER_ACCOUNT)
        if state is None:
            return None
        name = f"Nieuw {step.amount}"
        fields = {"party": {"name": name}, "notes": name} if kind_of(state) is Kind.CUSTOMER else {"name": name}
        return lambda work: commands.change(work, kind_of(state), state.id, fields)

    def shelve(self, step: Step) -> Command | None:
        state = self.choose(step.pick, Kind.CUSTOMER, Kind.ITEM, Kind.LAYOUT, Kind.LEDGER_ACCOUNT)
        if state is None:
            return None
        shelve = commands.unarchive if state.archived else commands.archive
        return lambda work: shelve(work, kind_of(state), state.id)

    def merge(self, step: Step) -> Command | None:
        state = self.choose(step.pick, Kind.CUSTOMER, Kind.ITEM, Kind.LAYOUT, Kind.LEDGER_ACCOUNT)
        if state is None:
            return None
        into: Any = self.choose(step.other, kind_of(state))
        return lambda work: commands.merge(work, kind_of(state), state.id, into.id)

    def delete(self, step: Step) -> Command | None:
        kinds = [kind for kind in Kind if kind is not Kind.SUBSCRIPTION]
        state = self.choose(step.pick, kinds[step.other % len(kinds)], latest=True)
        return None if state is None else lambda work: commands.delete(work, kind_of(state), state.id)

    def draft(self, step: Step) -> Command | None:
        customer = self.choose(step.other, Kind.CUSTOMER)
        if customer is None:
            return None
        kind = DOCUMENT_KINDS[step.pick % len(DOCUMENT_KINDS)]
        fields: dict[str, Any] = {"customer": customer.id, "lines": self.lines(step)}
        layout = self.choose(step.pick, Kind.LAYOUT)
        if layout is not None:
            fields["layout"] = layout.id
        if step.amount % 5 == 0:
            vat = {"category": "S", "rate": "21"}
            fields["allowances"] = [{"amount": "0.50", "reason": "Actie", "vat": vat}]
        if kind is Kind.QUOTE:
            fields["valid_until"] = str(self.today + timedelta(days=20 + step.other))
        return lambda work: commands.create(work, kind, fields)

    def revise(self, step: Step) -> Command | None:
        draft = self.choose(step.pick, *DOCUMENT_KINDS, states=("draft",))
        if draft is None:
            return None
        fields: dict[str, Any] = {"lines": self.lines(step), "notes": [{"text": f"Herzien {step.amount}"}]}
        if step.other % 7 == 0:
            fields["currency"] = "JPY" if draft.currency == "EUR" else "EUR"
        return lambda work: commands.change(work, draft.kind, draft.id, fields)

    def attach(self, step: Step) -> Command | None:
        draft: Document | None = self.choose(step.pick, *DOCUMENT_KINDS, states=("draft",))
        if draft is None:
            return None
        if draft.attachments and step.other % 3 == 0:
            gone = draft.attachments[0].id
            return lambda work: commands.detach(work, draft.kind, draft.id, gone)
        content = f"inhoud {step.other}".encode()
        attachment = Attachment(
            id=str(step.other),
            name="a.txt",
            media_type="text/plain",
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        )
        return lambda work: commands.attach(work, draft.kind, draft.id, attachment, content)

    def issue(self, step: Step) -> Command | None:
        draft: Document | None = self.choose(step.pick, *DOCUMENT_KINDS, states=("draft",))
        if draft is None or draft.totals is None:
            return None
        kind, id_ = draft.kind, draft.id
        payments = []
        if kind is Kind.RECEIPT:
            payments = [{"id": "1", "date": str(self.today), "amount": str(draft.totals.due), "means": "10"}]

        def issue(work: Work) -> None:
            commands.issue(work, kind, id_, payments=payments)
            if step.other % 2:
                commands.record(work, kind, id_, "sent", {"how": "email"})

        return issue

    def pay(self, step: Step) -> Command | None:
        open_ = self.choose(step.pick, Kind.INVOICE, Kind.CREDIT_NOTE, states=("issued", "partly_paid"))
        if open_ is None:
            return None
        due = open_.totals.due
        part = due if step.other % 2 else (due / 2).quantize(Decimal("0.01"))
        amount = part.quantize(Decimal(1)) if open_.currency == "JPY" else part
        fields = {"amount": str(amount), "means": "30"}
        return lambda work: commands.record(work, open_.kind, open_.id, "payment_registered", fields)

    def bounce(self, step: Step) -> Command | None:
        paid = self.choose(step.pick, Kind.INVOICE, Kind.CREDIT_NOTE, states=("partly_paid", "paid", "settled"))
        if paid is None or not paid.payments:
            return None
        payment = paid.payments[step.other % len(paid.payments)].id
        return lambda work: commands.record(work, paid.kind, paid.id, "payment_reversed", {"payment": payment})

    def credit(self, step: Step) -> Command | None:
        issued = self.choose(step.pick, Kind.INVOICE, Kind.RECEIPT, states=("issued", "partly_paid", "paid"))
        if issued is None:
            return None

        def credit(work: Work) -> None:
            note = commands.credit(work, issued.id, kind=issued.kind)
            if step.other % 3:
                commands.change(work, Kind.CREDIT_NOTE, note, {"lines": self.lines(step)})
            commands.issue(work, Kind.CREDIT_NOTE, note)

        return credit

    def go_on(self, step: Step) -> Command | None:
        """A step of the document's own kind: answered, delivered, reminded, cancelled, sent again."""
        state = self.choose(
            step.pick, *DOCUMENT_KINDS, states=("issued", "partly_paid", "partly_delivered", "accepted", "delivered")
        )
        if state is None:
            return None
        facts = [fact for fact in commands.steps_of(state.kind) if not fact.startswith("payment")]
        fact = facts[step.other % len(facts)]
        facts_fields: dict[str, dict[str, Any]] = {"sent": {"how": "post"}, "reminded": {"level": 1 + step.amount % 3}}
        fields = facts_fields.get(fact, {})
        if fact == "delivered":
            fields = {"partly": state.kind is Kind.PURCHASE_ORDER and step.amount % 2 == 0}
        return lambda work: commands.record(work, state.kind, state.id, fact, fields)

    def convert(self, step: Step) -> Command | None:
        origin = self.choose(
            step.pick,
            Kind.QUOTE,
            Kind.PURCHASE_ORDER,
            Kind.DELIVERY_NOTE,
            states=("issued", "accepted", "partly_delivered", "delivered"),
        )
        if origin is None:
            return None
        to = (Kind.INVOICE, Kind.PURCHASE_ORDER, Kind.DELIVERY_NOTE)[step.other % 3]
        return lambda work: commands.convert(work, origin.kind, origin.id, to)

    def invoice_period(self, step: Step) -> Command | None:
        subscription = self.choose(step.pick, Kind.SUBSCRIPTION)
        return None if subscription is None else lambda work: commands.invoice_period(work, subscription.id)

    def revise_subscription(self, step: Step) -> Command | None:
        subscription = self.choose(step.pick, Kind.SUBSCRIPTION)
        if subscription is None:
            return None
        fields: dict[str, Any] = {"lines": self.lines(step)}
        if step.other % 2:
            fields["next_date"] = str(self.today + timedelta(days=step.other))
        return lambda work: commands.change(work, Kind.SUBSCRIPTION, subscription.id, fields)

    def turn_subscription(self, step: Step) -> Command | None:
        subscription = self.choose(step.pick, Kind.SUBSCRIPTION)
        if subscription is None:
            return None
        turns: tuple[Callable[[Work, EntityId], None], ...] = (commands.pause, commands.resume, commands.end)
        return lambda work: turns[step.other % 3](work, subscription.id)


_VERBS: dict[str, Callable[[_Player, Step], Command | None]] = {
    "enter_customer": _Player.enter_customer,
    "enter_item": _Player.enter_item,
    "enter_layout": _Player.enter_layout,
    "enter_ledger_account": _Player.enter_ledger_account,
    "start_subscription": _Player.start_subscription,
    "rename": _Player.rename,
    "shelve": _Player.shelve,
    "merge": _Player.merge,
    "delete": _Player.delete,
    "draft": _Player.draft,
    "revise": _Player.revise,
    "attach": _Player.attach,
    "issue": _Player.issue,
    "pay": _Player.pay,
    "bounce": _Player.bounce,
    "credit": _Player.credit,
    "go_on": _Player.go_on,
    "convert": _Player.convert,
    "invoice_period": _Player.invoice_period,
    "revise_subscription": _Player.revise_subscription,
    "turn_subscription": _Player.turn_subscription,
}
# What most of a history is made of, where the other verbs come once.
_OFTEN = {
    "draft": 3,
    "issue": 5,
    "go_on": 6,
    "convert": 4,
    "pay": 2,
    "attach": 2,
    "invoice_period": 2,
    "delete": 3,
    "shelve": 2,
}
