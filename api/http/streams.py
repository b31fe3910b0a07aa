"""The generations of an account's data: list them, see how one differs, bring it back, purge it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from api.http import replies
from api.http.bodies import OptionalFields
from api.http.caller import Caller, Inside
from api.http.jobs import accepted
from api.http.schemas import body_of
from api.jobs.requests import ActivationFields, PurgeFields, activation_choices
from domain.accounts import require_administrator
from domain.entity import converted
from snapshots.generations.streams import find_stream, list_streams, show_stream
from snapshots.generations.undo import check_activation

router = APIRouter(prefix="/accounts/{account}/streams", tags=["streams"])

Stream = Annotated[int, Path(ge=1, le=2**31 - 1)]


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
    status_code=202,
    summary="Make a retired stream live again, or rehearse it",
    openapi_extra=body_of(ActivationFields),
)
def activated(request: Request, asking: Inside, stream: Stream, fields: OptionalFields) -> Response:
    """Wholly, or not at all, by a job; its result is the report, and a refusal's problem holds it as well."""
    check_activation(asking.access, activation_choices(converted(fields, ActivationFields)))
    _check_there(asking, stream)
    return accepted(request, asking, "activation", {"stream": stream, **fields})


@router.delete(
    "/{stream}", status_code=202, summary="Purge a retired stream for good", openapi_extra=body_of(PurgeFields)
)
def purged(request: Request, asking: Inside, stream: Stream, fields: OptionalFields) -> Response:
    """By a job; its result is what went, and the archive that has what the live stream lacks."""
    require_administrator(asking.access, "purging streams")
    converted(fields, PurgeFields)
    _check_there(asking, stream)
    return accepted(request, asking, "purge", {"stream": stream, **fields})


@router.post(
    "/purge", status_code=202, summary="Purge the retired streams whose time is up", openapi_extra=body_of(PurgeFields)
)
def purged_due(request: Request, asking: Inside, fields: OptionalFields) -> Response:
    """Those past the account's retention, and those beyond the limits of the installation; by a job."""
    require_administrator(asking.access, "purging streams")
    converted(fields, PurgeFields)
    return accepted(request, asking, "purge", fields)


def _check_there(asking: Caller, stream: int) -> None:
    """That the account has a stream of that number. Raises StreamUnknown."""
    account = asking.access.account
    with asking.application.database.transaction(account) as connection:
        find_stream(connection, account, stream)
