"""Lists: what is there of each kind, page by page, and nothing that is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import commands
from domain.events import decode_data, rules_of
from domain.ids import AccountId, EntityId
from domain.kinds import Kind
from domain.store.streams import AccountUnknown
from domain.work import is_gone, kind_of
from projections.listing import Page, Place, count_kinds, find_numbered, list_entities, list_entities_at
from projections.moments import Position
from projections.timeline import CursorGone
from tests.fixtures.accounts import OpenAccount, OpenedAccount
from tests.histories import History, histories, play
from tests.integration.restoring import Books
from tests.integration.test_histories import few, stored


@pytest.fixture
def books(fresh_account: OpenAccount) -> Books:
    return Books(fresh_account())


def page(books: Books, kind: Kind = Kind.CUSTOMER, after: Place | None = None, limit: int = 100) -> Page:
    return list_entities(books.application.database, books.access.account, kind, after=after, limit=limit)


def ids(found: Page) -> list[str]:
    return [msgspec.json.decode(state)["id"] for state in found.states]


def test_a_list_holds_one_kind_oldest_first_as_it_is_stored(books: Books) -> None:
    customers = [books.customer(name) for name in ("Jan", "Piet", "Klaas")]
    books.issued(customers[0])

    found = page(books)

    assert (found.stream, ids(found), found.following) == (1, customers, None)
    assert found.states[0] == msgspec.json.encode(books.state(Kind.CUSTOMER, customers[0]))


def test_what_was_deleted_is_neither_listed_nor_counted(books: Books) -> None:
    stays, goes = books.customer("Jan"), books.customer("Piet")
    books.run(lambda work: commands.delete(work, Kind.CUSTOMER, goes))

    counts = count_kinds(books.application.database, books.access.account)

    assert ids(page(books)) == [stays]
    assert {kind: count for kind, count in counts.items() if count} == {"customer": 1}
    assert set(counts) == {kind.value for kind in Kind}


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6])
def test_pages_have_neither_gaps_nor_repeats_while_writes_come_between(books: Books, limit: int) -> None:
    there = [books.customer() for _ in range(6)]
    seen: list[str] = []
    after, later = None, None

    while len(seen) <= len(there):
        found = page(books, after=after, limit=limit)
        seen += ids(found)
        after = found.following
        if after is None:
            break
        later = later or books.customer("Between the pages")

    assert seen == [*there, *([later] if later else [])]


def test_the_last_page_is_full_without_another_behind_it(books: Books) -> None:
    for _ in range(4):
        books.customer()

    second = page(books, after=page(books, limit=2).following, limit=2)

    assert (len(second.states), second.following) == (2, None)


def test_a_place_in_a_stream_that_was_replaced_leads_nowhere(books: Books, tmp_path: Path) -> None:
    books.customer()
    books.customer()
    archive = books.backup(tmp_path)
    following = page(books, limit=1).following
    books.restore(archive)

    with pytest.raises(CursorGone, match="lives in stream 2"):
        page(books, after=following)


def test_a_number_finds_the_one_of_its_kind_that_bears_it(books: Books) -> None:
    database, account = books.application.database, books.access.account
    invoice = books.issued(books.customer())
    books.issued(books.customer(), Kind.QUOTE)

    assert ids(find_numbered(database, account, Kind.INVOICE, "2024-00001")) == [invoice]
    assert find_numbered(database, account, Kind.INVOICE, "2024-00009").states == []


def test_nothing_of_another_account_is_listed(books: Books, fresh_account: OpenAccount) -> None:
    other = Books(fresh_account())
    other.issued(other.customer())
    database, account = books.application.database, books.access.account

    assert page(books).states == []
    assert find_numbered(database, account, Kind.INVOICE, "2024-00001").states == []
    assert sum(count_kinds(database, account).values()) == 0


def test_an_account_that_is_not_there_is_named(books: Books) -> None:
    nobody = AccountId("01900000-0000-7000-8000-000000000000")

    with pytest.raises(AccountUnknown):
        list_entities(books.application.database, nobody, Kind.CUSTOMER)
    with pytest.raises(AccountUnknown):
        find_numbered(books.application.database, nobody, Kind.INVOICE, "1")


@few
@given(histories(), st.floats(0, 1), st.integers(1, 7))
def test_a_list_as_of_a_position_holds_what_the_events_up_to_it_lead_to(
    fresh_account: OpenAccount, history: History, part: float, limit: int
) -> None:
    opened = fresh_account()
    play(opened.application, opened.access, history)
    found = stored(opened)
    position = round(found.head_position * part)
    folds: dict[str, Any] = {}
    for event in found.events[:position]:
        id_, rules = str(event.entity_id), rules_of(event.type)
        data = decode_data(event.type, event.type_version, event.data)
        folds[id_] = rules.evolve(folds.get(id_), data, EntityId(id_), event.version)

    for kind in Kind:
        there = [folds[id_] for id_ in sorted(folds) if kind_of(folds[id_]) is kind and not is_gone(folds[id_])]
        assert listed_at(opened, kind, position, limit) == [msgspec.json.encode(state) for state in there]


def listed_at(opened: OpenedAccount, kind: Kind, position: int, limit: int) -> list[bytes]:
    """All pages of a list as of a position."""
    states: list[bytes] = []
    after: Place | None = None
    while True:
        found = list_entities_at(
            opened.application.database,
            opened.access.account,
            kind,
            Position(None, position),
            now=opened.clock.now,
            after=after,
            limit=limit,
        )
        states += found.states
        after = found.following
        if after is None:
            return states


def test_a_place_of_another_stream_than_the_moment_is_gone(books: Books) -> None:
    books.customer()
    after = Place(7, "00000000-0000-0000-0000-000000000000")
    with pytest.raises(CursorGone):
        list_entities_at(
            books.application.database,
            books.access.account,
            Kind.CUSTOMER,
            Position(None, 1),
            now=books.clock.now,
            after=after,
        )
