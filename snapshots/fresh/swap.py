"""Making a fresh stream, or a retired one, the live one: one short transaction, wholly or not at all.

Under the live stream's row lock no writer comes between: who waited for it finds the stream retired and reads anew. The
transaction that points the account at the fresh stream also records it on the control stream.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal, NamedTuple

import msgspec
import psycopg
from psycopg import Connection, Rollback

from domain.application import Actor, Application, record_control
from domain.control import Control, StreamSwapped
from domain.errors import RestoreError
from domain.ids import AccountId
from domain.parties import Value
from domain.store.database import Database, Row
from domain.store.statements import statements
from domain.tree import Frontier

SQL = statements("snapshots.fresh", "fresh.sql")
Subscriptions = Literal["hold", "moved"]
_CONTROL = msgspec.json.Decoder(Control)


@dataclass(eq=False)
class MovedOn(RestoreError):
    """The account changed since the restore began."""

    code: ClassVar[str] = "restore.account-changed"
    events: int = 0
    swapped: bool = False
    settings: bool = False

    @property
    def what(self) -> str:
        """What is otherwise than it was seen."""
        if self.swapped:
            return "it lives in another stream"
        return "its settings, members or numbers are others" if self.settings else f"it got {self.events:,} events"

    def __str__(self) -> str:
        return f"the account changed since the restore began: {self.what}; nothing was restored, begin again"


@dataclass(eq=False)
class CountDiffers(RestoreError):
    """The fresh stream does not hold what was sent to it."""

    code: ClassVar[str] = "restore.count-differs"
    what: str
    found: int
    expected: int

    def __str__(self) -> str:
        return f"the fresh stream holds {self.found:,} {self.what}; {self.expected:,} were sent; nothing was restored"


class Live(NamedTuple):
    """The account as it lives: its stream, how far it is, its log, and its control stream."""

    stream: int
    position: int
    frontier: Frontier
    control_position: int
    control: Control


class Fresh(NamedTuple):
    """A stream that was built, or one that was ``retired`` and is to be live again: its log, and what it must hold."""

    stream: int
    frontier: Frontier
    events: int
    entities: int
    was: Literal["building", "retired"] = "building"


def read_live(connection: Connection[Row], account: AccountId) -> Live:
    """The account as the connection's transaction sees it."""
    row = connection.execute(SQL["read_live"], {"account": account}).fetchone()
    assert row is not None, "an account that somebody has access to has a live stream"
    stream, position, frontier, _, control_position, control = row
    return Live(stream, position, Frontier.from_bytes(position, frontier), control_position, _CONTROL.decode(control))


def swap(
    application: Application,
    account: AccountId,
    actor: Actor,
    *,
    seen: Live,
    fresh: Fresh,
    at: datetime,
    finish: Callable[[Connection[Row]], None],
    record: Callable[[], tuple[Value, ...]],
    before: Callable[[Connection[Row]], None] = lambda _: None,
    discard: Callable[[Connection[Row]], None] | None = None,
) -> None:
    """Make *fresh* live, if the account still is where it was *seen*; *finish* adds to the same transaction, and so
    does *before*, which may take its time: people write until it ended.

    With *discard* the live stream may have got events since: it is called first, under the lock, to look at them.
    *record* says last what goes on the control stream. Each may be called again, when the control stream moved on just
    then. Raises what they raise, AccountClosed, MovedOn (also when settings, members or numbers are others than were
    seen), CountDiffers, psycopg.OperationalError; then the account is as it was.
    """
    database = application.database
    while True:
        try:
            if _try_swap(
                database,
                account,
                actor,
                seen=seen,
                fresh=fresh,
                at=at,
                finish=finish,
                record=record,
                before=before,
                discard=discard,
            ):
                return
        except psycopg.OperationalError:
            # The connection may have gone after the commit and before we heard of it: then it is done.
            if _is_done(database, account, fresh, at):
                return
            raise


def _is_done(database: Database, account: AccountId, fresh: Fresh, at: datetime) -> bool:
    """Whether the account lives in the stream by this swap, once whatever still is at work on the stream's row ended.

    A retired one may have been made live by somebody else at this very time; when it came back tells which.
    """
    with database.transaction(account) as connection:
        row = connection.execute(SQL["lock_stream"], {"account": account, "stream": fresh.stream}).fetchone()
    return row is not None and row[0] == "live" and (fresh.was == "building" or row[1] == at)


def _try_swap(
    database: Database,
    account: AccountId,
    actor: Actor,
    *,
    seen: Live,
    fresh: Fresh,
    at: datetime,
    finish: Callable[[Connection[Row]], None],
    record: Callable[[], tuple[Value, ...]],
    before: Callable[[Connection[Row]], None],
    discard: Callable[[Connection[Row]], None] | None,
) -> bool:
    """Whether it is done; False, and nothing done, when the account's own history moved on just then."""
    key = {"account": account, "stream": fresh.stream}
    done: Control | None = None
    with database.transaction(account) as connection:
        check_count(connection, key, fresh)
        last_at = connection.execute(SQL["last_time"], key).fetchone()
        before(connection)
        row = connection.execute(SQL["lock_live"], {"account": account}).fetchone()
        if row is None or row[0] != seen.stream:
            raise MovedOn(swapped=True)
        if row[1] != seen.position:
            if discard is None:
                raise MovedOn(row[1] - seen.position)
            discard(connection)
        connection.execute(SQL["retire"], {"account": account, "stream": seen.stream})
        head = {"head": fresh.frontier.size, "frontier": fresh.frontier.to_bytes(), "last_at": last_at and last_at[0]}
        if connection.execute(SQL["make_live"], {**key, **head, "was": fresh.was, "at": at}).rowcount != 1:
            raise MovedOn(swapped=True)
        finish(connection)
        if fresh.was == "building":  # the last segment of one that was live before is of what is recorded in it
            recorded = (fresh.frontier.size + 1, "recorded", None, "recorded")
            insert_segment(connection, account, fresh.stream, recorded, at=at, by=actor.name)
        live = read_live(connection, account)
        swapped = StreamSwapped(
            retired=seen.stream,
            live=fresh.stream,
            head_position=fresh.frontier.size,
            root=fresh.frontier.root().hex(),
        )
        if live.control != seen.control and not live.control.closed:
            raise MovedOn(settings=True)
        control = (live.control_position, live.control)
        done = record_control(connection, account, actor, control, (*record(), swapped), at=at)
        if done is None:
            raise Rollback
    return done is not None


def check_count(connection: Connection[Row], key: dict[str, object], fresh: Fresh) -> None:
    """That a stream holds what was sent to it. Raises CountDiffers."""
    row = connection.execute(SQL["count_arrived"], key).fetchone()
    events, entities = row or (0, 0)
    if events != fresh.events:
        raise CountDiffers("events", events, fresh.events)
    if entities != fresh.entities:
        raise CountDiffers("entities", entities, fresh.entities)


def insert_segment(
    connection: Connection[Row],
    account: AccountId,
    stream: int,
    segment: tuple[int, str, str | None, str],
    *,
    at: datetime,
    by: str,
    subscriptions: Subscriptions = "hold",
    trusted: bool = False,
) -> None:
    """Note how the positions from a *segment*'s first on came: (first position, came by, source, authenticity), and
    whether the subscriptions that it brought are held.

    *trusted*: the account's owner vouches for whom its lines name.
    """
    first, came_by, source, authenticity = segment
    connection.execute(
        SQL["insert_segment"],
        {
            "account": account,
            "stream": stream,
            "first": first,
            "came_by": came_by,
            "at": at,
            "by": by,
            "source": source,
            "authenticity": authenticity,
            "subscriptions": subscriptions,
            "trusted": trusted,
        },
    )
