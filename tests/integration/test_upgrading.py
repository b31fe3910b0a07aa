"""F18: migrations run beside the version before: they add, wait little for locks, and leave nothing when killed."""

from __future__ import annotations

import re
import threading
import time
from importlib.resources import files
from typing import Any

import psycopg
import pytest

from domain.store import database as store
from domain.store.database import Database, known_migration, migrate

_TAKES_AWAY = re.compile(
    r"\bDROP\s+(TABLE|COLUMN|FUNCTION|VIEW|SCHEMA|TYPE)|\bRENAME\b|\bSET\s+NOT\s+NULL|\bALTER\s+COLUMN\b|\bTRUNCATE\b",
    re.IGNORECASE,
)


def test_f18_no_migration_takes_away_what_a_process_of_the_version_before_uses() -> None:
    later = [file for file in files("domain.store").joinpath("migrations").iterdir() if file.name > "0002"]
    assert later
    for file in later:
        statements = re.sub(r"--.*", "", file.read_text("utf-8"))

        assert not _TAKES_AWAY.search(statements), file.name


def with_one_more(monkeypatch: pytest.MonkeyPatch, statements: bytes) -> tuple[dict[int, bytes], int]:
    """The migrations of a newer version, and the number of the one that it brings."""
    known = dict(store._migrations())
    number = max(known) + 1
    known[number] = statements
    monkeypatch.setattr(store, "_migrations", lambda: known)
    return known, number


def test_f18_a_migration_waits_for_a_lock_no_longer_than_a_second_at_a_time_and_lets_writers_by(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Database(empty_database):
        pass
    _, number = with_one_more(monkeypatch, b"ALTER TABLE streams ADD COLUMN newer text")
    done: list[int] = []

    def upgrade() -> None:
        with psycopg.connect(empty_database, autocommit=True) as connection:
            done.append(migrate(connection))

    with psycopg.connect(empty_database) as reading, psycopg.connect(empty_database, autocommit=True) as writing:
        reading.execute("SELECT count(*) FROM streams")  # a long transaction holds up ALTER TABLE
        upgrading = threading.Thread(target=upgrade)
        upgrading.start()
        longest = 0.0
        ends = time.monotonic() + 4
        while time.monotonic() < ends:
            begun = time.monotonic()
            writing.execute("UPDATE streams SET head_position = head_position")
            longest = max(longest, time.monotonic() - begun)
        assert not done
        reading.rollback()
        upgrading.join(60)

    assert done == [number]
    assert longest < 3, "a second, on a machine that is busy with other things"


def test_f18_a_migration_that_is_killed_half_way_leaves_nothing_and_the_next_start_goes_on(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Database(empty_database):
        pass
    before = known_migration()
    known, number = with_one_more(monkeypatch, b"CREATE TABLE half (way integer); SELECT pg_sleep(600)")

    with psycopg.connect(empty_database, autocommit=True) as connection:
        killed = threading.Thread(target=_swallow, args=(connection,))
        killed.start()
        with psycopg.connect(empty_database, autocommit=True) as watching:
            asleep = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
            ends = time.monotonic() + 60
            while not (found := watching.execute(asleep).fetchone()):
                assert time.monotonic() < ends
            watching.execute("SELECT pg_terminate_backend(%s)", found)
            killed.join(60)

            left = watching.execute("SELECT to_regclass('half'), max(number) FROM schema_migrations").fetchone()
            monkeypatch.setitem(known, number, b"SELECT 1")
            done = migrate(watching)

    assert left == (None, before)
    assert done == number


def _swallow(connection: psycopg.Connection[Any]) -> None:
    with pytest.raises(psycopg.OperationalError):
        migrate(connection)
