"""Restores and backups that break off at each of their steps in turn: wholly, or not at all.

Steps are found by counting, not picked: the first statement fails, then the second, … until a run meets no fault.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.copy import Copy

from domain import commands
from domain.errors import CounterfoilError
from domain.kinds import Kind
from snapshots.backup import take_backup
from snapshots.fresh.building import sweep_abandoned
from snapshots.restoring.restore import restore_archive
from tests.fixtures.accounts import OpenAccount
from tests.fixtures.archives import SIGNER, Edited
from tests.integration.restoring import Books, is_sound

MOST_STEPS = 400


class Faults:
    """Lets statements through until the *fails_at*-th; that one fails, and from then on every one with *for_good*."""

    def __init__(self, fails_at: int, *, for_good: bool) -> None:
        self.fails_at = fails_at
        self.for_good = for_good
        self.count = 0
        self.met = 0

    def step(self) -> None:
        self.count += 1
        if self.count == self.fails_at or (self.for_good and self.count > self.fails_at):
            self.met += 1
            raise psycopg.OperationalError("planted: the connection is gone")


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, faults: Faults) -> Iterator[None]:
    """Every statement and every piece of a COPY counts as a step of *faults*."""
    real_execute, real_write = psycopg.Cursor.execute, Copy.write

    def execute(self: Any, *args: Any, **kwargs: Any) -> Any:
        faults.step()
        return real_execute(self, *args, **kwargs)

    def write(self: Any, *args: Any, **kwargs: Any) -> Any:
        faults.step()
        return real_write(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", execute)
        patch.setattr(Copy, "write", write)
        yield


def live(books: Books) -> dict[str, Any]:
    """The account as people see it: the live stream and all its rows."""
    rows = books.rows()
    stream = next(row["stream_id"] for row in rows["streams"] if row["status"] == "live")
    return {
        table: [row for row in found if row.get("stream_id", stream) == stream]
        for table, found in rows.items()
        if table != "attachments"
    }


def last_swap(books: Books) -> int:
    """The stream that became live last, by the account's own history."""
    with books.application.database.transaction(books.access.account) as connection:
        rows = connection.execute("SELECT data FROM control_events WHERE type = 'stream.swapped' ORDER BY position")
        return int(json.loads(rows.fetchall()[-1][0])["live"])


def unfinished_rows(books: Books) -> int:
    """How many rows there are of streams that no account points at and nobody keeps."""
    with books.application.database.transaction(books.access.account) as connection:
        row = connection.execute(
            "SELECT count(*) FROM events e JOIN streams s USING (account_id, stream_id)"
            " WHERE s.status IN ('building', 'abandoned')"
        ).fetchone()
    return int(row[0]) if row else 0


@pytest.mark.slow
@pytest.mark.parametrize("for_good", [False, True], ids=["once", "from-then-on"])
@pytest.mark.parametrize("mode", ["overwrite", "add"])
def test_a_restore_that_fails_at_any_statement_leaves_the_account_as_it_was(
    fresh_account: OpenAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, *, for_good: bool
) -> None:
    source = Books(fresh_account())
    source.make(Kind.ITEM, number="B-1", name="Bell", net_price="10", vat={"category": "S", "rate": "21"})
    source.issued(source.customer(), Kind.QUOTE)
    archive = source.backup(tmp_path)
    books = Books(fresh_account())
    books.make(Kind.ITEM, number="B-1", name="Bell", net_price="10", vat={"category": "S", "rate": "21"})
    before = live(books)

    for fails_at in range(1, MOST_STEPS):
        faults = Faults(fails_at, for_good=for_good)
        with failing(monkeypatch, faults):
            try:
                report = books.restore(archive, mode=mode)
            except (CounterfoilError, psycopg.Error):
                report = None
        if report is not None and live(books) != before:
            break
        assert report is None, "a restore that met a fault that it could not do without says that it is done"
        assert live(books) == before, f"after a fault at statement {fails_at}"
        sweep_abandoned(books.application.database, books.access.account)
        assert unfinished_rows(books) == 0
    else:
        pytest.fail("no end of statements")

    assert report.outcome == "restored"
    assert is_sound(books)
    assert last_swap(books) == report.live_stream
    assert books.customer("The next write succeeds")


@pytest.mark.slow
def test_a_backup_that_fails_at_any_statement_leaves_no_file(
    fresh_account: OpenAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    books = Books(fresh_account())
    books.issued(books.customer())
    target = tmp_path / "a.zip"

    for fails_at in range(1, MOST_STEPS):
        faults = Faults(fails_at, for_good=False)
        with failing(monkeypatch, faults):
            try:
                take_backup(books.application, books.access, books.actor, target, SIGNER)
            except (CounterfoilError, psycopg.Error):
                # Where only the record of it failed, the file is whole and stays.
                assert [file.name for file in tmp_path.iterdir()] in ([], ["a.zip"])
        if not faults.met:
            break
        if target.exists():
            Edited(target.read_bytes())
            target.unlink()
    else:
        pytest.fail("no end of statements")

    assert Edited(target.read_bytes()).manifest["tree_head"]["size"] == 3


OPERATIONS = ["open", "write", "fsync", "replace"]


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_backup_that_fails_at_any_file_operation_leaves_the_older_file(
    fresh_account: OpenAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    books = Books(fresh_account())
    books.customer()
    target = tmp_path / "a.zip"
    target.write_bytes(b"the older backup")
    met_none = False
    codes = set()

    for fails_at in range(1, MOST_STEPS):
        count = 0
        failed = False

        def step(at: int = fails_at) -> None:
            nonlocal count, failed
            count += 1
            if count == at:
                failed = True
                raise OSError(28, "planted: no space left on device")

        with monkeypatch.context() as patch:
            _break(patch, operation, step)
            try:
                take_backup(books.application, books.access, books.actor, target, SIGNER)
            except CounterfoilError as wrong:
                codes.add(wrong.code)
        if not failed:
            met_none = True
            break
        if operation != "fsync" or fails_at == 1:
            assert target.read_bytes() == b"the older backup"
        else:
            assert Edited(target.read_bytes()).manifest["tree_head"]["size"] == 1
        assert [file.name for file in tmp_path.iterdir()] == ["a.zip"]

    assert met_none
    # The second sync is the folder's, after the file got its name.
    assert codes == {"archive.not-written"} | ({"archive.not-recorded"} if operation == "fsync" else set())
    assert Edited(target.read_bytes()).manifest["tree_head"]["size"] == 1


def _break(patch: pytest.MonkeyPatch, operation: str, step: Any) -> None:
    """Count every such operation of a backup as a step."""
    from snapshots.shelves import folder as shelf

    real_open, real_fsync, real_replace, real_write = Path.open, os.fsync, Path.replace, shelf._Writing.write

    def stepping(real: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            step()
            return real(*args, **kwargs)

        return call

    match operation:
        case "open":
            patch.setattr(Path, "open", stepping(real_open))
        case "write":
            patch.setattr(shelf._Writing, "write", stepping(real_write))
        case "fsync":
            patch.setattr(os, "fsync", stepping(real_fsync))
        case "replace":
            patch.setattr(Path, "replace", stepping(real_replace))


_RESTORE = """
import sys
from domain.accounts import find_access, find_person
from domain.application import Actor, Application
from domain.store.database import Database
from snapshots.restoring.restore import restore_archive

dsn, email, account, archive = sys.argv[1:]
with Database(dsn) as database, open(archive, "rb") as file:
    application = Application(database)
    person = find_person(database, email)
    access = find_access(database, person.id, account)
    print("ready", flush=True)
    restore_archive(application, access, Actor.person(person.id, "cli"), file)
    print("restored", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [0.0, 0.02, 0.05, 0.1, 0.2])
def test_a_restore_that_is_killed_leaves_the_account_old_or_new_and_the_next_one_succeeds(
    fresh_account: OpenAccount, tmp_path: Path, after_s: float
) -> None:
    books = Books(fresh_account())
    for _ in range(20):
        books.issued(books.customer())
    archive = tmp_path / "a.zip"
    archive.write_bytes(books.backup(tmp_path))
    books.customer("Since then")
    before = live(books)
    owner = next(member for member in books.access.control.members if member.role == "owner")
    arguments = [books.application.database.dsn, owner.email, books.access.account, str(archive)]

    killed = subprocess.Popen([sys.executable, "-c", _RESTORE, *arguments], stdout=subprocess.PIPE, text=True)
    assert killed.stdout is not None
    killed.stdout.readline()
    time.sleep(after_s)  # not for luck: the moment of the kill is what the test varies
    killed.send_signal(signal.SIGKILL)
    said = killed.stdout.read()
    killed.wait()

    after = live(books)
    if "restored" in said:
        assert after != before
    elif after != before:
        assert is_sound(books)
    report = restore_archive(
        books.application,
        books.access,
        books.actor,
        archive.open("rb"),
    )
    assert report.outcome == "restored"
    assert unfinished_rows(books) == 0
    assert is_sound(books)
    books.run(lambda work: commands.create(work, Kind.CUSTOMER, {"party": {"name": "The next write"}}))


def test_what_other_tools_read_is_what_we_wrote(fresh_account: OpenAccount, tmp_path: Path) -> None:
    """`unzip -t` finds it sound, and sha256sum prints what the manifest says."""
    import shutil
    import zipfile

    books = Books(fresh_account())
    books.issued(books.customer())
    archive = tmp_path / "a.zip"
    archive.write_bytes(books.backup(tmp_path))
    if shutil.which("unzip") is None or shutil.which("sha256sum") is None:
        pytest.skip("unzip or sha256sum is not installed")

    tested = subprocess.run(["unzip", "-tq", str(archive)], capture_output=True, text=True, check=False)
    with zipfile.ZipFile(io.BytesIO(archive.read_bytes())) as opened:
        assert opened.testzip() is None
        opened.extractall(tmp_path / "out")
    for file in Edited(archive.read_bytes()).manifest["files"]:
        summed = subprocess.run(
            ["sha256sum", str(tmp_path / "out" / file["name"])], capture_output=True, text=True, check=True
        )
        assert summed.stdout.split()[0] == file["sha256"]

    assert tested.returncode == 0
