"""Archives of an account that nothing tells of: they were written, and the database was away before it could be said,
or was set back since to a state from before.

One that is whole, by this installation's signature and of this account is put on record, with the time at which it was
taken: daily ones fall under the retention rule again, those that people took stay. Any other is left as it is, and
named; nothing is deleted here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import BinaryIO

from psycopg import Connection

from domain.accounts import Access
from domain.application import Application
from domain.control import BackupTaken, Control
from domain.errors import ArchiveError
from domain.store.database import Row
from snapshots.daily.nightly import ACTOR, Keeping, row_of
from snapshots.daily.reading_back import read_back
from snapshots.daily.rehearsal import NotRestorable
from snapshots.daily.schedule import SQL, KeptBackup, kept_of
from snapshots.format.manifest import Manifest
from snapshots.reading.archive import open_archive
from snapshots.reading.examination import Examiner
from snapshots.shelves import Item, Place, private_copy
from snapshots.shelves.copies import PIECE_BYTES

_SAID_WITHIN = timedelta(hours=1)  # of when it was begun: who took a backup may be about to put it on record


def adopted(keeping: Keeping, access: Access, item: Item, *, told: Mapping[str, str]) -> BackupTaken | str | None:
    """The record of the archive *item* on the shelf, which nothing tells of; or why it is left; or None: not yet.

    *told*: the files of all archives that the account's history tells of, by archive.
    The account's daily backups must be the caller's alone (``schedule.to_itself``). Raises StorageUnavailable,
    StorageFailed, StorageFull, NotOnShelf, StoreError leaves.
    """
    place = Place(keeping.shelf, item.name)
    with private_copy(place, keeping.folder, most_bytes=item.size) as file:
        try:
            manifest = _sound(keeping, file)
        except ArchiveError as wrong:
            return str(wrong)
        sha256 = _sha256(file)
    if manifest.account.id != access.account:
        return f"it is of another account, “{manifest.account.name}”"
    if manifest.archive in told:
        return f"it is the archive {manifest.archive}, which is on record as {told[manifest.archive]}"
    is_daily = manifest.taken_by == ACTOR.name
    if not is_daily and manifest.taken_at > keeping.application.clock() - _SAID_WITHIN:
        return None
    taken = BackupTaken(
        archive=manifest.archive,
        file=place.file,
        stream=manifest.stream,
        position=manifest.tree_head.size,
        root=manifest.tree_head.root,
        size=item.size,
        sha256=sha256,
        daily=is_daily,
        taken_at=manifest.taken_at,
    )
    _record(keeping.application, access, taken)
    return taken


def _sound(keeping: Keeping, file: BinaryIO) -> Manifest:
    """The manifest of an archive that can be restored. Raises ArchiveError leaves."""
    ring = keeping.keys.ring()
    manifest = read_back(file, ring, keeping.limits)
    faults = Examiner(open_archive(file, keeping.limits, ring)).run().faults
    if faults.count:
        raise NotRestorable(str(faults.listed[0]))
    return manifest


def _sha256(file: BinaryIO) -> str:
    file.seek(0)
    hashed = hashlib.sha256()
    while piece := file.read(PIECE_BYTES):
        hashed.update(piece)
    return hashed.hexdigest()


def _record(application: Application, access: Access, taken: BackupTaken) -> None:
    def keep(connection: Connection[Row], _: Control) -> None:
        row = connection.execute(SQL["read_kept"], {"account": access.account}).fetchone()
        if row is not None and taken.daily and taken.taken_at is not None:
            one = KeptBackup(taken.archive, taken.file, taken.taken_at, taken.size)
            kept = sorted((*kept_of(row[0]), one), key=lambda one: one.at)
            connection.execute(SQL["record_kept"], {"account": access.account, **row_of(kept)})

    application.record_control(access.account, ACTOR, taken, beside=keep)
