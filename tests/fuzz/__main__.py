"""``python -m tests.fuzz --count 10000000``: fuzz the three readers, print the figures, exit 1 on any failure.

An interrupt ends it early, with the figures so far."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from tests.fuzz.accidents import every_accident
from tests.fuzz.running import SHARES, TOO_SLOW_S, Result, run_piece

_PIECE = 10_000


def _pieces(count: int) -> list[tuple[str, int, int]]:
    """Target, number and size of each piece of work; all targets get on alike, so that a run can be cut short."""
    found = []
    for name, share in SHARES.items():
        inputs = count * share // 1_000_000
        pieces = -(-inputs // _PIECE) or 1
        for number in range(pieces):
            size = inputs * (number + 1) // pieces - inputs * number // pieces
            found.append(((number + 1) / pieces, name, number, size))
    return [(name, number, size) for _, name, number, size in sorted(found)]


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__.partition("\n")[0] if __doc__ else None
    )
    parser.add_argument("--count", type=int, default=10_000_000, help="inputs in all [10000000]")
    parser.add_argument("--seed", default=secrets.token_hex(4), help="what all inputs follow from [at random]")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="[one for each processor]")
    parser.add_argument("--accidents", action="store_true", help="every bit flip and cut of a small archive as well")
    asked = parser.parse_args()
    print(f"seed {asked.seed}, {asked.count:,} inputs", flush=True)
    started = time.monotonic()
    results = {name: Result(name) for name in SHARES}
    peak_kib = 0
    with ProcessPoolExecutor(asked.processes, mp_context=get_context("spawn")) as pool:
        pending = [
            (name, pool.submit(run_piece, name, size, f"{asked.seed}/{name}/{number}"))
            for name, number, size in _pieces(asked.count)
        ]
        try:
            for name, piece in pending:
                result, rss_kib = piece.result()
                results[name].add(result)
                peak_kib = max(peak_kib, rss_kib)
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
    for result in results.values():
        print(result)
    failed = any(result.failures or result.slowest_s > TOO_SLOW_S for result in results.values())
    if asked.accidents:
        accidents = every_accident()
        print(accidents)
        failed = failed or bool(accidents.failures)
    total = sum(result.executions for result in results.values())
    took_s = time.monotonic() - started
    print(f"{total:,} executions in {took_s:,.0f} s; no process had more than {peak_kib // 1024:,} MiB")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
