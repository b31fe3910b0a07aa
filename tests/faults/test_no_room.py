"""A restore whose working files fail, at each of their operations in turn: refused by name, and nothing changes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from domain.kinds import Kind
from snapshots.reading import spool
from snapshots.restoring.restore import NoRoom
from tests.fixtures.accounts import OpenAccount
from tests.integration.restoring import Books

OPERATIONS: dict[str, tuple[Any, str]] = {
    "create": (spool.Spool, "__init__"),
    "write": (spool.Spool, "_write"),
    "read": (spool, "_pread"),
}


def failing_at(number: int, real: Callable[..., Any], met: list[int]) -> Callable[..., Any]:
    """*real*, but for its call of that number, counted from 1; *met* gets the number when it comes to that."""
    calls = count(1)

    def call(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == number:
            met.append(number)
            raise OSError(28, "No space left on device")
        return real(*args, **kwargs)

    return call


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["overwrite", "add"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_restore_that_finds_no_room_leaves_the_account_as_it_was(
    fresh_account: OpenAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str, mode: str
) -> None:
    source = Books(fresh_account())
    source.issued(source.customer(), Kind.QUOTE)
    archive = source.backup(tmp_path)
    books = Books(fresh_account())
    books.customer()
    before = books.rows()
    holder, name = OPERATIONS[operation]
    monkeypatch.setattr(spool, "_BUFFER_BYTES", 1)
    failed = 0

    for number in count(1):
        met: list[int] = []
        with monkeypatch.context() as patch:
            patch.setattr(holder, name, failing_at(number, getattr(holder, name), met))
            try:
                report = books.restore(archive, mode=mode)
            except NoRoom:
                report = None
        if not met:
            break
        failed += 1
        assert report is None
        assert books.rows() == before, f"after a fault at {operation} {number}"

    assert failed > 0
    assert report is not None
    assert report.outcome == "restored"
