"""The generations of an account's data: list them, see how one differs, bring it back, purge it."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Path
from starlette.responses import Response

from api.http import replies
from api.http.bodies import OptionalFields
from api.http.caller import Inside
from api.http.schemas import body_of
from api.purging import archiver, quota
from domain.accounts import require_administrator
from domain.entity import converted
from domain.parties import Value
from snapshots.generations.purging import purge, purge_due
from snapshots.generations.streams import list_streams, show_stream
from snapshots.generations.undo import ActivationChoices, activate
from snapshots.restoring.report import OnMeanwhile

router = APIRouter(prefix="/accounts/{account}/streams", tags=["streams"])

Stream = Annotated[int, Path(ge=1, le=2**31 - 1)]


class ActivationFields(Value, frozen=True, kw_only=True):
    """How to make a stream live again: ``dry_run`` changes nothing.

    ``change_closed_periods`` lets documents in closed periods change; it is for the account's owner. ``meanwhile``:
    ``refuse`` where the account changes while the streams are compared, or ``discard`` those changes. ``account_at``:
    where a rehearsal found the account; when it is elsewhere by now, nothing is changed.
    """

    dry_run: bool = False
    change_closed_periods: bool = False
    meanwhile: OnMeanwhile = "refuse"
    account_at: str | None = None


class PurgeFields(Value, frozen=True, kw_only=True):
    """``dry_run`` changes nothing."""

    dry_run: bool = False


@router.get("", summary="List the streams, newest first")
def listed(asking: Inside) -> Response:
    """What made each, when and by whom, and how the retired ones differ from the live one."""
    return replies.json({"items": list_streams(asking.application, asking.access.account)})


@router.get("/{stream}", summary="A stream, and all that a retired one has otherwise than the live one")
def shown(asking: Inside, stream: Stream) -> Response:
    """Kinds, documents, numbers, control totals; said as what making it live would do."""
    return replies.json(show_stream(asking.application, asking.access.account, stream))


@router.post(
    "/{stream}/activation",
    summary="Make a retired stream live again, or rehearse it",
    openapi_extra=body_of(ActivationFields),
)
def activated(asking: Inside, stream: Stream, fields: OptionalFields) -> Response:
    """Wholly, or not at all: answered with the report; a refusal's problem holds it as well."""
    wanted = converted(fields, ActivationFields)
    choices = ActivationChoices(**msgspec.structs.asdict(wanted))
    return replies.json(activate(asking.application, asking.access, asking.actor, stream, choices=choices))


@router.delete("/{stream}", summary="Purge a retired stream for good", openapi_extra=body_of(PurgeFields))
def purged(asking: Inside, stream: Stream, fields: OptionalFields) -> Response:
    """Answered with what went, and the archive that has what the live stream lacks."""
    require_administrator(asking.access, "purging streams")
    wanted = converted(fields, PurgeFields)
    archive = archiver(asking.application, asking.settings, asking.actor)
    report = purge(asking.application, asking.access, asking.actor, stream, archive, dry_run=wanted.dry_run)
    return replies.json(report)


@router.post("/purge", summary="Purge the retired streams whose time is up", openapi_extra=body_of(PurgeFields))
def purged_due(asking: Inside, fields: OptionalFields) -> Response:
    """Those past the account's retention, and those beyond the limits of the installation."""
    require_administrator(asking.access, "purging streams")
    wanted = converted(fields, PurgeFields)
    archive = archiver(asking.application, asking.settings, asking.actor)
    limits = quota(asking.settings)
    return replies.json(
        purge_due(asking.application, asking.access, asking.actor, limits, archive, dry_run=wanted.dry_run)
    )
