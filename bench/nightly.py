"""A night of daily backups: 2,000 accounts of 200 events each, all changed, by one process beside the server.

Each is written, signed, synced, read back from where it is kept, checked, and put on record; that is what counts, not
the making of the accounts. An absolute figure: nobody else does this, so there is nobody to take turns with.
"""

from __future__ import annotations

import tempfile
import time
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import psycopg

from bench.data import SETTINGS, Size, make_account
from bench.server import Place, new_database, settle
from domain.accounts import Access, ensure_person, open_account
from domain.application import Application, utc_now
from domain.store.database import Database
from snapshots.container import Limits
from snapshots.daily.nightly import Keeping, run_due
from snapshots.daily.schedule import schedule_new
from snapshots.shelves import FolderShelf
from snapshots.trust.keys import Keys

ACCOUNTS = 2_000
DOCUMENTS = 45  # of four events each, beside the 20 of customers, items and ledger accounts
SIZE = Size(customers=8, items=6, ledger_accounts=6)
_COPIED = ("events", "entities", "series")


def measure(place: Place) -> dict[str, float]:
    """``nightly_accounts_per_s``: accounts backed up and checked a second, on this machine."""
    with new_database(place, "bench_nightly") as dsn, Database(dsn) as database:
        _make_accounts(database)
        schedule_new(Application(database))
        tomorrow = utc_now() + timedelta(days=1, hours=1)
        application = Application(database, clock=lambda: tomorrow)
        with tempfile.TemporaryDirectory(dir=place.folder) as name:
            folder = Path(name)
            keeping = Keeping(application, FolderShelf(folder / "backups"), Keys(folder / "keys"), Limits(), folder)
            settle(place)
            start = time.perf_counter()
            night = run_due(keeping)
            took = time.perf_counter() - start
    assert (night.taken, night.failed) == (ACCOUNTS, 0), f"each account is backed up once: {night}"
    return {"nightly_accounts_per_s": ACCOUNTS / took}


def _make_accounts(database: Database) -> None:
    """One account that its commands made, and copies of its rows in others: the same work, made in a minute less."""
    first = make_account(database, documents=DOCUMENTS, size=SIZE)
    application = Application(database)
    owner = ensure_person(database, "bench@example.com", "Bench", at=utc_now())
    others = [open_account(application, f"Night {n}", owner, SETTINGS, via="cli") for n in range(1, ACCOUNTS)]
    with psycopg.connect(database.dsn) as connection:
        for table in _COPIED:
            _copy(connection, table, first.access, others)
        connection.execute(
            "UPDATE streams s SET head_position = f.head_position, frontier = f.frontier, last_at = f.last_at"
            " FROM streams f WHERE f.account_id = %s AND s.account_id <> f.account_id",
            (first.access.account,),
        )
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")


def _copy(connection: psycopg.Connection[tuple[object, ...]], table: str, first: Access, others: list[Access]) -> None:
    names = connection.execute(
        "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute"
        " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attname <> 'account_id'",
        (table,),
    ).fetchone()
    assert names is not None, "an aggregate is a row"
    connection.execute(
        f"INSERT INTO {table} (account_id, {names[0]}) SELECT o.account, {names[0]} FROM {table} t"
        " CROSS JOIN unnest(%s::uuid[]) AS o (account) WHERE t.account_id = %s".encode(),
        ([UUID(other.account) for other in others], first.account),
    )
