"""The most memory that a backup and a restore take, each in a process of its own, for two sizes of account."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import msgspec

from bench.account import large_account
from bench.restore import restore_into_new_account
from bench.server import Place, new_database
from domain.accounts import find_access, find_person
from domain.application import Actor, Application
from domain.store.database import Database
from snapshots.backup import take_backup

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
    command = [sys.executable, "-m", "bench.memory"]
    done = subprocess.run(command, input=msgspec.json.encode(task), capture_output=True, check=True)
    return float(done.stdout)


def _run(task: _Task) -> None:
    with Database(task.dsn) as database:
        if task.what == "restore":
            restore_into_new_account(database, Path(task.archive))
            return
        person = find_person(database, "bench@example.com")
        access = find_access(database, person.id, "bench")
        take_backup(Application(database), access, Actor.person(person.id, "cli"), Path(task.archive))


def _most_mb() -> float:
    """The peak of this process and of the largest of its children, in MB of 1,000,000 bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    most = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(most) * unit / 1e6


if __name__ == "__main__":
    _run(msgspec.json.decode(sys.stdin.buffer.read(), type=_Task))
    sys.stdout.write(str(_most_mb()))
