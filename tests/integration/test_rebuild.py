"""Deriving everything anew: silent on a sound account, and each planted difference named."""

from __future__ import annotations

import psycopg
import pytest

from domain.ids import AccountId
from domain.kinds import Kind
from domain.store.streams import AccountUnknown, NumberTaken
from projections.rebuild import LogDamaged, Rebuilt, rebuild, rebuild_states
from tests.fixtures.accounts import OpenAccount
from tests.integration.restoring import Books


@pytest.fixture
def books(fresh_account: OpenAccount) -> Books:
    """Two customers and an invoice: positions 1 to 4."""
    books = Books(fresh_account())
    books.customer("Jan")
    books.issued(books.customer("Piet"))
    return books


def tamper(books: Books, statement: str) -> None:
    """Change rows behind the service's back, as a superuser can."""
    account = books.access.account
    with psycopg.connect(books.application.database.dsn, autocommit=True) as connection:
        connection.execute(statement.format(account=f"account_id = '{account}'").encode())


def checked(books: Books) -> Rebuilt:
    return rebuild(books.application.database, books.access.account, check=True)


def test_a_sound_account_has_no_differences(books: Books) -> None:
    found = checked(books)

    assert (found.differences_count, found.events, found.entities) == (0, 4, 3)


# Snapshots of entities that no event tells of.
ORPHANS = (
    "INSERT INTO entities SELECT account_id, stream_id, 1, 1, gen_random_uuid(), false, kind, NULL, state"
    " FROM entities, generate_series(1, {many}) WHERE {account} AND kind = 'invoice'"
)
TAMPERINGS = [
    ("UPDATE entities SET state = replace(state, 'Jan', 'Jon') WHERE {account}", "entities", "state"),
    ("UPDATE entities SET number = 'X' WHERE {account} AND kind = 'invoice'", "entities", "number"),
    ("UPDATE entities SET version = 9 WHERE {account} AND kind = 'invoice'", "entities", "version"),
    ("UPDATE entities SET position = 1 WHERE {account} AND kind = 'invoice'", "entities", "position"),
    ("UPDATE entities SET deleted = true WHERE {account} AND kind = 'invoice'", "entities", "deleted"),
    ("DELETE FROM entities WHERE {account} AND kind = 'invoice'", "entities", "id"),
    (ORPHANS.format(many=1, account="{account}"), "entities", "id"),
    ("UPDATE events SET data = replace(data, 'Jan', 'Jon') WHERE {account} AND position = 1", "events", "line"),
    ("UPDATE events SET actor = 'system:nobody' WHERE {account} AND position = 1", "events", "line"),
    ("UPDATE events SET data = '{{}}' WHERE {account} AND position = 1", "events", "data"),
    ("DELETE FROM events WHERE {account} AND position = 2", "events", "position"),
    ("DELETE FROM events WHERE {account} AND position = 4", "streams", "head_position"),
    ("UPDATE events SET version = 5 WHERE {account} AND position = 4", "events", "version"),
    ("UPDATE events SET leaf = sha256(leaf) WHERE {account} AND position = 3", "streams", "frontier"),
    ("UPDATE streams SET frontier = sha256(frontier) WHERE {account}", "streams", "frontier"),
    ("UPDATE events SET at = at - interval '1 year' WHERE {account} AND position = 4", "events", "at"),
    ("UPDATE events SET data = replace(data, ',', E',\n') WHERE {account} AND position = 1", "events", "line"),
    ("DELETE FROM events WHERE {account} AND position = 3", "events", "type"),
    (
        "UPDATE events SET position = CASE position WHEN 3 THEN 9 ELSE position END WHERE {account}",
        "events",
        "position",
    ),
    (
        (
            "UPDATE events SET position = -position WHERE {account} AND position IN (1, 2);"
            " UPDATE events SET position = 3 + position WHERE {account} AND position < 0"
        ),
        "streams",
        "frontier",
    ),
    ("UPDATE entities SET kind = 'item' WHERE {account} AND kind = 'customer'", "entities", "kind"),
    ("UPDATE series SET highest = highest + 1 WHERE {account}", "series", "invoice 2024-{}"),
    ("UPDATE series SET highest = 0 WHERE {account}", "series", "invoice 2024-{}"),
]


@pytest.mark.parametrize(("statement", "table", "field"), TAMPERINGS)
def test_each_change_behind_the_services_back_is_found(books: Books, statement: str, table: str, field: str) -> None:
    tamper(books, statement)

    found = checked(books)

    assert (table, field) in {(one.table, one.field) for one in found.differences}
    assert found.differences_count == len(found.differences)


@pytest.mark.parametrize("rows_a_block", [1, 2, 2_000])
def test_snapshots_are_put_right_from_the_events(
    books: Books, rows_a_block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.rebuild.ROWS_A_BLOCK", rows_a_block)
    tamper(books, "UPDATE entities SET state = replace(state, 'Jan', 'Jon'), number = 'X' || position WHERE {account}")

    repaired = rebuild(books.application.database, books.access.account, check=False)

    assert (repaired.repaired, repaired.remaining) == (3, 0)
    assert checked(books).differences_count == 0


def test_a_check_changes_nothing(books: Books) -> None:
    tamper(books, "UPDATE entities SET state = replace(state, 'Jan', 'Jon') WHERE {account}")
    before = books.rows()

    checked(books)

    assert books.rows() == before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entities SET kind = 'item' WHERE {account} AND kind = 'customer'",
        "UPDATE series SET highest = highest + 1 WHERE {account}",
        "UPDATE series SET highest = 0 WHERE {account}",
    ],
)
def test_kinds_and_series_are_put_right_too(books: Books, statement: str) -> None:
    tamper(books, statement)

    rebuild(books.application.database, books.access.account, check=False)

    assert checked(books).differences_count == 0


def test_numbers_that_were_exchanged_are_put_right(books: Books) -> None:
    books.issued(books.customer())
    for number, taken in (("00001", "x"), ("00002", "2024-00001"), ("x", "2024-00002")):
        tamper(books, f"UPDATE entities SET number = '{taken}' WHERE {{account}} AND number LIKE '%{number}'")
    assert checked(books).differences_count == 2

    rebuild(books.application.database, books.access.account, check=False)

    assert checked(books).differences_count == 0


def test_differences_without_end_are_all_counted_and_the_first_thousand_listed(books: Books) -> None:
    tamper(books, ORPHANS.format(many=2_500, account="{account}"))

    found = checked(books)

    assert (found.differences_count, found.remaining, len(found.differences)) == (2_500, 2_500, 1_000)


def test_a_number_that_no_event_gave_keeps_nobody_from_being_put_right(books: Books) -> None:
    tamper(books, ORPHANS.format(many=1, account="{account}"))
    tamper(books, "UPDATE entities SET number = 'X' WHERE {account} AND number IS NOT NULL")

    repaired = rebuild(books.application.database, books.access.account, check=False)

    assert (repaired.repaired, repaired.remaining) == (1, 1)
    assert [str(one.field) for one in checked(books).differences] == ["id"]


def test_a_number_that_two_entities_would_bear_is_named_and_nothing_is_repaired(books: Books) -> None:
    tamper(books, ORPHANS.format(many=1, account="{account}"))
    tamper(books, "UPDATE entities SET number = NULL WHERE {account}")
    tamper(books, "UPDATE entities SET number = '2024-00001' WHERE {account} AND kind = 'invoice' AND position = 1")
    before = books.rows()

    with pytest.raises(NumberTaken, match="2024-00001"):
        rebuild(books.application.database, books.access.account, check=False)

    assert books.rows() == before


def test_a_log_found_damaged_after_snapshots_were_put_right_takes_them_back(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.rebuild.ROWS_A_BLOCK", 1)
    tamper(books, "UPDATE entities SET state = replace(state, 'Jan', 'Jon') WHERE {account}")
    tamper(books, "UPDATE events SET version = 5 WHERE {account} AND position = 4")
    before = books.rows()

    with pytest.raises(LogDamaged, match="position 4"):
        rebuild(books.application.database, books.access.account, check=False)

    assert books.rows() == before


def test_an_account_that_is_not_there_is_named(books: Books) -> None:
    with pytest.raises(AccountUnknown):
        rebuild(books.application.database, AccountId("01900000-0000-7000-8000-000000000000"), check=True)


def test_nothing_is_repaired_from_a_damaged_log(books: Books) -> None:
    tamper(books, "UPDATE events SET data = replace(data, 'Jan', 'Jon') WHERE {account} AND position = 1")
    before = books.rows()

    with pytest.raises(LogDamaged):
        rebuild(books.application.database, books.access.account, check=False)

    assert books.rows() == before


def test_states_come_from_events_alone(books: Books) -> None:
    tamper(books, "DELETE FROM entities WHERE {account}")

    states = dict(rebuild_states(books.application.database, books.access.account))

    assert sorted(type(state).__name__ for state in states.values()) == ["Customer", "Customer", "Document"]
    assert {state.party.name for state in states.values() if hasattr(state, "party")} == {"Jan", "Piet"}
    assert Kind.INVOICE in {getattr(state, "kind", None) for state in states.values()}
