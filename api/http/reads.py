"""Reads that answer with what is stored: snapshots go out as the bytes they are kept as, never decoded."""

from __future__ import annotations

from typing import NamedTuple

from api.http.errors import StreamReplaced
from domain.application import Application
from domain.ids import NIL, AccountId, is_canonical
from domain.kinds import Kind
from domain.store.statements import statements
from domain.store.streams import AccountUnknown
from domain.work import EntityUnknown

SQL = statements("api.http", "reads.sql")


class Snapshot(NamedTuple):
    """An entity as it is, and where."""

    stream: int
    version: int
    state: bytes


class Page(NamedTuple):
    """Some of a kind's snapshots, and the id after which there are more."""

    stream: int
    states: list[bytes]
    last: str | None


def snapshot(application: Application, account: AccountId, kind: Kind, entity: str) -> Snapshot:
    """The snapshot of an entity. Raises EntityUnknown, also for a deleted one and for what is no id at all."""
    if not is_canonical(entity):
        raise EntityUnknown(kind.value, entity)
    parameters = {"account": account, "entity": entity, "kind": kind.value}
    with application.database.transaction(account) as connection:
        row = connection.execute(SQL["read_entity"], parameters).fetchone()
    if row is None:
        raise EntityUnknown(kind.value, entity)
    stream, version, state = row
    return Snapshot(stream, version, state.encode())


def page(
    application: Application, account: AccountId, kind: Kind, *, after: tuple[int, str] | None, limit: int
) -> Page:
    """Up to *limit* snapshots of *kind* by age, those made after *after* (stream, entity). Raises StreamReplaced."""
    with application.database.transaction(account, snapshot=True) as connection:
        found = connection.execute(SQL["read_stream"], {"account": account}).fetchone()
        if found is None:
            raise AccountUnknown(account)
        stream: int = found[0]
        if after is not None and after[0] != stream:
            raise StreamReplaced(after[0], stream)
        parameters = {
            "account": account,
            "stream": stream,
            "kind": kind.value,
            "after": after[1] if after else NIL,
            "limit": limit + 1,
        }
        rows = connection.execute(SQL["list_entities"], parameters).fetchall()
    more = len(rows) > limit
    rows = rows[:limit]
    return Page(stream, [state.encode() for _, state in rows], rows[-1][0] if more else None)


def numbered(application: Application, account: AccountId, kind: Kind, number: str) -> Page:
    """The entity of *kind* that bears *number*, as a page of none or one."""
    with application.database.transaction(account, snapshot=True) as connection:
        found = connection.execute(SQL["read_stream"], {"account": account}).fetchone()
        if found is None:
            raise AccountUnknown(account)
        parameters = {"account": account, "stream": found[0], "kind": kind.value, "number": number}
        rows = connection.execute(SQL["list_numbered"], parameters).fetchall()
    return Page(found[0], [state.encode() for _, state in rows], None)
