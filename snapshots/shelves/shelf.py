"""What every place that keeps archives does, and the names that it keeps them under."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from typing import NamedTuple, Protocol

from snapshots.shelves.errors import NameRefused

_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")


class Sink(Protocol):
    """Takes bytes, in order."""

    def write(self, data: bytes, /) -> object:
        """Take *data*, after all that came before."""


class Item(NamedTuple):
    """Something on a shelf."""

    name: str
    size: int
    modified: datetime


class Stored(Protocol):
    """Something on a shelf, open: it stays what it was when it was opened, or reading it fails."""

    name: str
    size: int

    def read(self, start: int, length: int) -> bytes:
        """The bytes from *start* on, *length* of them, fewer only at the end.

        Raises StoredDamaged when it is no longer what was opened, and StorageUnavailable.
        """

    def close(self) -> None:
        """Let go of it. May be called twice."""


class Shelf(Protocol):
    """A place that keeps bytes under names such as ``account/file``.

    Raises NameRefused for a name that is none, and StorageUnavailable or StorageFailed where the place is not to be
    reached or refuses. What a name held before stays until something whole takes its place.
    """

    def put(self, name: str) -> AbstractContextManager[Sink]:
        """A sink. What it took stands under *name* once the ``with`` ended well: whole, and safe from a power loss.

        However else the ``with`` ends, nothing changed. Memory is a few parts, whatever is written. Raises StorageFull,
        and NotSynced where it stands there and a power loss may take it.
        """

    def put_new(self, name: str, data: bytes) -> None:
        """Put *data* under *name* as `put` does, where nothing is there yet. Raises NameTaken."""

    def open(self, name: str) -> Stored:
        """What stands under *name*. Raises NotOnShelf."""

    def find(self, name: str) -> Item | None:
        """What stands under *name*, without opening it."""

    def items(self, within: str = "") -> Iterator[Item]:
        """All that stands under names that begin with *within* and a slash, or all there is; in order of name."""

    def delete(self, name: str) -> None:
        """Let nothing stand under *name*; nothing is fine too."""

    def where(self, name: str) -> str:
        """How people find what stands under *name*."""

    def sweep(self) -> list[str]:
        """Remove what broke off and is nobody's; where that was. Never what somebody is at work on."""


class Place(NamedTuple):
    """A name on a shelf."""

    shelf: Shelf
    name: str

    @property
    def where(self) -> str:
        """How people find it."""
        return self.shelf.where(self.name)

    @property
    def file(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]


def checked(name: str) -> str:
    """*name*, when it is one: parts between slashes, none of which leads elsewhere. Raises NameRefused."""
    parts = name.split("/")
    if any(part in {"", ".", ".."} or len(part.encode("utf-8", "replace")) > 255 for part in parts):
        raise NameRefused(name)
    if _CONTROL.search(name) or not _is_text(name):
        raise NameRefused(name)
    return name


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True
