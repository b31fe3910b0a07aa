"""The account of 125,000 invoices that backup, restore and replay are measured on, and its plain copy for the peers."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg
from psycopg import sql

from api.cluster import server_programs
from bench.data import Account, make_account
from bench.server import Place, new_database
from domain.application import Application
from domain.store.database import Database
from snapshots.trust.signing import KeyRing, Signer, TrustedKey

DOCUMENTS = 125_000
SIGNER = Signer(b"the signing key of every measure")
KEYS = KeyRing((TrustedKey(SIGNER.key, "bench", SIGNER.public, is_ours=True),))
TENANT_TABLES = (
    "accounts", "control_events", "members", "streams", "segments", "attributions", "events", "entities", "series",
    "attachments",
)  # fmt: skip


class Large(NamedTuple):
    """The large account, open, and the address of a database with a plain copy of its rows."""

    database: Database
    application: Application
    account: Account
    plain_dsn: str


@contextmanager
def large_account(place: Place, documents: int = DOCUMENTS) -> Iterator[Large]:
    """Make it; both databases are dropped at the end."""
    with (
        new_database(place, "bench_large") as dsn,
        new_database(place, "bench_plain") as plain_dsn,
        Database(dsn) as database,
    ):
        account = make_account(database, documents=documents)
        _copy_plainly(dsn, plain_dsn)
        yield Large(database, Application(database), account, plain_dsn)


def _copy_plainly(dsn: str, plain_dsn: str) -> None:
    """The same tables, keys and indexes, without policies, functions, and columns that only hold hashes."""
    schema = subprocess.run(
        [program("pg_dump"), "--schema-only", "--no-owner", "--no-privileges", *_tables(), "--dbname", dsn],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    kept = [line for line in schema.splitlines() if not line.startswith("\\")]
    with psycopg.connect(dsn) as source, psycopg.connect(plain_dsn, autocommit=True) as plain:
        plain.execute("CREATE FUNCTION current_account() RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid'")
        plain.execute("CREATE FUNCTION current_person() RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid'")
        plain.execute("\n".join(kept).encode())
        plain.execute("SET search_path = public")
        for policy, table in plain.execute("SELECT policyname, tablename FROM pg_policies").fetchall():
            plain.execute(sql.SQL("DROP POLICY {} ON {}").format(sql.Identifier(policy), sql.Identifier(table)))
        plain.execute("DROP FUNCTION current_account, current_person")
        for table in TENANT_TABLES:
            name = sql.Identifier(table)
            plain.execute(
                sql.SQL("ALTER TABLE {} DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY").format(name)
            )
            if table == "events":
                plain.execute("ALTER TABLE events DROP COLUMN leaf")
            if table == "streams":
                plain.execute("ALTER TABLE streams DROP COLUMN frontier")
            _copy_rows(source, plain, table)
        plain.execute("VACUUM (FULL, ANALYZE)")


def _copy_rows(
    source: psycopg.Connection[tuple[object, ...]], plain: psycopg.Connection[tuple[object, ...]], table: str
) -> None:
    there = plain.execute(sql.SQL("SELECT * FROM {} LIMIT 0").format(sql.Identifier(table))).description or []
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in there)
    out = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT (FORMAT binary)").format(columns, sql.Identifier(table))
    into = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(sql.Identifier(table), columns)
    with source.cursor().copy(out) as reading, plain.cursor().copy(into) as writing:
        for piece in reading:
            writing.write(piece)


def _tables() -> list[str]:
    return [part for table in TENANT_TABLES for part in ("--table", table)]


def program(name: str) -> Path:
    """One of PostgreSQL's programs, of the server's own version."""
    return server_programs() / name
