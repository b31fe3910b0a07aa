"""Run by ``test_hostile_memory.py`` in a process of its own: refuses one hostile input, and prints what that took."""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from pathlib import Path

from api.ubl import read_ubl
from domain.errors import CounterfoilError
from snapshots.reading.inspection import inspect_archive
from tests.fixtures.archives import KEYS
from tests.small_archive import small_archive


def peak_kib() -> int:
    """The most memory that this process ever had."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1])


def read(raw_file: Path) -> str:
    """The code by which the file is refused, alone or as its first fault; or that it was read."""
    try:
        if raw_file.suffix == ".xml":
            read_ubl(raw_file.read_bytes(), name="x.xml")
            return "read"
        with raw_file.open("rb") as file:
            found = inspect_archive(file, keys=KEYS)
        return found.faults[0].code if found.faults else "read"
    except CounterfoilError as refused:
        return refused.code


with tempfile.TemporaryDirectory() as folder:
    usual = Path(folder, "usual.zip")
    usual.write_bytes(small_archive())
    assert read(usual) == "read"
idle = peak_kib()
start = time.process_time()
code = read(Path(sys.argv[1]))
print(json.dumps({"code": code, "cpu_s": time.process_time() - start, "over_idle_mib": (peak_kib() - idle) // 1024}))
