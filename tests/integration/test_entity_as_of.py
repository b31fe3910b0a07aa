"""An entity as it was: at a position, at a time, before it was made and after it was deleted."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from domain import commands
from domain.kinds import Kind
from domain.work import EntityUnknown
from projections.moments import MomentGone, Position, read_moment
from projections.past import entity_at
from tests.fixtures.accounts import OpenAccount
from tests.integration.restoring import Books


@pytest.fixture
def books(fresh_account: OpenAccount) -> Books:
    return Books(fresh_account())


def was(books: Books, kind: Kind, entity: str, named: Position | datetime | None) -> Any:
    database, account = books.application.database, books.access.account
    return entity_at(database, account, kind, entity, named, now=books.clock())


def test_an_entity_is_shown_as_it_was_at_each_position_and_time(books: Books) -> None:
    customer = books.customer("Jan")
    made = books.clock.now
    books.customer("Piet")
    books.run(lambda work: commands.change(work, Kind.CUSTOMER, customer, {"party": {"name": "Jan de Tweede"}}))
    books.run(lambda work: commands.delete(work, Kind.CUSTOMER, customer))

    names = [was(books, Kind.CUSTOMER, customer, Position(None, at)).state.party.name for at in (1, 2, 3)]

    assert names == ["Jan", "Jan", "Jan de Tweede"]
    assert was(books, Kind.CUSTOMER, customer, read_moment(made.isoformat())).state.party.name == "Jan"
    for named in (Position(None, 0), Position(None, 4), None):
        with pytest.raises(EntityUnknown):
            was(books, Kind.CUSTOMER, customer, named)


def test_now_an_entity_is_what_its_snapshot_says(books: Books) -> None:
    invoice = books.issued(books.customer())

    found = was(books, Kind.INVOICE, invoice, None)

    assert found == (1, 3, books.state(Kind.INVOICE, invoice))


def test_an_entity_of_another_kind_or_account_or_of_no_id_is_not_there(
    books: Books, fresh_account: OpenAccount
) -> None:
    customer, theirs = books.customer(), Books(fresh_account()).customer()

    for kind, id_ in ((Kind.ITEM, customer), (Kind.CUSTOMER, theirs), (Kind.CUSTOMER, "x' OR true --")):
        with pytest.raises(EntityUnknown):
            was(books, kind, id_, None)


def test_after_a_restore_a_position_of_the_old_stream_leads_nowhere(books: Books, tmp_path: Path) -> None:
    customer = books.customer("Jan")
    books.restore(books.backup(tmp_path))

    assert was(books, Kind.CUSTOMER, customer, Position(2, 1)).state.party.name == "Jan"
    with pytest.raises(MomentGone):
        was(books, Kind.CUSTOMER, customer, Position(1, 1))
