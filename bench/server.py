"""The server that both sides of a measurement run on, and the clock that takes turns between them."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

ROUNDS = 5


# Makes ready, gives the work that is timed, and tidies up.
Side = Callable[[], AbstractContextManager[Callable[[], object]]]


class Place(NamedTuple):
    """A server to make databases on, and a folder for files."""

    dsn: str
    folder: Path


class Compared(NamedTuple):
    """What both sides took: medians of ROUNDS, in seconds."""

    ours: float
    peer: float

    @property
    def ratio(self) -> float:
        """How long ours took as a multiple of the peer's."""
        return self.ours / self.peer


@contextmanager
def new_database(place: Place, name: str) -> Iterator[str]:
    """The address of an empty database, which is dropped at the end."""
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    with psycopg.connect(place.dsn, autocommit=True) as connection:
        connection.execute(drop)
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield make_conninfo(place.dsn, dbname=name)
    with psycopg.connect(place.dsn, autocommit=True) as connection:
        connection.execute(drop)


def compare(place: Place, ours: Side, peer: Side) -> Compared:
    """Both sides in turn, five times; neither pays for what the other left to be written."""
    timed: tuple[list[float], list[float]] = ([], [])
    for round_ in range(ROUNDS):
        sides = [(timed[0], ours), (timed[1], peer)]
        for taken, side in sides if round_ % 2 == 0 else reversed(sides):
            with side() as work:
                settle(place)
                start = time.perf_counter()
                work()
                taken.append(time.perf_counter() - start)
    return Compared(statistics.median(timed[0]), statistics.median(timed[1]))


def side(work: Callable[[], object]) -> Side:
    """What needs nothing made ready."""
    return lambda: nullcontext(work)


def settle(place: Place) -> None:
    """Have everything written that is waiting to be."""
    with psycopg.connect(place.dsn, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
    os.sync()
