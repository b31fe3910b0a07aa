"""Every kind's collection: list, create, read, change, delete, and what else may be done to an entity of that kind.

The routes of a kind follow from its rules: a step that a kind does not know has no address.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated
from urllib.parse import urlencode

import msgspec
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api.http import actions, attachments, outcomes, reads, replies
from api.http.bodies import Fields, OptionalFields
from api.http.caller import Inside
from api.http.errors import CursorRefused, FileUnknown, RequestInvalid, StreamReplaced
from api.http.outcomes import Result, known_id, run
from api.http.schemas import COLLECTIONS, SCHEMAS, body_of
from api.http.tags import IfMatch, from_cursor, to_cursor
from domain import commands
from domain.application import Outcome
from domain.ids import is_canonical
from domain.kinds import Kind
from domain.rules import RULES
from domain.work import Work
from projections import listing
from projections.moments import read_moment
from projections.past import entity_at
from projections.timeline import CursorGone

PAGE = 100
MOST_A_PAGE = 1_000  # of usual documents, a page of 2 MB


def router(kind: Kind) -> APIRouter:
    """The routes of *kind*, below an account."""
    routes = APIRouter(prefix=f"/{COLLECTIONS[kind]}", tags=[COLLECTIONS[kind]])
    name = kind.value.replace("_", " ")
    a_name = f"an {name}" if name[0] in "aeiou" else f"a {name}"
    events = RULES[kind].events
    one = "/{entity}"
    routes.add_api_route("", _list(kind), methods=["GET"], summary=f"List every {name}, oldest first")
    routes.add_api_route(
        "",
        _create(kind),
        methods=["POST"],
        status_code=201,
        summary=f"Make {a_name}",
        openapi_extra=body_of(SCHEMAS[kind].creation),
    )
    routes.add_api_route(one, _read(kind), methods=["GET"], summary=f"Read {a_name}, as it is or as it was")
    routes.add_api_route(
        one, _change(kind), methods=["PATCH"], summary=f"Change {a_name}", openapi_extra=body_of(SCHEMAS[kind].change)
    )
    if "deleted" in events or "draft_deleted" in events:
        routes.add_api_route(one, _delete(kind), methods=["DELETE"], status_code=204, summary=f"Delete {a_name}")
    for action in actions.of(kind):
        routes.add_api_route(
            f"{one}/{action.path}",
            _act(kind, action),
            methods=["POST"],
            status_code=201 if action.makes else 200,
            summary=action.summary,
            openapi_extra=body_of(action.body) if action.body else None,
        )
    if "payment_reversed" in events:
        routes.add_api_route(
            f"{one}/payments/{{payment:path}}/reverse",
            _reverse(kind),
            methods=["POST"],
            summary="Record that a payment turned out not to stand",
            openapi_extra=body_of(actions.ReversalFields),
        )
    if kind.is_document:
        attachments.add_routes(routes, kind)
    return routes


def _list(kind: Kind) -> Callable[..., Response]:
    def list_entities(
        request: Request,
        asking: Inside,
        cursor: Annotated[str | None, Query(max_length=200)] = None,
        limit: Annotated[int, Query(ge=1, le=MOST_A_PAGE)] = PAGE,
        number: Annotated[str | None, Query(min_length=1, max_length=100, pattern=r"^[^\x00]*$")] = None,
        as_of: Annotated[str | None, Query(max_length=60)] = None,
    ) -> Response:
        database, account = asking.application.database, asking.access.account
        if number is not None:
            if as_of is not None:
                raise RequestInvalid("query number", "found it with as_of; expected one of the two")
            found = listing.find_numbered(database, account, kind, number)
            return replies.collection(found.states, stream=found.stream)
        after = _after(cursor)
        try:
            if as_of is None:
                page = listing.list_entities(database, account, kind, after=after, limit=limit)
            else:
                named, now = read_moment(as_of), asking.application.clock()
                page = listing.list_entities_at(database, account, kind, named, now=now, after=after, limit=limit)
        except CursorGone as gone:
            raise StreamReplaced(gone.found, gone.live) from None
        following = None
        if page.following is not None:
            moment = {} if as_of is None else {"as_of": as_of}
            query = urlencode({"limit": limit, "cursor": to_cursor(*page.following), **moment})
            following = f"{request.url.path}?{query}"
        return replies.collection(page.states, stream=page.stream, following=following)

    return list_entities


def _after(cursor: str | None) -> listing.Place | None:
    if cursor is None:
        return None
    stream, entity = from_cursor(cursor, parts=2)
    if not stream.isdecimal() or len(stream) > 9 or not is_canonical(entity):
        raise CursorRefused(cursor[:80])
    return listing.Place(int(stream), entity)


def _create(kind: Kind) -> Callable[..., Response]:
    def create(asking: Inside, fields: Fields) -> Response:
        def command(work: Work) -> Result:
            return Result(kind, work.get(kind, commands.create(work, kind, fields)))

        return asking.run(command, lambda outcome: outcomes.made(asking, outcome))

    return create


def _read(kind: Kind) -> Callable[..., Response]:
    def read(asking: Inside, entity: str, as_of: Annotated[str | None, Query(max_length=60)] = None) -> Response:
        if as_of is not None:
            database, now = asking.application.database, asking.application.clock()
            was = entity_at(database, asking.access.account, kind, entity, read_moment(as_of), now=now)
            return replies.state(msgspec.json.encode(was.state), stream=was.stream, version=was.state.version)
        found = reads.snapshot(asking.application, asking.access.account, kind, entity)
        return replies.state(found.state, stream=found.stream, version=found.version)

    return read


def _change(kind: Kind) -> Callable[..., Response]:
    def change(asking: Inside, entity: str, fields: Fields, seen: IfMatch) -> Response:
        id_ = known_id(kind, entity)

        def command(work: Work) -> Result:
            if fields:
                commands.change(work, kind, id_, fields)
            return Result(kind, work.get(kind, id_))

        return run(asking, kind, id_, seen, command, outcomes.changed)

    return change


def _delete(kind: Kind) -> Callable[..., Response]:
    def delete(asking: Inside, entity: str, seen: IfMatch) -> Response:
        id_ = known_id(kind, entity)
        command: Callable[[Work], None] = lambda work: commands.delete(work, kind, id_)  # noqa: E731
        return run(asking, kind, id_, seen, command, lambda _: replies.nothing())

    return delete


def _act(kind: Kind, action: actions.Action) -> Callable[..., Response]:
    def act(asking: Inside, entity: str, fields: OptionalFields, seen: IfMatch) -> Response:
        id_ = known_id(kind, entity)

        def command(work: Work) -> Result:
            made = action.run(work, kind, id_, fields)
            return Result(made.kind, work.get(made.kind, made.id)) if made else Result(kind, work.get(kind, id_))

        def answer(outcome: Outcome) -> Response:
            return outcomes.made(asking, outcome) if action.makes else outcomes.changed(outcome)

        return run(asking, kind, id_, seen, command, answer)

    return act


def _reverse(kind: Kind) -> Callable[..., Response]:
    def reverse(asking: Inside, entity: str, payment: str, fields: OptionalFields, seen: IfMatch) -> Response:
        id_ = known_id(kind, entity)

        def command(work: Work) -> Result:
            if all(one.id != payment for one in work.get(kind, id_).payments):
                raise FileUnknown("payment", payment)
            actions.reverse_payment(work, kind, id_, payment, fields)
            return Result(kind, work.get(kind, id_))

        return run(asking, kind, id_, seen, command, outcomes.changed)

    return reverse
