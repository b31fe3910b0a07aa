"""A whole restore beside ``pg_restore`` of the plain copy's dump: both into an empty database.

Ours opens the archive, checks its container, hashes, lines and references, replays every event, compares each snapshot
with the fold, computes the log's tree, builds the fresh stream and swaps.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.account import KEYS, SIGNER, Large, program
from bench.backup import take_dump
from bench.data import SETTINGS
from bench.server import Place, compare, new_database
from domain.accounts import ensure_person, open_account
from domain.application import Actor, Application, utc_now
from domain.store.database import Database
from snapshots.backup import take_backup
from snapshots.restoring.restore import Choices, restore_archive


def measure(place: Place, large: Large) -> dict[str, float]:
    """``restore_vs_pg_restore``: how long, as a multiple of pg_restore."""
    archive, dump = place.folder / "account.zip", place.folder / "account.dump"
    take_backup(large.application, large.account.access, large.account.actor, archive, SIGNER)
    take_dump(large, dump)
    compared = compare(place, lambda: _ours(place, archive), lambda: _peer(place, dump))
    return {
        "restore_vs_pg_restore": compared.ratio,
        "restore_s": compared.ours,
        "pg_restore_s": compared.peer,
    }


@contextmanager
def _ours(place: Place, archive: Path) -> Iterator[Callable[[], object]]:
    with new_database(place, "bench_restored") as dsn, Database(dsn) as database:
        yield lambda: restore_into_new_account(database, archive)


def restore_into_new_account(database: Database, archive: Path) -> None:
    """Open an account and restore the archive into it."""
    application = Application(database)
    person = ensure_person(database, "bench@example.com", "Bench", at=utc_now())
    access = open_account(application, "Restored", person, SETTINGS, via="cli")
    with archive.open("rb") as file:
        choices = Choices(from_other_account=True)
        restore_archive(application, access, Actor.person(person.id, "cli"), file, choices=choices, keys=KEYS)


@contextmanager
def _peer(place: Place, dump: Path) -> Iterator[Callable[[], object]]:
    with new_database(place, "bench_restored") as dsn:
        yield lambda: subprocess.run([program("pg_restore"), "--dbname", dsn, dump], check=True)
