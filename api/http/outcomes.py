"""Running a command about one entity, and answering with the state that it led to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from starlette.responses import Response

from api.http import reads, replies
from api.http.caller import Caller
from api.http.schemas import COLLECTIONS
from api.http.tags import Seen
from domain.application import Outcome
from domain.ids import EntityId, is_canonical
from domain.kinds import Kind
from domain.work import EntityUnknown, Work

_encode = msgspec.json.Encoder().encode


class Result(NamedTuple):
    """What a command leaves to answer with: an entity's kind and state."""

    kind: Kind
    state: Any


def known_id(kind: Kind, entity: str) -> EntityId:
    """*entity* as an id. Raises EntityUnknown for what no entity can have as its id."""
    if not is_canonical(entity):
        raise EntityUnknown(kind.value, entity)
    return EntityId(entity)


def run(
    asking: Caller,
    kind: Kind,
    entity: EntityId,
    seen: Seen | None,
    command: Callable[[Work], Any],
    answer: Callable[[Outcome], Response],
) -> Response:
    """Run a command about one entity, held against the version that the caller saw, and *answer* its outcome."""
    if seen is not None:
        reads.snapshot(asking.application, asking.access.account, kind, entity)  # unknown is unknown, not stale
    expected = seen.of(entity) if seen else None
    return asking.run(command, answer, reads=[entity], expected=expected)


def changed(outcome: Outcome) -> Response:
    """The state that a command led to."""
    state = outcome.result.state
    return replies.state(_encode(state), stream=outcome.stream, version=state.version)


def made(asking: Caller, outcome: Outcome) -> Response:
    """The state of an entity that a command made, and its address."""
    kind, state = outcome.result
    location = f"{address(asking, kind)}/{state.id}"
    return replies.state(_encode(state), stream=outcome.stream, version=state.version, status=201, location=location)


def address(asking: Caller, kind: Kind) -> str:
    """Where entities of *kind* are."""
    return f"/v1/accounts/{asking.access.account}/{COLLECTIONS[kind]}"
