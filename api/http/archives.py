"""Backups and archives: take one, list them, download; send one, look into it, restore it."""

from __future__ import annotations

from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.bootstrap import keys, limits
from api.downloads import record_download
from api.http import downloads, files, replies
from api.http.bodies import OptionalFields, check_not_encoded, chunks, media_type
from api.http.caller import Caller, Inside
from api.http.errors import IdempotencyKeyBusy, MediaTypeRefused
from api.http.jobs import accepted
from api.http.schemas import body_of
from api.jobs.requests import BackupFields, RestoreFields, UnlockFields, lock_of, restore_choices, unlock_of
from domain.control import check_writes
from domain.entity import converted
from projections.moments import read_moment
from snapshots.reading.inspection import inspect_archive
from snapshots.restoring.restore import Choices, check_choices

backups = APIRouter(prefix="/accounts/{account}/backups", tags=["backups"])
archives = APIRouter(prefix="/accounts/{account}/archives", tags=["archives"])

_ZIP_TYPES = ("application/zip", "application/octet-stream")
_BINARY = {
    "requestBody": {"required": True, "content": {_ZIP_TYPES[0]: {"schema": {"type": "string", "format": "binary"}}}}
}


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
    return accepted(request, asking, "backup", fields)


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
    if wanted is not downloads.Whole.NOTHING:
        record_download(
            asking.application,
            asking.access,
            asking.actor,
            archive=archived.archive,
            file=archived.name,
            address=request.client.host if request.client else None,
            is_part=wanted is not downloads.Whole.ALL,
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
    answer = replies.json(kept, status=201, headers={"Location": location})
    request.state.body_sha256 = bytes.fromhex(kept.sha256 or "")
    await run_sync(_keep_sent, asking, kept.id, answer)
    return answer


def _keep_sent(asking: Caller, archive: str, answer: Response) -> None:
    """Remember the answer to an archive that was sent; one that was sent before is not there twice."""
    try:
        with asking.application.database.transaction(asking.access.account) as connection:
            asking.keep(connection, answer)
    except IdempotencyKeyBusy:
        files.forget(asking.settings, asking.access.account, archive)
        raise


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
    status_code=202,
    summary="Restore an archive that was sent, or rehearse it",
    openapi_extra=body_of(RestoreFields),
)
def restore_sent(request: Request, asking: Inside, archive: str, fields: OptionalFields) -> Response:
    """By a job; its result is the report, and a refusal's problem holds it: then the account is as it was."""
    choices = _restore_choices(asking, fields)
    files.sent(asking.settings, asking.access.account, archive)
    return accepted(request, asking, "preflight" if choices.dry_run else "restore", {"archive": archive, **fields})


@backups.post(
    "/{archive}/restore",
    status_code=202,
    summary="Restore a backup, or rehearse it",
    openapi_extra=body_of(RestoreFields),
)
def restore_backup(request: Request, asking: Inside, archive: str, fields: OptionalFields) -> Response:
    """By a job; its result is the report, and a refusal's problem holds it: then the account is as it was."""
    choices = _restore_choices(asking, fields)
    files.backup_named(asking.application, asking.settings, asking.access.account, archive)
    return accepted(request, asking, "preflight" if choices.dry_run else "restore", {"backup": archive, **fields})


def _restore_choices(asking: Caller, fields: dict[str, Any]) -> Choices:
    """What is to be restored how, as far as can be seen without the archive. Raises what the restore would."""
    given = converted(fields, RestoreFields)
    choices = restore_choices(given)
    unlock_of(given)
    check_choices(asking.access, choices)
    return choices
