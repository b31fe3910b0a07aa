"""What a power loss, or a disk that fails to sync, leaves of a backup: the older file, or all of the new one."""

from __future__ import annotations

import errno
import os
import random
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from domain.control import BackupTaken
from domain.errors import ArchiveError
from snapshots.backup import ArchiveNotWritten, BackupNotRecorded, take_backup
from snapshots.container import Limits
from snapshots.reading.inspection import inspect_archive
from tests.fixtures.accounts import OpenAccount
from tests.fixtures.archives import KEYS, SIGNER
from tests.integration.restoring import Books, as_file

OLDER = b"the older backup"


@pytest.fixture
def books(fresh_account: OpenAccount) -> Books:
    made = Books(fresh_account())
    made.issued(made.customer())
    return made


@pytest.fixture
def target(tmp_path: Path) -> Path:
    file = tmp_path / "a.zip"
    file.write_bytes(OLDER)
    return file


def watched(monkeypatch: pytest.MonkeyPatch, books: Books) -> list[tuple[str, int]]:
    """What a backup does that a power loss may undo, in order: a file synced, with as much as it had; a renaming; a
    folder synced; the record that the backup was taken."""
    log: list[tuple[str, int]] = []
    real_fsync, real_replace, real_record = os.fsync, Path.replace, books.application.record_control

    def fsync(descriptor: int) -> None:
        real_fsync(descriptor)
        found = os.fstat(descriptor)
        log.append(("folder", 0) if stat.S_ISDIR(found.st_mode) else ("file", found.st_size))

    def replace(self: Path, to: Path) -> Path:
        log.append(("renamed", 0))
        return real_replace(self, to)

    def record(account: Any, actor: Any, *events: Any, **more: Any) -> Any:
        if any(isinstance(event, BackupTaken) for event in events):
            log.append(("recorded", 0))
        return real_record(account, actor, *events, **more)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(books.application, "record_control", record)
    return log


def left_by_power_loss(log: list[tuple[str, int]], whole: bytes, chooses: random.Random) -> bytes:
    """What stands under the name after the power went once all of *log* was done: what was not synced may be lost,
    torn, or full of zeros, and a renaming that no folder's sync followed may not have happened."""
    synced, named, may_be_named = 0, False, False
    for what, size in log:
        match what:
            case "file":
                synced = size
            case "renamed":
                may_be_named = True
            case "folder":
                named = may_be_named
    if not named and not (may_be_named and chooses.random() < 0.5):
        return OLDER
    rest = whole[synced:]
    torn = chooses.randint(0, len(rest))
    return whole[:synced] + chooses.choice([b"", rest[:torn], rest[:torn] + bytes(len(rest) - torn)])


def test_f09_a_power_loss_leaves_the_older_backup_or_the_whole_new_one(
    books: Books, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = watched(monkeypatch, books)
    take_backup(books.application, books.access, books.actor, target, SIGNER)
    whole = target.read_bytes()
    chooses = random.Random(9)

    for done in range(len(log) + 1):
        for _ in range(10):
            left = left_by_power_loss(log[:done], whole, chooses)
            assert left in ((whole,) if "recorded" in dict(log[:done]) else (OLDER, whole)), log[:done]

    assert [what for what, _ in log] == ["file", "renamed", "folder", "recorded"]


def test_f09_what_was_written_only_in_part_is_no_archive(books: Books, target: Path) -> None:
    take_backup(books.application, books.access, books.actor, target, SIGNER)
    whole = target.read_bytes()
    chooses = random.Random(9)

    for _ in range(50):
        torn = bytearray(whole)
        start = chooses.randrange(len(whole))
        torn[start : start + chooses.randint(1, len(whole))] = b""
        with pytest.raises(ArchiveError):
            inspect_archive(as_file(bytes(torn)), limits=Limits(), keys=KEYS)


def failing_once(monkeypatch: pytest.MonkeyPatch, is_it: Callable[[int], bool]) -> list[int]:
    """The first sync of such a descriptor fails, and those after it say that they did not. Inodes that were synced."""
    asked: list[int] = []
    failed: list[int] = []

    def fsync(descriptor: int) -> None:
        found = os.fstat(descriptor)
        asked.append(found.st_ino)
        if is_it(found.st_mode) and not failed:
            failed.append(found.st_ino)
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    return asked


def test_f08_a_file_whose_sync_failed_once_is_given_up_and_not_synced_again(
    books: Books, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = failing_once(monkeypatch, stat.S_ISREG)

    with pytest.raises(ArchiveNotWritten):
        take_backup(books.application, books.access, books.actor, target, SIGNER)

    assert len(asked) == 1
    assert [(file.name, file.read_bytes()) for file in target.parent.iterdir()] == [("a.zip", OLDER)]


def test_f08_a_folder_whose_sync_failed_is_not_said_to_be_on_disk(
    books: Books, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_once(monkeypatch, stat.S_ISDIR)

    with pytest.raises(BackupNotRecorded, match="its folder could not be synced"):
        take_backup(books.application, books.access, books.actor, target, SIGNER)

    assert inspect_archive(as_file(target.read_bytes()), limits=Limits(), keys=KEYS).is_sound
