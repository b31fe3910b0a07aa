"""F22: the whole database is dumped, or copied with its WAL, under writes, and restored: every account is sound."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from api.bootstrap import Installation, keys
from api.cluster import Cluster, server_programs
from api.daily import READER
from api.http.files import backups
from api.kept import read_again
from api.settings import Settings
from api.storage import backup_place
from domain.accounts import service_access
from domain.application import Application
from domain.ids import AccountId
from domain.store.database import Database
from projections.rebuild import rebuild
from snapshots.backup import Backup, take_backup
from snapshots.proving.verification import verify_timeline
from tests.fixtures.accounts import open_in
from tests.fixtures.server import new_home, own_database, remove_home
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


def test_f22_a_base_backup_and_its_wal_cut_at_a_moment_hold_sound_accounts_and_archives_that_are_newer_are_found() -> (
    None
):
    """Archives in storage are older than the database that comes back, and newer: what docs/operations.md describes."""
    folder = new_home()
    settings = Settings(home=folder / "keys-and-archives", backups=folder / "backups")
    settings.home.mkdir(mode=0o711)
    keys(settings).make_first()
    wal = folder / "wal"
    try:
        lost, came = Cluster(folder / "lost"), Cluster(folder / "came")
        for cluster in (lost, came):
            cluster.make_folders()
        lost.make_data(durable=False)
        for empty in (wal, came.data):
            empty.mkdir(mode=0o700)
            os.chown(empty, lost.account.uid, lost.account.gid)
        archiving = f"archive_mode = 'on'\narchive_command = 'test ! -f {wal}/%f && cp %p {wal}/%f'\n"
        with _serving(lost, archiving) as dsn, Database(dsn) as database:
            books = Books(open_in(database))
            books.issued(books.customer())
            older = _backup(books, settings)
            ran = lost.command(
                lost.programs / "pg_basebackup", "-d", dsn, "-D", came.data, "--wal-method=none", "--checkpoint=fast"
            )
            assert ran.returncode == 0, ran.stdout
            books.customer("In the WAL")
            with psycopg.connect(dsn, autocommit=True) as superuser:
                row = superuser.execute("SELECT clock_timestamp()::text").fetchone()
                assert row is not None
                books.customer("After the moment")
                newer = _backup(books, settings)
                superuser.execute("SELECT pg_switch_wal()")

        recovering = (
            f"archive_mode = 'off'\nrestore_command = 'cp {wal}/%f %p'\n"
            f"recovery_target_time = '{row[0]}'\nrecovery_target_action = 'promote'\n"
        )
        came.command("/usr/bin/touch", came.data / "recovery.signal")
        with _serving(came, recovering) as dsn:
            _wait_until_promoted(dsn)
            with Database(dsn) as restored:
                account = books.access.account
                application = Application(restored, books.application.clock)
                names = restored_names(restored, account)
                is_sound = verify_timeline(restored, account).is_sound
                books.clock.now += timedelta(days=1)
                found = read_again(
                    Installation(settings, restored, application), service_access(restored, account), READER
                )
                is_whole = rebuild(restored, account, check=True).differences_count == 0
                knows_of_newer = not verify_timeline(restored, account).is_sound
                again = Books(open_in(restored))
                again.issued(again.customer())
                listed = backups(application, settings, account)
    finally:
        remove_home(folder)

    assert names == ["In the WAL", "Klant"]
    assert (is_whole, is_sound, knows_of_newer) == (True, True, True)
    assert [one.archive for one in found.found_again] == [newer.archive]
    assert (found.damaged, found.unknown) == ((), ())
    assert [(one.archive, one.available) for one in listed] == [(newer.archive, True), (older.archive, True)]


def restored_names(database: Database, account: AccountId) -> list[str]:
    """The names of the account's customers."""
    with database.transaction(account) as connection:
        rows = connection.execute("SELECT state::json->'party'->>'name' FROM entities WHERE kind = 'customer'")
        return sorted(name for (name,) in rows)


@contextmanager
def _serving(cluster: Cluster, conf: str) -> Iterator[str]:
    """The address of a server that is run as one of one's own is; the last WAL is archived when it ends."""
    with (cluster.data / "postgresql.auto.conf").open("a") as file:
        file.write(conf)
    socket, pg_ctl = cluster.make_socket_folder(), cluster.programs / "pg_ctl"
    options = f"-c listen_addresses= -c wal_level=replica -c fsync=off -c unix_socket_directories={socket}"
    log = cluster.log
    ran = cluster.command(pg_ctl, "-D", cluster.data, "-l", log, "-w", "-o", options, "start", detached=True)
    assert ran.returncode == 0, log.read_text()
    try:
        yield make_conninfo("", host=str(socket), user="postgres", dbname="postgres")
    finally:
        cluster.command(pg_ctl, "-D", cluster.data, "-w", "-m", "fast", "stop")


def _wait_until_promoted(dsn: str) -> None:
    ends = time.monotonic() + 60
    with psycopg.connect(dsn, autocommit=True) as connection:
        while connection.execute("SELECT pg_is_in_recovery()").fetchone() != (False,):
            assert time.monotonic() < ends, "the server came to the moment"
            time.sleep(0.05)


def _backup(books: Books, settings: Settings) -> Backup:
    place = backup_place(settings, books.access, books.application.clock())
    return take_backup(books.application, books.access, books.actor, place, keys(settings).signer())
