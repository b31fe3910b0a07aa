"""Archives that are being sent and have not come whole: kept in pieces, so that sending goes on where it broke off.

All that is known of an upload stands on the shelf: what was said when it began, and its pieces, each named by where it
begins. So it survives the process, and is the same on a folder and on S3. A piece is put once, where nothing is there
yet: of two that send at the same time, one is refused. The last piece is never put: it completes the archive, whose
bytes are then put together in order. An upload whose offset is its length is therefore an archive, or none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Lock
from typing import NamedTuple

import msgspec
from msgspec import Struct

from api.http import files
from api.http.errors import FileUnknown, UploadBusy, UploadDiffers, UploadInCrumbs, UploadsFull
from domain.ids import AccountId, is_canonical, new_id
from snapshots.shelves import Item, Shelf
from snapshots.shelves.copies import pieces

PIECE_BYTES = 4 << 20  # what a crash may take of what came
MOST_UNFINISHED = 5  # of one account at a time
MOST_PIECES = 10_000  # more of them would cost more than what is in them
EXPIRES_AFTER = timedelta(hours=24)  # from what came last
_BEGUN = "begun.json"
_at_work: set[str] = set()
_guarding = Lock()


class Begun(Struct, frozen=True, kw_only=True):
    """What was said when it began: how long it will be, its SHA-256 if that was said, and *metadata* as it was sent."""

    length: int
    sha256: str | None = None
    metadata: str = ""
    began_at: datetime


class Unfinished(NamedTuple):
    """An upload that goes on: which bytes are there already, and when it is given up."""

    id: str
    begun: Begun
    pieces: tuple[Item, ...]
    expires_at: datetime

    @property
    def offset(self) -> int:
        """How many bytes are there, from the first on without a gap."""
        return sum(piece.size for piece in self.pieces)


def begin(
    shelf: Shelf, account: AccountId, *, length: int, sha256: str | None, metadata: str, at: datetime
) -> Unfinished:
    """Begin an upload of *length* bytes. Raises UploadsFull."""
    files.check_room(shelf, account)
    if len(_ids(shelf, account)) >= MOST_UNFINISHED:
        raise UploadsFull(MOST_UNFINISHED)
    upload = new_id(at)
    begun = Begun(length=length, sha256=sha256, metadata=metadata, began_at=at)
    shelf.put_new(f"{account}/{upload}/{_BEGUN}", msgspec.json.encode(begun))
    return Unfinished(upload, begun, (), at + EXPIRES_AFTER)


def unfinished(shelf: Shelf, account: AccountId, *, now: datetime) -> list[Unfinished]:
    """The uploads of the account that go on, oldest first."""
    found = []
    for upload in sorted(_ids(shelf, account)):
        try:
            found.append(find(shelf, account, upload, now=now))
        except FileUnknown:
            continue
    return found


def find(shelf: Shelf, account: AccountId, upload: str, *, now: datetime) -> Unfinished:
    """An upload that goes on. Raises FileUnknown where it is none, or was given up."""
    items = list(shelf.items(f"{account}/{upload}")) if is_canonical(upload) else []
    begun = next((item for item in items if item.name.endswith(f"/{_BEGUN}")), None)
    if begun is None:
        raise FileUnknown("upload", upload)
    expires_at = max(item.modified for item in items) + EXPIRES_AFTER
    if expires_at < now:
        raise FileUnknown("upload", upload)
    stored = shelf.open(begun.name)
    try:
        said = msgspec.json.decode(stored.read(0, stored.size), type=Begun)
    finally:
        stored.close()
    return Unfinished(upload, said, tuple(_chain(items)), expires_at)


def _chain(items: list[Item]) -> Iterator[Item]:
    """The pieces that follow each other from the first byte on."""
    by_start = {item.name.rpartition("/")[2]: item for item in items}
    start = 0
    while piece := by_start.get(_piece(start)):
        yield piece
        start += piece.size


def _piece(start: int) -> str:
    return f"{start:015}"


def _ids(shelf: Shelf, account: AccountId) -> set[str]:
    parts = [item.name.removeprefix(f"{account}/").split("/") for item in shelf.items(account)]
    return {one[0] for one in parts if len(one) == 2 and one[1] == _BEGUN and is_canonical(one[0])}


@contextmanager
def at_work_on(shelf: Shelf, account: AccountId, upload: str) -> Iterator[None]:
    """Be the one who sends to that upload. Raises UploadBusy while another is, FileUnknown for what is no id."""
    if not is_canonical(upload):
        raise FileUnknown("upload", upload)
    name = shelf.where(f"{account}/{upload}")
    with _guarding:
        if name in _at_work:
            raise UploadBusy
        _at_work.add(name)
    try:
        yield
    finally:
        _at_work.discard(name)


def add(shelf: Shelf, account: AccountId, upload: Unfinished, data: bytes) -> Unfinished:
    """The upload with *data* after what came, safe from a crash. Raises UploadInCrumbs, NameTaken, StorageFull."""
    if len(upload.pieces) >= MOST_PIECES:
        raise UploadInCrumbs(MOST_PIECES)
    name = f"{account}/{upload.id}/{_piece(upload.offset)}"
    shelf.put_new(name, data)
    return upload._replace(pieces=(*upload.pieces, Item(name, len(data), upload.begun.began_at)))


def finish(shelf: Shelf, account: AccountId, upload: Unfinished, data: bytes, *, at: datetime) -> files.Uploaded:
    """The archive that *data*, the last of it, completes; the upload is no more. Raises UploadDiffers."""
    hashed, size = hashlib.sha256(), 0
    with shelf.put(files.name_of(account, upload.id)) as sink:
        for piece in _content(shelf, upload, data):
            hashed.update(piece)
            sink.write(piece)
            size += len(piece)
        found = hashed.hexdigest()
        if upload.begun.sha256 not in {None, found} or size != upload.begun.length:
            drop(shelf, account, upload.id)
            raise UploadDiffers(found, str(upload.begun.sha256))
    files.tell_beside(shelf, files.name_of(account, upload.id), found)
    drop(shelf, account, upload.id)
    return files.Uploaded(id=upload.id, size=size, sent_at=at, sha256=found)


def _content(shelf: Shelf, upload: Unfinished, data: bytes) -> Iterator[bytes]:
    for piece in upload.pieces:
        stored = shelf.open(piece.name)
        try:
            yield from pieces(stored)
        finally:
            stored.close()
    yield data


def drop(shelf: Shelf, account: AccountId, upload: str) -> None:
    """Give an upload up. What says that it began goes last, so that what breaks off is swept later."""
    names = [item.name for item in shelf.items(f"{account}/{upload}")]
    for name in sorted(names, key=lambda name: name.endswith(_BEGUN)):
        shelf.delete(name)


def sweep_expired(shelf: Shelf, *, now: datetime) -> list[str]:
    """Give up the uploads of all accounts to which nothing came for long, or that are archives by now."""
    newest: dict[tuple[str, str], datetime] = {}
    whole = set()
    for item in shelf.items():
        parts = item.name.split("/")
        if len(parts) == 3:
            key = (parts[0], parts[1])
            newest[key] = max(newest.get(key, item.modified), item.modified)
        elif item.name.endswith(".zip") and len(parts) == 2:
            whole.add((parts[0], parts[1].removesuffix(".zip")))
    swept = []
    for account, upload in sorted(newest):
        is_dead = newest[account, upload] + EXPIRES_AFTER < now or (account, upload) in whole
        if is_dead and is_canonical(account) and is_canonical(upload):
            drop(shelf, AccountId(account), upload)
            swept.append(shelf.where(f"{account}/{upload}"))
    return swept
