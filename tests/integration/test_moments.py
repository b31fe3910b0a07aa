"""Moments resolved: which position a time comes to, whatever order the events are in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from projections.moments import Moment, MomentAhead, MomentGone, Position, resolve
from tests.fixtures.accounts import OpenAccount
from tests.integration.restoring import Books


@pytest.fixture
def books(fresh_account: OpenAccount) -> Books:
    return Books(fresh_account())


def at(books: Books, named: Position | datetime) -> Moment:
    with books.application.database.transaction(books.access.account, snapshot=True) as connection:
        return resolve(connection, books.access.account, named, now=books.clock())


def test_a_time_comes_to_the_last_position_up_to_it(books: Books) -> None:
    times = []
    for _ in range(3):
        books.customer()
        times.append(books.clock.now)

    assert [at(books, time).position for time in times] == [1, 2, 3]
    assert at(books, times[1] - timedelta(microseconds=1)) == Moment(1, 1)
    assert at(books, datetime(1, 1, 1, tzinfo=UTC)) == Moment(1, 0)


def test_a_position_is_itself_up_to_the_head(books: Books) -> None:
    books.customer()

    assert [at(books, Position(stream, position)) for stream, position in ((None, 0), (1, 1))] == [(1, 0), (1, 1)]
    with pytest.raises(MomentAhead, match=r"found position 2, .* at most 1, the last of stream 1"):
        at(books, Position(None, 2))


def test_a_time_to_come_is_refused(books: Books) -> None:
    books.customer()
    books.clock.now += timedelta(days=1)

    assert at(books, books.clock.now) == Moment(1, 1)
    with pytest.raises(MomentAhead, match="has not come yet"):
        at(books, books.clock.now + timedelta(seconds=1))


def test_a_position_of_a_stream_that_was_replaced_leads_nowhere(books: Books, tmp_path: Path) -> None:
    books.customer()
    books.restore(books.backup(tmp_path))

    assert at(books, Position(2, 1)) == Moment(2, 1)
    with pytest.raises(MomentGone, match="of stream 1; the account lives in stream 2"):
        at(books, Position(1, 1))


def test_what_was_added_later_had_not_come_however_old_it_is(
    books: Books, fresh_account: OpenAccount, tmp_path: Path
) -> None:
    older = Books(fresh_account())
    older.customer("Old")
    books.clock.now += timedelta(days=30)
    books.customer()
    before = books.clock.now
    books.clock.now += timedelta(days=1)
    books.restore(older.backup(tmp_path), mode="add")
    books.customer()

    assert at(books, before) == Moment(2, 1)
    assert at(books, books.clock.now - timedelta(seconds=30)) == Moment(2, 2)
    assert at(books, books.clock.now) == Moment(2, 3)
