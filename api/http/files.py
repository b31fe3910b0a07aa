"""Archives on disk: those that backups made, and those that people sent. One folder for each account.

What was sent is on disk under its name only once it came whole; what broke off leaves nothing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import msgspec
from anyio.to_thread import run_sync
from msgspec import Struct
from starlette.responses import StreamingResponse

from api.folders import uploads_folder
from api.http.attachments import as_attachment
from api.http.errors import FileUnknown, NoRoom, UploadsFull
from api.http.reads import SQL
from api.settings import Settings
from domain.application import Application
from domain.control import BackupTaken
from domain.ids import AccountId, is_canonical, new_id
from snapshots.partial_files import claim

MOST_UPLOADS = 20  # of one account at a time, so that nobody fills the disk unseen
_PIECE_BYTES = 1 << 20  # a thread's errand for less would cost more than it does


class BackupListed(Struct, frozen=True, kw_only=True):
    """A backup that the account's history tells of; *available* says whether its file is here."""

    archive: str
    taken_at: datetime
    file: str
    stream: int
    position: int
    root: str
    size: int
    sha256: str
    encrypted: bool
    available: bool


class Uploaded(Struct, frozen=True, kw_only=True):
    """An archive that was sent. *sha256* is told once, when it came."""

    id: str
    size: int
    sent_at: datetime
    sha256: str | None = None


def backups(application: Application, settings: Settings, account: AccountId) -> list[BackupListed]:
    """The account's backups, newest first."""
    with application.database.transaction(account) as connection:
        rows = connection.execute(SQL["list_taken"], {"account": account}).fetchall()
    found = [(at, msgspec.json.decode(data, type=BackupTaken)) for at, data in rows]
    return [
        BackupListed(
            archive=taken.archive,
            taken_at=at,
            file=taken.file,
            stream=taken.stream,
            position=taken.position,
            root=taken.root,
            size=taken.size,
            sha256=taken.sha256,
            encrypted=taken.encrypted,
            available=_is_whole(settings.backups / account / taken.file, taken.size),
        )
        for at, taken in found
    ]


def _is_whole(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def open_backup(
    application: Application, settings: Settings, account: AccountId, archive: str
) -> tuple[BackupListed, BinaryIO]:
    """A backup and its file, open: even if it is removed meanwhile, it is read to its end. Raises FileUnknown."""
    found = next((one for one in backups(application, settings, account) if one.archive == archive), None)
    if found is None or not found.available:
        raise FileUnknown("backup", archive)
    try:
        return found, (settings.backups / account / found.file).open("rb")
    except OSError:
        raise FileUnknown("backup", archive) from None


def download(file: BinaryIO, name: str) -> StreamingResponse:
    """*file* as it is from here on, to be saved under *name*; closed when it is through."""
    headers = {"Content-Length": str(os.fstat(file.fileno()).st_size), "Content-Disposition": as_attachment(name)}
    media_type = "application/octet-stream" if name.endswith(".age") else "application/zip"
    return StreamingResponse(_pieces(file), 200, headers, media_type)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE_BYTES):
            yield piece


def uploads(settings: Settings, account: AccountId) -> list[Uploaded]:
    """The archives that were sent for the account, oldest first."""
    found = sorted(uploads_folder(settings, account).glob("*.zip"))
    return [_uploaded(path) for path in found if path.is_file()]


def _uploaded(path: Path) -> Uploaded:
    facts = path.stat()
    return Uploaded(id=path.stem, size=facts.st_size, sent_at=datetime.fromtimestamp(facts.st_mtime, UTC))


def upload_path(settings: Settings, account: AccountId, upload: str) -> Path:
    """Where an archive that was sent is. Raises FileUnknown."""
    path = uploads_folder(settings, account) / f"{upload}.zip"
    if not is_canonical(upload) or not path.is_file():
        raise FileUnknown("archive", upload)
    return path


async def keep(settings: Settings, account: AccountId, content: AsyncIterator[bytes], *, at: datetime) -> Uploaded:
    """Keep what is sent, as it comes. Raises UploadsFull, NoRoom, and whatever *content* does; then nothing is kept."""
    folder = uploads_folder(settings, account)
    if len(uploads(settings, account)) >= MOST_UPLOADS:
        raise UploadsFull(MOST_UPLOADS)
    whole = folder / f"{new_id(at)}.zip"
    partial = whole.with_suffix(".partial")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            sha256 = await _write(partial, content)
            partial.replace(whole)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as wrong:
        raise NoRoom from wrong
    return msgspec.structs.replace(_uploaded(whole), sha256=sha256)


async def _write(path: Path, content: AsyncIterator[bytes]) -> str:
    """Write *content* to *path*, synced. Its SHA-256."""
    hashed = hashlib.sha256()
    with path.open("xb") as file:
        claim(file)
        waiting = bytearray()

        def write_out() -> None:
            hashed.update(waiting)
            file.write(waiting)
            waiting.clear()

        async for chunk in content:
            waiting += chunk
            if len(waiting) >= _PIECE_BYTES:
                await run_sync(write_out)
        await run_sync(write_out)
        file.flush()
        await run_sync(os.fsync, file.fileno())
    return hashed.hexdigest()
