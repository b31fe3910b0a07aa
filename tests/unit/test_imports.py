"""Whichever module is read first, none needs another one to have been read before it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# In an interpreter of its own; what is not ours stays read, which is most of the time that it takes.
FIRST = """
import importlib, sys
for name in sys.stdin.read().split():
    for read in [one for one in sys.modules if one == "api" or one.startswith("api.")]:
        del sys.modules[read]
    try:
        importlib.import_module(name)
    except ImportError as wrong:
        print(f"{name}: {wrong}")
"""


def modules() -> list[str]:
    """Those of the ways in: a command reads its own when it is called, and nothing before."""
    files = (file.relative_to(ROOT).with_suffix("") for file in (ROOT / "api").rglob("*.py"))
    return sorted(".".join(file.parts) for file in files if file.stem not in ("__init__", "__main__"))


@pytest.mark.slow
def test_every_module_can_be_the_first_that_is_read() -> None:
    names = modules()
    found = subprocess.run(
        [sys.executable, "-c", FIRST], input="\n".join(names), capture_output=True, text=True, cwd=ROOT, check=True
    )

    assert len(names) > 50
    assert found.stdout == ""
