"""What lists can be filtered and sorted by, kind by kind, as people say it over HTTP and on the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple

from domain.documents.document import DocumentState
from domain.errors import CounterfoilError
from domain.ids import EntityId, is_canonical
from domain.kinds import Kind
from domain.subscriptions import SubscriptionState
from projections.finding import Sort, Wanted


@dataclass(eq=False)
class FilterRefused(CounterfoilError):
    """A filter or an order that the list does not have, or a value that it cannot have."""

    code: ClassVar[str] = "list.filter-refused"
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


class Param(NamedTuple):
    """A query parameter that filters: what of ``Wanted`` it says, how its text is read, what it is for."""

    field: str
    read: Callable[[str, str], Any]
    description: str
    most: int = 300


def _text(_name: str, given: str) -> str:
    return given


def _day(name: str, given: str) -> date:
    try:
        found = date.fromisoformat(given)
    except ValueError:
        found = None
    if found is None or found.isoformat() != given:
        raise FilterRefused(name, f"found {given[:40]!r}; expected a day such as 2026-01-31")
    return found


def _amount(name: str, given: str) -> Decimal:
    whole, _, fraction = given.removeprefix("-").partition(".")
    if not (whole + fraction).isdecimal() or not given.isascii() or len(whole) > 15 or len(fraction) > 6 or not whole:
        raise FilterRefused(name, f"found {given[:40]!r}; expected an amount such as 1250.00")
    return Decimal(given)


def _id(name: str, given: str) -> EntityId:
    if not is_canonical(given):
        raise FilterRefused(name, f"found {given[:40]!r}; expected an id")
    return EntityId(given)


def _one_of(*known: str) -> Callable[[str, str], tuple[str, ...]]:
    def read(name: str, given: str) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(given.split(",")))
        for one in found:
            if one not in known:
                expected = ", ".join(known)
                raise FilterRefused(f"query {name}", f"found {one[:40]!r}; expected some of {expected}, between commas")
        return found

    return read


def _yes(name: str, given: str) -> bool:
    if given not in ("true", "false"):
        raise FilterRefused(name, f"found {given[:40]!r}; expected true or false")
    return given == "true"


_DOCUMENT_STATES = [state.value for state in DocumentState if state is not DocumentState.DELETED]
_Q = Param("q", _text, "Words that are all in it, without case and accents", 200)
_NUMBER = Param("number", _text, "The number that it bears")
_PREFIX = Param("number_prefix", _text, "What its number begins with")
_NAME = Param("name", _text, "A part of its name, without case and accents")
_CONDITION = Param("state", _one_of("active", "archived", "merged"), "active, archived, merged: some of them")
_CUSTOMER = Param("customer", _id, "The id of its customer")
_CURRENCY = Param("currency", _text, "Its currency, such as EUR")

FILTERS: dict[str, dict[str, Param]] = {
    "document": {
        "q": _Q._replace(description="Words that are all in its number, references, lines or customer"),
        "state": Param("state", _one_of(*_DOCUMENT_STATES), "States, between commas"),
        "customer": _CUSTOMER,
        "number": _NUMBER,
        "number_prefix": _PREFIX,
        "issue_date_from": Param("date_from", _day, "The first day of issue"),
        "issue_date_until": Param("date_until", _day, "The last day of issue"),
        "due_date_from": Param("due_from", _day, "The first due date; of quotes the last valid day, of orders the day"),
        "due_date_until": Param("due_until", _day, "The last due date"),
        "total_from": Param("amount_from", _amount, "The lowest total with VAT"),
        "total_until": Param("amount_until", _amount, "The highest total with VAT"),
        "open_from": Param("open_from", _amount, "The lowest amount that is still due"),
        "open_until": Param("open_until", _amount, "The highest amount that is still due"),
        "currency": _CURRENCY,
        "reference": Param("reference", _text, "The buyer's, order, contract or project reference, without case"),
        "origin": Param("origin", _id, "The id of a document that it was made from, or that it corrects"),
    },
    Kind.CUSTOMER: {
        "q": _Q._replace(description="Words that are all in its names, numbers, address or contact"),
        "state": _CONDITION,
        "number": _NUMBER,
        "number_prefix": _PREFIX,
        "name": _NAME,
        "vat_identifier": Param("vat", _text, "What its VAT identifier begins with, with or without points and spaces"),
        "city": Param("city", _text, "A part of its city, without case and accents"),
        "country": Param("country", _text, "Its country, such as BE"),
        "email": Param("email", _text, "A part of its e-mail address"),
        "currency": _CURRENCY,
    },
    Kind.ITEM: {
        "q": _Q,
        "state": _CONDITION,
        "number": _NUMBER,
        "number_prefix": _PREFIX,
        "name": _NAME,
        "net_price_from": Param("amount_from", _amount, "The lowest price"),
        "net_price_until": Param("amount_until", _amount, "The highest price"),
        "ledger_account": Param("ledger_account", _id, "The id of its ledger account"),
    },
    Kind.LAYOUT: {"q": _Q, "state": _CONDITION, "name": _NAME},
    Kind.LEDGER_ACCOUNT: {
        "q": _Q,
        "state": _CONDITION,
        "number": _NUMBER,
        "number_prefix": _PREFIX,
        "name": _NAME,
        "type": Param("type", _text, "asset, liability, equity, income or expense"),
        "parent": Param("parent", _id, "The id of the ledger account that it is under"),
    },
    Kind.SUBSCRIPTION: {
        "q": _Q,
        "state": Param("state", _one_of(*SubscriptionState), "active, paused, ended: some of them"),
        "customer": _CUSTOMER,
        "next_date_from": Param("date_from", _day, "The first day on which the next period begins"),
        "next_date_until": Param("date_until", _day, "The last day on which the next period begins"),
        "currency": _CURRENCY,
    },
}
_OVERDUE = Param("overdue_on", _yes, "true: open, and past its due date")
_SORTS: dict[str, dict[str, str]] = {
    "document": {"number": "number", "issue_date": "date", "due_date": "due", "total": "amount", "open": "open"},
    Kind.CUSTOMER: {"number": "number", "name": "name", "city": "city"},
    Kind.ITEM: {"number": "number", "name": "name", "net_price": "amount"},
    Kind.LAYOUT: {"name": "name"},
    Kind.LEDGER_ACCOUNT: {"number": "number", "name": "name"},
    Kind.SUBSCRIPTION: {"next_date": "date"},
}


def filters_of(kind: Kind) -> dict[str, Param]:
    """What the list of *kind* can be filtered by."""
    filters = FILTERS["document" if kind.is_document else kind]
    return {**filters, "overdue": _OVERDUE} if kind is Kind.INVOICE else filters


def sorts_of(kind: Kind) -> dict[str, str]:
    """What the list of *kind* can be sorted by, and what ``finding`` calls it."""
    return {"id": "id"} | _SORTS["document" if kind.is_document else kind]


class Asked(NamedTuple):
    """What is asked of a list, read."""

    wanted: Wanted
    sort: Sort
    given: dict[str, str]

    @property
    def is_plain(self) -> bool:
        """Whether all there is is listed in the order in which it was made, or backwards."""
        return self.wanted == Wanted() and self.sort.by == "id"


def read_query(kind: Kind, given: dict[str, str], sort: str | None, *, today: date) -> Asked:
    """What the parameters *given* and *sort* ask of the list of *kind*. Raises FilterRefused."""
    known = filters_of(kind)
    for name in given:
        if name not in known:
            raise FilterRefused(name[:40], f"found it for {kind.value}; expected one of {', '.join(known)}")
    wanted: dict[str, Any] = {known[name].field: known[name].read(name, text) for name, text in given.items()}
    if "overdue_on" in wanted:
        wanted["overdue_on"] = today if wanted["overdue_on"] else None
    by = (sort or "id").removeprefix("-")
    sorts = sorts_of(kind)
    if by not in sorts:
        expected = ", ".join(sorts)
        raise FilterRefused("sort", f"found {by[:40]!r}; expected one of {expected}, after a hyphen: descending")
    order = Sort(sorts[by], descending=(sort or "").startswith("-"))
    asked = dict(sorted(given.items())) | ({"sort": sort} if sort else {})
    return Asked(Wanted(**wanted), order, asked)
