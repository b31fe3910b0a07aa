"""Where archives are kept, by the settings: the backups of accounts, and what was sent for them, each a shelf.

Names begin with the account's id, so that no account's names are another's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import BinaryIO, NamedTuple

from api.settings import Settings
from domain.accounts import Access
from domain.ids import AccountId, new_id
from snapshots.shelves import FolderShelf, Place, S3Location, S3Shelf, Shelf, private_copy

_S3 = "s3://"
_NAMED_HERE = re.compile(r".+-[0-9]{8}T[0-9]{6,12}Z(-[0-9a-f]+)?\.zip(\.age)?")


class Shelves(NamedTuple):
    """Where backups are, and where what was sent is."""

    backups: Shelf
    uploads: Shelf


def shelves(settings: Settings) -> Shelves:
    """The shelves of the installation that *settings* describe."""
    if settings.storage.startswith(_S3):
        return Shelves(*(_s3_shelf(_location(settings, part)) for part in Shelves._fields))
    return Shelves(FolderShelf(settings.backups), FolderShelf(settings.home / "uploads", mode=0o700))


def _location(settings: Settings, part: str) -> S3Location:
    bucket, _, prefix = settings.storage.removeprefix(_S3).partition("/")
    below = f"{prefix}/{part}" if prefix else part
    return S3Location(bucket, below, settings.storage_endpoint, settings.storage_region, settings.storage_path_style)


@cache
def _s3_shelf(location: S3Location) -> S3Shelf:
    """One shelf a location, whose connections are used again."""
    return S3Shelf(location)


def backup_place(settings: Settings, access: Access, at: datetime, *, encrypted: bool = False) -> Place:
    """Where a backup of the account goes: a name of its own, which tells account and time."""
    file = f"{access.slug}-{at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{new_id(at)[-12:]}.zip{'.age' if encrypted else ''}"
    return Place(shelves(settings).backups, f"{access.account}/{file}")


def is_named_here(file: str) -> bool:
    """Whether a backup of that file's name was put on a shelf, and not where somebody said (``-o``)."""
    return _NAMED_HERE.fullmatch(file) is not None


def backup_at(settings: Settings, account: AccountId, file: str) -> Place:
    """Where the backup of that file's name is."""
    return Place(shelves(settings).backups, f"{account}/{file}")


@contextmanager
def to_work_from(settings: Settings, place: Place, *, sha256: str | None = None) -> Iterator[BinaryIO]:
    """A private copy of what stands at *place*, in the home folder without a name, as far as an archive may go.

    Raises what ``private_copy`` does.
    """
    with private_copy(place, settings.home, most_bytes=settings.upload_limit_bytes, sha256=sha256) as copy:
        yield copy
