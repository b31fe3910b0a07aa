"""What happened in an account, and whether what is kept is what happened: the timeline, and the rebuild's check."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api.http import replies
from api.http.actions import NoFields
from api.http.bodies import OptionalFields
from api.http.caller import Inside
from api.http.errors import RequestInvalid
from domain.accounts import require_administrator
from domain.entity import converted
from domain.ids import EntityId, PersonId
from projections.listing import count_kinds
from projections.rebuild import rebuild
from projections.timeline import MOST_ENTRIES, Filter, read_timeline

router = APIRouter(prefix="/accounts/{account}", tags=["timeline"])

_Text = Annotated[str | None, Query(max_length=100)]


@router.get("/timeline", summary="What happened, newest first, with what each change was before and after")
def timeline(
    request: Request,
    asking: Inside,
    person: _Text = None,
    kind: _Text = None,
    entity: _Text = None,
    type: _Text = None,
    since: Annotated[str | None, Query(max_length=40)] = None,
    until: Annotated[str | None, Query(max_length=40)] = None,
    cursor: Annotated[str | None, Query(max_length=400)] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_ENTRIES)] = 50,
) -> Response:
    """The live stream's events with the account's own history; *since* is inclusive, *until* is not, both RFC 3339."""
    which = Filter(
        PersonId(person) if person else None,
        kind,
        EntityId(entity) if entity else None,
        type,
        _time("since", since),
        _time("until", until),
    )
    page = read_timeline(asking.application.database, asking.access.account, which, cursor=cursor, limit=limit)
    headers = None
    if page.cursor:
        following = request.url.include_query_params(cursor=page.cursor)
        headers = {"Link": f'<{following.path}?{following.query}>; rel="next"'}
    return replies.json(page, headers=headers)


def _time(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise RequestInvalid(f"query {name}", f"found {text[:40]!r}; expected a time such as 2026-01-31T09:30:00Z")
    return found


@router.get("/counts", summary="How many entities of each kind there are")
def counts(asking: Inside) -> Response:
    """Kind → how many; deleted ones are not there."""
    return replies.json(count_kinds(asking.application.database, asking.access.account))


@router.post("/rebuild-check", summary="Derive everything anew from the events, and report each difference")
def rebuild_check(asking: Inside, fields: OptionalFields) -> Response:
    """Changes nothing; an account that is sound has no differences."""
    converted(fields, NoFields)
    require_administrator(asking.access, "checking the account against its events")
    return replies.json(rebuild(asking.application.database, asking.access.account, check=True))
