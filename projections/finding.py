"""Finding what an account holds: lists that are filtered, sorted and searched, page by page.

Within an account a kind is looked through whole, by the narrow rows of ``projections.listed``: up to 60 ms for 100,000
documents, whatever is asked, where an index for each question would slow every restore and append. What is asked for
only ever is a parameter: the text of a statement is put together from what stands here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple

import psycopg
from psycopg import Connection, sql

from domain.entity import FieldRefused
from domain.errors import StoreError
from domain.ids import AccountId, EntityId
from domain.kinds import Kind
from domain.store.database import Database, Row
from projections import listed
from projections.folding import fold, squeeze
from projections.timeline import CursorGone

MOST_WORDS = 8
TRIES = 2  # before writers are kept waiting
TIMEOUT_MS = 10_000
_SQUEEZED_FROM = 4  # letters: what is shorter is found in too much
_AMOUNT = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,6})?|-Infinity")


@dataclass(eq=False)
class ListTooLong(StoreError):
    """Looking through the account took longer than it may."""

    code: ClassVar[str] = "list.too-long"

    def __str__(self) -> str:
        return (
            f"the list was given up after {TIMEOUT_MS // 1000} s; expected one that is narrowed down, or a quieter hour"
        )


class Wanted(NamedTuple):
    """What the entities of a list have in common; what is None or empty says nothing. Days and amounts are inclusive.

    ``number``, ``country``, ``currency`` and ``type`` are taken as they are; names, cities, e-mail addresses and the
    words of ``q`` without case and accents, anywhere in the text; VAT identifiers from their beginning. What is a
    customer's is also that of those who were merged into them.
    """

    q: str | None = None
    state: tuple[str, ...] = ()
    customer: EntityId | None = None
    ledger_account: EntityId | None = None
    parent: EntityId | None = None
    origin: EntityId | None = None
    reference: str | None = None
    number: str | None = None
    number_prefix: str | None = None
    name: str | None = None
    city: str | None = None
    country: str | None = None
    vat: str | None = None
    email: str | None = None
    type: str | None = None
    currency: str | None = None
    date_from: date | None = None
    date_until: date | None = None
    due_from: date | None = None
    due_until: date | None = None
    amount_from: Decimal | None = None
    amount_until: Decimal | None = None
    open_from: Decimal | None = None
    open_until: Decimal | None = None
    overdue_on: date | None = None


class Sort(NamedTuple):
    """What a list is sorted by, one of ``SORTS``; those that are alike in that are in the order of their making."""

    by: str = "id"
    descending: bool = False


class Spot(NamedTuple):
    """Where in a sorted list one is: behind an entity, by what it is sorted by."""

    stream: int
    entity: str
    key: str


class Found(NamedTuple):
    """Some of the entities that were wanted, in order, and the spot after which there are more."""

    stream: int
    position: int
    states: list[bytes]
    following: Spot | None = None


class _Order(NamedTuple):
    """An order: the expression, the type that its value is read back as, and whether a text is such a value."""

    expression: sql.SQL
    type: sql.SQL
    is_value: Callable[[str], bool]


def _is_day(text: str) -> bool:
    if text == "-infinity":
        return True
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


_TEXT, _DAY, _NUMBER = sql.SQL("text"), sql.SQL("date"), sql.SQL("numeric")
# What an entity lacks comes first, and last in descending order. Of a text the first 100 letters count.
SORTS: dict[str, _Order] = {
    "id": _Order(sql.SQL("''"), _TEXT, lambda text: not text),
    "number": _Order(sql.SQL("left(coalesce(l.number_order, ''), 100)"), _TEXT, lambda text: len(text) <= 100),
    "name": _Order(sql.SQL("left(coalesce(l.name, ''), 100)"), _TEXT, lambda text: len(text) <= 100),
    "city": _Order(sql.SQL("left(coalesce(l.city, ''), 100)"), _TEXT, lambda text: len(text) <= 100),
    "date": _Order(sql.SQL("coalesce(l.dated, '-infinity'::date)"), _DAY, _is_day),
    "due": _Order(sql.SQL("coalesce(l.due, '-infinity'::date)"), _DAY, _is_day),
    "amount": _Order(
        sql.SQL("coalesce(l.amount, '-infinity'::numeric)"), _NUMBER, lambda text: bool(_AMOUNT.fullmatch(text))
    ),
    "open": _Order(
        sql.SQL("coalesce(l.open_amount, '-infinity'::numeric)"), _NUMBER, lambda text: bool(_AMOUNT.fullmatch(text))
    ),
}
_WHERE: dict[str, sql.SQL] = {
    "state": sql.SQL("l.state = ANY(%(state)s)"),
    "customer": sql.SQL("""l.belongs_to IN (
        WITH RECURSIVE standing (entity_id) AS (
            SELECT %(customer)s::uuid
            UNION SELECT c.entity_id FROM listed c JOIN standing s ON c.belongs_to = s.entity_id
            WHERE c.account_id = %(account)s AND c.stream_id = %(stream)s AND c.kind = 'customer')
        SELECT entity_id FROM standing)"""),
    "ledger_account": sql.SQL("l.belongs_to = %(ledger_account)s"),
    "parent": sql.SQL("l.belongs_to = %(parent)s"),
    "origin": sql.SQL("%(origin)s = ANY(l.refs)"),
    "reference": sql.SQL("%(reference)s = ANY(l.refs)"),
    "number": sql.SQL("l.number = %(number)s"),
    "number_prefix": sql.SQL("starts_with(l.number, %(number_prefix)s)"),
    "name": sql.SQL("strpos(l.name, %(name)s) > 0"),
    "city": sql.SQL("strpos(l.city, %(city)s) > 0"),
    "country": sql.SQL("l.country = %(country)s"),
    "vat": sql.SQL("starts_with(l.vat, %(vat)s)"),
    "email": sql.SQL("strpos(l.email, %(email)s) > 0"),
    "type": sql.SQL("%(type)s = ANY(l.refs)"),
    "currency": sql.SQL("l.currency = %(currency)s"),
    "date_from": sql.SQL("l.dated >= %(date_from)s"),
    "date_until": sql.SQL("l.dated <= %(date_until)s"),
    "due_from": sql.SQL("l.due >= %(due_from)s"),
    "due_until": sql.SQL("l.due <= %(due_until)s"),
    "amount_from": sql.SQL("l.amount >= %(amount_from)s"),
    "amount_until": sql.SQL("l.amount <= %(amount_until)s"),
    "open_from": sql.SQL("l.open_amount >= %(open_from)s"),
    "open_until": sql.SQL("l.open_amount <= %(open_until)s"),
    "overdue_on": sql.SQL("l.state IN ('issued', 'partly_paid') AND l.due < %(overdue_on)s"),
}
_AS_KEPT: dict[str, Callable[[Any], Any]] = {
    "state": list,
    "name": fold,
    "city": fold,
    "email": fold,
    "reference": fold,
    "vat": squeeze,
}
_PAGE = sql.SQL("""
WITH page AS (
    SELECT l.entity_id, {order} AS key FROM listed l
    WHERE l.account_id = %(account)s AND l.stream_id = %(stream)s AND l.kind = %(kind)s {where} {beyond}
    ORDER BY key {direction}, l.entity_id {direction} LIMIT %(limit)s)
SELECT e.entity_id::text, page.key::text, e.state FROM page
JOIN entities e ON e.account_id = %(account)s AND e.stream_id = %(stream)s AND e.entity_id = page.entity_id
ORDER BY page.key {direction}, e.entity_id {direction}""")
_BEYOND = sql.SQL("AND ({order}, l.entity_id) {than} (%(key)s::{type}, %(after)s::uuid)")
_HAS_WORD = sql.SQL("strpos({row}.text, {word}) > 0")
_OF_CUSTOMER = sql.SQL("""l.belongs_to IN (
    SELECT c.entity_id FROM listed c
    WHERE c.account_id = %(account)s AND c.stream_id = %(stream)s AND c.kind = 'customer' AND ({where}))""")


def find_entities(
    database: Database,
    account: AccountId,
    kind: Kind,
    wanted: Wanted,
    sort: Sort,
    *,
    after: Spot | None = None,
    limit: int = 100,
) -> Found:
    """Up to *limit* snapshots of *kind* that are as *wanted*, in order, those beyond *after*.

    Raises AccountUnknown, CursorGone, FieldRefused for more words than may be looked for, ListTooLong.
    """
    statement, parameters = _composed(kind, wanted, sort, after)
    is_about_customers = _has_customer(kind) and (wanted.q is not None or wanted.customer is not None)
    kinds = {kind.value, *(("customer",) if is_about_customers else ())}
    with _at_the_head(database, account, kinds) as (connection, heads):
        if after is not None and after.stream != heads.stream:
            raise CursorGone(after.stream, heads.stream)
        key = {"account": account, "stream": heads.stream, "kind": kind.value, "limit": limit + 1}
        rows = _within_time(connection, statement, parameters | key)
    following = Spot(heads.stream, rows[limit - 1][0], rows[limit - 1][1]) if len(rows) > limit else None
    return Found(heads.stream, heads.position, [state.encode() for *_, state in rows[:limit]], following)


def is_spot(sort: Sort, key: str) -> bool:
    """Whether *key* can be what an entity is sorted by."""
    return "\0" not in key and SORTS[sort.by].is_value(key)


@contextmanager
def _at_the_head(
    database: Database, account: AccountId, kinds: set[str]
) -> Iterator[tuple[Connection[Row], listed.Heads]]:
    """A transaction in which the rows of *kinds* say what the snapshots say.

    First freely, as reading alone; where others keep writing meanwhile, behind the live stream's lock.
    """
    for _ in range(TRIES):
        with database.transaction(account, snapshot=True) as connection:
            heads = listed.read_heads(connection, account)
            if kinds <= set(heads.kinds):
                yield connection, heads
                return
        for kind in sorted(kinds - set(heads.kinds)):
            listed.catch_up(database, account, Kind(kind))
    with database.transaction(account) as connection:
        listed.lock_live(connection, account)
        for kind in sorted(kinds):
            listed.catch_up_within(connection, account, Kind(kind))
        yield connection, listed.read_heads(connection, account)


def _within_time(connection: Connection[Row], statement: sql.Composed, parameters: dict[str, Any]) -> list[Row]:
    connection.execute(sql.SQL("SET LOCAL statement_timeout = {}").format(sql.Literal(TIMEOUT_MS)))
    try:
        return connection.execute(statement, parameters).fetchall()
    except psycopg.errors.QueryCanceled as wrong:
        raise ListTooLong from wrong


def _composed(kind: Kind, wanted: Wanted, sort: Sort, after: Spot | None) -> tuple[sql.Composed, dict[str, Any]]:
    order = SORTS[sort.by]
    where: list[sql.Composable] = []
    parameters: dict[str, Any] = {}
    for name, clause in _WHERE.items():
        value = getattr(wanted, name)
        if value not in (None, ()):
            where.append(clause)
            parameters[name] = _AS_KEPT.get(name, lambda same: same)(value)
    if wanted.q is not None:
        words = _words(wanted.q)
        parameters |= words
        where.append(_having(kind, wanted.q, list(words), parameters))
    beyond: sql.Composable = sql.SQL("")
    if after is not None:
        parameters |= {"key": after.key, "after": after.entity}
        than = sql.SQL("<" if sort.descending else ">")
        beyond = _BEYOND.format(order=order.expression, than=than, type=order.type)
    statement = _PAGE.format(
        order=order.expression,
        where=sql.SQL("").join(sql.SQL("AND ({})").format(one) for one in where),
        beyond=beyond,
        direction=sql.SQL("DESC" if sort.descending else "ASC"),
    )
    return statement, parameters


def _words(q: str) -> dict[str, str]:
    """The words that are looked for, as parameters."""
    words = list(dict.fromkeys(fold(q).split()))
    if len(words) > MOST_WORDS:
        raise FieldRefused("q", f"{len(words)} words", f"at most {MOST_WORDS}")
    return {f"word{n}": word for n, word in enumerate(words)}


def _having(kind: Kind, q: str, names: list[str], parameters: dict[str, Any]) -> sql.Composable:
    """That all words are in an entity's text, or in that of its customer; or that *q* is in a VAT identifier."""
    squeezed = squeeze(q)
    is_identifier = len(squeezed) >= _SQUEEZED_FROM and any(letter.isdigit() for letter in squeezed)
    if is_identifier:
        parameters["squeezed"] = squeezed

    def in_row(row: sql.SQL, *, has_vat: bool) -> sql.Composable:
        found: sql.Composable = sql.SQL(" AND ").join(
            _HAS_WORD.format(row=row, word=sql.Placeholder(name)) for name in names
        )
        if not names:
            found = sql.SQL("true")
        if has_vat and is_identifier:
            found = sql.SQL("({}) OR strpos({}.vat, %(squeezed)s) > 0").format(found, row)
        return found

    own = in_row(sql.SQL("l"), has_vat=kind is Kind.CUSTOMER)
    if not _has_customer(kind):
        return own
    theirs = _OF_CUSTOMER.format(where=in_row(sql.SQL("c"), has_vat=True))
    return sql.SQL("({}) OR {}").format(own, theirs)


def _has_customer(kind: Kind) -> bool:
    return kind.is_document or kind is Kind.SUBSCRIPTION
