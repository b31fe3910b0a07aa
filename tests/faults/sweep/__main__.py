"""``python -m tests.faults.sweep``: a fault at every point of every operation in turn; figures into a document.

Exits with 1 when anything was found wrong."""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

from tests.faults.sweep.running import sweeping
from tests.faults.sweep.table import Figures, rows, swept

_BEGINS, _ENDS = "<!-- figures of make faults: begin -->\n", "<!-- figures of make faults: end -->\n"


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.sweep", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--minutes", type=float, default=90, help="after which a row's other points are left out [90]")
    parser.add_argument("--most", type=int, default=1 << 20, help="points a row at most [all]")
    parser.add_argument("--seed", default=secrets.token_hex(4), help="what the choice of points follows from [random]")
    parser.add_argument("--only", default="", help="operations whose name has this in it, alone")
    parser.add_argument("--write", type=Path, help="a document to write the figures into")
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    began = time.monotonic()
    with sweeping(own_file_system=True) as sweep:
        chosen = [row for row in rows(sweep) if asked.only in row.operation]
        found = swept(sweep, chosen, seed=asked.seed, most=asked.most, until=began + asked.minutes * 60, tell=_tell)
    print(f"{len(chosen) - len(found)} of {len(chosen)} rows were not reached")
    found.sort(key=lambda one: chosen.index(one.row))
    text = _written(found, asked.seed, time.monotonic() - began)
    print(text)
    if asked.write:
        _put(asked.write, text)
    return int(any(figures.wrong for figures in found))


def _tell(told: object) -> None:
    print(told, flush=True)


def _written(found: list[Figures], seed: str, took_s: float) -> str:
    """The figures, summed up by operation and by kind of fault."""
    runs, met = sum(one.tried for one in found), sum(one.met for one in found)
    wrong = sum(len(one.wrong) for one in found)
    said = f"{runs:,} runs, {met:,} faults met, {wrong:,} found wrong"
    said = f"{len(found)} rows, {said}"
    lines = [f"Run of {datetime.now(UTC):%Y-%m-%d}, seed `{seed}`, {took_s / 60:.0f} min: {said}.", ""]
    for title, name in (("operation", "operation"), ("fault", "kind")):
        lines += [f"| {title} | points | tried | faults met | done all the same | found wrong |", "| --- " * 6 + "|"]
        sums: dict[str, list[Figures]] = defaultdict(list)
        for one in found:
            sums[_title(one, name)].append(one)
        for key, ones in sums.items():
            figures = [sum(getattr(one, what) for one in ones) for what in ("points", "tried", "met", "done")]
            figures.append(sum(len(one.wrong) for one in ones))
            lines.append(f"| {key} | {' | '.join(f'{number:,}' for number in figures)} |")
        lines.append("")
    return "\n".join(lines)


def _title(figures: Figures, name: str) -> str:
    if name == "operation":
        return figures.row.operation
    return figures.row.kind + (", and from then on" if figures.row.for_good else "")


def _put(document: Path, text: str) -> None:
    before, _, rest = document.read_text().partition(_BEGINS)
    after = rest.partition(_ENDS)[2]
    document.write_text(f"{before}{_BEGINS}\n{text}\n{_ENDS}{after}")


if __name__ == "__main__":
    sys.exit(main())
