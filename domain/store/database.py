"""Connections to the database, each under the role that fits what it is for.

``counterfoil_app`` is subject to row-level security and cannot bypass it; ``counterfoil_builder`` may only insert into
a stream's tables, and reads nothing; ``counterfoil_purger`` may delete, from streams that no account points at;
``counterfoil_keeper`` sees where every account stands and when it was backed up, and nothing of what it holds;
``counterfoil_queue`` has the job queue, and nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import ClassVar, Self

import psycopg
from psycopg import Connection, sql
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool, PoolTimeout

from domain.errors import StoreError
from domain.ids import AccountId, PersonId
from domain.store.queue_schema import QUEUE, install_queue

Row = TupleRow
APP = "counterfoil_app"
BUILDER = "counterfoil_builder"
PURGER = "counterfoil_purger"
KEEPER = "counterfoil_keeper"

# Times come out as RFC 3339 wants them, whatever the server's zone; jit compiles longer than our statements run.
_SESSION = "SET TIME ZONE 'UTC'; SET jit = off; SET search_path = public"
_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_SNAPSHOT_GONE = (psycopg.errors.UndefinedObject, psycopg.errors.ObjectNotInPrerequisiteState)
_QUEUE_SINCE = 11  # the migration that makes room for the queue
_MIGRATION_LOCK = 0x636F756E74  # any number that no other software locks on: "count" in ASCII


@dataclass(eq=False)
class DatabaseUnavailable(StoreError):
    """No connection to the database could be had."""

    code: ClassVar[str] = "store.unavailable"
    reason: str

    @classmethod
    def because(cls, wrong: psycopg.Error) -> Self:
        """What the driver says, in one line."""
        return cls(str(wrong).strip().partition("\n")[0])

    def __str__(self) -> str:
        return f"the database does not answer: {self.reason}"


@dataclass(eq=False)
class SchemaNewer(StoreError):
    """The database was migrated by a newer version of this program."""

    code: ClassVar[str] = "store.schema-newer"
    found: int
    known: int

    def __str__(self) -> str:
        return f"the database is at migration {self.found}; this version knows up to {self.known}: use a newer version"


@dataclass(eq=False)
class RoleMissing(StoreError):
    """The roles that the service works under could not be made."""

    code: ClassVar[str] = "store.role-missing"
    role: str
    reason: str

    def __str__(self) -> str:
        return f"the role {self.role} is missing and could not be made ({self.reason}); a superuser must make it once"


class Database:
    """A PostgreSQL database of ours: migrated when opened, with a pool of connections for the service's own role.

    Use as a context manager, or call ``close``. Safe to share between threads. What is recorded on the control stream
    of an account goes down as the *job*'s where there is one.
    """

    def __init__(self, dsn: str, *, most_connections: int = 16, job: str | None = None) -> None:
        self.dsn = dsn
        self._job = job
        self._pool: ConnectionPool[Connection[Row]] = ConnectionPool(
            dsn,
            min_size=0,
            max_size=most_connections,
            kwargs={"autocommit": True, "prepare_threshold": 1},
            configure=self._as_app,
            open=False,
            timeout=10,
        )

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def open(self) -> None:
        """Migrate the database to what this version needs, and open the pool. Raises StoreError leaves."""
        try:
            with psycopg.connect(self.dsn, autocommit=True) as connection:
                migrate(connection)
        except psycopg.OperationalError as wrong:
            raise DatabaseUnavailable.because(wrong) from wrong
        self._pool.open()

    @contextmanager
    def for_job(self, job: str) -> Iterator[Database]:
        """The same database with connections of their own, for the work of *job*, for the length of the ``with``."""
        own = Database(self.dsn, job=job)
        own._pool.open()
        try:
            yield own
        finally:
            own.close()

    def close(self) -> None:
        """Give the connections back to the server."""
        self._pool.close()

    @contextmanager
    def connection(self) -> Iterator[Connection[Row]]:
        """A connection under the service's role, in autocommit mode, for the length of the ``with``."""
        try:
            with self._pool.connection() as connection:
                yield connection
        except PoolTimeout as wrong:
            raise DatabaseUnavailable(str(wrong)) from wrong

    @contextmanager
    def transaction(
        self, account: AccountId | None = None, *, person: PersonId | None = None, snapshot: bool = False
    ) -> Iterator[Connection[Row]]:
        """A transaction that sees the rows of *account*, and the memberships of *person*.

        With *snapshot* it is read only and sees one moment throughout (REPEATABLE READ).
        """
        settings: list[sql.Composable] = [sql.SQL(_SNAPSHOT)] if snapshot else []
        settings += [_local(name, value) for name, value in (("account", account), ("person", person)) if value]
        with self.connection() as connection, connection.transaction():
            if settings:  # all of them in one round trip
                connection.execute(sql.SQL("; ").join(settings))
            yield connection

    @contextmanager
    def beside(self, account: AccountId, first: Connection[Row]) -> Iterator[Connection[Row]]:
        """A second transaction that sees the very moment that *first* sees, which must be a snapshot of the account."""
        exported = first.execute("SELECT pg_export_snapshot()").fetchone()
        assert exported is not None, "a function's result is a row"
        with self.connection() as connection, connection.transaction():
            connection.execute(_SNAPSHOT)
            try:
                connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(exported[0])))
            except _SNAPSHOT_GONE as wrong:  # the server was restarted just now, and *first* does not know it yet
                raise DatabaseUnavailable.because(wrong) from wrong
            set_account(connection, account)
            yield connection

    @contextmanager
    def session(self, role: str) -> Iterator[Connection[Row]]:
        """A connection of one's own under *role*, in autocommit mode: for COPY, purging, and locks of a long job."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            self._under_role(connection, role)
            yield connection

    def _as_app(self, connection: Connection[Row]) -> None:
        self._under_role(connection, APP)

    def _under_role(self, connection: Connection[Row], role: str) -> None:
        connection.execute(_SESSION)
        if self._job is not None:
            connection.execute(sql.SQL("SET counterfoil.job = {}").format(sql.Literal(self._job)))
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))


def set_account(connection: Connection[Row], account: AccountId) -> None:
    """From here to the transaction's end the connection sees the rows of *account*."""
    connection.execute(_local("account", account))


def set_person(connection: Connection[Row], person: PersonId) -> None:
    """From here to the transaction's end the connection sees what is *person*'s own."""
    connection.execute(_local("person", person))


def _local(name: str, value: str) -> sql.Composed:
    return sql.SQL("SET LOCAL {} = {}").format(sql.Identifier("counterfoil", name), sql.Literal(value))


def migrate(connection: Connection[Row]) -> int:
    """Apply the migrations that the database lacks, in order, each once, under a lock. The number of the last one.

    Needs a role that may create roles and tables. A killed migration leaves nothing: each is one transaction.
    """
    known = _migrations()
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATION_LOCK,))
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations"
            " (number integer PRIMARY KEY, sha256 bytea NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        row = connection.execute("SELECT coalesce(max(number), 0) FROM schema_migrations").fetchone()
        applied: int = row[0] if row else 0
        if applied > max(known):
            raise SchemaNewer(applied, max(known))
        if applied < max(known):
            _make_roles(connection)
        for number in sorted(number for number in known if number > applied):
            connection.execute(known[number])
            connection.execute(
                "INSERT INTO schema_migrations (number, sha256) VALUES (%s, %s)",
                (number, hashlib.sha256(known[number]).digest()),
            )
        if max(known) >= _QUEUE_SINCE:
            install_queue(connection)
        return max(known)


def _migrations() -> dict[int, bytes]:
    folder = files("domain.store").joinpath("migrations")
    return {int(file.name[:4]): file.read_bytes() for file in folder.iterdir() if file.name.endswith(".sql")}


def _make_roles(connection: Connection[Row]) -> None:
    """The roles of this database's service; they belong to the whole server, so they may be there already."""
    for role, attributes in ((APP, ""), (BUILDER, "BYPASSRLS"), (PURGER, ""), (KEEPER, ""), (QUEUE, "")):
        there = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone()
        try:
            with connection.transaction():
                if not there:
                    name = sql.Identifier(role)
                    connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN " + attributes).format(name))
                connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(role)))
        except psycopg.errors.InsufficientPrivilege as wrong:
            raise RoleMissing(role, wrong.diag.message_primary or str(wrong)) from wrong
        except (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
            continue  # another database of this server was set up at this very moment
