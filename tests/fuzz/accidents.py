"""What can happen to a file on its way: a bit that flips, an end that is missing. Refused, or read as the same."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from domain.errors import CounterfoilError
from snapshots.reading.inspection import inspect_archive
from tests.fixtures.archives import KEYS
from tests.fuzz.readers import LIMITS, Files, verdict_of
from tests.fuzz.running import Result
from tests.small_archive import small_archive


def flipped(raw: bytes, bit: int) -> bytes:
    """*raw* with one bit the other way round."""
    made = bytearray(raw)
    made[bit // 8] ^= 1 << bit % 8
    return bytes(made)


def every_accident() -> Result:
    """Every single-bit flip and every cut of a small archive."""
    archive = small_archive()
    result = Result("accidents")
    result.add(judge_all("flip", (flipped(archive, bit) for bit in range(8 * len(archive)))))
    result.add(judge_all("cut", (archive[:size] for size in range(len(archive)))))
    return result


def judge_all(what: str, damaged: Iterable[bytes]) -> Result:
    """Each of *damaged* must be refused or say, in every word of its inspection, what the sound archive says."""
    files = Files()
    sound = msgspec.json.encode(inspect_archive(files.holding(small_archive()), LIMITS, KEYS))
    result = Result(what)
    for number, raw in enumerate(damaged):
        try:
            found = inspect_archive(files.holding(raw), LIMITS, KEYS)
        except CounterfoilError as refused:
            result.verdicts[refused.code] += 1
            continue
        if found.is_sound and msgspec.json.encode(found) != sound:
            result.failures.append((raw, f"{what} {number} is read as another archive"))
        result.verdicts[verdict_of(found)] += 1
    return result
