"""What a shelf refuses, or cannot do.

::

    ShelfError (an ArchiveError)
    ├── NameRefused           no name that a shelf takes
    ├── NotOnShelf            nothing is there under that name
    ├── NameTaken             something is there already, and was not to be replaced
    ├── NotSynced             it stands under its name, and a power loss may take it
    ├── StorageFull           there is no room for it
    ├── StorageFailed         the storage refused, for a reason that trying again does not mend
    ├── StorageUnavailable    the storage did not answer, or not as it should
    └── StoredDamaged         what is kept is not what was put there
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from domain.errors import ArchiveError


class ShelfError(ArchiveError):
    """Something about the place where archives are kept."""

    code: ClassVar[str] = "storage.refused"


@dataclass(eq=False)
class NameRefused(ShelfError):
    """A name that no shelf takes: it could lead somewhere else."""

    code: ClassVar[str] = "storage.name-refused"
    found: str

    def __str__(self) -> str:
        return f"found the name {self.found[:100]!r}; expected parts of 1 to 255 bytes, without control characters"


@dataclass(eq=False)
class NotOnShelf(ShelfError):
    """There is nothing under that name."""

    code: ClassVar[str] = "storage.not-there"
    where: str

    def __str__(self) -> str:
        return f"{self.where}: is not there"


@dataclass(eq=False)
class NameTaken(ShelfError):
    """Something is there under that name already, which was not to be replaced."""

    code: ClassVar[str] = "storage.name-taken"
    where: str

    def __str__(self) -> str:
        return f"{self.where}: is there already"


@dataclass(eq=False)
class NotSynced(ShelfError):
    """It is whole and stands under its name, but its folder could not be synced: a power loss may take it."""

    code: ClassVar[str] = "storage.not-synced"
    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: its folder could not be synced: {self.reason}"


@dataclass(eq=False)
class StorageFull(ShelfError):
    """There is no room where archives are kept; nothing is there under the name that was not before."""

    code: ClassVar[str] = "storage.full"
    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: there is no room: {self.reason}"


@dataclass(eq=False)
class StorageFailed(ShelfError):
    """The storage refused, and would again; nothing is there under the name that was not before."""

    code: ClassVar[str] = "storage.failed"
    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}; expected storage that may be read and written (the settings storage…)"


@dataclass(eq=False)
class StorageUnavailable(ShelfError):
    """The storage does not answer, or not as it should; nothing is there under the name that was not before."""

    code: ClassVar[str] = "storage.unavailable"
    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: the storage does not answer as it should: {self.reason}; try again later"


@dataclass(eq=False)
class StoredDamaged(ShelfError):
    """What is kept is not what was put there: it was changed, cut short or replaced since."""

    code: ClassVar[str] = "storage.damaged"
    where: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.where}: found {self.found}; expected {self.expected}"
