"""The list of a kind: what it can be filtered, sorted and searched by, its pages, and that it is as it was.

What each kind has stands in one table (``api.filters``), which the OpenAPI document, the refusal of what is not known
and the query follow.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from typing import Annotated, NamedTuple
from urllib.parse import quote, unquote, urlencode

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from api.filters import Asked, FilterRefused, filters_of, read_query, sorts_of
from api.http import replies
from api.http.caller import Caller, Inside
from api.http.conditional import is_unchanged
from api.http.errors import CursorRefused, RequestInvalid, StreamReplaced
from api.http.tags import from_cursor, to_cursor
from domain.ids import is_canonical
from domain.kinds import Kind
from projections import listing
from projections.finding import Found, Sort, Spot, Wanted, find_entities, is_spot
from projections.moments import read_moment
from projections.timeline import CursorGone
from snapshots.format.manifest import product_version

PAGE = 100
MOST_A_PAGE = 1_000  # of usual documents, a page of 2 MB
_NO_NUL = r"^[^\x00]*$"


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
        said = {name: text for name, text in given.items() if text is not None}
        try:
            query = read_query(kind, said, sort, today=today)
        except FilterRefused as wrong:
            raise RequestInvalid(f"query {wrong.name}", wrong.reason) from None
        if as_of is not None:
            if query.given:
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
        about = hashlib.sha256(f"{product_version()} {self.kind} {self.asked}".encode()).hexdigest()[:16]
        return f'W/"{stream}.{position}.{about}"'


def _page(
    asking: Caller, kind: Kind, query: Asked, cursor: str | None, limit: int
) -> tuple[listing.Page | Found, str | None]:
    """A page, and the cursor of the next."""
    database, account = asking.application.database, asking.access.account
    if query.is_plain:
        backwards = query.sort.descending
        mark = ("newest",) if backwards else ()
        after = _after(cursor, *mark)
        page = listing.list_entities(database, account, kind, after=after, limit=limit, newest_first=backwards)
        return page, to_cursor(*page.following, *mark) if page.following else None
    if cursor is None and query.wanted == Wanted(number=query.wanted.number) and query.wanted.number:
        return listing.find_numbered(database, account, kind, query.wanted.number), None
    about = hashlib.sha256(urlencode([("kind", kind.value), *query.given.items()]).encode()).hexdigest()[:16]
    spot = _spot(cursor, about, query.sort)
    found = find_entities(database, account, kind, query.wanted, query.sort, after=spot, limit=limit)
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


def _after(cursor: str | None, *mark: str) -> listing.Place | None:
    if cursor is None:
        return None
    stream, entity, *marked = from_cursor(cursor, parts=2 + len(mark))
    if marked != [*mark]:
        raise CursorRefused(cursor[:80])
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
