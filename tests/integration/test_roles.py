"""Who may do what in an account: one rule, kept where commands are run, whichever way they came in."""

from __future__ import annotations

import pytest

from domain import commands
from domain import control as c
from domain.accounts import ensure_person, open_account
from domain.application import Actor
from domain.control import Role, RoleLacking
from domain.entity import FieldRefused
from domain.ids import PersonId
from domain.kinds import Kind
from domain.store.streams import AccountUnknown
from tests.fixtures.accounts import OpenAccount
from tests.integration.restoring import Books


def other_member(books: Books) -> Actor:
    """The member who does not own the account: an editor, to begin with."""
    other = next(member for member in books.access.control.members if member.role is Role.EDITOR)
    return Actor.person(other.person, "cli")


@pytest.mark.parametrize("role", [Role.VIEWER, Role.AUDITOR])
def test_a_member_who_may_only_look_is_refused_and_nothing_is_recorded(fresh_account: OpenAccount, role: Role) -> None:
    books = Books(fresh_account())
    draft = books.make(Kind.INVOICE, customer=books.customer())
    looking = other_member(books)
    demoted = c.AccessChanged(person=PersonId(looking.name.removeprefix("person:")), role=role)
    books.application.record_control(books.access.account, books.actor, demoted)
    before = books.rows()

    for command in (
        lambda work: commands.create(work, Kind.CUSTOMER, {"party": {"name": "x"}}),
        lambda work: commands.change(work, Kind.INVOICE, draft, {"buyer_reference": "x"}),
        lambda work: commands.delete(work, Kind.INVOICE, draft),
    ):
        with pytest.raises(RoleLacking, match=f"you are {role.value}"):
            books.run(command, looking)

    assert books.rows() == before
    assert books.run(lambda work: work.get(Kind.INVOICE, draft).id, looking) == draft


def test_an_editor_writes(fresh_account: OpenAccount) -> None:
    books = Books(fresh_account())

    made = books.run(lambda work: commands.create(work, Kind.CUSTOMER, {"party": {"name": "x"}}), other_member(books))

    assert books.state(Kind.CUSTOMER, made).party.name == "x"


@pytest.mark.parametrize("name", ["", "   ", "x" * 1000])
def test_an_account_by_a_name_that_is_none_is_refused(fresh_account: OpenAccount, name: str) -> None:
    opened = fresh_account()
    settings = opened.access.control.settings
    owner = ensure_person(opened.application.database, "an@example.com", None, at=opened.clock())

    with pytest.raises(FieldRefused, match=r"^name: "):
        open_account(opened.application, name, owner, settings, via="cli")


def test_whoever_lost_access_is_told_that_there_is_no_such_account(fresh_account: OpenAccount) -> None:
    books = Books(fresh_account())
    gone = other_member(books)
    books.run(lambda work: commands.create(work, Kind.CUSTOMER, {"party": {"name": "x"}}), gone)
    revoked = c.AccessRevoked(person=PersonId(gone.name.removeprefix("person:")))
    books.application.record_control(books.access.account, books.actor, revoked)

    with pytest.raises(AccountUnknown):
        books.run(lambda work: commands.create(work, Kind.CUSTOMER, {"party": {"name": "y"}}), gone)
