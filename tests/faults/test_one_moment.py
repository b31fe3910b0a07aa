"""A backup is the account at one moment, whatever is written between any two of its statements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from domain import commands
from domain.kinds import Kind
from snapshots.backup import take_backup
from snapshots.container import Limits
from snapshots.reading.inspection import inspect_archive
from tests.fixtures.accounts import OpenAccount
from tests.fixtures.archives import KEYS, SIGNER, Edited
from tests.integration.restoring import Books, as_file


@pytest.mark.slow
def test_r05_a_backup_with_a_write_between_any_two_of_its_statements_is_sound(
    fresh_account: OpenAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    books = Books(fresh_account())
    customer = books.customer()
    books.issued(customer)
    real = psycopg.Cursor.execute
    is_writing = False
    written = 0

    def execute(cursor: Any, *args: Any, **more: Any) -> Any:
        nonlocal is_writing, written
        if not is_writing and cursor.connection.info.transaction_status.name == "INTRANS":
            is_writing = True
            books.run(lambda work: commands.change(work, Kind.CUSTOMER, customer, {"notes": f"{written}"}))
            written += 1
            is_writing = False
        return real(cursor, *args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", execute)
        taken = take_backup(books.application, books.access, books.actor, tmp_path / "a.zip", SIGNER)

    found = inspect_archive(as_file(taken.path.read_bytes()), limits=Limits(), keys=KEYS)
    assert found.is_sound
    assert written > 5, "hardly a statement had a write before it"
    assert Edited(taken.path.read_bytes()).manifest["tree_head"]["size"] < 3 + written
