"""The archives that are kept for an account: those that backups made, and those that people sent.

What was sent is there under its name only once it came whole; what broke off leaves nothing. Beside it lies what is
known of it: its SHA-256, which is also the entity tag of a download.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from datetime import datetime
from typing import BinaryIO, NamedTuple

import msgspec
from anyio import CancelScope
from anyio.to_thread import run_sync
from msgspec import Struct

from api.http.errors import FileUnknown, NoRoom, UploadsFull
from api.http.reads import SQL
from api.settings import Settings
from api.storage import backup_at, shelves, to_work_from
from domain.application import Application
from domain.control import BackupsExpired, BackupTaken
from domain.ids import AccountId, is_canonical, new_id
from snapshots.shelves import Item, Place, Shelf, Sink
from snapshots.shelves.copies import sha256_of
from snapshots.shelves.errors import NotOnShelf, StorageFull

MOST_UPLOADS = 20  # of one account at a time, so that nobody fills the disk unseen
_PIECE_BYTES = 1 << 20  # a thread's errand for less would cost more than it does


class BackupListed(Struct, frozen=True, kw_only=True):
    """A backup that the account's history tells of; *available* says whether its file is here.

    *daily*: by the service itself, and kept as the account's rule says.
    """

    archive: str
    taken_at: datetime
    file: str
    stream: int
    position: int
    root: str
    size: int
    sha256: str
    encrypted: bool
    daily: bool
    available: bool


class Uploaded(Struct, frozen=True, kw_only=True):
    """An archive that was sent."""

    id: str
    size: int
    sent_at: datetime
    sha256: str


class _Known(Struct, frozen=True, kw_only=True):
    """What lies beside an archive that was sent."""

    sha256: str


def backups(application: Application, settings: Settings, account: AccountId) -> list[BackupListed]:
    """The account's backups, newest first. Raises StorageUnavailable."""
    there = {item.name: item.size for item in shelves(settings).backups.items(account)}
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
            daily=taken.daily,
            available=there.get(f"{account}/{taken.file}") == taken.size,
        )
        for at, taken in backups_told(application, account)
    ]


class Told(NamedTuple):
    """The backups that an account's history tells of, newest first, with when they were taken; and apart those that its
    rule did not keep.
    """

    kept: list[tuple[datetime, BackupTaken]]
    expired: list[BackupTaken]


def backups_told(application: Application, account: AccountId) -> list[tuple[datetime, BackupTaken]]:
    """The backups that the account's history tells of, newest first, wherever their files are; but for those that its
    rule did not keep.
    """
    return all_told(application, account).kept


def all_told(application: Application, account: AccountId) -> Told:
    """All backups that the account's history tells of."""
    with application.database.transaction(account) as connection:
        rows = connection.execute(SQL["list_taken"], {"account": account}).fetchall()
        expired = connection.execute(SQL["list_expired"], {"account": account}).fetchall()
    gone = {archive for (data,) in expired for archive in msgspec.json.decode(data, type=BackupsExpired).archives}
    told = [(at, msgspec.json.decode(data, type=BackupTaken)) for at, data in rows]
    kept = [(taken.taken_at or at, taken) for at, taken in told if taken.archive not in gone]
    return Told(sorted(kept, key=_at, reverse=True), [taken for _, taken in told if taken.archive in gone])


def _at(told: tuple[datetime, BackupTaken]) -> datetime:
    return told[0]


def backup_named(
    application: Application, settings: Settings, account: AccountId, archive: str
) -> tuple[BackupTaken, Place]:
    """A backup, and where it is. Raises FileUnknown where it is no backup of the account, or its file is not here."""
    for _, taken in backups_told(application, account):
        if taken.archive == archive:
            place = backup_at(settings, account, taken.file)
            found = place.shelf.find(place.name)
            if found is not None and found.size == taken.size:
                return taken, place
    raise FileUnknown("backup", archive)


def backup_copy(
    application: Application, settings: Settings, account: AccountId, archive: str
) -> AbstractContextManager[BinaryIO]:
    """A private copy of a backup, to work from. Raises FileUnknown, and StoredDamaged where it was changed since."""
    taken, place = backup_named(application, settings, account, archive)
    return to_work_from(settings, place, sha256=taken.sha256)


def sent_copy(settings: Settings, account: AccountId, archive: str) -> AbstractContextManager[BinaryIO]:
    """A private copy of an archive that was sent, to work from. Raises FileUnknown, and StoredDamaged."""
    uploaded, place = sent(settings, account, archive)
    return to_work_from(settings, place, sha256=uploaded.sha256)


def check_there(application: Application, settings: Settings, account: AccountId, archive: str) -> None:
    """That the archive was sent for the account, or is a backup of it that is here. Raises FileUnknown."""
    try:
        sent(settings, account, archive)
    except FileUnknown:
        backup_named(application, settings, account, archive)


def uploads(settings: Settings, account: AccountId) -> list[Uploaded]:
    """The archives that were sent for the account, oldest first."""
    shelf = shelves(settings).uploads
    found = []
    for item in _sent_items(shelf, account):
        with suppress(NotOnShelf):  # deleted meanwhile
            found.append(_uploaded(shelf, account, item))
    return found


def _sent_items(shelf: Shelf, account: AccountId) -> Iterator[Item]:
    for item in shelf.items(account):
        stem = item.name.removeprefix(f"{account}/").removesuffix(".zip")
        if item.name == name_of(account, stem) and is_canonical(stem):
            yield item


def sent(settings: Settings, account: AccountId, archive: str) -> tuple[Uploaded, Place]:
    """An archive that was sent, and where it is. Raises FileUnknown."""
    shelf = shelves(settings).uploads
    item = shelf.find(name_of(account, archive)) if is_canonical(archive) else None
    if item is None:
        raise FileUnknown("archive", archive)
    return _uploaded(shelf, account, item), Place(shelf, item.name)


def forget(settings: Settings, account: AccountId, archive: str) -> None:
    """Keep an archive that was sent no longer. Raises FileUnknown."""
    _, place = sent(settings, account, archive)
    place.shelf.delete(place.name)
    place.shelf.delete(_beside(place.name))


def name_of(account: AccountId, archive: str) -> str:
    """What an archive that was sent is called on its shelf."""
    return f"{account}/{archive}.zip"


def _beside(name: str) -> str:
    return name.removesuffix(".zip") + ".json"


def _uploaded(shelf: Shelf, account: AccountId, item: Item) -> Uploaded:
    stem = item.name.removeprefix(f"{account}/").removesuffix(".zip")
    return Uploaded(id=stem, size=item.size, sent_at=item.modified, sha256=_sha256(shelf, item))


def _sha256(shelf: Shelf, item: Item) -> str:
    """What is known of what was sent; it is found out anew where a crash came between, or an older version kept it."""
    with suppress(NotOnShelf, msgspec.DecodeError):
        beside = shelf.open(_beside(item.name))
        try:
            return msgspec.json.decode(beside.read(0, beside.size), type=_Known).sha256
        finally:
            beside.close()
    stored = shelf.open(item.name)
    try:
        found = sha256_of(stored)
    finally:
        stored.close()
    tell_beside(shelf, item.name, found)
    return found


def tell_beside(shelf: Shelf, name: str, sha256: str) -> None:
    """Say beside what was sent what is known of it."""
    with shelf.put(_beside(name)) as sink:
        sink.write(msgspec.json.encode(_Known(sha256=sha256)))


async def keep(settings: Settings, account: AccountId, content: AsyncIterator[bytes], *, at: datetime) -> Uploaded:
    """Keep what is sent, as it comes. Raises UploadsFull, NoRoom, and whatever *content* does; then nothing is kept."""
    shelf = shelves(settings).uploads
    await run_sync(check_room, shelf, account)
    archive = new_id(at)
    name = name_of(account, archive)
    hashed, size = hashlib.sha256(), 0
    try:
        async with putting(shelf, name) as sink:
            async for piece in gathered(content):
                hashed.update(piece)
                size += len(piece)
                await run_sync(sink.write, piece)
        sha256 = hashed.hexdigest()
        await run_sync(tell_beside, shelf, name, sha256)
    except StorageFull as wrong:
        raise NoRoom from wrong
    return Uploaded(id=archive, size=size, sent_at=at, sha256=sha256)


def check_room(shelf: Shelf, account: AccountId) -> None:
    """That one more archive may be kept for the account. Raises UploadsFull."""
    if sum(1 for _ in _sent_items(shelf, account)) >= MOST_UPLOADS:
        raise UploadsFull(MOST_UPLOADS)


@asynccontextmanager
async def putting(shelf: Shelf, name: str) -> AsyncIterator[Sink]:
    """`Shelf.put`, whose waiting is done by threads; what broke off is cleared away even if nobody waits for it."""
    put = shelf.put(name)
    sink = await run_sync(put.__enter__)
    try:
        yield sink
    except BaseException as broken:
        with CancelScope(shield=True):
            await run_sync(put.__exit__, type(broken), broken, broken.__traceback__)
        raise
    with CancelScope(shield=True):
        await run_sync(put.__exit__, None, None, None)


async def gathered(content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """*content* in pieces that are worth a thread's errand."""
    waiting = bytearray()
    async for chunk in content:
        waiting += chunk
        if len(waiting) >= _PIECE_BYTES:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)
