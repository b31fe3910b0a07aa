"""Control totals: what a bookkeeper prints before and after, to see that nothing is missing.

Receivables in all and per customer, revenue and VAT per year and rate, payments per year, first and last number per
series, counts per kind and state. Computed from snapshot lines as they pass by, for an account, an archive and the
result of a restore alike, so that the three can be compared.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from domain.decimals import ZERO
from domain.documents.document import Document
from domain.kinds import Kind
from domain.parties import Value

MOST_CUSTOMERS = 10_000  # with something open each, then in one sum: a list without bound would not be a total

HOW_MANY = ": how many"  # at the end of what the figure is called that counts the numbers of a series

_NUMBER = re.compile(r"(.*?)(\d{1,18})(\D*)", re.DOTALL)
_REVENUE_SIGN = {Kind.INVOICE: 1, Kind.RECEIPT: 1, Kind.CREDIT_NOTE: -1}


class Revenue(Value, frozen=True, kw_only=True):
    """Taxable amount and VAT of one year, currency, category and rate; credit notes taken off."""

    year: str
    currency: str
    category: str
    rate: str | None = None
    taxable: Decimal
    tax: Decimal


class YearAmount(Value, frozen=True, kw_only=True):
    """An amount of one year and currency."""

    year: str
    currency: str
    amount: Decimal


class Receivable(Value, frozen=True, kw_only=True):
    """What is open, in all or of one customer."""

    customer: str | None = None
    currency: str
    amount: Decimal


class NumberRange(Value, frozen=True, kw_only=True):
    """First and last number of a series, and how many of it are there."""

    kind: str
    series: str
    first: str
    last: str
    count: int


class KindCount(Value, frozen=True, kw_only=True):
    """How many entities of a kind are in a state."""

    kind: str
    state: str
    count: int


class ControlTotals(Value, frozen=True, kw_only=True):
    """The totals, each list in a fixed order, so that equal accounts have equal totals."""

    counts: tuple[KindCount, ...] = ()
    receivables: tuple[Receivable, ...] = ()
    receivables_per_customer: tuple[Receivable, ...] = ()
    revenue: tuple[Revenue, ...] = ()
    payments: tuple[YearAmount, ...] = ()
    numbers: tuple[NumberRange, ...] = ()


# What only tells one total from another is left as it is written. Objects without cycles are not looked through for
# them: that was a third of the time of decoding.
class _Tax(Struct, gc=False):
    category: str
    taxable: Decimal
    tax: Decimal
    rate: str | None = None


class _Payment(Struct, gc=False):
    date: str
    amount: Decimal


class _Due(Struct, gc=False):
    due: Decimal


class _Document(Struct, gc=False):
    """What of a document's snapshot the totals look at."""

    customer: str
    currency: str
    state: str = "draft"
    number: str | None = None
    issue_date: str | None = None
    totals: _Due | None = None
    vat_breakdown: list[_Tax] = []
    payments: list[_Payment] = []


class _Other(Struct, gc=False):
    state: str | None = None
    archived: bool = False
    merged_into: str | None = None


_documents = msgspec.json.Decoder(_Document).decode_lines
_others = msgspec.json.Decoder(_Other).decode_lines


class Totaller:
    """Adds up snapshot lines of any kinds, in any order. Not shared between threads."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}
        self._receivable: dict[str, Decimal] = {}
        self._per_customer: dict[tuple[str, str], Decimal] = {}
        self._revenue: dict[tuple[str, str, str, str | None], tuple[Decimal, Decimal]] = {}
        self._payments: dict[tuple[str, str], Decimal] = {}
        self._numbers: dict[tuple[str, str], tuple[int, str, int, str, int]] = {}

    def add(self, kind: Kind, lines: bytes) -> None:
        """Add whole snapshot *lines* of entities of *kind*, each ended by a line feed. They are taken to be sound."""
        if kind.is_document:
            self.add_documents(kind, _documents(lines))
            return
        for one in _others(lines):
            state = one.state or ("merged" if one.merged_into else "archived" if one.archived else "in use")
            self._count(kind.value, state, 1)

    def _count(self, kind: str, state: str, count: int) -> None:
        self._counts[kind, state] = self._counts.get((kind, state), 0) + count

    def add_documents(self, kind: Kind, documents: Sequence[Document] | Sequence[_Document]) -> None:
        """Add documents of *kind*, as their states."""
        name = kind.value
        for state, count in Counter([document.state for document in documents]).items():
            self._count(name, str(state), count)
        for document in documents:
            if document.number is not None:
                self._add_number(name, document.number)
        sign = _REVENUE_SIGN.get(kind)
        if sign is None:
            return
        # Amounts are gathered by what they belong to and summed at once: a sum each cost three times as much.
        revenue: dict[tuple[str, str, str, str | None], tuple[list[Decimal], list[Decimal]]] = {}
        payments: dict[tuple[str, str], list[Decimal]] = {}
        open_amounts: dict[tuple[str, str], list[Decimal]] = {}
        for document in documents:
            if document.state == "draft":
                continue
            year, currency = str(document.issue_date or "")[:4], document.currency
            for part in document.vat_breakdown:
                key = (year, currency, part.category, None if part.rate is None else str(part.rate))
                taxable, tax = revenue.get(key) or revenue.setdefault(key, ([], []))
                taxable.append(part.taxable)
                tax.append(part.tax)
            for payment in document.payments:
                payments.setdefault((str(payment.date)[:4], currency), []).append(payment.amount)
            if document.totals is not None and document.totals.due:
                open_amounts.setdefault((document.customer, currency), []).append(document.totals.due)
        for key, (taxable, tax) in revenue.items():
            before = self._revenue.get(key, (ZERO, ZERO))
            self._revenue[key] = (before[0] + sign * sum(taxable, ZERO), before[1] + sign * sum(tax, ZERO))
        _add_up(self._payments, {when: sign * sum(amounts, ZERO) for when, amounts in payments.items()})
        for whose, amounts in open_amounts.items():
            amount = sign * sum(amounts, ZERO)
            _add_up(self._per_customer, {whose: amount})
            _add_up(self._receivable, {whose[1]: amount})

    def _add_number(self, kind: str, number: str) -> None:
        prefix = number.rstrip("0123456789")
        digits = number[len(prefix) :]
        series = prefix
        if not 0 < len(digits) <= 18:
            match = _NUMBER.fullmatch(number)
            series, digits = (f"{match[1]}{{}}{match[3]}", match[2]) if match else (number, "0")
        ordinal = int(digits)
        key = (kind, series)
        known = self._numbers.get(key)
        if known is None:
            self._numbers[key] = (ordinal, number, ordinal, number, 1)
            return
        low, first, high, last, count = known
        if ordinal < low:
            low, first = ordinal, number
        if ordinal > high:
            high, last = ordinal, number
        self._numbers[key] = (low, first, high, last, count + 1)

    def merge(self, other: Totaller) -> None:
        """Add what *other* added up."""
        for count_key, count in other._counts.items():
            self._counts[count_key] = self._counts.get(count_key, 0) + count
        for mine, theirs in (
            (self._receivable, other._receivable),
            (self._per_customer, other._per_customer),
            (self._payments, other._payments),
        ):
            _add_up(mine, theirs)
        for revenue_key, (taxable, tax) in other._revenue.items():
            before = self._revenue.get(revenue_key, (ZERO, ZERO))
            self._revenue[revenue_key] = (before[0] + taxable, before[1] + tax)
        for number_key, (low, first, high, last, count) in other._numbers.items():
            known = self._numbers.get(number_key, (low, first, high, last, 0))
            lowest = min((known[0], known[1]), (low, first))
            highest = max((known[2], known[3]), (high, last))
            self._numbers[number_key] = (*lowest, *highest, known[4] + count)

    def take_off(self, other: Totaller) -> None:
        """Take off what *other* added up. First and last numbers stay: no number is ever taken back."""
        for count_key, count in other._counts.items():
            self._counts[count_key] -= count
        for mine, theirs in (
            (self._receivable, other._receivable),
            (self._per_customer, other._per_customer),
            (self._payments, other._payments),
        ):
            _add_up(mine, {key: -amount for key, amount in theirs.items()})
        for revenue_key, (taxable, tax) in other._revenue.items():
            before = self._revenue[revenue_key]
            self._revenue[revenue_key] = (before[0] - taxable, before[1] - tax)
        for number_key, (*_, count) in other._numbers.items():
            low, first, high, last, known = self._numbers[number_key]
            self._numbers[number_key] = (low, first, high, last, known - count)

    def totals(self) -> ControlTotals:
        """What all lines so far come to."""
        return ControlTotals(
            counts=tuple(
                KindCount(kind=kind, state=state, count=n) for (kind, state), n in sorted(self._counts.items()) if n
            ),
            receivables=tuple(
                Receivable(currency=currency, amount=amount) for currency, amount in sorted(self._receivable.items())
            ),
            receivables_per_customer=tuple(self._customers()),
            revenue=tuple(
                Revenue(year=year, currency=currency, category=category, rate=rate, taxable=taxable, tax=tax)
                for (year, currency, category, rate), (taxable, tax) in sorted(
                    self._revenue.items(), key=lambda item: tuple(part or "" for part in item[0])
                )
            ),
            payments=tuple(
                YearAmount(year=year, currency=currency, amount=amount)
                for (year, currency), amount in sorted(self._payments.items())
            ),
            numbers=tuple(
                NumberRange(kind=kind, series=series, first=first, last=last, count=count)
                for (kind, series), (_, first, _, last, count) in sorted(self._numbers.items())
            ),
        )

    def _customers(self) -> list[Receivable]:
        owing = sorted((whose, amount) for whose, amount in self._per_customer.items() if amount)
        listed = [
            Receivable(customer=customer, currency=currency, amount=amount)
            for (customer, currency), amount in owing[:MOST_CUSTOMERS]
        ]
        rest: dict[str, Decimal] = {}
        for (_, currency), amount in owing[MOST_CUSTOMERS:]:
            rest[currency] = rest.get(currency, ZERO) + amount
        return listed + [Receivable(currency=currency, amount=amount) for currency, amount in sorted(rest.items())]


def _add_up(mine: dict[Any, Decimal], theirs: dict[Any, Decimal]) -> None:
    for key, amount in theirs.items():
        mine[key] = mine.get(key, ZERO) + amount


class Difference(Value, frozen=True, kw_only=True):
    """A figure that two sets of totals disagree on."""

    figure: str
    before: str
    after: str


def differences(before: ControlTotals, after: ControlTotals) -> list[Difference]:
    """The figures in which *after* is not *before*; "none" stands for a figure that one of them lacks."""
    one, other = _figures(before), _figures(after)
    return [
        Difference(figure=figure, before=one.get(figure, "none"), after=other.get(figure, "none"))
        for figure in sorted(one.keys() | other.keys())
        if one.get(figure) != other.get(figure)
    ]


def amounts(totals: ControlTotals) -> dict[str, Decimal]:
    """The figures that can be added and taken off: all but first and last numbers, and what single customers owe."""
    found: dict[str, Decimal] = {}
    for count in totals.counts:
        found[f"{count.kind} {count.state}"] = Decimal(count.count)
    for open_ in totals.receivables:
        found[f"receivables {open_.currency}"] = open_.amount
    for part in totals.revenue:
        name = f"{part.year} {part.currency} VAT {part.category} {part.rate or ''}".strip()
        found[f"revenue {name}"] = part.taxable
        found[f"tax {name}"] = part.tax
    for year in totals.payments:
        found[f"payments {year.year} {year.currency}"] = year.amount
    for numbers in totals.numbers:
        found[f"{numbers.kind} series {numbers.series}{HOW_MANY}"] = Decimal(numbers.count)
    return found


def _figures(totals: ControlTotals) -> dict[str, str]:
    figures = {name: str(amount) for name, amount in amounts(totals).items() if not name.endswith(HOW_MANY)}
    for open_ in totals.receivables_per_customer:
        figures[f"receivables of {open_.customer or 'further customers'} {open_.currency}"] = str(open_.amount)
    for numbers in totals.numbers:
        name = f"{numbers.kind} series {numbers.series}"
        figures[f"{name}: first, last, how many"] = f"{numbers.first}, {numbers.last}, {numbers.count}"
    return figures
