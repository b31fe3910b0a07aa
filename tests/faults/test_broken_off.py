"""Commands that the server breaks off at each of their statements: begun anew a few times, or refused by name."""

from __future__ import annotations

from itertools import count
from typing import Any

import psycopg
import pytest

from domain.control import ModuleEnabled
from domain.store.database import DatabaseUnavailable
from tests.fixtures.accounts import OpenAccount
from tests.integration.restoring import Books, is_sound

BEGUN_ANEW = ("40001", "40P01")
REFUSED = ("55P03", "57014")


class Reported:
    """The server reports *state* at the statement of that number, counted from 1, and at *times* - 1 after it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, state: str, at: int, times: int) -> None:
        self.met = 0
        self.statements = 0
        real = psycopg.Cursor.execute

        def execute(cursor: Any, *args: Any, **more: Any) -> Any:
            self.statements += 1
            if at <= self.statements < at + times:
                self.met += 1
                return real(cursor, f"DO $$ BEGIN RAISE EXCEPTION 'planted' USING ERRCODE = '{state}'; END $$".encode())
            return real(cursor, *args, **more)

        monkeypatch.setattr(psycopg.Cursor, "execute", execute)


@pytest.fixture
def books(fresh_account: OpenAccount) -> Books:
    made = Books(fresh_account())
    made.customer("Here before")
    return made


def customers(books: Books) -> int:
    with books.application.database.transaction(books.access.account) as connection:
        return len(connection.execute("SELECT 1 FROM entities WHERE kind = 'customer'").fetchall())


@pytest.mark.parametrize("state", [*BEGUN_ANEW, *REFUSED])
def test_f14_a_command_that_is_broken_off_once_is_done_once_or_not_at_all(
    books: Books, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    for at in count(1):
        before = customers(books)
        with monkeypatch.context() as patch:
            reported = Reported(patch, state, at, times=1)
            try:
                books.customer()
                is_done = True
            except DatabaseUnavailable:
                is_done = False
        assert customers(books) == before + is_done
        assert is_done == (state in BEGUN_ANEW or not reported.met)
        if not reported.met:
            break

    assert at > 1
    assert is_sound(books)


@pytest.mark.parametrize("state", [*BEGUN_ANEW, *REFUSED])
def test_f14_a_command_that_is_broken_off_again_and_again_is_refused_by_name(
    books: Books, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    before = customers(books)

    with monkeypatch.context() as patch:
        reported = Reported(patch, state, 1, times=1 << 20)
        with pytest.raises(DatabaseUnavailable, match="planted"):
            books.customer()
        with pytest.raises(DatabaseUnavailable, match="planted"):
            books.application.record_control(books.access.account, books.actor, ModuleEnabled(module="quotes"))

    assert customers(books) == before
    assert reported.met == 2 * (3 if state in BEGUN_ANEW else 1), "each is tried that often"
