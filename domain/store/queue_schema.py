"""The job queue's own tables, in the schema ``queue``: made and migrated by the files that its library ships.

Which of its migrations a database has is recorded by their files' names, so that a newer library's are applied by the
``migrate`` of the release that brings it. The library is not imported for that: reading its folder takes no time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from psycopg import Connection, sql

QUEUE = "counterfoil_queue"
_IN_QUEUE = "SET LOCAL search_path = queue"


def install_queue(connection: Connection[Any]) -> None:
    """Make the queue's tables, or apply the migrations they lack, each once, in the transaction that is open."""
    known = _migrations()
    applied = {name for (name,) in connection.execute("SELECT name FROM queue_migrations").fetchall()}
    lacking = [name for name in sorted(known) if name not in applied]
    if not lacking:
        return
    connection.execute(_IN_QUEUE)
    for text in [known[name] for name in lacking] if applied else [_schema()]:
        connection.execute(text)
    connection.execute("SET LOCAL search_path = public")
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO queue_migrations (name) VALUES (%s)", [(name,) for name in lacking])
    role = sql.Identifier(QUEUE)
    for privileges in (
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA queue TO {}",
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA queue TO {}",
    ):
        connection.execute(sql.SQL(privileges).format(role))


@contextmanager
def as_queue(connection: Connection[Any], *, then: str) -> Iterator[None]:
    """Within the ``with``, the transaction that is open is the queue's role, in its schema; after it, the role *then*.

    So what is queued is queued with what else the transaction does, or not at all. Where it raises, the transaction is
    to be rolled back.
    """
    connection.execute(sql.SQL("SET LOCAL ROLE {}; " + _IN_QUEUE).format(sql.Identifier(QUEUE)))
    yield
    connection.execute(sql.SQL("SET LOCAL ROLE {}; SET LOCAL search_path = public").format(sql.Identifier(then)))


def _library() -> Path:
    found = find_spec("procrastinate")
    assert found is not None, "it is among our dependencies"
    assert found.origin is not None, "it is a package on disk"
    return Path(found.origin).parent / "sql"


@cache
def _migrations() -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (_library() / "migrations").glob("*.sql")}


def _schema() -> bytes:
    return (_library() / "schema.sql").read_bytes()
