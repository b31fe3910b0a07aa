"""Reading and appending to an account's live stream, as commands do it: one round trip to read, one to append.

An append names the position at which it was decided. When the stream has moved on since, nothing is appended and the
command is decided anew, the second time behind a lock; so whatever a command looked at is still so when it commits.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, NamedTuple

import msgspec
import psycopg
from msgspec import Struct
from psycopg import Connection

from domain.errors import StoreError
from domain.ids import AccountId, EntityId
from domain.store.database import Row
from domain.store.statements import statements
from domain.tree import Frontier

SQL = statements("domain.store", "streams.sql")
_encode = msgspec.json.Encoder().encode


class AccountUnknown(StoreError):
    """There is no such account, or it is closed to who asks: which of the two is not said."""

    code: ClassVar[str] = "account.unknown"

    def __init__(self, account: str) -> None:
        super().__init__(account)
        self.account = account

    def __str__(self) -> str:
        return f"no account {self.account!r} that you have access to"


class StreamUnknown(StoreError):
    """The account has no such stream, or it is neither live nor retired."""

    code: ClassVar[str] = "stream.unknown"

    def __init__(self, stream: int) -> None:
        super().__init__(stream)
        self.stream = stream

    def __str__(self) -> str:
        return f"no stream {self.stream} of this account is live or retired"


class NumberTaken(StoreError):
    """Another entity of the kind bears the number."""

    code: ClassVar[str] = "store.number-taken"

    def __init__(self, kind: str, number: str) -> None:
        super().__init__(kind, number)
        self.kind = kind
        self.number = number

    def __str__(self) -> str:
        return f"number: {self.kind} {self.number!r} is there already; expected a number that no other {self.kind} has"


class Head(Struct, frozen=True):
    """Where an account stood when it was read: its live stream's position and tree, its control stream's position."""

    stream: int
    position: int
    frontier: Frontier
    last_at: datetime | None
    control_position: int


class Loaded(NamedTuple):
    """What one read brought: the head, the control state when it is news, kind and state of what is there."""

    head: Head
    control: str | None
    states: list[tuple[str, str]]


class EventRow(NamedTuple):
    """An event on its way into the store, its leaf in hexadecimal."""

    entity: str
    version: int
    type: str
    type_version: int
    at: str
    actor: str
    via: str
    data: str
    leaf: str


class EntityRow(NamedTuple):
    """An entity's new snapshot."""

    id: str
    version: int
    position: int
    deleted: bool
    kind: str
    number: str | None
    state: str


class Batch(NamedTuple):
    """What a command appends, all or nothing."""

    events: list[EventRow]
    entities: list[EntityRow]
    series: list[tuple[str, str, int]]


def load(
    connection: Connection[Row], account: AccountId, entities: list[EntityId], *, control_known: int, lock: bool
) -> Loaded:
    """The account's head and the states of *entities*. Raises AccountUnknown."""
    row = connection.execute(
        SQL["load"],
        {"account": account, "entities": entities, "control_known": control_known, "lock": lock},
        binary=True,
    ).fetchone()
    if row is None:
        raise AccountUnknown(account)
    stream, position, frontier, last_at, control_position, control, kinds, states = row
    head = Head(stream, position, Frontier.from_bytes(position, frontier), last_at, control_position)
    return Loaded(head, control, list(zip(kinds or (), states or (), strict=True)))


def append(connection: Connection[Row], account: AccountId, head: Head, frontier: Frontier, batch: Batch) -> int | None:
    """The position after the append, or None when the account has moved on from *head*. Raises NumberTaken."""
    written = _encode({"events": batch.events, "entities": batch.entities, "series": batch.series}).decode()
    try:
        row = connection.execute(
            SQL["append"],
            {
                "account": account,
                "stream": head.stream,
                "head": head.position,
                "control": head.control_position,
                "frontier": frontier.to_bytes(),
                "batch": written,
            },
        ).fetchone()
    except psycopg.errors.UniqueViolation as wrong:
        if wrong.diag.constraint_name != "entities_number_key":
            raise
        raise _taken(batch) from wrong
    return row[0] if row else None


def _taken(batch: Batch) -> NumberTaken:
    numbered = [entity for entity in batch.entities if entity.number is not None]
    return NumberTaken(numbered[-1].kind, numbered[-1].number or "")


def append_control(
    connection: Connection[Row],
    account: AccountId,
    position: int,
    *,
    control: str,
    events: list[Any],
    members: list[Any] | None,
) -> int | None:
    """The control stream's position after the append, or None when it has moved on from *position*."""
    row = connection.execute(
        SQL["append_control"],
        {
            "account": account,
            "position": position,
            "control": control,
            "events": _encode(events).decode(),
            "members": None if members is None else _encode(members).decode(),
        },
    ).fetchone()
    return row[0] if row else None
