"""Clones: an account over another one, or into a new one."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.http.bodies import Fields
from api.http.caller import Inside
from api.http.jobs import accepted
from api.http.schemas import body_of
from api.jobs.requests import CloneFields, clone_choices
from domain.credentials import ScopeLacking
from domain.entity import converted
from snapshots.cloning.cloning import NewAccount, check_clone

router = APIRouter(prefix="/accounts/{account}/clones", tags=["clones"])


@router.post(
    "",
    status_code=202,
    summary="Clone the account into another or a new one, or rehearse it",
    openapi_extra=body_of(CloneFields),
)
def clone(request: Request, asking: Inside, fields: Fields) -> Response:
    """By a job; its result is the report, and a refusal's problem holds it: then both accounts are as they were."""
    wanted = converted(fields, CloneFields)
    choices = clone_choices(wanted)
    if wanted.new is not None and asking.credential.only_account is not None:
        raise ScopeLacking("restore for every account", tuple(sorted(asking.credential.scopes)))
    if wanted.new is not None:
        check_clone(asking.access, NewAccount(wanted.new), choices)
    else:
        into = asking.reach(wanted.into or "")
        check_clone(asking.access, into, choices)
        fields = {**fields, "into": into.account}
    return accepted(request, asking, "clone", fields)
