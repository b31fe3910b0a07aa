"""Linking people whom a timeline names to members of the account: what was theirs, elsewhere or before, is shown so.

A line is never rewritten; to whom it is linked stands beside it. Nobody is credited with, or blamed for, what another
did on the word of one person alone: it is the same person, or the member agreed, or the owner said so, for the record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

from psycopg import Connection

from domain import control as c
from domain.accounts import SQL, Access, as_it_is_now, find_person, read_people, require_administrator
from domain.application import Actor, Application
from domain.entity import FieldRefused
from domain.errors import AccessError
from domain.ids import PersonId, is_canonical
from domain.parties import Value
from domain.store.database import Row

Ground = Literal["same_person", "consent", "owner"]


class Linked(NamedTuple):
    """What came of a link: from whom to whom, on what ground (none: it was taken back), and in how many segments."""

    person: PersonId
    to: PersonId | None
    ground: Ground | None
    segments: int


class Named(Value, frozen=True, kw_only=True):
    """Somebody whom events that were brought in name, from the position of their segment on, and to whom they are
    linked; ``verified`` is false where nothing but an archive that no trusted key vouches for says so.
    """

    first_position: int
    person: PersonId
    name: str | None = None
    linked_to: PersonId
    linked_to_name: str | None = None
    verified: bool


@dataclass(eq=False)
class ConsentLacking(AccessError):
    """A member would be linked to what another did, and has not agreed."""

    code: ClassVar[str] = "access.consent-lacking"
    person: str
    to: str

    def __str__(self) -> str:
        return f"{self.to} has not agreed that what {self.person} did is theirs; expected that, or the owner's word"


def list_attributed(application: Application, access: Access) -> list[Named]:
    """Whom the live stream's segments that were brought in name, in order of position."""
    with application.database.transaction(access.account) as connection:
        rows = connection.execute(SQL["list_attributed"], {"account": access.account}).fetchall()
    known = read_people(application.database, [PersonId(one) for row in rows for one in (row[1], row[3])])
    return [
        Named(
            first_position=first,
            person=PersonId(person),
            name=known[person].name if person in known else name,
            linked_to=PersonId(linked_to),
            linked_to_name=known[linked_to].name if linked_to in known else None,
            verified=verified,
        )
        for first, person, name, linked_to, verified in rows
    ]


def consent_to_link(application: Application, access: Access, actor: Actor, *, person: str) -> PersonId:
    """Agree, as a member, that what *person* (an id that the timeline names) did is one's own. Raises FieldRefused."""
    whose = _person(person)
    me = PersonId(actor.name.removeprefix("person:"))
    application.record_control(access.account, actor, c.PersonLinkConsented(person=whose, to=me))
    return whose


def link_person(application: Application, access: Access, actor: Actor, *, person: str, email: str) -> Linked:
    """Link what *person* did, wherever it was brought in, to the member of that e-mail address.

    For administrators where it is the same person, or where the member consented and *person* has no access; else on
    the word of an owner, without which what is not verified stays with who brought it. Raises RoleLacking,
    PersonUnknown, NotPossible, ConsentLacking, FieldRefused.
    """
    control = application.control(access.account)
    access = as_it_is_now(access, control, actor)
    require_administrator(access, "linking a person")
    whose, to = _person(person), find_person(application.database, email)
    ground = _ground(access, actor, control, whose, to.id)
    if ground is None:
        raise ConsentLacking(whose, to.email)
    event = c.PersonLinked(person=whose, to=to.id, ground=ground)
    return _record(application, access, actor, event, "link", {"to": to.id, "vouched": ground == "owner"})


def unlink_person(application: Application, access: Access, actor: Actor, *, person: str) -> Linked:
    """Take a link back, as an administrator or as the member who was linked; or, where nobody is yet, a consent.

    What was linked is with the member who did it again, or else with whoever brought it in. Raises RoleLacking,
    NotPossible, FieldRefused.
    """
    whose = _person(person)
    control = application.control(access.account)
    linked = control.links.get(whose)
    agreed = [to for of, to in control.consents if of == whose]
    whose_to_take = [f"person:{one}" for one in ([linked] if linked else agreed)]
    if whose_to_take and actor.name not in whose_to_take:
        require_administrator(as_it_is_now(access, control, actor), "unlinking a person")
    statement = "unlink" if linked else None
    values = {"is_member": control.member(whose) is not None}
    return _record(application, access, actor, c.PersonUnlinked(person=whose), statement, values)


def _person(text: str) -> PersonId:
    if not is_canonical(text):
        raise FieldRefused("person", repr(text)[:60], "the id of a person: a UUID in lower case with hyphens")
    return PersonId(text)


def _ground(access: Access, actor: Actor, control: c.Control, person: PersonId, to: PersonId) -> Ground | None:
    if access.role is c.Role.OWNER:
        return "owner"
    if person == to:
        return "same_person"
    # Whoever may vouch for others could not be held to their own consent; and what a member did is no other's.
    if (person, to) in control.consents and actor.name != f"person:{to}" and control.member(person) is None:
        return "consent"
    return None


def _record(  # noqa: PLR0917 - two callers, just above
    application: Application,
    access: Access,
    actor: Actor,
    event: c.PersonLinked | c.PersonUnlinked,
    statement: str | None,
    values: Mapping[str, object],
) -> Linked:
    """The link on record and beside the events, both or neither."""
    to, ground = (event.to, event.ground) if isinstance(event, c.PersonLinked) else (None, None)
    segments = 0

    def link(connection: Connection[Row], _after: c.Control) -> None:
        nonlocal segments
        if statement is not None:
            parameters = {"account": access.account, "person": event.person, **values}
            segments = connection.execute(SQL[statement], parameters).rowcount

    application.record_control(access.account, actor, event, beside=link)
    return Linked(event.person, to, ground, segments)
