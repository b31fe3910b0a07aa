"""Processes that meet a fresh home at the same moment each find it made, and none takes another's folder away."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.server import new_home, remove_home

PROCESSES = 3
HOMES = 60

# Each says when it is ready for the next home, and goes on when it is told to: all of them at once.
_MEET = """
import fcntl, os, sys
from pathlib import Path
from api.cluster import Cluster

for home in sys.argv[1:]:
    print("ready", flush=True)
    sys.stdin.readline()
    cluster = Cluster(Path(home))
    cluster.make_folders()
    lock = os.open(cluster.run / "start.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.close(lock)
print("done", flush=True)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the server's account can reach."""
    made = new_home()
    yield made
    remove_home(made)


@pytest.mark.slow
def test_processes_that_make_one_home_at_once_all_find_it_made(folder: Path) -> None:
    homes = [str(folder / f"home-{number}") for number in range(HOMES)]
    running = [
        subprocess.Popen(
            [sys.executable, "-c", _MEET, *homes],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        for _ in range(PROCESSES)
    ]

    said: list[str] = []
    for _ in homes:
        said = [process.stdout.readline().strip() for process in running if process.stdout]
        if said != ["ready"] * PROCESSES:
            break
        for process in running:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
    endings = [process.communicate(timeout=30) for process in running]

    assert said == ["ready"] * PROCESSES, [errors[-300:] for _, errors in endings]
    assert [process.returncode for process in running] == [0] * PROCESSES, [errors[-300:] for _, errors in endings]
    assert not [entry for home in homes for entry in Path(home).glob(".*")]
