"""What each check of an archive costs: seconds of one core, of a whole examination in one process.

The examination is the one that ``inspect`` and a restore do, of the large account's archive. The functions that do the
checks are timed where they stand, each without what it calls that is timed itself; what is left over is the rest:
spooling lines by entity, what the report needs, and memory given back.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from types import GeneratorType
from typing import Any, NamedTuple
from unittest import mock

import domain.events
import snapshots.reading.archive
from bench.account import KEYS, SIGNER, Large
from bench.server import Place
from domain.tree import Frontier
from projections.control_totals import Totaller
from snapshots.backup import take_backup
from snapshots.container import Container, Limits
from snapshots.reading import checking, examination
from snapshots.reading.archive import Archive, open_archive
from snapshots.reading.examination import Examiner
from snapshots.reading.spool import Spool
from snapshots.trust.signing import KeyRing

_RUNS = 3
_REST, _ALL = "rest", "all"


class _Check(NamedTuple):
    """A check in words, and the functions that do it, by name in their module or class."""

    what: str
    functions: tuple[tuple[Any, str], ...]


CHECKS = {
    "container": _Check(
        "container and inflate", ((snapshots.reading.archive, "open_container"), (Container, "read_chunks"))
    ),
    "hashes": _Check("SHA-256 of each file", ((Archive, "chunks"),)),
    "signature": _Check("signature of the manifest", ((KeyRing, "judge"),)),
    "lines": _Check("envelope, canonical JSON, odd decimals", ((Examiner, "_envelopes"), (checking, "read_lines"))),
    "decode": _Check("typed decode", ((domain.events, "_decode_lines"),)),
    "fold": _Check("rules and fold", ((checking, "_fold"),)),
    "snapshots": _Check("snapshot against fold", ((checking, "_check"),)),
    "across": _Check(
        "references and keys across entities",
        ((checking, "note_across"), (Spool, "add"), (Examiner, "_check_across")),
    ),
    "totals": _Check(
        "control totals",
        ((checking, "add_totals"), (Totaller, "merge"), (Totaller, "totals"), (Examiner, "_check_totals")),
    ),
    "tree": _Check(
        "leaves and tree", ((examination, "leaf_hashes"), (examination, "append_leaves"), (Frontier, "root"))
    ),
}


def measure(place: Place, large: Large) -> dict[str, float]:
    """``check_*_s``: seconds of one core for each check, for the rest, and for the whole."""
    archive = place.folder / "account.zip"
    take_backup(large.application, large.account.access, large.account.actor, archive, SIGNER)
    costs = costs_of(archive, KEYS)
    print(f"{'an examination on one core':40} {'s':>8} {'share':>7}")
    for name, seconds in costs.items():
        what = CHECKS[name].what if name in CHECKS else name
        print(f"{what:40} {seconds:>8.2f} {seconds / costs[_ALL]:>7.0%}")
    return {f"check_{name}_s": seconds for name, seconds in costs.items()}


def costs_of(path: Path, keys: KeyRing, *, runs: int = _RUNS) -> dict[str, float]:
    """Seconds by check, ``rest`` and ``all``: of each the median of *runs* examinations of a sound archive."""
    taken = [_examine(path, keys) for _ in range(runs)]
    return {name: statistics.median(one[name] for one in taken) for name in [*CHECKS, _REST, _ALL]}


def _examine(path: Path, keys: KeyRing) -> dict[str, float]:
    clock = _Clock()
    with ExitStack() as stack:
        for name, check in CHECKS.items():
            for owner, function in check.functions:
                timed = clock.timed(name, getattr(owner, function))
                stack.enter_context(mock.patch.object(owner, function, timed))
        # No processes beside: their time would not be seen.
        stack.enter_context(mock.patch.object(examination, "_WORKERS_FROM_BYTES", math.inf))
        file = stack.enter_context(path.open("rb"))
        with clock.on(_REST):
            found = Examiner(open_archive(file, Limits(), keys)).run()
    assert not found.faults.count, "what is measured is a sound archive"
    return {**clock.seconds, _ALL: sum(clock.seconds.values())}


class _Clock:
    """Seconds of the processor, by what this process was at."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._at: list[str] = []
        self._since = 0.0

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        """Meanwhile the time counts as *what*, but for what counts as something else inside."""
        self._switch()
        self._at.append(what)
        try:
            yield
        finally:
            self._switch()
            self._at.pop()

    def _switch(self) -> None:
        now = time.process_time()
        if self._at:
            self.seconds[self._at[-1]] += now - self._since
        self._since = now

    def timed(self, what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """*function*, whose time counts as *what*; of a generator, the time until each thing that it gives."""

        @wraps(function)
        def counted(*given: Any, **named: Any) -> Any:
            with self.on(what):
                result = function(*given, **named)
            return self._stepwise(what, result) if isinstance(result, GeneratorType) else result

        return counted

    def _stepwise(self, what: str, steps: Iterator[Any]) -> Iterator[Any]:
        while True:
            with self.on(what):
                try:
                    step = next(steps)
                except StopIteration:
                    return
            yield step
