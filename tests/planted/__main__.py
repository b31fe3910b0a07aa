"""``python -m tests.planted``: plant each bug in a copy of the source, and see the test that must find it fail.

Exits with 1 when a bug was not found, or when a test fails without one."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from api.postgres import embedded_server
from tests.fixtures.server import new_home, remove_home
from tests.planted.bugs import BUGS, Bug

_ROOT = Path(__file__).parents[2]
_BEGINS, _ENDS = "<!-- figures of make planted: begin -->\n", "<!-- figures of make planted: end -->\n"
_FAILED, _PASSED = 1, 0  # what pytest ends with
_PATIENCE_S = 300


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.planted", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="bugs whose name has this in it, alone")
    parser.add_argument("--write", type=Path, help="a document to write the figures into")
    asked = parser.parse_args()
    chosen = [bug for bug in BUGS if asked.only in bug.name]
    began, found = time.monotonic(), []
    home, copy = new_home(), Path(tempfile.mkdtemp(prefix="counterfoil-planted-"))
    try:
        _copied(copy)
        with embedded_server(home, durable=False) as dsn:
            environment = {**os.environ, "COUNTERFOIL_DATABASE_URL": dsn, "PYTHONPATH": str(copy)}
            ended = _tested(copy, sorted({bug.test for bug in chosen}), environment)
            if ended != _PASSED:
                print(f"the tests end with {ended} although nothing is planted")
                return 1
            for bug in chosen:
                with_bug = _with(copy, bug, environment)
                found.append((bug, with_bug))
                print(f"{'found' if with_bug else 'NOT FOUND'}: {bug.name}", flush=True)
    finally:
        shutil.rmtree(copy)
        remove_home(home)
    if asked.write:
        _put(asked.write, _written(found, time.monotonic() - began))
    return int(not all(is_found for _, is_found in found))


def _copied(copy: Path) -> None:
    for name in ("domain", "projections", "snapshots", "api", "tests", "pyproject.toml"):
        source = _ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)


def _with(copy: Path, bug: Bug, environment: dict[str, str]) -> bool:
    """Whether the test that must find *bug* fails with it."""
    file = copy / bug.file
    before = file.read_text()
    assert before.count(bug.was) == 1, f"{bug.name}: the source is another by now"
    file.write_text(before.replace(bug.was, bug.becomes))
    try:
        return _tested(copy, [bug.test], environment) == _FAILED
    finally:
        file.write_text(before)


def _tested(copy: Path, tests: list[str], environment: dict[str, str]) -> int:
    """What pytest ends with; a test that hangs has failed."""
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]
    try:
        return subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, timeout=_PATIENCE_S, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        return _FAILED


def _written(found: list[tuple[Bug, bool]], took_s: float) -> str:
    count = sum(is_found for _, is_found in found)
    said = f"Run of {datetime.now(UTC):%Y-%m-%d}, {took_s / 60:.0f} min: {count} of {len(found)} found."
    lines = [said, "", "| planted | found by |", "| --- | --- |"]
    for bug, is_found in found:
        test = re.sub(r"\[.*\]$", "", bug.test).rpartition("::")[2].removeprefix("tests/")
        lines.append(f"| {bug.name} | {f'`{test}`' if is_found else 'nobody'} |")
    return "\n".join(lines)


def _put(document: Path, text: str) -> None:
    before, _, rest = document.read_text().partition(_BEGINS)
    after = rest.partition(_ENDS)[2]
    document.write_text(f"{before}{_BEGINS}\n{text}\n\n{_ENDS}{after}")


if __name__ == "__main__":
    sys.exit(main())
