"""What processes that were killed leave, of streams and of files, is gone after the next start of the service."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from psycopg import Connection

from api.housekeeping import CleanupReport
from api.settings import Settings
from domain.store.database import BUILDER, Row
from snapshots.fresh.building import begin_stream, sweep_abandoned
from snapshots.partial_files import sweep_partials
from snapshots.restoring.restore import ArchiveFaulty
from tests.faults.test_interrupted import unfinished_rows
from tests.fixtures.accounts import OpenAccount
from tests.fixtures.archives import Edited
from tests.integration.restoring import Books, is_sound
from tests.integration.test_purging import cleaned
from tests.integration.test_undo import statuses

_RESTORE = """
import sys, time
from domain.accounts import find_access, find_person
from domain.application import Actor, Application
from domain.store.database import Database
from snapshots.restoring import restore
from snapshots.restoring.restore import Choices, restore_archive

dsn, email, account, archive = sys.argv[1:]
def never(*_args, **_more):
    print("built", flush=True)
    time.sleep(600)
restore.swap = never
with Database(dsn) as database, open(archive, "rb") as file:
    person = find_person(database, email)
    access = find_access(database, person.id, account)
    restore_archive(Application(database), access, Actor.person(person.id, "cli"), file)
"""
_BACKUP = """
import sys, time
from pathlib import Path
from domain.accounts import find_access, find_person
from domain.application import Actor, Application
from domain.store.database import Database
from snapshots.backup import take_backup
from tests.fixtures.archives import SIGNER

dsn, email, account, target = sys.argv[1:]
def stop(*_):
    print("writing", flush=True)
    time.sleep(600)
with Database(dsn) as database:
    person = find_person(database, email)
    access = find_access(database, person.id, account)
    take_backup(Application(database), access, Actor.person(person.id, "cli"), Path(target), SIGNER, progress=stop)
"""


@pytest.fixture
def books(fresh_account: OpenAccount) -> Books:
    return Books(fresh_account())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, backups=tmp_path / "backups")


@contextmanager
def at_work(program: str, books: Books, file: Path, until: str) -> Iterator[None]:
    """A process that came to the point where it says *until*; it is killed at the end of the ``with``."""
    owner = next(member for member in books.access.control.members if member.role == "owner")
    arguments = [books.application.database.dsn, owner.email, books.access.account, str(file)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == f"{until}\n"
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


@pytest.mark.slow
def test_a_stream_whose_restore_was_killed_is_swept_and_not_while_it_is_at_work(
    books: Books, settings: Settings, tmp_path: Path
) -> None:
    books.issued(books.customer())
    archive = tmp_path / "a.zip"
    archive.write_bytes(books.backup(tmp_path / "taken"))

    with at_work(_RESTORE, books, archive, "built"):
        meanwhile = cleaned(books, settings)
        rows_meanwhile = unfinished_rows(books)
    after = _when_gone(books, settings)

    assert meanwhile.swept == ()
    assert rows_meanwhile == 3
    assert after.swept[0].streams == (2,)
    assert unfinished_rows(books) == 0
    assert statuses(books) == {1: "live", 2: "abandoned"}
    assert is_sound(books)
    assert cleaned(books, settings).swept == ()


def _when_gone(books: Books, settings: Settings) -> CleanupReport:
    """The report of the clean-up that found the killed process' session ended: the server sees to that in its time."""
    while not (report := cleaned(books, settings)).swept:
        time.sleep(0.01)
    return report


def test_a_stream_that_was_begun_and_never_built_is_swept(books: Books, settings: Settings) -> None:
    database = books.application.database
    with database.session(BUILDER) as owner:
        begin_stream(database, books.access.account, books.actor, books.clock(), owner)

    report = cleaned(books, settings)

    assert report.swept[0].streams == (2,)
    assert statuses(books) == {1: "live", 2: "abandoned"}


def test_r13_a_sweep_that_comes_by_just_when_a_stream_is_begun_leaves_it(
    books: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = books.backup(tmp_path)
    database, account = books.application.database, books.access.account
    swept: list[list[int]] = []
    connection = database.connection

    @contextmanager
    def sweeping_first() -> Iterator[Connection[Row]]:
        monkeypatch.setattr(database, "connection", connection)
        swept.append(sweep_abandoned(database, account))
        monkeypatch.setattr(database, "connection", sweeping_first)
        with connection() as given:
            yield given

    monkeypatch.setattr(database, "connection", sweeping_first)
    report = books.restore(archive)

    assert report.outcome == "restored"
    assert len(swept) > 3
    assert set(map(tuple, swept)) == {()}


@pytest.mark.slow
def test_a_file_whose_backup_was_killed_is_removed_and_not_while_it_is_written(
    books: Books, settings: Settings
) -> None:
    books.customer()
    folder = settings.backups / books.access.account
    target = folder / "a.zip"
    folder.mkdir(parents=True)
    target.write_bytes(b"the older backup")

    with at_work(_BACKUP, books, target, "writing"):
        (partial,) = folder.glob(".*.partial")
        meanwhile = cleaned(books, settings)
        assert partial.exists()
    after = cleaned(books, settings)

    assert meanwhile.files == ()
    assert after.files == (str(partial),)
    assert [(file.name, file.read_bytes()) for file in folder.iterdir()] == [("a.zip", b"the older backup")]


def test_only_files_of_ours_that_are_not_whole_are_removed(tmp_path: Path) -> None:
    account = tmp_path / "account"
    account.mkdir()
    ours = [account / ".acme.zip.0123456789abcdef.partial", account / "01900000-0000-7000-8000-000000000000.partial"]
    theirs = [account / "notes.partial", account / ".acme.zip.partial", account / "acme.zip", tmp_path / "x.partial"]
    for file in (*ours, *theirs):
        file.write_bytes(b"x")
    linked = account / ".linked.zip.0123456789abcdef.partial"
    linked.symlink_to(account / "acme.zip")

    assert sweep_partials(tmp_path) == sorted(ours)

    assert all(file.exists() for file in (*theirs, linked))


_SERVE_ENDS_S = 60


@pytest.mark.slow
def test_serve_cleans_up_when_it_starts(empty_database: str, tmp_path: Path) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("COUNTERFOIL_")},
        "COUNTERFOIL_HOME": str(tmp_path),
        "COUNTERFOIL_DATABASE_URL": empty_database,
        "COUNTERFOIL_AS": "an@example.com",
    }
    command = [sys.executable, "-m", "api.cli"]
    opened = subprocess.run(
        [*command, "account", "open", "Acme BV", "--json"], env=environment, check=True, capture_output=True, text=True
    )
    assert opened.returncode == 0
    left = tmp_path / "backups" / "x" / ".a.zip.0123456789abcdef.partial"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half a backup")

    serving = subprocess.Popen([*command, "serve", "--port", _free()], env=environment, stderr=subprocess.DEVNULL)
    try:
        ends = time.monotonic() + _SERVE_ENDS_S
        while left.exists() and time.monotonic() < ends:
            time.sleep(0.02)
    finally:
        serving.terminate()
        serving.wait(_SERVE_ENDS_S)

    assert not left.exists()
    assert serving.returncode == 0


def _free() -> str:
    """A port that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return str(free.getsockname()[1])


def test_a_stream_whose_building_failed_is_given_up_at_once(books: Books, tmp_path: Path) -> None:
    books.customer()
    archive = Edited(books.backup(tmp_path / "taken"))
    archive.put_lines("customers.jsonl", [])

    with pytest.raises(ArchiveFaulty):
        books.restore(archive.zipped())

    assert statuses(books) == {1: "live", 2: "abandoned"}
