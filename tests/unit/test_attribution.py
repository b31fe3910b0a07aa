"""To whom events that come in are linked: nobody is credited with, or blamed for, what they did not do."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
import pytest

from domain.control import Control, Member, Role, SettingsFields
from domain.ids import AccountId, PersonId
from projections.control_totals import ControlTotals
from snapshots.format.manifest import (
    AccountNamed,
    Attributed,
    Manifest,
    Meaning,
    PersonNamed,
    Segment,
    TreeHead,
    email_hash,
)
from snapshots.reading.examination import Brought
from snapshots.restoring.attribution import Attributing, Attribution, UserMapRefused, read_user_map

AN, BO, CY = (PersonId(f"0192f3a0-0000-7000-8000-00000000000{n}") for n in (1, 2, 3))
STRANGER = PersonId("0192f3a0-0000-7000-8000-0000000000ff")
OTHER = AccountId("0192f3a0-0000-7000-8000-0000000000bb")
SETTINGS = SettingsFields(country="BE", currency="EUR", language="nl", time_zone="Europe/Brussels")
RECORDED = Segment(first_position=1, came_by="recorded", authenticity="recorded")


def account(**changes: Any) -> Control:
    """An account of An, its owner, and Bo."""
    return Control(
        **{
            "account": AccountId("0192f3a0-0000-7000-8000-0000000000aa"),
            "name": "Acme",
            "opened_at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
            "settings": SETTINGS,
            "members": (
                Member(person=AN, name="An", email="an@example.com", role=Role.OWNER),
                Member(person=BO, name="Bo", email="bo@example.com", role=Role.EDITOR),
            ),
            **changes,
        }
    )


def manifest(*people: PersonNamed) -> Manifest:
    return Manifest(
        format_version=1,
        product_version="1",
        archive="a",
        account=AccountNamed(id=OTHER, name="Other"),
        stream=1,
        tree_head=TreeHead(size=0, root="0" * 64),
        taken_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        taken_by="x",
        counts={},
        control_totals=ControlTotals(),
        meaning=Meaning(settings=SETTINGS),
        email_salt="salt",
        people=people,
        files=(),
    )


def decide(
    *brought: Brought,
    people: tuple[PersonNamed, ...] = (),
    verdict: Any = "authentic",
    control: Control | None = None,
    **how: Any,
) -> Attribution:
    """What is decided when An restores."""
    how = {"own_installation": True, **how}
    return Attributing(manifest(*people), verdict, control or account(), AN, **how).decide(list(brought))


def by(*people: PersonId, segment: Segment = RECORDED, first: int = 1) -> Brought:
    return Brought(first, segment, {f"person:{person}": 1 for person in people})


def links(found: Attribution) -> dict[tuple[int, str], tuple[str, bool]]:
    return {
        (segment.first_position, one.person): (one.linked_to, one.verified)
        for segment in found.segments
        for one in segment.people
    }


def test_an_authentic_archive_leaves_each_event_with_its_person_who_has_access() -> None:
    assert links(decide(by(AN, BO, STRANGER))) == {(1, AN): (AN, True), (1, BO): (BO, True), (1, STRANGER): (AN, True)}


@pytest.mark.parametrize("verdict", ["edited", "unsigned"])
def test_t10_nobody_is_believed_whom_an_archive_names_that_nobody_vouches_for(verdict: str) -> None:
    assert links(decide(by(BO, STRANGER), verdict=verdict)) == {(1, BO): (AN, False), (1, STRANGER): (AN, False)}


def test_the_owner_can_vouch_for_the_names_and_the_segment_says_so() -> None:
    found = decide(by(BO), verdict="unsigned", trusted=True)
    assert links(found) == {(1, BO): (BO, True)}
    assert [(one.authenticity, one.attribution_trusted) for one in found.segments] == [("unsigned", True)]


def test_t10_what_was_unverified_once_stays_so_in_an_archive_that_is_signed() -> None:
    brought = Segment(
        first_position=5,
        came_by="restore",
        authenticity="unsigned",
        people=(Attributed(person=BO, linked_to=CY, verified=False),),
    )
    found = decide(by(BO), by(BO, segment=brought, first=5))
    assert links(found) == {(1, BO): (BO, True), (5, BO): (AN, False)}
    assert [one.authenticity for one in found.segments] == ["authentic", "unsigned"]


def test_t10_a_person_of_an_unsigned_segment_that_no_attribution_tells_of_is_not_believed_either() -> None:
    brought = Segment(first_position=1, came_by="restore", authenticity="unsigned")
    assert links(decide(by(BO, segment=brought))) == {(1, BO): (AN, False)}


def test_another_installations_people_are_known_by_their_address_and_not_by_their_id() -> None:
    theirs = PersonNamed(id=STRANGER, name="Bob", email_hash=email_hash("salt", "BO@example.com"))
    found = decide(by(STRANGER, BO), people=(theirs,), own_installation=False)
    assert links(found) == {(1, STRANGER): (BO, True), (1, BO): (AN, True)}


def test_what_was_linked_by_people_link_is_linked_again() -> None:
    assert links(decide(by(STRANGER), control=account(links={STRANGER: BO}))) == {(1, STRANGER): (BO, True)}


def test_a_link_to_somebody_without_access_is_not_followed() -> None:
    assert links(decide(by(STRANGER), control=account(links={STRANGER: CY}))) == {(1, STRANGER): (AN, True)}


@pytest.mark.parametrize("verdict", ["edited", "unsigned"])
def test_t10_a_link_makes_nobody_the_author_of_what_nobody_vouches_for(verdict: str) -> None:
    found = decide(by(STRANGER), verdict=verdict, control=account(links={STRANGER: BO}))
    assert links(found) == {(1, STRANGER): (AN, False)}


def test_an_owner_maps_people_by_id_or_address() -> None:
    theirs = PersonNamed(id=CY, name="Cy", email_hash=email_hash("salt", "cy@example.com"))
    user_map = {STRANGER: BO, "cy@example.com": "BO@example.com"}
    found = decide(by(STRANGER, CY), people=(theirs, PersonNamed(id=STRANGER)), user_map=user_map, is_owner=True)
    assert links(found) == {(1, STRANGER): (BO, True), (1, CY): (BO, True)}
    assert found.mapped == {STRANGER: BO, CY: BO}


def test_t10_a_map_to_somebody_who_has_not_agreed_is_refused_but_for_the_owner() -> None:
    with pytest.raises(UserMapRefused, match="who has not agreed"):
        decide(by(STRANGER), people=(PersonNamed(id=STRANGER),), user_map={STRANGER: "bo@example.com"})


def test_a_map_to_somebody_who_agreed_is_followed() -> None:
    control = account(consents=((STRANGER, BO),))
    found = decide(by(STRANGER), people=(PersonNamed(id=STRANGER),), user_map={STRANGER: BO}, control=control)
    assert links(found) == {(1, STRANGER): (BO, True)}


def test_t10_who_restores_takes_nobodys_events_by_agreeing_to_it() -> None:
    control = account(consents=((STRANGER, AN),))
    with pytest.raises(UserMapRefused, match="who restores"):
        decide(by(STRANGER), people=(PersonNamed(id=STRANGER),), user_map={STRANGER: AN}, control=control)


@pytest.mark.parametrize("own_installation", [True, False])
def test_t10_what_a_member_did_is_not_mapped_to_another_who_agrees(own_installation: bool) -> None:
    member = Member(person=CY, name="Cy", email="cy@example.com", role=Role.EDITOR)
    control = account(consents=((BO, CY),))
    control = msgspec.structs.replace(control, members=(*control.members, member))
    theirs = PersonNamed(id=BO, email_hash=email_hash("salt", "bo@example.com"))
    with pytest.raises(UserMapRefused, match="who has access"):
        decide(by(BO), people=(theirs,), user_map={BO: CY}, control=control, own_installation=own_installation)


def test_a_map_has_nobody_twice_by_id_and_by_address() -> None:
    theirs = PersonNamed(id=STRANGER, email_hash=email_hash("salt", "cy@example.com"))
    with pytest.raises(UserMapRefused, match="each person once"):
        decide(by(STRANGER), people=(theirs,), user_map={STRANGER: BO, "cy@example.com": AN}, is_owner=True)


VOUCHED_FOR = Segment(first_position=1, came_by="restore", authenticity="unsigned", attribution_trusted=True)


def test_t10_the_word_of_another_accounts_owner_makes_nobody_the_author_here() -> None:
    assert links(decide(by(BO, segment=VOUCHED_FOR))) == {(1, BO): (AN, False)}


def test_the_word_of_the_accounts_own_owner_holds_in_its_archives() -> None:
    own = account(account=OTHER)
    found = decide(by(BO, segment=VOUCHED_FOR), control=own)
    assert links(found) == {(1, BO): (BO, True)}
    assert [(one.authenticity, one.attribution_trusted) for one in found.segments] == [("unsigned", True)]


@pytest.mark.parametrize(
    ("user_map", "reason"),
    [
        ({STRANGER: "cy@example.com"}, "a member of the account"),
        ({"nobody@example.com": "bo@example.com"}, "nobody that the archive names"),
    ],
)
def test_t10_a_map_to_somebody_without_access_or_of_somebody_unknown_is_refused(
    user_map: dict[str, str], reason: str
) -> None:
    with pytest.raises(UserMapRefused, match=reason):
        decide(by(STRANGER), people=(PersonNamed(id=STRANGER),), user_map=user_map, is_owner=True)


@pytest.mark.parametrize("verdict", ["edited", "unsigned"])
def test_t10_a_map_makes_nobody_the_author_of_what_nobody_vouches_for(verdict: str) -> None:
    with pytest.raises(UserMapRefused, match="trusted key"):
        decide(
            by(STRANGER), people=(PersonNamed(id=STRANGER),), user_map={STRANGER: BO}, is_owner=True, verdict=verdict
        )


def test_a_map_is_read_from_json_and_from_csv() -> None:
    wanted = {"a@example.com": "b@example.com", "c": "d"}
    assert read_user_map('{"a@example.com": "b@example.com", "c": "d"}', "map.json") == wanted
    assert read_user_map("person,member\na@example.com,b@example.com\n\nc, d\n", "map.CSV") == wanted


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("[1]", "m.json"),
        ("{", "m.json"),
        ('{"a": 1}', "m.json"),
        ('{"a": "b", "a": "c"}', "m.json"),
        ("a,b,c", "m.csv"),
        ("a", "m.csv"),
        ("a,b\na,c", "m.csv"),
    ],
)
def test_what_is_no_map_is_refused(text: str, name: str) -> None:
    with pytest.raises(UserMapRefused):
        read_user_map(text, name)
