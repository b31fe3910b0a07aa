"""An account kept in memory, for tests of the domain's rules alone: commands run on it as on a stored one.

``Notebook`` is a ``Reader`` over its own states. What concerns storage (concurrency, unique numbers, streams) is tested
against PostgreSQL instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, TypeVar

import msgspec

from domain import commands
from domain import control as c
from domain.ids import AccountId, EntityId, PersonId, new_id
from domain.kinds import Kind
from domain.numbering import Series
from domain.parties import Address, Party, Value
from domain.rules import RULES
from domain.subscriptions import PeriodInvoiced, PeriodLeftOut
from domain.work import Brought, Decided, Work, is_gone, kind_of

T = TypeVar("T")
TODAY = date(2026, 3, 16)
OWNER = PersonId("01960000-0000-7000-8000-000000000001")


class Notebook:
    """One account: its control state, its entities, and every event that commands decided."""

    def __init__(self, **settings: Any) -> None:
        company = Party(name="Trapgevel Fietsen BV", address=Address(country="BE"))
        given = {
            "company": company,
            "country": "BE",
            "currency": "EUR",
            "language": "nl",
            "time_zone": "Europe/Brussels",
        }
        fields = msgspec.convert({**given, **settings}, c.SettingsFields)
        opened = c.Opened(name="Trapgevel", settings=fields)
        self.now = datetime.combine(TODAY, time(9), UTC)
        self.control = c.open_account(opened, AccountId(new_id(self.now)), self.now)
        self.entities: dict[EntityId, Any] = {}
        self.decided: list[Decided] = []
        self.series: dict[tuple[Kind, str], int] = {}

    def tell(self, *events: Value) -> None:
        """Record control events, judged."""
        for event in events:
            c.admit(self.control, event)
            self.control = c.evolve(self.control, event)

    def run(self, command: Callable[[Work], T]) -> T:
        """What *command* returned; its events are kept, all or none."""
        work = Work(self.control, self, stream=1, now=self.now, states=[])
        result = command(work)
        self.entities.update((decided.entity, decided.state) for decided in work.decided)
        self.decided += work.decided
        self.series.update(work.series)
        return result

    def create(self, kind: Kind, **fields: Any) -> EntityId:
        """Create an entity of *kind*; what the test is not about is made up."""
        return self.run(lambda work: commands.create(work, kind, {**self._made_up(kind, fields), **fields}))

    def issue(self, kind: Kind, id_: EntityId, **choices: Any) -> str:
        """Issue a draft; a receipt is paid with what it comes to."""
        if kind is Kind.RECEIPT and "payments" not in choices:
            due = str(self.entities[id_].totals.due)
            choices["payments"] = [{"id": "1", "date": str(self.today), "amount": due, "means": "10"}]
        return self.run(lambda work: commands.issue(work, kind, id_, **choices))

    def record(self, kind: Kind, id_: EntityId, fact: str, **fields: Any) -> None:
        """One step of a document's life."""
        self.run(lambda work: commands.record(work, kind, id_, fact, fields))

    def issued(self, kind: Kind, **fields: Any) -> EntityId:
        """A document of *kind*, issued."""
        id_ = self.create(kind, **fields)
        self.issue(kind, id_)
        return id_

    def pass_days(self, days: int) -> None:
        """Let *days* go by."""
        self.now += timedelta(days=days)

    @property
    def today(self) -> date:
        """The seller's day; the notebook is kept in the morning, when it is UTC's too."""
        return self.now.date()

    def _made_up(self, kind: Kind, given: dict[str, Any]) -> dict[str, Any]:
        serial = len(self.decided) + 1
        match kind:
            case Kind.CUSTOMER:
                return {"party": {"name": f"Klant {serial}"}}
            case Kind.ITEM:
                vat = {"category": "S", "rate": "21"}
                return {"number": f"A{serial}", "name": "Bel", "unit": "C62", "net_price": "10.00", "vat": vat}
            case Kind.LAYOUT:
                kinds = given.get("default_for", ["invoice"])
                return {"name": f"Stijl {serial}", "document_kinds": kinds, "language": "nl", "template": {}}
            case Kind.LEDGER_ACCOUNT:
                return {"number": f"7{serial}", "name": "Omzet", "type": "income"}
            case Kind.SUBSCRIPTION:
                fields = {"lines": [line()], "interval": {"n": 1, "unit": "months"}, "next_date": str(self.today)}
                return {**fields, "customer": given.get("customer") or self.create(Kind.CUSTOMER)}
        return {"lines": [line()], "customer": given.get("customer") or self.create(Kind.CUSTOMER)}

    # What a command may read.

    def states(self, ids: list[EntityId]) -> list[tuple[str, str]]:
        """Kind and state of those entities that are there, deleted ones among them."""
        found = [self.entities[id_] for id_ in ids if id_ in self.entities]
        return [(kind_of(state).value, written(state)) for state in found]

    def highest(self, kind: Kind, of: Series) -> int:
        """The highest number given out."""
        return self.series.get((kind, of.key), 0)

    def by_number(self, kind: Kind, number: str) -> EntityId | None:
        """The entity of *kind* that bears *number*."""
        bearers = (
            id_ for id_, state in self._there() if kind_of(state) is kind and RULES[kind].number(state) == number
        )
        return next(bearers, None)

    def of_kind(self, kind: Kind) -> list[str]:
        """The states of all entities of a kind that are not deleted."""
        return [written(state) for _, state in self._there() if kind_of(state) is kind]

    def brought(self, id_: EntityId) -> Brought | None:
        """Everything was recorded here."""
        return None

    def came_back(self, id_: EntityId) -> datetime | None:
        """Nothing was ever replaced here."""
        return None

    def invoiced(self, id_: EntityId) -> list[PeriodLeftOut]:
        """The subscription's periods that were invoiced: here, there is one stream."""
        return [
            PeriodLeftOut(start=event.start, next_date=event.next_date, document=event.document, stream=1)
            for event in (
                msgspec.json.decode(one.data, type=PeriodInvoiced)
                for one in self.decided
                if one.entity == id_ and one.type == "subscription.period_invoiced"
            )
        ]

    def referring(self, kinds: Iterable[Kind], id_: EntityId) -> tuple[str, str] | None:
        """Something of *kinds*, no draft, that refers to the entity."""
        for other, state in self._there():
            kind = kind_of(state)
            if kind not in kinds or getattr(state, "state", None) == "draft":
                continue
            if any(reference.target == id_ for reference in RULES[kind].references(state)):
                return kind.value, getattr(state, "number", None) or other
        return None

    def _there(self) -> list[tuple[EntityId, Any]]:
        return [(id_, state) for id_, state in self.entities.items() if not is_gone(state)]


def line(**facts: Any) -> dict[str, Any]:
    """A line's fields: one bell at 10.00, VAT 21 %, unless *facts* say otherwise."""
    vat = {"category": "S", "rate": "21"}
    return {"line_id": "1", "name": "Bel", "quantity": "1", "unit": "C62", "net_price": "10.00", "vat": vat, **facts}


def written(state: Any) -> str:
    """A state as its snapshot line."""
    return msgspec.json.encode(state).decode()
