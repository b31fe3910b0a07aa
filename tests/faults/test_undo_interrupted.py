"""Undos and purges that break off at each of their steps in turn: wholly, or not at all, and they can be done again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from api.settings import Settings
from domain.errors import CounterfoilError
from domain.store.database import Database
from snapshots.fresh.building import sweep_abandoned
from tests.faults.test_broken_wire import far
from tests.faults.test_interrupted import MOST_STEPS, Faults, failing, live
from tests.fixtures.accounts import OpenAccount, OpenedAccount
from tests.fixtures.wire import Lost, Wire, wire_to
from tests.integration.restoring import Books, is_sound
from tests.integration.test_purging import Purger, rows_left
from tests.integration.test_undo import statuses, undo


@pytest.fixture(scope="module")
def wire(shared_database: Database) -> Iterator[Wire]:
    """A wire to the tests' database."""
    with wire_to(shared_database.dsn) as made:
        yield made


def restored(opened: OpenedAccount, folder: Path) -> Books:
    """An account that a restore took an invoice from; it lives in stream 2, and stream 1 has the invoice."""
    books = Books(opened)
    empty = books.backup(folder)
    books.issued(books.customer())
    books.restore(empty)
    books.customer("Since the restore")
    return books


@pytest.mark.slow
@pytest.mark.parametrize("for_good", [False, True], ids=["once", "from-then-on"])
def test_an_undo_that_fails_at_any_statement_leaves_the_account_as_it_was(
    fresh_account: OpenAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, for_good: bool
) -> None:
    books = restored(fresh_account(), tmp_path)
    before = live(books)

    for fails_at in range(1, MOST_STEPS):
        faults = Faults(fails_at, for_good=for_good)
        with failing(monkeypatch, faults):
            try:
                report = undo(books, 1)
            except (CounterfoilError, psycopg.Error):
                report = None
        if report is not None:
            break
        assert faults.met, "it is refused for a reason of its own"
        assert live(books) == before, f"after a fault at statement {fails_at}"
        assert statuses(books) == {1: "retired", 2: "live"}
    else:
        pytest.fail("no end of statements")

    assert fails_at > 10, "so few statements cannot be all of it"
    assert statuses(books) == {1: "live", 2: "retired"}
    assert is_sound(books)
    assert undo(books, 2).outcome == "activated"
    assert live(books)["entities"] == before["entities"]
    assert books.customer("The next write succeeds")


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["request", "answer"])
def test_an_undo_whose_wire_breaks_is_done_or_not_and_says_which(
    fresh_account: OpenAccount, wire: Wire, tmp_path: Path, lost: Lost
) -> None:
    opened = fresh_account()
    books = restored(opened, tmp_path)
    seen_done = 0

    for breaks_at in count(1):
        now = next(stream for stream, status in statuses(books).items() if status == "live")
        report = None
        with far(opened, wire) as there, suppress(CounterfoilError), wire.broken(breaks_at, lost):
            report = undo(there, 3 - now)

        done = statuses(books)[3 - now] == "live"
        assert done == bool(report), f"said otherwise than it is, broken at message {breaks_at}"
        assert list(statuses(books).values()).count("live") == 1
        seen_done += done and wire.broke
        if not wire.broke:
            break

    assert seen_done >= (lost == "answer"), "the swap is committed before its answer is lost"
    assert is_sound(books)
    assert books.customer("The next write succeeds")


@pytest.mark.slow
@pytest.mark.parametrize("for_good", [False, True], ids=["once", "from-then-on"])
def test_a_purge_that_fails_at_any_statement_keeps_the_stream_or_is_gone_on_with(
    fresh_account: OpenAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, for_good: bool
) -> None:
    opened = fresh_account()
    books = restored(opened, tmp_path)
    purger = Purger(books, Settings(home=tmp_path, backups=tmp_path / "backups"))
    before = live(books)
    seen: set[Any] = set()

    for fails_at in range(1, MOST_STEPS):
        faults = Faults(fails_at, for_good=for_good)
        with failing(monkeypatch, faults):
            try:
                report = purger.one(1)
            except (CounterfoilError, psycopg.Error):
                report = None
        status = statuses(books)[1]
        seen.add((status, rows_left(books, 1) > 0))
        assert live(books) == before
        assert status == "purged" or rows_left(books, 1) > 0, f"rows are gone after a fault at statement {fails_at}"
        assert status == "retired" or purger.archives(), "it is purged, and in no archive"
        if report is not None:
            break
        if status == "purged":
            sweep_abandoned(books.application.database, books.access.account)
            assert rows_left(books, 1) == 0
            break
    else:
        pytest.fail("no end of statements")

    assert ("retired", True) in seen
    assert is_sound(books)
