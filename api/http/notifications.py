"""What a person is told of an account: their own notices, read or not, and the topics that they asked for."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from api.http import replies
from api.http.bodies import Fields, OptionalFields
from api.http.caller import Inside
from api.http.errors import CursorRefused
from api.http.schemas import body_of
from domain.accounts import choose_topics
from domain.entity import converted
from domain.notices import Topic
from domain.parties import Value
from projections.notices import MOST_NOTICES, mark_read, read_notices

router = APIRouter(prefix="/accounts/{account}/notifications", tags=["notifications"])


class ReadFields(Value, frozen=True, kw_only=True):
    """Up to which notice, by its id and including it, all are read; all there are unless given."""

    up_to: Annotated[int, Meta(ge=1, le=2**53)] | None = None


class TopicsFields(Value, frozen=True, kw_only=True):
    """What to be told of. Owners and administrators are told of everything, whatever they choose."""

    topics: tuple[Topic, ...]


@router.get("", summary="What you were told of the account, newest first")
def list_notices(
    request: Request,
    asking: Inside,
    *,
    unread: Annotated[bool, Query()] = False,
    cursor: Annotated[str | None, Query(max_length=20)] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_NOTICES)] = 50,
) -> Response:
    """The person's own notices; *unread* ones alone, if that is said."""
    if cursor is not None and not (cursor.isascii() and cursor.isdecimal() and 1 <= int(cursor) < 2**63):
        raise CursorRefused(cursor)
    page = read_notices(
        asking.application.database,
        asking.access.account,
        asking.person.id,
        before=int(cursor) if cursor else None,
        unread=unread,
        limit=limit,
    )
    headers = None
    if page.following:
        following = request.url.include_query_params(cursor=page.following)
        headers = {"Link": f'<{following.path}?{following.query}>; rel="next"'}
    return replies.json({"unread": page.unread, "items": page.items}, headers=headers)


@router.post("/read", summary="Mark what you were told as read", openapi_extra=body_of(ReadFields))
def read(asking: Inside, fields: OptionalFields) -> Response:
    """How many are left; again changes nothing."""
    wanted = converted(fields, ReadFields)
    application = asking.application
    left = mark_read(
        application.database, asking.access.account, asking.person.id, up_to=wanted.up_to, at=application.clock()
    )
    return replies.json({"unread": left})


@router.put("/topics", summary="Choose what you are told of", openapi_extra=body_of(TopicsFields))
def choose(asking: Inside, fields: Fields) -> Response:
    """Each member for themselves; the account's history keeps it."""
    wanted = converted(fields, TopicsFields)
    member = choose_topics(asking.application, asking.access, asking.actor, asking.person.id, wanted.topics)
    return replies.json({"topics": member.topics})
