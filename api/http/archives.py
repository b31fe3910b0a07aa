"""Backups and archives: take one, list them, download; send one, look into it, restore it."""

from __future__ import annotations

from typing import Annotated, Any, BinaryIO

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.bootstrap import keys, limits
from api.downloads import record_download
from api.http import downloads, files, replies
from api.http.bodies import OptionalFields, check_not_encoded, chunks, media_type
from api.http.caller import Inside
from api.http.errors import MediaTypeRefused
from api.http.jobs import accepted
from api.http.locks import UnlockFields, unlock_of
from api.http.schemas import body_of
from api.jobs.requests import BackupFields, lock_of
from domain.control import check_writes
from domain.entity import converted
from domain.kinds import Kind
from projections.moments import read_moment
from snapshots.fresh.swap import Subscriptions
from snapshots.reading.inspection import inspect_archive
from snapshots.restoring.report import CustomFields, Doubles, Mode, Numbers, OnErrors, OnMeanwhile
from snapshots.restoring.restore import Choices, restore_archive
from snapshots.restoring.selecting import read_left_out

backups = APIRouter(prefix="/accounts/{account}/backups", tags=["backups"])
archives = APIRouter(prefix="/accounts/{account}/archives", tags=["archives"])

_ZIP_TYPES = ("application/zip", "application/octet-stream")
_BINARY = {
    "requestBody": {"required": True, "content": {_ZIP_TYPES[0]: {"schema": {"type": "string", "format": "binary"}}}}
}


class RestoreFields(UnlockFields, frozen=True, kw_only=True):
    """How to restore: ``overwrite`` or ``add``; on faulty records ``abort`` or ``skip``; ``dry_run`` changes nothing.

    ``change_closed_periods`` lets documents in closed periods change; it is for the account's owner.
    ``from_other_account`` takes an archive of another account than this one. ``accept_edits`` takes files that were
    edited after the archive was signed. ``subscriptions``: ``hold`` those whose next date has passed, or ``moved``
    where this account replaces the archive's. When the account changed ``meanwhile``, overwriting refuses, or it
    discards the changes. The ``numbers`` of lost documents are not given out again, or are. ``custom_fields`` that the
    account does not define are reported, or defined. ``doubles``: what is added is matched, or customers merged too.
    ``user_map`` says whose events are which member's, by id or e-mail address; ``trust_attribution`` believes whom an
    archive names that no trusted key vouches for, and is for the account's owner. An encrypted archive is opened by its
    ``passphrase``, or by the ``identity`` (a private key) of one of its recipients.
    Adding, it can be about ``only`` some kinds, or ``only_entities`` by id, or what the restore of a report
    ``left_out`` (of it, the fields archive, outcome, errors, left_out and faults), each with what it needs. ``as_of``
    a position or time of the archive's timeline.
    """

    mode: Mode = "overwrite"
    errors: OnErrors = "abort"
    dry_run: bool = False
    change_closed_periods: bool = False
    from_other_account: bool = False
    subscriptions: Subscriptions = "hold"
    accept_edits: bool = False
    meanwhile: OnMeanwhile = "refuse"
    numbers: Numbers = "keep-series"
    user_map: dict[str, str] | None = None
    trust_attribution: bool = False
    only: tuple[Kind, ...] = ()
    only_entities: tuple[str, ...] = ()
    left_out: dict[str, Any] | None = None
    as_of: str | None = None
    custom_fields: CustomFields = "report"
    doubles: Doubles = "match"
    token: Annotated[str, msgspec.Meta(max_length=200)] | None = None


@backups.post(
    "",
    status_code=202,
    summary="Take a backup of the account as it is, or as it was",
    openapi_extra=body_of(BackupFields),
)
def take(request: Request, asking: Inside, fields: OptionalFields) -> Response:
    """Have an archive of the account at one position written, by a job; its result is the backup as it is listed."""
    wanted = converted(fields, BackupFields)
    if wanted.as_of is not None:
        read_moment(wanted.as_of)
    lock_of(wanted)
    asked = {name: value for name, value in fields.items() if name != "passphrase"}
    return accepted(request, asking, "backup", asked, secrets={"passphrase": wanted.passphrase})


@backups.get("", summary="List the backups, newest first")
def list_backups(asking: Inside) -> Response:
    """The backups that the account's history tells of."""
    return replies.json({"items": files.backups(asking.application, asking.settings, asking.access.account)})


@backups.get("/{archive}", summary="Download a backup", responses=downloads.RESPONSES)
def download(request: Request, asking: Inside, archive: str) -> Response:
    """The archive's file, or ranges of it. That goes on record, and administrators are told."""
    taken, place = files.backup_named(asking.application, asking.settings, asking.access.account, archive)
    return _download(request, asking, downloads.Archived(archive, place, taken.file, taken.size, taken.sha256))


@backups.head("/{archive}", include_in_schema=False)
def download_head(request: Request, asking: Inside, archive: str) -> Response:
    """What the download would say, without the bytes."""
    return download(request, asking, archive)


def _download(request: Request, asking: Inside, archived: downloads.Archived) -> Response:
    wanted = downloads.wanted(request, archived)
    if wanted is not downloads.NOTHING:
        record_download(
            asking.application,
            asking.access,
            asking.actor,
            archive=archived.archive,
            file=archived.name,
            address=request.client.host if request.client else None,
            is_part=wanted is not downloads.ALL,
        )
    return downloads.answer(request, archived)


@archives.post("", status_code=201, summary="Send an archive", openapi_extra=_BINARY)
async def send(request: Request, asking: Inside) -> Response:
    """Keep an archive that is sent as the body, to look into it and restore it. Nothing in it is believed yet."""
    check_writes(asking.access.role, "sending an archive")
    check_not_encoded(request)
    if media_type(request) not in _ZIP_TYPES:
        raise MediaTypeRefused(media_type(request), _ZIP_TYPES[0])
    content = chunks(request, asking.settings.upload_limit_bytes)
    kept = await files.keep(asking.settings, asking.access.account, content, at=asking.application.clock())
    location = f"/v1/accounts/{asking.access.account}/archives/{kept.id}"
    return replies.json(kept, status=201, headers={"Location": location})


@archives.get("", summary="List the archives that were sent")
def list_archives(asking: Inside) -> Response:
    """The archives that were sent for the account, oldest first."""
    return replies.json({"items": files.uploads(asking.settings, asking.access.account)})


@archives.get("/{archive}", summary="Download an archive that was sent", responses=downloads.RESPONSES)
def download_sent(request: Request, asking: Inside, archive: str) -> Response:
    """The archive as it was sent, or ranges of it. That goes on record, and administrators are told."""
    uploaded, place = files.sent(asking.settings, asking.access.account, archive)
    archived = downloads.Archived(archive, place, place.file, uploaded.size, uploaded.sha256)
    return _download(request, asking, archived)


@archives.head("/{archive}", include_in_schema=False)
def download_sent_head(request: Request, asking: Inside, archive: str) -> Response:
    """What the download would say, without the bytes."""
    return download_sent(request, asking, archive)


@archives.delete("/{archive}", status_code=204, summary="Delete an archive that was sent")
def forget(asking: Inside, archive: str) -> Response:
    """Keep an archive no longer."""
    check_writes(asking.access.role, "deleting an archive")
    files.forget(asking.settings, asking.access.account, archive)
    return replies.nothing()


@archives.get("/{archive}/inspection", summary="Look into an archive that was sent, and check all of it")
def inspection(asking: Inside, archive: str) -> Response:
    """What the archive says of itself, and each fault that was found in it."""
    return _inspect(asking, archive, UnlockFields())


@archives.post(
    "/{archive}/inspection",
    summary="Look into an archive that was sent encrypted, and check all of it",
    openapi_extra=body_of(UnlockFields),
)
def inspection_unlocked(asking: Inside, archive: str, fields: OptionalFields) -> Response:
    """As for one that is not encrypted. What opens it is in the body, since addresses are logged, and is not kept."""
    return _inspect(asking, archive, converted(fields, UnlockFields))


def _inspect(asking: Inside, archive: str, given: UnlockFields) -> Response:
    with files.sent_copy(asking.settings, asking.access.account, archive) as file:
        ring = keys(asking.settings).ring()
        return replies.json(inspect_archive(file, limits(asking.settings), ring, unlock=unlock_of(given)))


@archives.post(
    "/{archive}/restore",
    summary="Restore an archive that was sent, or rehearse it",
    openapi_extra=body_of(RestoreFields),
)
def restore_sent(asking: Inside, archive: str, fields: OptionalFields) -> Response:
    """The report; a refusal is a problem that holds it, and then the account is as it was."""
    with files.sent_copy(asking.settings, asking.access.account, archive) as file:
        return _restore(asking, file, fields)


@backups.post("/{archive}/restore", summary="Restore a backup, or rehearse it", openapi_extra=body_of(RestoreFields))
def restore_backup(asking: Inside, archive: str, fields: OptionalFields) -> Response:
    """The report; a refusal is a problem that holds it, and then the account is as it was."""
    with files.backup_copy(asking.application, asking.settings, asking.access.account, archive) as file:
        return _restore(asking, file, fields)


def _restore(asking: Inside, file: BinaryIO, fields: OptionalFields) -> Response:
    given = converted(fields, RestoreFields)
    chosen = {name: value for name, value in msgspec.structs.asdict(given).items() if name in Choices._fields}
    chosen["left_out"] = None if given.left_out is None else read_left_out(given.left_out)
    chosen["as_of"] = None if given.as_of is None else read_moment(given.as_of)
    report = restore_archive(
        asking.application,
        asking.access,
        asking.actor,
        file,
        choices=Choices(**chosen),
        limits=limits(asking.settings),
        keys=keys(asking.settings).ring(),
        unlock=unlock_of(given),
    )
    return replies.json(report)
