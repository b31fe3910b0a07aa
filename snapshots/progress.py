"""Telling how far something long has come: of a backup, an inspection, a restore alike."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is worked on, how many rows of it are done, and how many there are."""


def no_progress(_phase: str, _done: int, _of: int) -> None:
    """Tells nobody."""
