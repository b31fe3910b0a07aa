"""Telling how far something long has come, and what came of it: of a backup, an inspection, a restore alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from psycopg import Connection

from domain.store.database import Row

Progress = Callable[[str, int, int], None]
"""Called with what is worked on, how many rows of it are done, and how many there are."""


def no_progress(_phase: str, _done: int, _of: int) -> None:
    """Tells nobody."""


Keep = Callable[[Connection[Row], Any], None]
"""Called in the transaction that changes the account, with the report of that: whoever keeps it finds out, whatever is
killed, whether it was done. It may set the transaction to another account; the caller sets it back."""


def keep_nothing(_connection: Connection[Row], _report: Any) -> None:
    """Keeps nothing."""
