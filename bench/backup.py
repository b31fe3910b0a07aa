"""A whole backup beside ``pg_dump -Fc`` with its defaults, of a plain copy of the account's rows."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bench.account import SIGNER, Large, program
from bench.server import Place, compare, side
from snapshots.backup import take_backup


def measure(place: Place, large: Large) -> dict[str, float]:
    """``backup_vs_pg_dump`` and ``archive_size_vs_dump``: how long, and how large, as a multiple of the dump."""
    archive, dump = place.folder / "account.zip", place.folder / "account.dump"
    ours = side(lambda: take_backup(large.application, large.account.access, large.account.actor, archive, SIGNER))
    compared = compare(place, ours, side(lambda: take_dump(large, dump)))
    return {
        "backup_vs_pg_dump": compared.ratio,
        "backup_s": compared.ours,
        "pg_dump_s": compared.peer,
        "archive_size_vs_dump": archive.stat().st_size / dump.stat().st_size,
        "archive_mb": archive.stat().st_size / 1e6,
        "dump_mb": dump.stat().st_size / 1e6,
    }


def take_dump(large: Large, dump: Path) -> None:
    """The peer's backup."""
    subprocess.run([program("pg_dump"), "-Fc", "--file", dump, "--dbname", large.plain_dsn], check=True)
