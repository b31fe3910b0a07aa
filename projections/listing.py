"""Lists: what an account holds of each kind. Snapshots go out as the bytes they are kept as, never decoded."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from psycopg import Connection

from domain.ids import NIL, AccountId
from domain.kinds import Kind
from domain.store.database import Database, Row
from domain.store.statements import statements
from domain.store.streams import AccountUnknown
from projections.moments import Position, resolve
from projections.past import states_at
from projections.timeline import CursorGone

SQL = statements("projections", "listing.sql")


class Place(NamedTuple):
    """Where in a list one is: at an entity, in a stream."""

    stream: int
    entity: str


class Page(NamedTuple):
    """Some of a kind's snapshots in a stream whose head was *position*, and the place after which there are more."""

    stream: int
    position: int
    states: list[bytes]
    following: Place | None = None


def list_entities(
    database: Database,
    account: AccountId,
    kind: Kind,
    *,
    after: Place | None = None,
    limit: int = 100,
    newest_first: bool = False,
) -> Page:
    """Up to *limit* snapshots of *kind*, oldest first, those made after *after*; deleted ones are not there.

    With *newest_first* the other way round.

    Raises AccountUnknown; CursorGone when *after* is of a stream that no longer is the live one.
    """
    with database.transaction(account, snapshot=True) as connection:
        stream, head = _live(connection, account)
        if after is not None and after.stream != stream:
            raise CursorGone(after.stream, stream)
        parameters = {
            "account": account,
            "stream": stream,
            "kind": kind.value,
            "after": after.entity if after else None if newest_first else NIL,
            "limit": limit + 1,
        }
        rows = connection.execute(SQL["list_newest" if newest_first else "list_entities"], parameters).fetchall()
    following = Place(stream, rows[limit - 1][0]) if len(rows) > limit else None
    return Page(stream, head, [state.encode() for _, state in rows[:limit]], following)


def list_entities_at(
    database: Database,
    account: AccountId,
    kind: Kind,
    named: Position | datetime,
    *,
    now: datetime,
    after: Place | None = None,
    limit: int = 100,
) -> Page:
    """As ``list_entities``, of what was there at the moment that is *named*, as it was then.

    What was not changed since is what is stored; the others are folded from their events. Raises what ``resolve`` does,
    and CursorGone when *after* is of another stream than the moment.
    """
    with database.transaction(account, snapshot=True) as connection:
        moment = resolve(connection, account, named, now=now)
        if after is not None and after.stream != moment.stream:
            raise CursorGone(after.stream, moment.stream)
        key = {"account": account, "stream": moment.stream, "kind": kind.value, "last": moment.position}
        last = after.entity if after else NIL
        found: list[tuple[str, bytes]] = []
        while len(found) <= limit:
            parameters = {**key, "after": last, "limit": limit + 1}
            rows = connection.execute(SQL["list_there"], parameters).fetchall()
            changed = [entity for entity, _, is_later in rows if is_later]
            then = states_at(connection, account, moment, kind, changed)
            for entity, state, is_later in rows:
                was = then.get(entity) if is_later else state and state.encode()
                if was:
                    found.append((entity, was))
            if len(rows) <= limit:
                break
            last = rows[-1][0]
    following = Place(moment.stream, found[limit - 1][0]) if len(found) > limit else None
    return Page(moment.stream, moment.position, [state for _, state in found[:limit]], following)


def find_numbered(database: Database, account: AccountId, kind: Kind, number: str) -> Page:
    """The entity of *kind* that bears *number*, as a page of none or one. Raises AccountUnknown."""
    with database.transaction(account, snapshot=True) as connection:
        stream, head = _live(connection, account)
        parameters = {"account": account, "stream": stream, "kind": kind.value, "number": number}
        rows = connection.execute(SQL["find_numbered"], parameters).fetchall()
    return Page(stream, head, [state.encode() for (state,) in rows])


def count_kinds(database: Database, account: AccountId) -> dict[str, int]:
    """How many entities of each kind are there; deleted ones are not."""
    with database.transaction(account) as connection:
        found = dict(connection.execute(SQL["count_kinds"], {"account": account}).fetchall())
    return {kind.value: found.get(kind.value, 0) for kind in Kind}


def read_head(database: Database, account: AccountId) -> tuple[int, int]:
    """The live stream and its head: while they are the same, so is every list. Raises AccountUnknown."""
    with database.transaction(account) as connection:
        return _live(connection, account)


def _live(connection: Connection[Row], account: AccountId) -> tuple[int, int]:
    row = connection.execute(SQL["read_live"], {"account": account}).fetchone()
    if row is None:
        raise AccountUnknown(account)
    return row[0], row[1]
