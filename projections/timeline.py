"""The timeline: the live stream's events with the control stream's, newest first, each with what it changed.

Order is by the time it happened, then position, so that events which an ``add`` restore brought in stand where they
belong. Pages go by keyset; a cursor carries the stream that it is of.
"""

from __future__ import annotations

import base64
import binascii
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, NamedTuple

import msgspec
from psycopg import Connection

from domain.accounts import read_people
from domain.entity import FieldRefused
from domain.errors import StoreError
from domain.events import decode_data, rules_of, written_time
from domain.ids import AccountId, EntityId, PersonId, is_canonical
from domain.kinds import Kind
from domain.parties import Value
from domain.store.database import Database, Row
from domain.store.statements import statements
from domain.store.streams import AccountUnknown

SQL = statements("projections", "timeline.sql")
MOST_ENTRIES = 1_000
_MOST_KNOWN = 1_000  # streams of which it is known whether they are in order: 100 bytes each
_encode = msgspec.json.Encoder().encode
_NOT_SHOWN = ("id", "version", "kind")


@dataclass(eq=False)
class CursorGone(StoreError):
    """The cursor is of a stream that no longer is the live one."""

    code: ClassVar[str] = "cursor.gone"
    found: int
    live: int

    def __str__(self) -> str:
        return f"cursor: it is of stream {self.found}; the account lives in stream {self.live}: begin again without it"


class Change(Value, frozen=True, kw_only=True):
    """A field that an event changed; what it was before and after, as JSON, absent where it was not there."""

    field: str
    before: Any = None
    after: Any = None


class Entry(Value, frozen=True, kw_only=True):
    """Something that happened. ``stream`` is None for the account's own history.

    ``actor`` is who it was on record, ``linked_to`` whom it is linked to in this account; ``verified`` is false where
    that it was them rests on nothing but an unsigned archive's word. ``came_by`` says how it came into the account.
    """

    stream: int | None = None
    position: int
    entity: str | None = None
    kind: str
    version: int | None = None
    type: str
    at: str
    actor: str
    actor_name: str | None = None
    linked_to: str
    linked_to_name: str | None = None
    verified: bool = True
    came_by: str = "recorded"
    via: str
    changes: tuple[Change, ...] = ()


class TimelinePage(Value, frozen=True, kw_only=True):
    """Some entries, newest first, and the cursor that goes on after them, when there are more."""

    stream: int
    entries: tuple[Entry, ...]
    cursor: str | None = None


class Filter(NamedTuple):
    """Which entries: of whom (a person they are linked to), of which kind, entity, type; from *since*, before *until*.

    The kind ``account`` is the account's own history.
    """

    person: PersonId | None = None
    kind: str | None = None
    entity: EntityId | None = None
    type: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class _Cursor(msgspec.Struct, array_like=True):
    stream: int
    at: str | None
    position: int | None
    control_at: str | None
    control: int | None


def read_timeline(
    database: Database,
    account: AccountId,
    which: Filter = Filter(),  # noqa: B008 - immutable
    *,
    cursor: str | None = None,
    limit: int = 50,
) -> TimelinePage:
    """Up to *limit* entries (at most 1,000) of *which*, those after *cursor*. Raises CursorGone, FieldRefused."""
    _check(which, limit)
    with database.transaction(account, snapshot=True) as connection:
        row = connection.execute(SQL["read_live"], {"account": account}).fetchone()
        if row is None:
            raise AccountUnknown(account)
        stream, brought_up_to = row
        place = _place(cursor, stream)
        parameters = {"account": account, "stream": stream, "limit": limit + 1, **which._asdict()}
        events: list[Row] = []
        if which.kind != "account":
            before = {"before_at": place.at, "before_position": place.position}
            is_in_order = _is_in_order(connection, account, stream, brought_up_to)
            statement = SQL["read_by_position" if is_in_order else "read_by_time"]
            events = connection.execute(statement, {**parameters, **before}).fetchall()
        control: list[Row] = []
        if which.entity is None and which.kind in (None, "account"):
            before = {"before_at": place.control_at, "before": place.control}
            control = connection.execute(SQL["read_control"], {**parameters, **before}).fetchall()
        merged = sorted(
            [(row[4], 1, row[0], row) for row in events] + [(row[2], 0, row[0], row) for row in control],
            key=lambda one: one[:3],
            reverse=True,
        )
        taken = merged[:limit]
        changes = _changes(connection, account, stream, [row for _, of_stream, _, row in taken if of_stream])
    entries = [
        _of_stream(row, stream, changes[row[1], row[2]]) if of_stream else _of_control(row)
        for _, of_stream, _, row in taken
    ]
    for at, of_stream, position, _ in taken:
        if of_stream:
            place = _Cursor(stream, written_time(at), position, place.control_at, place.control)
        else:
            place = _Cursor(stream, place.at, place.position, written_time(at), position)
    following = base64.urlsafe_b64encode(_encode(place)).decode() if len(merged) > limit else None
    return TimelinePage(stream=stream, entries=tuple(_named(database, entries)), cursor=following)


_known: OrderedDict[tuple[AccountId, int, int], bool] = OrderedDict()
_known_lock = threading.Lock()


def _is_in_order(connection: Connection[Row], account: AccountId, stream: int, brought_up_to: int) -> bool:
    """Whether order by position is order in time.

    What is recorded here is no earlier than anything before it. What was brought stands as its archive had it, and an
    archive may hold lines that were once added, or be written by others: that is looked at, once a process, 0.3 s for
    500,000 events, since lines never change.
    """
    if not brought_up_to:
        return True
    key = (account, stream, brought_up_to)
    with _known_lock:
        known = _known.get(key)
    if known is None:
        parameters = {"account": account, "stream": stream, "last": brought_up_to}
        known = bool(connection.execute(SQL["read_is_in_order"], parameters).fetchall()[0][0])
        with _known_lock:
            _known[key] = known
            while len(_known) > _MOST_KNOWN:
                _known.popitem(last=False)
    return known


def _check(which: Filter, limit: int) -> None:
    if not 1 <= limit <= MOST_ENTRIES:
        raise FieldRefused("limit", str(limit), f"1 to {MOST_ENTRIES:,}")
    for field in ("person", "entity"):
        value = getattr(which, field)
        if value is not None and not is_canonical(value):
            raise FieldRefused(field, repr(value)[:60], "an id: a UUID in lower case with hyphens")
    kinds = [kind.value for kind in Kind]
    if which.kind is not None and which.kind not in (*kinds, "account"):
        raise FieldRefused("kind", repr(which.kind)[:60], f"one of {', '.join((*kinds, 'account'))}")


def _place(cursor: str | None, stream: int) -> _Cursor:
    if cursor is None:
        return _Cursor(stream, None, None, None, None)
    try:
        place = msgspec.json.decode(base64.urlsafe_b64decode(cursor.encode("ascii")), type=_Cursor)
    except (binascii.Error, UnicodeError, msgspec.MsgspecError):
        raise FieldRefused("cursor", repr(cursor)[:60], "a cursor as an earlier page gave it") from None
    if place.stream != stream:
        raise CursorGone(place.stream, stream)
    return place


def _changes(
    connection: Connection[Row], account: AccountId, stream: int, rows: Iterable[Row]
) -> dict[tuple[str, int], tuple[Change, ...]]:
    """What each event changed, by entity and version: the entity folded once, up to the last version of the page."""
    wanted: dict[str, set[int]] = {}
    for row in rows:
        wanted.setdefault(row[1], set()).add(row[2])
    changes = {}
    for entity, versions in wanted.items():
        parameters = {"account": account, "stream": stream, "entity": entity, "version": max(versions)}
        state: Any = None
        before: dict[str, Any] = {}
        for version, type_name, type_version, data in connection.execute(SQL["read_entity"], parameters).fetchall():
            event = decode_data(type_name, type_version, data)
            state = rules_of(type_name).evolve(state, event, EntityId(entity), version)
            if version + 1 in versions or version in versions:
                after = msgspec.json.decode(_encode(state))
                if version in versions:
                    changes[entity, version] = tuple(_differing(before, after))
                before = after
    return changes


def _differing(before: dict[str, Any], after: dict[str, Any]) -> Iterable[Change]:
    for field in dict.fromkeys((*before, *after)):
        if field not in _NOT_SHOWN and before.get(field) != after.get(field):
            yield Change(field=field, before=before.get(field), after=after.get(field))


def _of_stream(row: Row, stream: int, changes: tuple[Change, ...]) -> Entry:
    position, entity, version, type_name, at, actor, via, _, linked_to, name, verified, came_by = row
    return Entry(
        stream=stream,
        position=position,
        entity=entity,
        kind=type_name.partition(".")[0],
        version=version,
        type=type_name,
        at=written_time(at),
        actor=actor,
        actor_name=name,
        linked_to=linked_to,
        verified=verified,
        came_by=came_by or "recorded",
        via=via,
        changes=changes,
    )


def _of_control(row: Row) -> Entry:
    position, type_name, at, actor, via, data = row
    values = msgspec.json.decode(data)
    return Entry(
        position=position,
        kind="account",
        type=type_name,
        at=written_time(at),
        actor=actor,
        linked_to=actor,
        via=via,
        changes=tuple(Change(field=field, after=value) for field, value in values.items()),
    )


def _named(database: Database, entries: list[Entry]) -> Iterable[Entry]:
    """The entries with the names of those who are known here."""
    mentioned = {actor for entry in entries for actor in (entry.actor, entry.linked_to) if actor.startswith("person:")}
    people = read_people(database, [PersonId(actor.removeprefix("person:")) for actor in sorted(mentioned)])
    names = {f"person:{person.id}": person.name for person in people.values()}
    for entry in entries:
        yield msgspec.structs.replace(
            entry,
            actor_name=names.get(entry.actor) or entry.actor_name,
            linked_to_name=names.get(entry.linked_to),
        )
