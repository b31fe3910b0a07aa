"""What happened in an account, and whether what is kept is what happened: the timeline, and the rebuild's check."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api.http import files, replies
from api.http.actions import NoFields
from api.http.bodies import OptionalFields
from api.http.caller import Inside
from api.http.errors import RequestInvalid
from api.http.jobs import accepted
from api.http.schemas import body_of
from api.jobs.requests import VerificationFields, unlock_of
from domain.accounts import require_administrator
from domain.entity import converted
from domain.ids import EntityId, PersonId
from projections.listing import count_kinds
from projections.timeline import MOST_ENTRIES, Filter, read_timeline
from snapshots.proving.proving import prove_consistency, prove_inclusion

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


@router.post(
    "/timeline/verification",
    status_code=202,
    summary="Find what was changed behind the service's back, and where it begins",
    openapi_extra=body_of(VerificationFields),
)
def verification(request: Request, asking: Inside, fields: OptionalFields) -> Response:
    """A job recomputes the log, and compares it with what the account's history and archives state. Changes nothing."""
    wanted = converted(fields, VerificationFields)
    unlock_of(wanted)
    for archive in wanted.against:
        files.check_there(asking.application, asking.settings, asking.access.account, archive)
    return accepted(request, asking, "verification", fields)


_Size = Annotated[int | None, Query(ge=0, le=2**53)]
_Stream = Annotated[int | None, Query(ge=1, le=2**31 - 1)]


@router.get("/timeline/proofs/inclusion", summary="Prove that an event is in the log")
def inclusion(
    asking: Inside, position: Annotated[int, Query(ge=1, le=2**53)], size: _Size = None, stream: _Stream = None
) -> Response:
    """Under the head of *size* events, or of the newest backup that holds the position. Anybody can check it."""
    database = asking.application.database
    return replies.json(prove_inclusion(database, asking.access.account, position=position, stream=stream, head=size))


@router.get("/timeline/proofs/consistency", summary="Prove that the log only ever grew")
def consistency(
    asking: Inside, from_size: Annotated[int, Query(ge=0, le=2**53)], to_size: _Size = None, stream: _Stream = None
) -> Response:
    """That the head of *to_size* events, or the last one, continues that of *from_size*. Anybody can check it."""
    database = asking.application.database
    return replies.json(
        prove_consistency(database, asking.access.account, earlier=from_size, later=to_size, stream=stream)
    )


@router.get("/counts", summary="How many entities of each kind there are")
def counts(asking: Inside) -> Response:
    """Kind → how many; deleted ones are not there."""
    return replies.json(count_kinds(asking.application.database, asking.access.account))


@router.post(
    "/rebuild-check", status_code=202, summary="Derive everything anew from the events, and report each difference"
)
def rebuild_check(request: Request, asking: Inside, fields: OptionalFields) -> Response:
    """By a job. Changes nothing; an account that is sound has no differences."""
    converted(fields, NoFields)
    require_administrator(asking.access, "checking the account against its events")
    return accepted(request, asking, "rebuild-check", fields)
