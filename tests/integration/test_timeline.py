"""The timeline: what happened, newest first, filtered, page by page, with before and after."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from domain import commands
from domain.accounts import remove_member
from domain.application import Actor
from domain.control import ModuleEnabled
from domain.entity import FieldRefused
from domain.ids import EntityId, PersonId
from domain.kinds import Kind
from projections.timeline import CursorGone, Entry, Filter, TimelinePage, read_timeline
from tests.fixtures.accounts import OpenAccount
from tests.integration.restoring import Books


@pytest.fixture
def books(fresh_account: OpenAccount) -> Books:
    return Books(fresh_account())


def page(books: Books, which: Filter = Filter(), cursor: str | None = None, limit: int = 50) -> TimelinePage:  # noqa: B008
    return read_timeline(books.application.database, books.access.account, which, cursor=cursor, limit=limit)


def entries(books: Books, which: Filter = Filter()) -> tuple[Entry, ...]:  # noqa: B008
    return page(books, which).entries


def test_a_change_shows_what_was_before_and_after(books: Books) -> None:
    customer = books.customer("Jan", notes="old")
    books.run(lambda work: commands.change(work, Kind.CUSTOMER, customer, {"notes": "new"}))

    newest = entries(books)[0]

    assert (newest.type, newest.entity, newest.version, newest.via) == ("customer.changed", customer, 2, "api")
    assert [(one.field, one.before, one.after) for one in newest.changes] == [("notes", "old", "new")]


def test_a_deletion_is_on_the_timeline_with_what_was_there(books: Books) -> None:
    customer = books.customer("Jan")
    books.run(lambda work: commands.delete(work, Kind.CUSTOMER, customer))

    newest, made = entries(books, Filter(entity=customer))

    assert (newest.type, made.type) == ("customer.deleted", "customer.created")
    assert [(one.field, one.after) for one in newest.changes] == [("deleted", True)]


def test_the_accounts_own_history_stands_between_the_events(books: Books) -> None:
    books.customer()

    types = [entry.type for entry in entries(books)]

    assert types[0] == "customer.created"
    assert {"account.opened", "access.granted"} <= set(types)
    assert {entry.kind for entry in entries(books, Filter(kind="account"))} == {"account"}


def test_filters_let_through_what_they_name_and_nothing_else(books: Books) -> None:
    bo = next(member for member in books.access.control.members if member.role == "editor")
    customer = books.customer("An's")
    invoice = books.issued(customer)
    middle = books.clock.now
    of_bo = books.run(
        lambda work: commands.create(work, Kind.CUSTOMER, {"party": {"name": "Bo's"}}), Actor.person(bo.person, "api")
    )

    assert [entry.entity for entry in entries(books, Filter(person=PersonId(bo.person), kind="customer"))] == [of_bo]
    assert {entry.entity for entry in entries(books, Filter(kind="invoice"))} == {invoice}
    assert [entry.type for entry in entries(books, Filter(type="invoice.issued"))] == ["invoice.issued"]
    assert {entry.entity for entry in entries(books, Filter(entity=customer))} == {customer}
    assert [entry.entity for entry in entries(books, Filter(since=middle + timedelta(seconds=1)))] == [of_bo]
    assert of_bo not in {entry.entity for entry in entries(books, Filter(until=middle))}


def test_what_a_restore_brought_shows_who_it_was_whom_it_is_linked_to_and_how_it_came(
    books: Books, tmp_path: Path
) -> None:
    bo = next(member for member in books.access.control.members if member.role == "editor")
    books.run(
        lambda work: commands.create(work, Kind.CUSTOMER, {"party": {"name": "Bo's"}}), Actor.person(bo.person, "api")
    )
    archive = books.backup(tmp_path)
    remove_member(books.application, books.access, books.actor, email=bo.email)
    books.restore(archive)
    books.customer("An's, since")
    an = f"person:{books.person}"

    since, brought = entries(books, Filter(kind="customer"))

    assert (since.actor, since.linked_to, since.came_by) == (an, an, "recorded")
    assert (brought.actor, brought.linked_to, brought.came_by) == (f"person:{bo.person}", an, "restore")
    assert (brought.actor_name, brought.linked_to_name) == ("Bo", "An")
    assert entries(books, Filter(person=books.person, kind="customer")) == (since, brought)
    assert entries(books, Filter(person=PersonId(bo.person), kind="customer")) == ()


def test_pages_have_neither_gaps_nor_repeats_while_writes_come_between(books: Books) -> None:
    for _ in range(10):
        books.issued(books.customer())
    expected = [(entry.stream, entry.position) for entry in entries(books)]
    seen, cursor = [], None

    while True:
        found = page(books, cursor=cursor, limit=7)
        seen += [(entry.stream, entry.position) for entry in found.entries]
        cursor = found.cursor
        if cursor is None:
            break
        books.customer("Between the pages")

    assert seen == expected


def test_an_archive_that_holds_added_lines_is_paged_in_the_order_of_time(
    books: Books, fresh_account: OpenAccount, tmp_path: Path
) -> None:
    older = Books(fresh_account())
    older.issued(older.customer())
    books.clock.now += timedelta(days=30)
    books.customer()
    books.restore(older.backup(tmp_path), mode="add")
    books.customer()
    books.restore(books.backup(tmp_path))
    seen, cursor = [], None

    while True:
        found = page(books, cursor=cursor, limit=2)
        seen += [(entry.at, entry.stream, entry.position) for entry in found.entries]
        cursor = found.cursor
        if cursor is None:
            break

    assert [at for at, _, _ in seen] == sorted((at for at, _, _ in seen), reverse=True)
    assert seen == [(entry.at, entry.stream, entry.position) for entry in entries(books)]


def test_the_accounts_own_history_is_paged_whole_where_its_clock_went_back(books: Books) -> None:
    for module, minutes in (("stock", 10), ("projects", -20), ("hours", 5)):
        books.clock.now += timedelta(minutes=minutes)
        books.application.record_control(books.access.account, books.actor, ModuleEnabled(module=module))
    which = Filter(kind="account")
    seen, cursor = [], None

    while True:
        found = page(books, which, cursor=cursor, limit=1)
        seen += [entry.position for entry in found.entries]
        cursor = found.cursor
        if cursor is None:
            break

    assert seen == [entry.position for entry in entries(books, which)]
    assert len(set(seen)) == 6


def test_a_cursor_of_a_stream_that_was_replaced_leads_nowhere(books: Books, tmp_path: Path) -> None:
    books.issued(books.customer())
    archive = books.backup(tmp_path)
    cursor = page(books, limit=1).cursor
    books.restore(archive)

    with pytest.raises(CursorGone, match="lives in stream 2"):
        page(books, cursor=cursor)


@pytest.mark.parametrize(
    "which", [Filter(kind="elephant"), Filter(entity=EntityId("x")), Filter(person=PersonId("An"))]
)
def test_filters_that_name_nothing_are_refused(books: Books, which: Filter) -> None:
    with pytest.raises(FieldRefused):
        page(books, which)


@pytest.mark.parametrize(("cursor", "limit"), [("rubbish", 1), ("é", 1), (None, 0), (None, 1_001)])
def test_a_cursor_or_limit_that_is_none_is_refused(books: Books, cursor: str | None, limit: int) -> None:
    with pytest.raises(FieldRefused):
        page(books, cursor=cursor, limit=limit)
