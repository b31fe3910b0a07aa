"""Whose the events are that came into an account: whom they name, and to which members they are linked."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from api.http import replies
from api.http.actions import NoFields
from api.http.bodies import Fields, OptionalFields
from api.http.caller import Inside
from api.http.schemas import body_of
from domain.entity import converted
from domain.parties import Value
from domain.people import consent_to_link, link_person, list_attributed, unlink_person

router = APIRouter(prefix="/accounts/{account}/people", tags=["people"])


class LinkFields(Value, frozen=True, kw_only=True):
    """The member whose events they are, by e-mail address."""

    email: str


@router.get("", summary="List whom events that were brought in name, and to whom they are linked")
def list_people(asking: Inside) -> Response:
    """Each person and segment of the live stream; what was recorded here is by whom it says, and not listed."""
    return replies.json({"items": list_attributed(asking.application, asking.access)})


@router.put("/{person}/link", summary="Link what a person did to a member", openapi_extra=body_of(LinkFields))
def link(asking: Inside, person: str, fields: Fields) -> Response:
    """With the member's consent, or on the word of the account's owner, which the account's history keeps."""
    email = converted(fields, LinkFields).email
    linked = link_person(asking.application, asking.access, asking.actor, person=person, email=email)
    return replies.json(linked._asdict())


@router.delete("/{person}/link", summary="Take a link back")
def unlink(asking: Inside, person: str) -> Response:
    """What the person did is with whoever brought it in again."""
    return replies.json(unlink_person(asking.application, asking.access, asking.actor, person=person)._asdict())


@router.put("/{person}/consent", status_code=204, summary="Agree that what a person did is yours")
def consent(asking: Inside, person: str, fields: OptionalFields) -> Response:
    """An administrator may link it to you then."""
    converted(fields, NoFields)
    consent_to_link(asking.application, asking.access, asking.actor, person=person)
    return replies.nothing()
