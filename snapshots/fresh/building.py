"""Building a fresh stream beside the live one: rows by COPY, in batches, under a role that may only insert.

Nobody else sees the stream until it is swapped in. A builder holds a lock of its session on it; a stream whose builder
is gone is abandoned, and its rows are swept by whoever builds for the account next, or by the service when it starts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, ClassVar, Self

import psycopg
from psycopg import Connection, Copy
from psycopg.copy import QueuedLibpqWriter

from domain.application import Actor
from domain.errors import RestoreError
from domain.ids import AccountId
from domain.store.database import BUILDER, PURGER, Database, Row, set_account
from domain.store.statements import statements
from snapshots.copying import HEADER, TRAILER, EventRows, entity_prefix
from snapshots.reading.checking import Checked, row_of

SQL = statements("snapshots.fresh", "fresh.sql")
ROWS_A_BATCH = 50_000  # one transaction each: about 40 MB, a second's work


@contextmanager
def fresh_stream(database: Database, account: AccountId, actor: Actor, at: datetime) -> Iterator[StreamBuilder]:
    """Who fills a fresh stream of the account. When the ``with`` ends badly, it is abandoned and its rows are swept."""
    with database.session(BUILDER) as owner:
        stream = begin_stream(database, account, actor, at, owner)
        with _filling(database, account, stream, owner) as made:
            yield made


@contextmanager
def passing_stream(database: Database, account: AccountId, actor: Actor, at: datetime) -> Iterator[StreamBuilder]:
    """Who fills a stream that is never to be live: however the ``with`` ends, its rows are swept."""
    with database.session(BUILDER) as owner:
        stream = begin_stream(database, account, actor, at, owner)
        try:
            with _filling(database, account, stream, owner) as made:
                yield made
        finally:
            _sweep(database, account, stream)


@dataclass(eq=False)
class StreamBusy(RestoreError):
    """Somebody is at work on the stream: it is being purged, or copied from, or made live again."""

    code: ClassVar[str] = "stream.busy"
    stream: int

    def __str__(self) -> str:
        return f"stream {self.stream}: somebody is at work on it just now; try again"


def begin_stream(database: Database, account: AccountId, actor: Actor, at: datetime, owner: Connection[Row]) -> int:
    """A fresh stream of the account, ``building``, which *owner*'s session holds. Its number, never given before.

    It is held before anybody else sees it: a sweep that comes by at once would take it for one whose builder is gone.
    """
    with database.transaction(account) as connection:
        connection.execute(SQL["lock_account"], {"account": account})
        parameters = {"account": account, "at": at, "by": actor.name}
        row = connection.execute(SQL["insert_building_stream"], parameters).fetchone()
        assert row is not None, "an account has streams"
        stream = int(row[0])
        _hold(owner, account, stream)
    return stream


@contextmanager
def builder(database: Database, account: AccountId, stream: int) -> Iterator[StreamBuilder]:
    """Who fills a stream that nobody else knows of yet; else as ``fresh_stream``. Raises StreamBusy."""
    with database.session(BUILDER) as owner:
        _hold(owner, account, stream)
        with _filling(database, account, stream, owner) as made:
            yield made


def _hold(owner: Connection[Row], account: AccountId, stream: int) -> None:
    row = owner.execute(SQL["lock_builder"], {"account": account, "stream": stream}).fetchone()
    if row is None or not row[0]:
        raise StreamBusy(stream)


@contextmanager
def _filling(database: Database, account: AccountId, stream: int, owner: Connection[Row]) -> Iterator[StreamBuilder]:
    # A batch need not be on disk before the next is sent: nobody is told of a stream until its swap commits, and that
    # one waits for the log, in which all batches come before it. A crash before it leaves a stream that is swept, with
    # or without its last rows.
    owner.execute("SET synchronous_commit = off")
    try:
        with StreamBuilder(owner, account, stream) as made:
            yield made
    except BaseException:
        _sweep(database, account, stream)
        raise


class StreamBuilder:
    """Takes lines and entities in the order of their coming; what was taken is counted, for the swap to compare."""

    def __init__(self, connection: Connection[Row], account: AccountId, stream: int) -> None:
        self.stream = stream
        self.sent_events = 0
        self.sent_entities = 0
        self._connection = connection
        self._account = account
        self._events = EventRows(account, stream)
        self._prefix = entity_prefix(account, stream)
        self._stack = ExitStack()
        self._copy: Copy | None = None
        self._statement = ""
        self._in_batch = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def finish(self) -> None:
        """Commit what was taken last."""
        if self._copy is not None:
            self._copy.write(TRAILER)
        self._stack.close()
        self._copy = None

    def lines(self, first_position: int, envelopes: list[Any], leaves: list[bytes]) -> None:
        """Lines as the log has them, from *first_position* on. Raises RowRefused."""
        rows = self._events.rows(first_position, envelopes, leaves)
        self._write("copy_events", rows, len(envelopes))
        self.sent_events += len(envelopes)

    @property
    def copy_prefix(self) -> bytes:
        """What the rows of this stream's entities begin with."""
        return self._prefix

    def entities(self, rows: bytes, count: int, held: list[Checked]) -> None:
        """Entities with their last positions, as rows for COPY; *held* are entities whose rows were kept back."""
        own = b"".join([row_of(self._prefix, entity) for entity in held])
        self._write("copy_entities", rows + own, count + len(held))
        self.sent_entities += count + len(held)

    def copied(self, statement: bytes, rows: Iterable[bytes]) -> int:
        """Rows in COPY's binary format, as *statement* takes them: how many there were. The caller counts them."""
        self.finish()
        cursor = self._connection.cursor()
        with cursor.copy(statement, writer=QueuedLibpqWriter(cursor)) as copy:
            for block in rows:
                copy.write(block)
        return cursor.rowcount

    def _write(self, statement: str, rows: bytes, count: int) -> None:
        if not count:
            return
        if self._copy is None or self._statement != statement or self._in_batch >= ROWS_A_BATCH:
            self.finish()
            cursor = self._stack.enter_context(self._connection.cursor())
            # The queue lets the next rows be made while the server takes the last: 9.0 s became 6.6 s for 500,000.
            self._copy = self._stack.enter_context(cursor.copy(SQL[statement], writer=QueuedLibpqWriter(cursor)))
            self._copy.write(HEADER)
            self._statement = statement
            self._in_batch = 0
        self._copy.write(rows)
        self._in_batch += count


def sweep_abandoned(database: Database, account: AccountId) -> list[int]:
    """Remove what builders and purges that are gone left of the account's streams. The streams' numbers."""
    swept = []
    for stream in _unfinished(database, account):
        with database.session(PURGER) as purger:
            row = purger.execute(SQL["lock_builder"], {"account": account, "stream": stream}).fetchone()
            # Its builder may have come to its end, good or bad, since it was listed.
            if row and row[0] and stream in _unfinished(database, account):
                _sweep(database, account, stream, purger)
                swept.append(stream)
    return swept


def _unfinished(database: Database, account: AccountId) -> list[int]:
    with database.transaction(account) as connection:
        return [stream for (stream,) in connection.execute(SQL["list_unfinished"], {"account": account})]


def _sweep(database: Database, account: AccountId, stream: int, purger: Connection[Row] | None = None) -> None:
    """Abandon a stream that is being built, and delete the rows of one of no use."""
    try:
        with database.transaction(account) as connection:
            connection.execute(SQL["abandon"], {"account": account, "stream": stream})
        with ExitStack() as stack:
            delete_rows(purger or stack.enter_context(database.session(PURGER)), account, stream)
    except psycopg.Error:
        # The database is gone: the next builder, or the service's start, sweeps what is left. The first error counts.
        return


def delete_rows(purger: Connection[Row], account: AccountId, stream: int) -> None:
    """Delete a stream's rows, in batches of a transaction each; none of a stream that is live or could be made so.

    Entities go last, so that what is left of a stream shows until all of it is gone.
    """
    key = {"account": account, "stream": stream, "rows": ROWS_A_BATCH}
    for statement in ("delete_series", "delete_attributions", "delete_listed", "delete_events", "delete_entities"):
        while _in_a_transaction(purger, account, statement, key) == ROWS_A_BATCH:
            continue


def _in_a_transaction(purger: Connection[Row], account: AccountId, statement: str, key: dict[str, object]) -> int:
    """How many rows the statement deleted."""
    with purger.transaction():
        set_account(purger, account)
        return purger.execute(SQL[statement], key).rowcount


def accounts_left_behind(database: Database) -> list[AccountId]:
    """The accounts, of all there are, with streams that are not live."""
    with database.session(PURGER) as purger:
        return [AccountId(account) for (account,) in purger.execute(SQL["list_left_behind"])]
