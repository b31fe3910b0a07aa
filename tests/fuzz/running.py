"""Running a reader against so many inputs, and what came of it."""

from __future__ import annotations

import resource
import time
from collections import Counter
from dataclasses import dataclass, field
from random import Random

from tests.fuzz.readers import ACCEPTED, Target, targets

# Of a million inputs. A line takes 60 µs, a container 120, a file of UBL 300, a whole archive 3 ms.
SHARES = {"line": 880_000, "container": 99_000, "ubl": 20_000, "archive": 1_000}
_MOST_KEPT = 20
TOO_SLOW_S = 2.0


@dataclass
class Result:
    """What came of a run: verdicts counted, the slowest input, and every input that a reader failed on."""

    target: str
    verdicts: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    slowest: bytes = b""
    failures: list[tuple[bytes, str]] = field(default_factory=list)

    @property
    def executions(self) -> int:
        """How many inputs were judged."""
        return self.verdicts.total()

    def add(self, other: Result) -> None:
        """Count *other* in."""
        self.verdicts += other.verdicts
        self.failures += other.failures[: _MOST_KEPT - len(self.failures)]
        if other.slowest_s > self.slowest_s:
            self.slowest_s, self.slowest = other.slowest_s, other.slowest

    def __str__(self) -> str:
        accepted = self.verdicts[ACCEPTED]
        refused = self.executions - accepted
        lines = [f"{self.target}: {self.executions:,} executions, {accepted:,} accepted, {refused:,} refused"]
        lines += [f"  the slowest took {self.slowest_s * 1000:,.1f} ms ({len(self.slowest):,} bytes)"]
        lines += [f"  {count:>12,}  {code}" for code, count in self.verdicts.most_common()]
        lines += [f"  FAILED {why}\n    {raw!r}" for raw, why in self.failures]
        return "\n".join(lines)


def run_piece(name: str, count: int, seed: str) -> tuple[Result, int]:
    """What a process of its own makes of so many inputs, and the most memory that it ever had, in KiB."""
    result = run(targets()[name], count, seed)
    return result, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def run(target: Target, count: int, seed: str) -> Result:
    """Judge *count* inputs that follow from *seed* alone."""
    random = Random(seed)
    result = Result(target.name)
    for _ in range(count):
        raw = target.next_input(random)
        start = time.process_time()
        try:
            verdict = target.judge(raw)
        except Exception as wrong:  # noqa: BLE001 - whatever it is, it is what is looked for
            verdict = "failed"
            if len(result.failures) < _MOST_KEPT:
                result.failures.append((raw, f"{type(wrong).__name__}: {wrong}"[:500]))
        took = time.process_time() - start
        if took > result.slowest_s:
            result.slowest_s, result.slowest = took, raw
        result.verdicts[verdict] += 1
    return result
