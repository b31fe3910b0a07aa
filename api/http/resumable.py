"""Resumable uploads of archives, by tus 1.0 (tus.io): the core protocol, creation, termination and expiration.

A PATCH keeps all that came, whatever ends it: whoever asks with HEAD goes on from there, after a restart of the server
too. What completes the archive is answered once it is whole.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime
from email.utils import format_datetime

from anyio import CancelScope
from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends
from msgspec import Struct
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from api.http import files, replies, unfinished
from api.http.bodies import check_not_encoded, chunks, media_type
from api.http.caller import Caller, Inside
from api.http.errors import (
    BodyTooLarge,
    BodyTooSlow,
    FileUnknown,
    MediaTypeRefused,
    NoRoom,
    RequestInvalid,
    TusVersionRefused,
    UploadElsewhere,
)
from api.storage import shelves
from domain.control import check_writes
from snapshots.shelves import Shelf
from snapshots.shelves.errors import NameTaken, StorageFull

VERSION = "1.0.0"
_EXTENSIONS = "creation,termination,expiration"
_MEDIA_TYPE = "application/offset+octet-stream"
_PART = {
    "requestBody": {"required": True, "content": {_MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}}
}
_WHOLE = re.compile(r"0|[1-9][0-9]{0,17}")
_MOST_METADATA = 4096
_PAIR = re.compile(r"([\x21-\x2b\x2d-\x7e]+)(?: ([A-Za-z0-9+/=]*))?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SAYING = {
    "headers": {"Tus-Resumable": {"schema": {"type": "string"}}, "Upload-Offset": {"schema": {"type": "integer"}}}
}


def resumable(request: Request) -> None:
    """That the request speaks our version of the protocol; so does every answer to it. Raises TusVersionRefused."""
    request.state.headers = {"Tus-Resumable": VERSION}
    if request.method != "OPTIONS" and request.headers.getlist("tus-resumable") != [VERSION]:
        raise TusVersionRefused(", ".join(request.headers.getlist("tus-resumable"))[:40], VERSION)


router = APIRouter(prefix="/accounts/{account}/archives/uploads", tags=["archives"], dependencies=[Depends(resumable)])
listing = APIRouter(prefix="/accounts/{account}/archives/uploads", tags=["archives"])


class Going(Struct, frozen=True, kw_only=True):
    """An upload that goes on: how much of it is here, and when it is given up unless more comes."""

    id: str
    length: int
    offset: int
    expires_at: datetime


@listing.get("", summary="List the uploads that go on")
def going(asking: Inside) -> Response:
    """Oldest first."""
    found = unfinished.unfinished(_shelf(asking), asking.access.account, now=asking.application.clock())
    return replies.json({"items": [_going(one) for one in found]})


@listing.get("/{upload}", summary="How far an upload is")
def how_far(asking: Inside, upload: str) -> Response:
    """The same that HEAD says by tus, as JSON."""
    return replies.json(
        _going(unfinished.find(_shelf(asking), asking.access.account, upload, now=asking.application.clock()))
    )


def _going(found: unfinished.Unfinished) -> Going:
    return Going(id=found.id, length=found.begun.length, offset=found.offset, expires_at=found.expires_at)


@router.options("", include_in_schema=False)
@router.options("/{upload}", include_in_schema=False)
def options(asking: Inside) -> Response:
    """What of the protocol we speak."""
    headers = {
        "Tus-Version": VERSION,
        "Tus-Extension": _EXTENSIONS,
        "Tus-Max-Size": str(asking.settings.upload_limit_bytes),
    }
    return _answer(204, headers)


@router.post("", status_code=201, summary="Begin to send an archive in parts")
def begin(request: Request, asking: Inside) -> Response:
    """``Upload-Length`` says how long it will be; ``Upload-Metadata`` may say its ``sha256``, which is then checked."""
    check_writes(asking.access.role, "sending an archive")
    length = _whole_number(request, "Upload-Length")
    if length > asking.settings.upload_limit_bytes:
        raise BodyTooLarge(asking.settings.upload_limit_bytes)
    if length == 0:
        raise RequestInvalid("header Upload-Length", "found 0; expected the archive's length in bytes")
    metadata = request.headers.get("upload-metadata", "")
    begun = unfinished.begin(
        _shelf(asking),
        asking.access.account,
        length=length,
        sha256=_sha256(metadata),
        metadata=metadata,
        at=asking.application.clock(),
    )
    location = f"/v1/accounts/{asking.access.account}/archives/uploads/{begun.id}"
    headers = {"Tus-Resumable": VERSION, "Location": location, "Upload-Expires": _date(begun.expires_at)}
    return replies.json(_going(begun), status=201, headers=headers)


@router.head("/{upload}", include_in_schema=False)
def state(asking: Inside, upload: str) -> Response:
    """From where on the rest is to be sent."""
    shelf, account = _shelf(asking), asking.access.account
    try:
        found = unfinished.find(shelf, account, upload, now=asking.application.clock())
    except FileUnknown:
        whole, _ = files.sent(asking.settings, account, upload)  # it came whole, and is an archive
        return _answer(200, {"Upload-Offset": str(whole.size), "Upload-Length": str(whole.size)})
    headers = {
        "Upload-Offset": str(found.offset),
        "Upload-Length": str(found.begun.length),
        "Upload-Expires": _date(found.expires_at),
    }
    if found.begun.metadata:
        headers["Upload-Metadata"] = found.begun.metadata
    return _answer(200, headers)


@router.patch("/{upload}", status_code=204, summary="Send the next part of an archive", openapi_extra=_PART)
async def send(request: Request, asking: Inside, upload: str) -> Response:
    """The bytes from ``Upload-Offset`` on. What came is kept, whatever ends it; the last byte makes it an archive."""
    check_writes(asking.access.role, "sending an archive")
    check_not_encoded(request)
    if media_type(request) != _MEDIA_TYPE:
        raise MediaTypeRefused(media_type(request), _MEDIA_TYPE)
    at = _whole_number(request, "Upload-Offset")
    shelf, account = _shelf(asking), asking.access.account
    with unfinished.at_work_on(shelf, account, upload):
        now = asking.application.clock()
        found = await run_sync(lambda: unfinished.find(shelf, account, upload, now=now))
        if at != found.offset:
            raise UploadElsewhere(at, found.offset)
        try:
            offset = await _received(request, asking, found)
        except NameTaken:
            raise UploadElsewhere(at, None) from None
        except StorageFull as wrong:
            raise NoRoom from wrong
    return _answer(204, {"Upload-Offset": str(offset), "Upload-Expires": _date(now + unfinished.EXPIRES_AFTER)})


async def _received(request: Request, asking: Caller, found: unfinished.Unfinished) -> int:
    """Keep what comes, in pieces, and what is left of it when it ends, however it ends. The offset by then."""
    shelf, account = _shelf(asking), asking.access.account
    waiting = bytearray()

    async def keep() -> None:
        nonlocal found
        if waiting:
            data = bytes(waiting)
            waiting.clear()
            found = await run_sync(unfinished.add, shelf, account, found, data)

    try:
        async for chunk in chunks(request, found.begun.length - found.offset):
            waiting += chunk
            if len(waiting) >= unfinished.PIECE_BYTES and found.offset + len(waiting) < found.begun.length:
                await keep()
    except (ClientDisconnect, BodyTooSlow):
        with CancelScope(shield=True):
            await keep()
        raise
    if found.offset + len(waiting) < found.begun.length:
        await keep()
        return found.offset
    now = asking.application.clock()
    with CancelScope(shield=True):
        whole = await run_sync(lambda: unfinished.finish(shelf, account, found, bytes(waiting), at=now))
    return whole.size


@router.delete("/{upload}", status_code=204, summary="Give up sending an archive in parts")
def give_up(asking: Inside, upload: str) -> Response:
    """What came of it is kept no longer."""
    check_writes(asking.access.role, "sending an archive")
    shelf, account = _shelf(asking), asking.access.account
    with unfinished.at_work_on(shelf, account, upload):
        found = unfinished.find(shelf, account, upload, now=asking.application.clock())
        unfinished.drop(shelf, account, found.id)
    return _answer(204, {})


def _shelf(asking: Caller) -> Shelf:
    return shelves(asking.settings).uploads


def _answer(status: int, headers: dict[str, str]) -> Response:
    return Response(status_code=status, headers={"Tus-Resumable": VERSION, **headers})


def _whole_number(request: Request, header: str) -> int:
    given = request.headers.getlist(header)
    if len(given) != 1 or not _WHOLE.fullmatch(given[0]):
        raise RequestInvalid(f"header {header}", f"found {', '.join(given)[:40] or 'none'}; expected a whole number")
    return int(given[0])


def _sha256(metadata: str) -> str | None:
    """The SHA-256 that ``Upload-Metadata`` says. Raises RequestInvalid for what is no such header."""
    if not metadata:
        return None
    pairs = [_PAIR.fullmatch(one.strip(" ")) for one in metadata.split(",")]
    if len(metadata) > _MOST_METADATA or any(pair is None for pair in pairs):
        expected = f"pairs of a key and a value in base64, {_MOST_METADATA:,} characters at most"
        raise RequestInvalid("header Upload-Metadata", f"found something else; expected {expected}")
    said = {pair[1]: pair[2] or "" for pair in pairs if pair is not None}
    if "sha256" not in said:
        return None
    try:
        found = base64.b64decode(said["sha256"], validate=True).decode("ascii").lower()
    except (binascii.Error, ValueError):
        found = ""
    if not _SHA256.fullmatch(found):
        raise RequestInvalid("header Upload-Metadata", "found no SHA-256 under sha256; expected 64 hexadecimal digits")
    return found


def _date(at: datetime) -> str:
    return format_datetime(at, usegmt=True)
