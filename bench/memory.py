"""The most memory that a backup and a restore take, each in a process of its own, for two sizes of account.

Read from /proc, so this one needs Linux.
"""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from bench.account import SIGNER, large_account
from bench.restore import restore_into_new_account
from bench.server import Place, new_database
from domain.accounts import find_access, find_person
from domain.application import Actor, Application
from domain.store.database import Database
from snapshots.backup import take_backup

_LOOK_EVERY_S = 0.005
SIZES = {"100k": 25_000, "1m": 250_000}  # invoices, of 4 events each


class _Task(msgspec.Struct):
    """What a child process does; it is told on its standard input."""

    what: str
    dsn: str
    archive: str


def measure(place: Place) -> dict[str, float]:
    """``backup_peak_rss_mb`` and ``restore_peak_rss_mb``, for 100,000 and for 1,000,000 events."""
    figures = {}
    archive = place.folder / "memory.zip"
    for size, documents in SIZES.items():
        with large_account(place, documents) as large:
            figures[f"backup_peak_rss_mb_{size}"] = _peak_mb(_Task("backup", large.database.dsn, str(archive)))
        with new_database(place, "bench_restored") as dsn:
            figures[f"restore_peak_rss_mb_{size}"] = _peak_mb(_Task("restore", dsn, str(archive)))
    for what in ("backup", "restore"):
        figures[f"{what}_peak_rss_mb"] = max(figures[f"{what}_peak_rss_mb_{size}"] for size in SIZES)
    return figures


def _peak_mb(task: _Task) -> float:
    """The most that the child process and its own children had in memory at once, in MB of 1,000,000 bytes.

    Looked at every few milliseconds, for no system counts a family. Pages that several of them share count once.
    """
    with subprocess.Popen([sys.executable, "-m", "bench.memory"], stdin=subprocess.PIPE) as child:
        assert child.stdin is not None, "asked for"
        child.stdin.write(msgspec.json.encode(task))
        child.stdin.close()
        most = 0
        while child.poll() is None:
            most = max(most, sum(map(_resident_kib, _family(child.pid))))
            time.sleep(_LOOK_EVERY_S)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, child.args)
    return most * 1024 / 1e6


def _family(pid: int) -> list[int]:
    """The process and all that it started, of those that live."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    family = [pid]
    for parent in family:
        family += [one for one, of in parents.items() if of == parent]
    return family


def _resident_kib(pid: int) -> int:
    with suppress(OSError):  # it may have ended since it was listed
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def _run(task: _Task) -> None:
    with Database(task.dsn) as database:
        if task.what == "restore":
            restore_into_new_account(database, Path(task.archive))
            return
        person = find_person(database, "bench@example.com")
        access = find_access(database, person.id, "bench")
        take_backup(Application(database), access, Actor.person(person.id, "cli"), Path(task.archive), SIGNER)


if __name__ == "__main__":
    _run(msgspec.json.decode(sys.stdin.buffer.read(), type=_Task))
