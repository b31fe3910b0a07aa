"""What an account got since a restore began: each entity as it was then, as it is, and as the fresh stream has it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec
from psycopg import Connection

from domain.events import read_line
from domain.ids import AccountId
from domain.kinds import Kind
from domain.store.database import Row
from domain.store.statements import statements
from domain.work import decode_state, is_gone, kind_of
from snapshots.reading.checking import Checked
from snapshots.restoring.report import ChangedEntity

SQL = statements("snapshots.fresh", "fresh.sql")
_encode = msgspec.json.Encoder().encode


class Changed(NamedTuple):
    """An entity that changed, and by how many events; ``was`` is None of one that was made since."""

    now: Checked
    events: int
    was: Checked | None = None
    then: Checked | None = None

    @property
    def named(self) -> ChangedEntity:
        """What a report says of it."""
        number = getattr(self.now.state, "number", None)
        return ChangedEntity(kind=self.now.kind.value, id=self.now.id, number=number, events=self.events)


def read_changed(connection: Connection[Row], account: AccountId, stream: int, *, after: int) -> list[Changed]:
    """The entities of a stream that changed after a position, in the order of their last change, as they are now."""
    rows = connection.execute(SQL["read_changed"], {"account": account, "stream": stream, "after": after})
    return [Changed(_checked(*row), events) for *row, events in rows]


def with_both_sides(
    connection: Connection[Row], account: AccountId, changed: list[Changed], *, live: int, after: int, fresh: int
) -> list[Changed]:
    """*changed*, with what each was in the *live* stream at the position *after*, and what the *fresh* one has of it.

    Two statements by the entities' ids: it is called under the live stream's lock.
    """
    ids = [one.now.id for one in changed]
    key = {"account": account, "entities": ids}
    lines = connection.execute(SQL["read_lines_until"], {**key, "stream": live, "until": after})
    was = _folded(line for (line,) in lines)
    rows = connection.execute(SQL["read_entities"], {**key, "stream": fresh})
    then = {row[0]: _checked(*row) for row in rows}
    return [one._replace(was=was.get(one.now.id), then=then.get(one.now.id)) for one in changed]


def _checked(id_: Any, kind: str, deleted: bool, state: str) -> Checked:  # noqa: FBT001 - a row's column
    decoded = decode_state(Kind(kind), state)
    return Checked(id_, Kind(kind), 0, decoded, state.encode(), deleted)


def _folded(lines: Iterable[str]) -> dict[str, Checked]:
    """The entities that *lines*, each entity's in order of version, lead to."""
    states: dict[str, Any] = {}
    for line in lines:
        event = read_line(line.encode())
        states[event.entity] = event.rules.evolve(states.get(event.entity), event.data, event.entity, event.version)
    return {
        id_: Checked(state.id, kind_of(state), 0, state, _encode(state), is_gone(state))
        for id_, state in states.items()
    }
