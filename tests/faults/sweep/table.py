"""The table that is swept, operation × kind of fault × how often, and what came of each of its rows."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.faults.sweep.operations import MIGRATION, OPERATIONS
from tests.faults.sweep.planting import AT_BOTH, AT_FILES, AT_STATEMENTS, CLIENT_GONE, FINAL, OVER_WIRE, Plant
from tests.faults.sweep.running import Result, Sweep

# Two faults: the second while what the first left is cleaned away, or while it is all done again.
COMPOUND = "a second fault"
KINDS = (*AT_BOTH, *AT_STATEMENTS, *AT_FILES, *OVER_WIRE, CLIENT_GONE)
MOST_COMPOUND = 100
NAMES = (*OPERATIONS, MIGRATION)


class Row(NamedTuple):
    """An operation, a kind of fault, and whether it happens at every later point as well."""

    operation: str
    kind: str
    for_good: bool = False


@dataclass
class Figures:
    """What came of a row: the points that there are, those that were tried, faults met, and what was found wrong."""

    row: Row
    points: int
    tried: int = 0
    met: int = 0
    done: int = 0
    wrong: list[Result] = field(default_factory=list)

    def __str__(self) -> str:
        row = f"{self.row.operation}, {self.row.kind}{', from then on' if self.row.for_good else ''}"
        return f"{row}: {self.tried} of {self.points} points, {self.met} faults met, {len(self.wrong)} found wrong"

    def add(self, result: Result) -> None:
        """One more run."""
        self.tried += 1
        self.met += sum(said.met for said in result.said)
        self.done += result.done
        if result.wrong:
            self.wrong.append(result)


def kinds_of(sweep: Sweep) -> list[str]:
    """The kinds of faults that can be planted here: a full disk takes a file system of the server's own."""
    return [kind for kind in KINDS if kind != "database full" or sweep.server.kib is not None]


def rows(sweep: Sweep) -> list[Row]:
    """All rows that this sweep can run."""
    found = []
    for operation in NAMES:
        for kind in kinds_of(sweep):
            if kind == CLIENT_GONE and operation == MIGRATION:
                continue  # nobody asks for it over HTTP
            found += [Row(operation, kind, for_good) for for_good in ((False,) if kind in FINAL else (False, True))]
        found.append(Row(operation, COMPOUND))
    return found


def swept(
    sweep: Sweep, all_rows: list[Row], *, seed: str, most: int, until: float, tell: Callable[[object], None]
) -> list[Figures]:
    """What came of the rows, as many as the time is enough for: each gets an equal share of what is left, and at most
    *most* points.

    Which points, where not all of them, follows from *seed*.
    """
    found = []
    all_rows = random.Random(seed).sample(all_rows, len(all_rows))  # so that a short run is about all operations
    for number, row in enumerate(all_rows):
        if time.monotonic() > until:
            break
        ends = time.monotonic() + max(0.0, until - time.monotonic()) / (len(all_rows) - number)
        chooses = random.Random(f"{seed}/{row}")
        if row.kind == COMPOUND:
            figures = Figures(row, 0)
            alone = [kind for kind in kinds_of(sweep) if kind != CLIENT_GONE]
            points = {kind: sweep.points(row.operation, kind) for kind in alone}
            while figures.tried < min(most, MOST_COMPOUND) and (time.monotonic() < ends or not figures.tried):
                chosen = chooses.sample([kind for kind, number in points.items() if number], 2)
                plants = [Plant(kind, chooses.randint(1, points[kind])) for kind in chosen]
                _add(figures, sweep.run(row.operation, *plants), tell)
            figures.points = figures.tried
        else:
            figures = Figures(row, sweep.points(row.operation, row.kind))
            order = list(range(1, figures.points + 1))
            chooses.shuffle(order)
            for at in order[:most]:
                _add(figures, sweep.run(row.operation, Plant(row.kind, at, row.for_good)), tell)
                if time.monotonic() > ends:
                    break
        found.append(figures)
        tell(figures)
    return found


def _add(figures: Figures, result: Result, tell: Callable[[object], None]) -> None:
    figures.add(result)
    if result.wrong:
        tell(result)
