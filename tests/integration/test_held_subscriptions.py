"""A subscription that comes back with its date past invoices nothing by itself, until somebody resumes it."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from domain import commands
from domain.entity import NotPossible
from domain.ids import EntityId
from domain.kinds import Kind
from tests.fixtures.accounts import OpenAccount
from tests.fixtures.archives import Edited
from tests.integration.restoring import LINE, Books


@pytest.fixture
def books(fresh_account: OpenAccount) -> Books:
    return Books(fresh_account())


def started(books: Books, next_date: date) -> EntityId:
    return books.make(
        Kind.SUBSCRIPTION,
        customer=books.customer(),
        lines=[LINE],
        interval={"n": 1, "unit": "months"},
        next_date=next_date.isoformat(),
    )


def invoiced(books: Books, subscription: EntityId) -> Any:
    return books.run(lambda work: commands.invoice_period(work, subscription))


def today(books: Books) -> date:
    return books.clock.now.date()


@pytest.mark.parametrize("mode", ["overwrite", "add"])
def test_one_whose_date_has_passed_stays_held_whatever_else_is_changed_of_it(
    books: Books, fresh_account: OpenAccount, tmp_path: Path, mode: Any
) -> None:
    subscription = started(books, today(books) - timedelta(days=3))
    other = Books(fresh_account())

    report = other.restore(books.backup(tmp_path), mode=mode)

    assert [(held.id, held.next_date) for held in report.held] == [
        (subscription, (today(books) - timedelta(days=3)).isoformat())
    ]
    changed = {"lines": [LINE, {**LINE, "line_id": "2"}]}
    other.run(lambda work: commands.change(work, Kind.SUBSCRIPTION, subscription, changed))
    with pytest.raises(NotPossible, match=f"held since it came by {'restore' if mode == 'overwrite' else mode}"):
        invoiced(other, subscription)
    other.run(lambda work: commands.resume(work, subscription))
    assert invoiced(other, subscription)
    assert invoiced(books, subscription)


def test_one_whose_date_is_to_come_goes_on(books: Books, tmp_path: Path) -> None:
    subscription = started(books, today(books))

    report = books.restore(books.backup(tmp_path))

    assert report.held == ()
    assert invoiced(books, subscription)


def test_one_that_was_resumed_is_held_again_when_it_comes_back_again(books: Books, tmp_path: Path) -> None:
    subscription = started(books, today(books) - timedelta(days=70))
    books.restore(books.backup(tmp_path))
    books.run(lambda work: commands.resume(work, subscription))
    invoiced(books, subscription)

    again = books.restore(books.backup(tmp_path))

    assert [held.id for held in again.held] == [subscription]
    with pytest.raises(NotPossible, match="held"):
        invoiced(books, subscription)


def test_holding_adds_nothing_to_the_log_and_a_paused_one_is_not_listed(books: Books, tmp_path: Path) -> None:
    subscription = started(books, today(books) - timedelta(days=3))
    books.run(lambda work: commands.pause(work, subscription))
    first = Edited(books.backup(tmp_path))

    report = books.restore(first.zipped())

    assert report.held == ()
    assert Edited(books.backup(tmp_path)).manifest["tree_head"] == first.manifest["tree_head"]


def test_one_that_was_here_already_goes_on_when_others_are_added(
    books: Books, fresh_account: OpenAccount, tmp_path: Path
) -> None:
    mine = started(books, today(books) - timedelta(days=3))
    other = Books(fresh_account())
    theirs = started(other, today(other) - timedelta(days=3))

    report = books.restore(other.backup(tmp_path), mode="add")

    assert [held.id for held in report.held] == [theirs]
    assert invoiced(books, mine)
    with pytest.raises(NotPossible, match="held"):
        invoiced(books, theirs)
