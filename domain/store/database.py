"""Connections to the database, each under the role that fits what it is for.

``counterfoil_app`` is subject to row-level security and cannot bypass it; ``counterfoil_builder`` may only insert into
a stream's tables, and reads nothing; ``counterfoil_purger`` may delete, from streams that no account points at;
``counterfoil_keeper`` sees where every account stands and when it was backed up, and nothing of what it holds;
``counterfoil_queue`` has the job queue, and nothing else;
``counterfoil_observer`` reads what figures are made of, of all accounts: states and numbers, never what they hold.
"""

from __future__ import annotations

import hashlib
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import ClassVar, Self, TypeVar

import psycopg
from psycopg import Connection, sql
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
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
OBSERVER = "counterfoil_observer"

# Times come out as RFC 3339 wants them, whatever the server's zone; jit compiles longer than our statements run.
# A server that works for a client that is gone, waiting for a lock perhaps, finds out and stops, where it can.
_SESSION = (
    "SET TIME ZONE 'UTC'; SET jit = off; SET search_path = public;"
    " DO $$ BEGIN SET client_connection_check_interval = '2s'; EXCEPTION WHEN invalid_parameter_value THEN END $$"
)
_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_SNAPSHOT_GONE = (psycopg.errors.UndefinedObject, psycopg.errors.ObjectNotInPrerequisiteState)
_QUEUE_SINCE = 11  # the migration that makes room for the queue
# For servers that are gone without a word. What the given address says of these counts more.
_CONNECTING = {"connect_timeout": "3", "tcp_user_timeout": "10000", "keepalives_idle": "30", "keepalives_interval": "5"}
_SETTING_UP_S = 3.0
_POOL_TIMEOUT_S = 3.0  # to wait for a connection that others have
_GIVE_UP_S = 3.0  # to go on trying to connect; the next who wants a connection tries anew
_FAIL_FAST_S = 1.0  # after nobody got a connection in time, nobody else waits that long, so that no queue builds up
_FAST_S = 0.25
_MIGRATION_LOCK = 0x636F756E74  # any number that no other software locks on: "count" in ASCII
_MIGRATION_LOCK_MS = 1000
_MIGRATION_PAUSE_S = 0.5
_MIGRATION_PATIENCE_S = 120.0
_MIGRATIONS_TABLE = (
    "CREATE TABLE IF NOT EXISTS schema_migrations"
    " (number integer PRIMARY KEY, sha256 bytea NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
)


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
class SchemaOlder(StoreError):
    """The database lacks migrations that this version needs; it was put back to an earlier state perhaps."""

    code: ClassVar[str] = "store.schema-older"
    found: int
    known: int

    def __str__(self) -> str:
        return f"the database is at migration {self.found}; expected {self.known}: start this version to migrate it"


@dataclass(eq=False)
class MigrationHeldUp(StoreError):
    """Somebody holds a lock that a migration needs, for too long; nothing of it was done."""

    code: ClassVar[str] = "store.migration-held-up"
    number: int

    def __post_init__(self) -> None:
        self.hint = "end what holds locks on the tables (pg_locks shows it) and start once more"

    def __str__(self) -> str:
        return f"migration {self.number} did not get its locks within {_MIGRATION_PATIENCE_S:.0f} s"


@dataclass(eq=False)
class RoleMissing(StoreError):
    """The roles that the service works under could not be made."""

    code: ClassVar[str] = "store.role-missing"
    role: str
    reason: str

    def __str__(self) -> str:
        return f"the role {self.role} is missing and could not be made ({self.reason}); a superuser must make it once"


class Deadline:
    """Until when what is asked of a database must be answered. Without *seconds* there is none."""

    def __init__(self, seconds: float | None) -> None:
        self._at = None if seconds is None else time.monotonic() + seconds

    def extend(self, seconds: float) -> None:
        """Where there is one, it is at least so many seconds from now."""
        if self._at is not None:
            self._at = max(self._at, time.monotonic() + seconds)

    def lift(self) -> None:
        """From here on there is none."""
        self._at = None

    def left_s(self) -> float | None:
        """The seconds that are left, or None for any number; never less than a moment."""
        return None if self._at is None else max(self._at - time.monotonic(), 0.001)


_deadline: ContextVar[Deadline | None] = ContextVar("deadline", default=None)
T = TypeVar("T")


@contextmanager
def answering_by(deadline: Deadline) -> Iterator[None]:
    """Whatever is asked of a database within the ``with``, in threads that work for it too, is answered by then.

    What is not raises DatabaseUnavailable, or psycopg's OperationalError, and its connection is not used again.
    """
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


class _Connection(Connection[Row]):
    """A connection on which nobody waits longer than their deadline."""

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        deadline = _deadline.get()
        left_s = deadline.left_s() if deadline is not None else None
        if left_s is None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, left_s if timeout is None else min(left_s, timeout))
        except psycopg.errors._WaitTimeout:  # noqa: SLF001 - the only name there is for it
            self.pgconn.finish()  # it may answer yet, and then to a question that nobody asks any more
            raise


class Database:
    """A PostgreSQL database of ours: migrated when opened, with a pool of connections for the service's own role.

    Use as a context manager, or call ``close``. Safe to share between threads. What is recorded on the control stream
    of an account goes down as the *job*'s where there is one.
    """

    def __init__(self, dsn: str, *, most_connections: int = 16, job: str | None = None) -> None:
        self.dsn = dsn
        self._job = job
        self._patient_dsn = make_conninfo("", **{**_CONNECTING, **conninfo_to_dict(dsn)})
        self._fail_fast_until = 0.0
        self._pool: ConnectionPool[Connection[Row]] = ConnectionPool(
            self._patient_dsn,
            connection_class=_Connection,
            min_size=0,
            max_size=most_connections,
            kwargs={"autocommit": True, "prepare_threshold": 1},
            configure=self._as_app,
            open=False,
            timeout=_POOL_TIMEOUT_S,
            reconnect_timeout=_GIVE_UP_S,
        )

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def open(self) -> None:
        """Migrate the database to what this version needs, and open the pool. Raises StoreError leaves."""
        try:
            with psycopg.connect(self._patient_dsn, autocommit=True) as connection:
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
        connection = self._from_pool()
        try:
            with connection:
                yield connection
        finally:
            self._pool.putconn(connection)

    def _from_pool(self) -> Connection[Row]:
        """A connection that the server has not hung up on; the pool, checking, pauses after each that it has."""
        ends = time.monotonic() + self._patience_s()
        while True:
            try:
                connection = self._pool.getconn(max(ends - time.monotonic(), 0.001))
            except PoolTimeout as wrong:
                self._fail_fast_until = time.monotonic() + _FAIL_FAST_S
                raise DatabaseUnavailable(str(wrong)) from wrong
            if _is_open(connection):
                return connection
            connection.close()
            self._pool.putconn(connection)

    def _patience_s(self) -> float:
        """How long to wait for a connection: hardly, when others have just waited in vain."""
        now = time.monotonic()
        patience_s = _FAST_S if now < self._fail_fast_until else _POOL_TIMEOUT_S
        deadline = _deadline.get()
        left_s = deadline.left_s() if deadline is not None else None
        return patience_s if left_s is None else min(left_s, patience_s)

    def check_ready(self) -> None:
        """That the database answers, and is at least at our migrations. Raises DatabaseUnavailable or SchemaOlder."""
        with self.connection() as connection:
            row = connection.execute("SELECT coalesce(max(number), 0) FROM schema_migrations").fetchone()
        known = known_migration()
        if row is None or row[0] < known:
            raise SchemaOlder(row[0] if row else 0, known)

    def pool_figures(self) -> dict[str, int]:
        """What the pool has counted: connections that there are, that are free, and who waits for one."""
        return self._pool.get_stats()

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
        with _Connection.connect(self._patient_dsn, autocommit=True) as connection:
            self._under_role(connection, role)
            yield connection

    def _as_app(self, connection: Connection[Row]) -> None:
        with answering_by(Deadline(_SETTING_UP_S)):
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


def _is_open(connection: Connection[Row]) -> bool:
    """Whether the server has not hung up meanwhile: where nothing was asked there is nothing to read. No round trip."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if not poll.poll(0):
        return True
    try:  # the end, or word of a setting that was changed: asking tells them apart
        with answering_by(Deadline(_SETTING_UP_S)):
            connection.execute("")
    except psycopg.OperationalError:
        return False
    return True


def migrate(connection: Connection[Row]) -> int:
    """Apply the migrations that the database lacks, in order, each once, under a lock. The number of the last one.

    Needs a role that may create roles and tables. A killed migration leaves nothing: each is one transaction, and the
    next start goes on where it stopped. Raises SchemaNewer, RoleMissing or MigrationHeldUp.
    """
    known = _migrations()
    applied = _applied(connection)
    if applied < max(known):
        connection.execute("SELECT pg_advisory_lock(%s)", (_MIGRATION_LOCK,))
        try:
            connection.execute(_MIGRATIONS_TABLE)
            _make_roles(connection)
            applied = _applied(connection)
            for number in sorted(number for number in known if number > applied):
                _apply(connection, number, known[number])
                applied = number
        finally:
            with suppress(psycopg.OperationalError):  # the connection is gone, and the lock with it
                connection.execute("SELECT pg_advisory_unlock(%s)", (_MIGRATION_LOCK,))
    if applied > max(known):
        raise SchemaNewer(applied, max(known))
    if applied >= _QUEUE_SINCE:
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATION_LOCK,))
            install_queue(connection)
    return applied


def _applied(connection: Connection[Row]) -> int:
    """The number of the last migration; 0 before the first one."""
    try:
        row = connection.execute("SELECT coalesce(max(number), 0) FROM schema_migrations").fetchone()
    except psycopg.errors.UndefinedTable:
        return 0
    return row[0] if row else 0


def _apply(connection: Connection[Row], number: int, statements: bytes) -> None:
    """Apply one migration, all or nothing.

    Whoever wants a table waits behind a migration that waits for it; so that waits little, and then lets all others by.
    """
    ends = time.monotonic() + _MIGRATION_PATIENCE_S
    while True:
        try:
            with connection.transaction():
                connection.execute(f"SET LOCAL lock_timeout = {_MIGRATION_LOCK_MS}")
                connection.execute(statements)
                connection.execute(
                    "INSERT INTO schema_migrations (number, sha256) VALUES (%s, %s)",
                    (number, hashlib.sha256(statements).digest()),
                )
        except psycopg.errors.LockNotAvailable as wrong:
            if time.monotonic() > ends:
                raise MigrationHeldUp(number) from wrong
            time.sleep(_MIGRATION_PAUSE_S)
        else:
            return


def known_migration() -> int:
    """The number of the last migration that this version has."""
    return max(_migrations())


@cache
def _migrations() -> dict[int, bytes]:
    folder = files("domain.store").joinpath("migrations")
    return {int(file.name[:4]): file.read_bytes() for file in folder.iterdir() if file.name.endswith(".sql")}


def _make_roles(connection: Connection[Row]) -> None:
    """The roles of this database's service; they belong to the whole server, so they may be there already."""
    for role, attributes in (
        (APP, ""),
        (BUILDER, "BYPASSRLS"),
        (PURGER, ""),
        (KEEPER, ""),
        (QUEUE, ""),
        (OBSERVER, ""),
    ):
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
