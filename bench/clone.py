"""A whole clone into a new account beside ``pg_dump -Fc`` and ``pg_restore`` of the plain copy.

Ours reads the source as one moment, copies lines and entities, adds up the control totals, decides whose the events
are, and opens the account with its history. Each clone goes with its rows before the next.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

from bench.account import Large, program
from bench.backup import take_dump
from bench.server import Place, compare, new_database
from domain.ids import AccountId
from snapshots.cloning.cloning import NewAccount, clone_account

_numbers = count(1)


def measure(place: Place, large: Large) -> dict[str, float]:
    """``clone_vs_dump_restore``: how long, as a multiple of dump and restore together."""
    compared = compare(place, lambda: _ours(large), lambda: _peer(place, large))
    return {
        "clone_vs_dump_restore": compared.ratio,
        "clone_s": compared.ours,
        "dump_restore_s": compared.peer,
    }


@contextmanager
def _ours(large: Large) -> Iterator[Callable[[], object]]:
    account = large.account
    made: list[AccountId] = []

    def clone() -> None:
        target = NewAccount(f"Clone {next(_numbers)}")
        report = clone_account(large.application, account.access, account.actor, target)
        made.append(AccountId(report.account_id or ""))

    yield clone
    with large.database.session("postgres") as connection:
        for table in ("events", "entities"):
            connection.execute(f"DELETE FROM {table} WHERE account_id = ANY(%s)".encode(), [made])
            connection.execute(f"VACUUM {table}".encode())


@contextmanager
def _peer(place: Place, large: Large) -> Iterator[Callable[[], object]]:
    dump = place.folder / "account.dump"
    with new_database(place, "bench_restored") as dsn:

        def dump_and_restore() -> None:
            take_dump(large, dump)
            subprocess.run([program("pg_restore"), "--dbname", dsn, dump], check=True)

        yield dump_and_restore
