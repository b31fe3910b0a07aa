"""The worst of the hostile inputs, each refused by a process of its own that may not grow: by name, in bounded memory.

The bounds are far above what is measured, so that a busy machine does not fail them, and far below what a careless
reader takes: gigabytes, or hours.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import hostile

MOST_MIB = 200
MOST_CPU_S = 20

WORST = [
    pytest.param(hostile.directory_of_many, "archive.too-many-entries", id="Z07 directory of many"),
    pytest.param(hostile.lines_without_end, "archive.lines-broken", id="J10 lines without end"),
    pytest.param(hostile.line_of_values, "line.refused", id="J11 line of values"),
    pytest.param(hostile.line_of_quotation_marks, "line.refused", id="J12 line of quotation marks"),
    pytest.param(hostile.manifest_of_texts, "archive.manifest", id="J11 manifest of texts"),
    pytest.param(hostile.manifest_of_keys, "archive.manifest", id="J11 manifest of keys"),
    pytest.param(hostile.elements_without_content, "ubl.too-large", id="X07 elements without content"),
    pytest.param(hostile.texts_beyond_the_first_plane, "ubl.not-well-formed", id="X07 long text"),
]


def _hurried() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_CPU_S, MOST_CPU_S))


@pytest.mark.slow
@pytest.mark.parametrize(("build", "code"), WORST)
def test_the_worst_inputs_are_refused_in_bounded_memory(build: Callable[[], bytes], code: str, tmp_path: Path) -> None:
    raw = build()
    file = tmp_path / ("input.xml" if raw.startswith(b"<") else "input.zip")
    file.write_bytes(raw)

    said = subprocess.run(
        [sys.executable, "-m", "tests.faults.hostile_probe", file], capture_output=True, check=True, preexec_fn=_hurried
    )

    found = json.loads(said.stdout)
    assert found["code"] == code
    assert found["over_idle_mib"] < MOST_MIB
