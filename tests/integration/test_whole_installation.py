"""F22: the whole database is dumped while people write, and restored elsewhere: every account in it is sound."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import psycopg

from api.cluster import server_programs
from domain.store.database import Database
from projections.rebuild import rebuild
from snapshots.proving.verification import verify_timeline
from tests.fixtures.accounts import open_in
from tests.fixtures.server import own_database
from tests.integration.restoring import Books

_ACCOUNTS = 3


def test_f22_a_database_that_is_dumped_under_writes_and_restored_elsewhere_holds_sound_accounts_that_go_on(
    server_dsn: str, empty_database: str, tmp_path: Path
) -> None:
    programs, dump, ended = server_programs(), tmp_path / "dump", threading.Event()
    with Database(empty_database) as database:
        books = [Books(open_in(database)) for _ in range(_ACCOUNTS)]

        def write(one: Books) -> None:
            while not ended.is_set():
                one.customer()

        writers = [threading.Thread(target=write, args=(one,)) for one in books]
        for one, writer in zip(books, writers, strict=True):
            one.issued(one.customer())
            writer.start()
        subprocess.run([programs / "pg_dump", "-Fc", "-d", empty_database, "-f", dump], check=True)
        ended.set()
        for writer in writers:
            writer.join()

    with own_database(server_dsn) as elsewhere:
        subprocess.run([programs / "pg_restore", "--exit-on-error", "-d", elsewhere, dump], check=True)
        with Database(elsewhere) as restored, psycopg.connect(elsewhere) as connection:
            forced = connection.execute(
                "SELECT bool_and(relrowsecurity AND relforcerowsecurity) FROM pg_class"
                " WHERE relname IN ('events', 'entities', 'streams', 'jobs')"
            ).fetchone()
            for one in books:
                account = one.access.account
                assert rebuild(restored, account, check=True).differences_count == 0
                assert verify_timeline(restored, account).is_sound
                again = Books(open_in(restored))
                again.issued(again.customer())

    assert forced == (True,)
