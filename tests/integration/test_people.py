"""Linking what people did to members: by the same person, with consent or on an owner's word, and taking it back."""

from __future__ import annotations

from pathlib import Path

import pytest

from domain import commands
from domain import control as c
from domain.accounts import Access
from domain.application import Actor
from domain.control import Member, Role
from domain.entity import NotPossible
from domain.errors import AccessError
from domain.ids import EntityId
from domain.kinds import Kind
from domain.people import ConsentLacking, consent_to_link, link_person, unlink_person
from projections.timeline import Entry, Filter, read_timeline
from snapshots.format.manifest import TIMELINE
from tests.fixtures.accounts import OpenAccount
from tests.fixtures.archives import Edited
from tests.integration.restoring import Books

STRANGER = "0192f3a0-0000-7000-8000-0000000000ff"


class Office:
    """An account of An, its owner, and Bo, its administrator."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self.application = books.application
        members = {one.name: one for one in books.access.control.members}
        self.an, self.bo = members["An"], members["Bo"]
        changed = c.AccessChanged(person=self.bo.person, role=Role.ADMINISTRATOR)
        self.application.record_control(books.access.account, books.actor, changed)

    def as_(self, member: Member) -> tuple[Access, Actor]:
        """The member's access, and the member at work."""
        control = self.application.control(self.books.access.account)
        role = next(one.role for one in control.members if one.person == member.person)
        return self.books.access._replace(role=role, control=control), Actor.person(member.person, "api")

    def restored(self, by: str, *, forged: bool, restoring: Member) -> EntityId:
        """A customer whom a line says *by* made, in an archive that nobody signed if that is *forged*, that the member
        *restoring* brought in.
        """
        made: EntityId = self.books.run(lambda work: commands.create(work, Kind.CUSTOMER, {"party": {"name": "Klant"}}))
        archive = Edited(self.books.backup(self.folder))
        own = self.books.actor.name.encode()
        archive.put_lines(TIMELINE, [line.replace(own, b"person:" + by.encode()) for line in archive.lines(TIMELINE)])
        before = self.books.access, self.books.actor
        self.books.access, self.books.actor = self.as_(restoring)
        self.books.restore(archive.unsigned() if forged else archive.zipped())
        self.books.access, self.books.actor = before
        return made

    folder: Path

    def entry(self, entity: EntityId) -> Entry:
        """What the timeline says of how the entity was made."""
        page = read_timeline(self.application.database, self.books.access.account, Filter(entity=entity))
        return page.entries[-1]

    def linked(self, entity: EntityId) -> tuple[str, bool]:
        """To whom that is linked, and whether it is verified."""
        found = self.entry(entity)
        return found.linked_to.removeprefix("person:"), found.verified


@pytest.fixture
def office(fresh_account: OpenAccount, tmp_path: Path) -> Office:
    made = Office(Books(fresh_account()))
    made.folder = tmp_path
    return made


def test_t10_a_forged_line_is_not_linked_to_whom_it_names_by_who_brought_it(office: Office) -> None:
    customer = office.restored(office.an.person, forged=True, restoring=office.bo)

    linked = link_person(office.application, *office.as_(office.bo), person=office.an.person, email=office.an.email)

    assert linked.segments == 0
    assert office.linked(customer) == (office.bo.person, False)


def test_t10_a_consent_covers_no_line_that_nobody_vouches_for(office: Office) -> None:
    consent_to_link(office.application, *office.as_(office.an), person=STRANGER)
    customer = office.restored(STRANGER, forged=True, restoring=office.bo)

    link_person(office.application, *office.as_(office.bo), person=STRANGER, email=office.an.email)

    assert office.linked(customer) == (office.bo.person, False)


def test_an_owners_word_links_what_nobody_vouches_for_and_it_stays_unverified(office: Office) -> None:
    customer = office.restored(STRANGER, forged=True, restoring=office.an)

    linked = link_person(office.application, *office.as_(office.an), person=STRANGER, email=office.bo.email)

    assert (linked.ground, linked.segments) == ("owner", 1)
    assert office.linked(customer) == (office.bo.person, False)


def test_a_member_who_agrees_is_linked_by_an_administrator_to_what_is_verified(office: Office) -> None:
    customer = office.restored(STRANGER, forged=False, restoring=office.bo)
    assert office.linked(customer) == (office.bo.person, True)
    with pytest.raises(ConsentLacking):
        link_person(office.application, *office.as_(office.bo), person=STRANGER, email=office.an.email)

    consent_to_link(office.application, *office.as_(office.an), person=STRANGER)
    linked = link_person(office.application, *office.as_(office.bo), person=STRANGER, email=office.an.email)

    assert linked.ground == "consent"
    assert office.linked(customer) == (office.an.person, True)


def test_t10_what_a_member_did_is_not_linked_to_another_who_agrees(office: Office) -> None:
    customer = office.restored(office.an.person, forged=False, restoring=office.an)
    consent_to_link(office.application, *office.as_(office.bo), person=office.an.person)
    changed = c.AccessGranted(person=STRANGER, name="Cy", email="cy@example.com", role=Role.ADMINISTRATOR)  # type: ignore[arg-type]
    office.application.record_control(office.books.access.account, office.books.actor, changed)
    access = office.books.access._replace(role=Role.ADMINISTRATOR)

    with pytest.raises(AccessError):
        link_person(
            office.application,
            access,
            Actor.person(STRANGER, "api"),  # type: ignore[arg-type]
            person=office.an.person,
            email=office.bo.email,
        )
    assert office.linked(customer) == (office.an.person, True)


def test_what_a_member_did_is_with_the_member_again_once_a_link_is_taken_back(office: Office) -> None:
    customer = office.restored(office.bo.person, forged=False, restoring=office.an)
    link_person(office.application, *office.as_(office.an), person=office.bo.person, email=office.an.email)
    assert office.linked(customer) == (office.an.person, True)

    unlink_person(office.application, *office.as_(office.an), person=office.bo.person)

    assert office.linked(customer) == (office.bo.person, True)


def test_a_link_that_is_taken_back_leaves_what_it_was_with_who_brought_it(office: Office) -> None:
    customer = office.restored(STRANGER, forged=False, restoring=office.an)
    link_person(office.application, *office.as_(office.an), person=STRANGER, email=office.bo.email)

    unlink_person(office.application, *office.as_(office.bo), person=STRANGER)

    assert office.linked(customer) == (office.an.person, True)


def test_a_consent_is_taken_back_before_anybody_used_it(office: Office) -> None:
    office.restored(STRANGER, forged=False, restoring=office.bo)
    consent_to_link(office.application, *office.as_(office.an), person=STRANGER)

    unlink_person(office.application, *office.as_(office.an), person=STRANGER)

    with pytest.raises(ConsentLacking):
        link_person(office.application, *office.as_(office.bo), person=STRANGER, email=office.an.email)
    with pytest.raises(NotPossible):
        unlink_person(office.application, *office.as_(office.an), person=STRANGER)


def test_t10_who_no_longer_owns_the_account_gives_no_owners_word(office: Office) -> None:
    customer = office.restored(STRANGER, forged=False, restoring=office.bo)
    access, actor = office.as_(office.bo)

    with pytest.raises(ConsentLacking):
        link_person(office.application, access._replace(role=Role.OWNER), actor, person=STRANGER, email=office.an.email)

    assert office.linked(customer) == (office.bo.person, True)
