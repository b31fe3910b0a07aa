"""How an account's daily backups stand; proving on demand that one can be restored, and reading all of them again."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.daily import READING, REHEARSAL
from api.http import replies
from api.http.bodies import OptionalFields
from api.http.caller import Inside
from api.http.jobs import accepted
from api.http.schemas import body_of
from api.jobs.requests import RehearsalFields, unlock_of
from domain.accounts import require_administrator
from domain.entity import converted
from snapshots.daily.status import backup_status

router = APIRouter(prefix="/accounts/{account}/backups", tags=["backups"])


@router.get("/status", summary="See how the daily backups stand")
def status(asking: Inside) -> Response:
    """The newest, its age, whether it was proven restorable, the last failure, and when the next is due."""
    rule = asking.access.control.settings.backups_kept
    return replies.json(backup_status(asking.application, asking.access.account, rule))


@router.post(
    "/rehearsal",
    status_code=202,
    summary="Rehearse that a backup can be restored",
    openapi_extra=body_of(RehearsalFields),
)
def rehearsal(request: Request, asking: Inside, fields: OptionalFields) -> Response:
    """Have a backup built into a stream and dropped again, by a job; its result is what was proven."""
    require_administrator(asking.access, "rehearsing a backup")
    wanted = converted(fields, RehearsalFields)
    unlock_of(wanted)
    return accepted(request, asking, REHEARSAL, fields)


@router.post("/verification", status_code=202, summary="Read again what is kept")
def verification(request: Request, asking: Inside) -> Response:
    """Have all archives of the account read to their end by a job; its result is what was read, and what is wrong.

    What is ``damaged``, whose ``state`` tells what is ``missing``; what was ``found_again``, though nothing told of it,
    and what is ``unknown``.
    """
    require_administrator(asking.access, "verifying backups")
    return accepted(request, asking, READING, {})
