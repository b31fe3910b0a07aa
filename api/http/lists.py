"""The list of a kind: what it can be filtered, sorted and searched by, its pages, and that it is as it was.

Each kind's parameters stand in one table, which the OpenAPI document, the refusal of unknown ones and the query follow.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from importlib.metadata import version
from typing import Annotated, Any, NamedTuple
from urllib.parse import quote, unquote, urlencode

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from api.http import replies
from api.http.caller import Caller, Inside
from api.http.conditional import is_unchanged
from api.http.errors import CursorRefused, RequestInvalid, StreamReplaced
from api.http.tags import from_cursor, to_cursor
from domain.documents.document import DocumentState
from domain.ids import EntityId, is_canonical
from domain.kinds import Kind
from domain.subscriptions import SubscriptionState
from projections import listing
from projections.finding import Found, Sort, Spot, Wanted, find_entities, is_spot
from projections.moments import read_moment
from projections.timeline import CursorGone

PAGE = 100
MOST_A_PAGE = 1_000  # of usual documents, a page of 2 MB
_NO_NUL = r"^[^\x00]*$"


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
        raise RequestInvalid(f"query {name}", f"found {given[:40]!r}; expected a day such as 2026-01-31")
    return found


def _amount(name: str, given: str) -> Decimal:
    whole, _, fraction = given.removeprefix("-").partition(".")
    if not (whole + fraction).isdecimal() or not given.isascii() or len(whole) > 15 or len(fraction) > 6 or not whole:
        raise RequestInvalid(f"query {name}", f"found {given[:40]!r}; expected an amount such as 1250.00")
    return Decimal(given)


def _id(name: str, given: str) -> EntityId:
    if not is_canonical(given):
        raise RequestInvalid(f"query {name}", f"found {given[:40]!r}; expected an id")
    return EntityId(given)


def _one_of(*known: str) -> Callable[[str, str], tuple[str, ...]]:
    def read(name: str, given: str) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(given.split(",")))
        for one in found:
            if one not in known:
                expected = ", ".join(known)
                raise RequestInvalid(
                    f"query {name}", f"found {one[:40]!r}; expected some of {expected}, between commas"
                )
        return found

    return read


def _yes(name: str, given: str) -> bool:
    if given not in ("true", "false"):
        raise RequestInvalid(f"query {name}", f"found {given[:40]!r}; expected true or false")
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
        """Whether all there is is listed in the order in which it was made."""
        return self.wanted == Wanted() and self.sort == Sort()


def read_query(kind: Kind, given: dict[str, str], sort: str | None, *, today: date) -> Asked:
    """What the parameters *given* and *sort* ask of the list of *kind*. Raises RequestInvalid."""
    known = filters_of(kind)
    wanted: dict[str, Any] = {known[name].field: known[name].read(name, text) for name, text in given.items()}
    if "overdue_on" in wanted:
        wanted["overdue_on"] = today if wanted["overdue_on"] else None
    by = (sort or "id").removeprefix("-")
    sorts = sorts_of(kind)
    if by not in sorts:
        expected = ", ".join(sorts)
        raise RequestInvalid("query sort", f"found {by[:40]!r}; expected one of {expected}, after a hyphen: descending")
    order = Sort(sorts[by], descending=(sort or "").startswith("-"))
    asked = dict(sorted(given.items())) | ({"sort": sort} if sort else {})
    return Asked(Wanted(**wanted), order, asked)


def lister(kind: Kind) -> Callable[..., Response]:
    """The endpoint that lists *kind*."""
    filters = filters_of(kind)

    def list_entities(
        request: Request,
        asking: Caller,
        cursor: str | None = None,
        limit: int = PAGE,
        sort: str | None = None,
        as_of: str | None = None,
        **given: str | None,
    ) -> Response:
        today = asking.today
        query = read_query(kind, {name: text for name, text in given.items() if text is not None}, sort, today=today)
        if as_of is not None:
            if not query.is_plain:
                raise RequestInvalid("query as_of", "found it with a filter or a sort; expected it without")
            return _then(request, asking, kind, cursor, limit, as_of)
        database, account = asking.application.database, asking.access.account
        tag = _Tag(kind, f"{today if query.wanted.overdue_on else ''}?{request.url.query}")
        if "if-none-match" in request.headers:
            unchanged = tag.at(*listing.read_head(database, account))
            if is_unchanged(request, unchanged):
                return Response(status_code=304, headers={"ETag": unchanged})
        try:
            page, following = _page(asking, kind, query, cursor, limit)
        except CursorGone as gone:
            raise StreamReplaced(gone.found, gone.live) from None
        address = _addresses(request, limit, query.given, following)
        return replies.collection(page.states, stream=page.stream, etag=tag.at(page.stream, page.position), **address)

    described = {
        "request": Request,
        "asking": Inside,
        "cursor": Annotated[str | None, Query(max_length=1_500, description="Where the page before ended")],
        "limit": Annotated[int, Query(ge=1, le=MOST_A_PAGE)],
        "sort": Annotated[
            str | None,
            Query(max_length=40, description=f"{', '.join(sorts_of(kind))}; after a hyphen in descending order"),
        ],
        "as_of": Annotated[str | None, Query(max_length=60, description="A position or a time: as it was then")],
        **{
            name: Annotated[
                str | None,
                Query(min_length=1, max_length=one.most, pattern=_NO_NUL, description=one.description),
            ]
            for name, one in filters.items()
        },
    }
    defaults = {"request": inspect.Parameter.empty, "asking": inspect.Parameter.empty, "limit": PAGE}
    list_entities.__annotations__ = {**described, "return": Response}
    list_entities.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # what FastAPI reads
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults.get(name), annotation=annotation)
            for name, annotation in described.items()
        ]
    )
    return list_entities


class _Tag(NamedTuple):
    """The weak entity tag of a list: while the account has not moved on, the same question has the same answer."""

    kind: Kind
    asked: str

    def at(self, stream: int, position: int) -> str:
        about = hashlib.sha256(f"{version('counterfoil')} {self.kind} {self.asked}".encode()).hexdigest()[:16]
        return f'W/"{stream}.{position}.{about}"'


def _page(
    asking: Caller, kind: Kind, query: Asked, cursor: str | None, limit: int
) -> tuple[listing.Page | Found, str | None]:
    """A page, and the cursor of the next."""
    database, account = asking.application.database, asking.access.account
    if query.is_plain:
        page = listing.list_entities(database, account, kind, after=_after(cursor), limit=limit)
        return page, to_cursor(*page.following) if page.following else None
    if cursor is None and query.wanted == Wanted(number=query.wanted.number) and query.wanted.number:
        return listing.find_numbered(database, account, kind, query.wanted.number), None
    about = hashlib.sha256(urlencode([("kind", kind.value), *query.given.items()]).encode()).hexdigest()[:16]
    after = _spot(cursor, about, query.sort)
    found = find_entities(database, account, kind, query.wanted, query.sort, after=after, limit=limit)
    if found.following is None:
        return found, None
    stream, entity, key = found.following
    return found, to_cursor(stream, entity, about, quote(key, safe=""))


def _then(request: Request, asking: Caller, kind: Kind, cursor: str | None, limit: int, as_of: str) -> Response:
    database, account = asking.application.database, asking.access.account
    named, now = read_moment(as_of), asking.application.clock()
    try:
        page = listing.list_entities_at(database, account, kind, named, now=now, after=_after(cursor), limit=limit)
    except CursorGone as gone:
        raise StreamReplaced(gone.found, gone.live) from None
    following = to_cursor(*page.following) if page.following else None
    return replies.collection(
        page.states, stream=page.stream, **_addresses(request, limit, {"as_of": as_of}, following)
    )


def _addresses(request: Request, limit: int, given: dict[str, str], following: str | None) -> dict[str, str | None]:
    """The addresses of the next page and of the first, where there are several."""

    def address(**more: str) -> str:
        return f"{request.url.path}?{urlencode({'limit': limit, **given, **more})}"

    is_one = following is None and "cursor" not in request.query_params
    return {"following": address(cursor=following) if following else None, "first": None if is_one else address()}


def _after(cursor: str | None) -> listing.Place | None:
    if cursor is None:
        return None
    stream, entity = from_cursor(cursor, parts=2)
    return listing.Place(*_place(cursor, stream, entity))


def _spot(cursor: str | None, about: str, sort: Sort) -> Spot | None:
    """Where *cursor* leads on. Raises CursorRefused also for one of another list, filter or sort."""
    if cursor is None:
        return None
    stream, entity, asked, quoted = from_cursor(cursor, parts=4)
    try:
        key = unquote(quoted, errors="strict")
    except UnicodeDecodeError:
        raise CursorRefused(cursor[:80]) from None
    if asked != about or not is_spot(sort, key):
        raise CursorRefused(cursor[:80])
    return Spot(*_place(cursor, stream, entity), key)


def _place(cursor: str, stream: str, entity: str) -> tuple[int, str]:
    if not stream.isdecimal() or len(stream) > 9 or not is_canonical(entity):
        raise CursorRefused(cursor[:80])
    return int(stream), entity
