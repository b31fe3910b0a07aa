"""``python -m bench [NAMES]``: runs the measurements, prints a table and writes bench/results.json."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from api.postgres import embedded_server
from bench import api, backup, checks, clone, commands, memory, nightly, replay, restore
from bench.account import Large, large_account
from bench.server import Place

RESULTS = Path(__file__).with_name("results.json")
ON_THE_LARGE_ACCOUNT: dict[str, Callable[[Place, Large], dict[str, float]]] = {
    "replay": replay.measure,
    "backup": backup.measure,
    "restore": restore.measure,
    "clone": clone.measure,
    "checks": checks.measure,
}
ALONE: dict[str, Callable[[Place], dict[str, float]]] = {
    "commands": commands.measure,
    "api": api.measure,
    "memory": memory.measure,
    "nightly": nightly.measure,
}
MEASUREMENTS = [*ALONE, *ON_THE_LARGE_ACCOUNT]
# What each figure should be at most (<) or at least (>).
GOALS = {
    "backup_vs_pg_dump": ("<", 0.5),
    "archive_size_vs_dump": ("<", 1.0),
    "restore_vs_pg_restore": ("<", 1.5),
    "clone_vs_dump_restore": ("<", 0.8),
    "backup_peak_rss_mb": ("<", 200.0),
    "restore_peak_rss_mb": ("<", 200.0),
    "replay_vs_stock": (">", 10.0),
    "commands_vs_stock": (">", 2.0),
    "api_read_vs_plain": (">", 0.5),
    "api_issue_vs_plain": (">", 0.5),
    "nightly_accounts_per_s": (">", 60.0),
}


def main() -> int:
    """Measure what is named, or all."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASUREMENTS)}; default: all")
    names = parser.parse_args().names or MEASUREMENTS
    unknown = [name for name in names if name not in MEASUREMENTS]
    if unknown:
        parser.error(f"no measurement {unknown[0]!r}; there are {', '.join(MEASUREMENTS)}")
    with tempfile.TemporaryDirectory(prefix="counterfoil-bench-") as folder:
        home = Path(folder)
        home.chmod(0o711)  # the account of a server that root starts must reach its data
        with embedded_server(home / "home") as dsn:
            _measure(Place(dsn, home), names)
    _print()
    return 0


def _measure(place: Place, names: list[str]) -> None:
    for name in [name for name in names if name in ALONE]:
        _say(f"{name} …")
        _keep(ALONE[name](place))
    on_the_large = [name for name in names if name in ON_THE_LARGE_ACCOUNT]
    if not on_the_large:
        return
    _say("an account of 125,000 invoices …")
    with large_account(place) as large:
        for name in on_the_large:
            _say(f"{name} …")
            _keep(ON_THE_LARGE_ACCOUNT[name](place, large))


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _known() -> dict[str, float | str]:
    return dict(json.loads(RESULTS.read_text("utf-8"))) if RESULTS.exists() else {}


def _keep(figures: dict[str, float]) -> None:
    """Add to what other runs found: a measurement that was not run keeps its figures."""
    rounded = {name: round(value, 3) for name, value in figures.items()}
    results = {**_known(), **rounded, "machine": _machine()}
    RESULTS.write_text(json.dumps(results, indent=2, sort_keys=True) + "\n", "utf-8")


def _machine() -> str:
    model = platform.processor() or platform.machine()
    cpu = Path("/proc/cpuinfo")
    if cpu.exists():
        named = [
            line.partition(":")[2].strip() for line in cpu.read_text().splitlines() if line.startswith("model name")
        ]
        model = named[0] if named else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GB, {model}, Python {platform.python_version()}"


def _print() -> None:
    results = _known()
    print(f"{'':30} {'measured':>12} {'goal':>10}")
    for name, value in results.items():
        if isinstance(value, str):
            continue
        sign, goal = GOALS.get(name, ("", 0.0))
        aim = f"{'≤' if sign == '<' else '≥'} {goal:g}" if sign else ""
        missed = bool(sign) and (value > goal if sign == "<" else value < goal)
        print(f"{name:30} {value:>12,.2f} {aim:>10}{'  missed' if missed else ''}")
    print(results.get("machine", ""))


if __name__ == "__main__":
    sys.exit(main())
