"""Files that are not whole yet: each has a name that says so, and a lock of whoever writes it.

A crash leaves the file and not the lock, so what is nobody's can be told from what somebody is at work on.
"""

from __future__ import annotations

import fcntl
import re
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

_OURS = re.compile(
    r"\..+\.[0-9a-f]{16}\.partial"  # a backup's
    r"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\.partial"  # an archive's that is being sent
)


def is_partial(name: str) -> bool:
    """Whether a file of that name is one of ours that is not whole."""
    return _OURS.fullmatch(name) is not None


def claim(file: BinaryIO) -> None:
    """Say that this process is at work on *file*, until it is closed. Where files cannot be locked, nothing is said."""
    with suppress(OSError):
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


def left_partials(folder: Path) -> list[Path]:
    """The partial files below *folder* that nobody is at work on."""
    return [
        path
        for path in sorted(folder.rglob("*.partial"))
        if is_partial(path.name) and not path.is_symlink() and _is_nobodys(path)
    ]


def sweep_partials(folder: Path) -> list[Path]:
    """Remove the partial files below *folder* that nobody is at work on. Those that were removed."""
    swept = []
    for path in left_partials(folder):
        with suppress(OSError):
            path.unlink()
            swept.append(path)
    return swept


def _is_nobodys(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # it is locked, or gone by now, or cannot be locked here: then nothing is known of it
        return False
    return True
