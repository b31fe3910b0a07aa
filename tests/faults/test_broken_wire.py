"""The wire to the server breaks at each message in turn, before the server has it or before its answer comes back.

The second is the hard case: the server may have committed what the client takes for failed. Wholly or not at all holds
for both, and what was done is done: nothing of the live stream is swept away by whoever thinks that it failed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from domain.application import Application
from domain.errors import CounterfoilError
from domain.kinds import Kind
from domain.store.database import Database
from snapshots.backup import BackupNotRecorded, take_backup
from tests.fixtures.accounts import OpenAccount, OpenedAccount
from tests.fixtures.archives import SIGNER, Edited
from tests.fixtures.wire import Lost, Wire, wire_to
from tests.integration.restoring import Books, is_sound

STREAM_TABLES = ("segments", "attributions", "events", "entities", "series")


@pytest.fixture(scope="module")
def wire(shared_database: Database) -> Iterator[Wire]:
    """A wire to the tests' database."""
    with wire_to(shared_database.dsn) as made:
        yield made


@contextmanager
def far(opened: OpenedAccount, wire: Wire) -> Iterator[Books]:
    """The account, reached over the wire by a process that has just begun: each time the same messages follow."""
    with Database(wire.dsn) as database:
        with database.connection():
            pass  # the pool would mend its first connection by itself, a second later
        yield Books(opened._replace(application=Application(database, opened.clock)))


def live_rows(books: Books) -> dict[str, list[Any]]:
    """Every row of the account's live stream, and which that is."""
    rows = books.rows()
    (stream,) = [row for row in rows["streams"] if row["status"] == "live"]
    found = {table: [row for row in rows[table] if row["stream_id"] == stream["stream_id"]] for table in STREAM_TABLES}
    return {"streams": [stream], **found}


def held(books: Books) -> list[tuple[str, str | None]]:
    """What the account holds, wherever it came from."""
    return sorted((row["kind"], row["number"] or "") for row in live_rows(books)["entities"])


def rows_of_no_use(books: Books) -> int:
    """How many rows there are of streams that are neither live nor kept for undo."""
    with books.application.database.transaction(books.access.account) as connection:
        counts = [
            connection.execute(
                f"SELECT count(*) FROM {table} JOIN streams USING (account_id, stream_id)"
                " WHERE status IN ('building', 'abandoned')".encode()
            ).fetchone()
            for table in STREAM_TABLES
        ]
    return sum(row[0] for row in counts if row)


def furnished(opened: OpenedAccount) -> Books:
    """An account with an item that the archive has as well."""
    books = Books(opened)
    books.make(Kind.ITEM, number="B-1", name="Bell", net_price="10", vat={"category": "S", "rate": "21"})
    return books


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["request", "answer"])
@pytest.mark.parametrize("mode", ["overwrite", "add"])
def test_a_restore_whose_wire_breaks_is_done_or_not_and_can_be_done_again(
    fresh_account: OpenAccount, wire: Wire, tmp_path: Path, mode: str, lost: Lost
) -> None:
    source = furnished(fresh_account())
    source.issued(source.customer(), Kind.QUOTE)
    archive = source.backup(tmp_path)
    pattern = furnished(fresh_account())
    pattern.restore(archive, mode=mode)
    seen_done = 0

    for breaks_at in count(1):
        opened = fresh_account()
        books = furnished(opened)
        before = live_rows(books)

        report = None
        with far(opened, wire) as there, suppress(CounterfoilError), wire.broken(breaks_at, lost):
            report = there.restore(archive, mode=mode)

        changed = live_rows(books) != before
        assert changed == bool(report), f"said otherwise than it is, broken at message {breaks_at}"
        if changed:
            seen_done += wire.broke
            assert held(books) == held(pattern)
            assert is_sound(books)
        books.customer("The next write")
        again = books.restore(archive, mode=mode)
        assert again.outcome == ("restored" if mode == "overwrite" or not changed else "nothing_to_add")
        assert is_sound(books)
        assert rows_of_no_use(books) == 0, f"broken at message {breaks_at}"
        if not wire.broke:
            break

    assert seen_done >= (lost == "answer"), "the swap is committed before its answer is lost"


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["request", "answer"])
def test_a_backup_whose_wire_breaks_leaves_no_file_or_a_whole_one(
    fresh_account: OpenAccount, wire: Wire, tmp_path: Path, lost: Lost
) -> None:
    opened = fresh_account()
    books = Books(opened)
    books.issued(books.customer())
    target = tmp_path / "a.zip"

    for breaks_at in count(1):
        is_whole = True
        with far(opened, wire) as there, wire.broken(breaks_at, lost):
            try:
                take_backup(there.application, there.access, there.actor, target, SIGNER)
            except CounterfoilError as wrong:
                is_whole = isinstance(wrong, BackupNotRecorded)

        assert [file.name for file in tmp_path.iterdir()] == (["a.zip"] if is_whole else [])
        if is_whole:
            assert Edited(target.read_bytes()).manifest["tree_head"]["size"] == 3
            target.unlink()
        if not wire.broke:
            break
