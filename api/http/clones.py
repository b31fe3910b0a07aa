"""Clones: an account over another one, or into a new one."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from api.http import replies
from api.http.bodies import Fields
from api.http.caller import Inside
from api.http.schemas import body_of
from domain.credentials import ScopeLacking
from domain.entity import FieldRefused, converted
from domain.parties import Value
from projections.moments import read_moment
from snapshots.cloning.cloning import CloneChoices, NewAccount, clone_account

router = APIRouter(prefix="/accounts/{account}/clones", tags=["clones"])


class CloneFields(Value, frozen=True, kw_only=True):
    """Where to: ``into`` an account (its id or short name) or a ``new`` one of that name; and how.

    ``as_of``: which position or time (the present). ``account_at``: where a rehearsal found the account that is cloned
    into; when it is elsewhere by now, the clone is refused. ``change_closed_periods`` is for that account's owner.
    """

    into: str | None = None
    new: str | None = None
    as_of: str | None = None
    dry_run: bool = False
    account_at: str | None = None
    change_closed_periods: bool = False


@router.post(
    "",
    status_code=201,
    summary="Clone the account into another or a new one, or rehearse it",
    openapi_extra=body_of(CloneFields),
)
def clone(asking: Inside, fields: Fields) -> Response:
    """The report, with the clone's address; of a rehearsal with status 200. A refusal is a problem that holds it."""
    wanted = converted(fields, CloneFields)
    if (wanted.into is None) == (wanted.new is None):
        found = "neither" if wanted.into is None else "both"
        raise FieldRefused("into", f"{found} of into and new", "one of the two")
    if wanted.new is not None and asking.credential.only_account is not None:
        raise ScopeLacking("restore for every account", tuple(sorted(asking.credential.scopes)))
    target = NewAccount(wanted.new) if wanted.new is not None else asking.reach(wanted.into or "")
    choices = CloneChoices(
        as_of=None if wanted.as_of is None else read_moment(wanted.as_of),
        dry_run=wanted.dry_run,
        change_closed_periods=wanted.change_closed_periods,
        account_at=wanted.account_at,
    )
    report = clone_account(asking.application, asking.access, asking.actor, target, choices=choices)
    if report.outcome != "cloned":
        return replies.json(report)
    return replies.json(report, status=201, headers={"Location": f"/v1/accounts/{report.account_id}"})
