"""Reads that answer with what is stored: snapshots go out as the bytes they are kept as, never decoded."""

from __future__ import annotations

from typing import NamedTuple

from domain.application import Application
from domain.ids import AccountId, is_canonical
from domain.kinds import Kind
from domain.store.statements import statements
from domain.work import EntityUnknown

SQL = statements("api.http", "reads.sql")


class Snapshot(NamedTuple):
    """An entity as it is, and where."""

    stream: int
    version: int
    state: bytes


def snapshot(application: Application, account: AccountId, kind: Kind, entity: str) -> Snapshot:
    """The snapshot of an entity. Raises EntityUnknown, also for a deleted one and for what is no id at all."""
    if not is_canonical(entity):
        raise EntityUnknown(kind.value, entity)
    parameters = {"account": account, "entity": entity, "kind": kind.value}
    with application.database.connection() as connection:
        row = connection.execute(SQL["read_entity"], parameters).fetchone()
    if row is None:
        raise EntityUnknown(kind.value, entity)
    stream, version, state = row
    return Snapshot(stream, version, state.encode())
