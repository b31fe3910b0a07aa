"""Clones that break off at each of their statements in turn: the target is absent or whole, the source as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg import Error

from domain.accounts import accounts_of, find_access
from domain.errors import CounterfoilError
from domain.ids import AccountId
from domain.kinds import Kind
from domain.store.database import Database
from projections.rebuild import rebuild
from snapshots.cloning.clone_report import CloneReport
from snapshots.cloning.cloning import NewAccount, clone_account
from snapshots.cloning.unopened import sweep_never_opened
from snapshots.content import Content, read_content
from snapshots.fresh.building import sweep_abandoned
from tests.faults.test_interrupted import MOST_STEPS, Faults, failing, live, unfinished_rows
from tests.fixtures.accounts import OpenAccount
from tests.integration.restoring import LINE, Books, is_sound
from tests.integration.test_clone import Pair


def lived_in(books: Books) -> None:
    """Something of each that a clone treats its own way."""
    customer = books.customer()
    books.issued(customer, Kind.QUOTE)
    today = books.clock.now.date().isoformat()
    interval = {"n": 1, "unit": "months"}
    books.make(Kind.SUBSCRIPTION, customer=customer, lines=[LINE], interval=interval, next_date=today)


@pytest.mark.slow
@pytest.mark.parametrize("for_good", [False, True], ids=["once", "from-then-on"])
def test_f12_a_clone_that_fails_at_any_statement_leaves_both_accounts_as_they_were(
    fresh_account: OpenAccount, monkeypatch: pytest.MonkeyPatch, *, for_good: bool
) -> None:
    pair = Pair(fresh_account)
    lived_in(pair.source)
    pair.target.customer("Before")
    source, target = pair.source, pair.target
    source_rows = source.rows()
    pair.clone()  # so that every connection is there that a clone needs: each of the pool's tries to get one takes time

    for fails_at in range(1, MOST_STEPS):
        before, faults = live(target), Faults(fails_at, for_good=for_good)
        with failing(monkeypatch, faults):
            report = cloned(pair.clone)
        assert source.rows() == source_rows
        if report is None:
            assert live(target) == before, f"after a fault at statement {fails_at}"
            sweep_abandoned(target.application.database, target.access.account)
        else:
            assert content_of(target).root == report.root
        assert unfinished_rows(target) == 0
        if not faults.met:
            break
    else:
        pytest.fail("no end of statements")

    assert fails_at > 20
    assert report is not None
    assert is_sound(pair.target)
    assert pair.target.customer("The next write succeeds")


@pytest.mark.slow
@pytest.mark.parametrize("for_good", [False, True], ids=["once", "from-then-on"])
def test_f12_a_new_account_is_there_whole_or_not_at_all(
    fresh_account: OpenAccount, monkeypatch: pytest.MonkeyPatch, *, for_good: bool
) -> None:
    source = Books(fresh_account())
    lived_in(source)
    before = source.rows()
    database = source.application.database
    known = {source.access.account}

    def clone(number: int) -> CloneReport:
        target = NewAccount(f"Clone {number} of {source.access.account}")
        made = clone_account(source.application, source.access, source.actor, target)
        known.add(AccountId(made.account_id or ""))
        return made

    clone(0)  # as above
    for fails_at in range(1, MOST_STEPS):
        faults = Faults(fails_at, for_good=for_good)
        with failing(monkeypatch, faults):
            report = cloned(partial(clone, fails_at))
        assert source.rows() == before
        sweep_never_opened(database)
        assert {one.account for one in accounts_of(database, source.person)} == known, f"a fault at {fails_at}"
        assert rows_of_accounts_that_never_were(database) == (0, 0)
        if not faults.met:
            break
    else:
        pytest.fail("no end of statements")

    assert fails_at > 20
    assert report is not None
    made = find_access(database, source.person, report.account_id or "")
    assert rebuild(database, made.account, check=True).differences_count == 0
    assert read_content(database, made.account).root == report.root


@pytest.mark.slow
def test_a_clone_is_done_though_the_reading_of_its_source_cannot_be_ended(
    fresh_account: OpenAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Books(fresh_account())
    lived_in(source)
    beside = Database.beside

    @contextmanager
    def not_ended(self: Database, *asked: Any) -> Iterator[Any]:
        with beside(self, *asked) as connection:
            yield connection
        raise psycopg.errors.SerializationFailure("as reading ends")

    monkeypatch.setattr(Database, "beside", not_ended)
    report = clone_account(source.application, source.access, source.actor, NewAccount("Copy"))
    monkeypatch.undo()

    assert report.outcome == "cloned"
    made = find_access(source.application.database, source.person, report.account_id or "")
    assert read_content(source.application.database, made.account).root == report.root


def cloned(clone: Callable[[], CloneReport]) -> CloneReport | None:
    """What a clone comes to; nothing when it was refused or broke off."""
    try:
        return clone()
    except (CounterfoilError, Error):
        return None


def content_of(books: Books) -> Content:
    """What an account holds, in figures."""
    return read_content(books.application.database, books.access.account)


def rows_of_accounts_that_never_were(database: Database) -> tuple[int, int]:
    """How many accounts were never opened, and how many events are of no account."""
    with database.session("postgres") as connection:
        rows = connection.execute(
            "SELECT (SELECT count(*) FROM accounts WHERE control_position = 0),"
            " (SELECT count(*) FROM events WHERE account_id NOT IN (SELECT account_id FROM accounts))"
        ).fetchall()
    return int(rows[0][0]), int(rows[0][1])
