"""Every kind's collection: list, create, read, change, delete, and what else may be done to an entity of that kind.

The routes of a kind follow from its rules: a step that a kind does not know has no address.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from starlette.responses import Response

from api.http import actions, attachments, outcomes, reads, related, replies
from api.http.bodies import Fields, OptionalFields
from api.http.caller import Inside
from api.http.errors import FileUnknown
from api.http.lists import lister
from api.http.outcomes import Result, known_id, run
from api.http.schemas import COLLECTIONS, SCHEMAS, body_of
from api.http.tags import IfMatch
from domain import commands
from domain.application import Outcome
from domain.kinds import Kind
from domain.rules import RULES
from domain.work import Work
from projections.moments import read_moment
from projections.past import entity_at


def router(kind: Kind) -> APIRouter:
    """The routes of *kind*, below an account."""
    routes = APIRouter(prefix=f"/{COLLECTIONS[kind]}", tags=[COLLECTIONS[kind]])
    name = kind.value.replace("_", " ")
    a_name = f"an {name}" if name[0] in "aeiou" else f"a {name}"
    events = RULES[kind].events
    one = "/{entity}"
    routes.add_api_route("", lister(kind), methods=["GET"], summary=f"List every {name}, or those that are looked for")
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
    related.add_routes(routes, kind)
    return routes


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
