"""What can be wrong with an archive, one named fact each.

::

    ArchiveError
    ├── ManifestRefused, FormatNewer, FileDiffers, ArchiveEdited, SignatureRefused   what an archive says of itself
    └── ContainerFault              the ZIP itself: refused before anything in it is believed
        ├── NotAZip, EmptyArchive, EndRecordMissing, TrailingBytes, CommentPresent, SeveralDisks, FileCutShort
        ├── ArchiveTooLarge, TooManyEntries, EntryTooLarge, UnpacksTooLarge, RatioTooHigh      (a limit)
        ├── DirectoryMisplaced, DirectoryDamaged, EntryCountWrong, Zip64Contradiction           (the directory)
        ├── EntryNameRefused, EntryTwice, MethodRefused, EncryptedEntry, FlagsRefused,
        │   ExtraFieldRefused, AttributesRefused, FolderNotEmpty                                (an entry's header)
        ├── LocalHeaderDiffers, DescriptorDiffers, PrependedBytes, OverlappingEntries, HiddenBytes   (the layout)
        └── DeflateDamaged, SizeWrong, ChecksumWrong, DescriptorInContent, EntryMissing, EntryUnfinished (the content)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from domain.errors import ArchiveError
from snapshots.format.authenticity import Differing

_MOST_NAMED = 20  # files, in a sentence


@dataclass(eq=False, kw_only=True)
class ContainerFault(ArchiveError):
    """The ZIP breaks a rule of the container: where, what was found there, and what would be right.

    *entry* is None where the fault is of the file as a whole; *offset* counts bytes from the start of the file.
    """

    code: ClassVar[str] = "archive.container"
    offset: int
    found: str
    expected: str
    entry: str | None = None

    def __str__(self) -> str:
        where = "the archive" if self.entry is None else self.entry
        return f"{where}, byte {self.offset:,}: found {self.found}; expected {self.expected}"


class NotAZip(ContainerFault):
    """The file is something else than a ZIP."""

    code: ClassVar[str] = "archive.not-a-zip"


class EmptyArchive(ContainerFault):
    """The ZIP has no entry."""

    code: ClassVar[str] = "archive.empty"


class EndRecordMissing(ContainerFault):
    """The ZIP does not end with an end record: it was cut short, or something follows."""

    code: ClassVar[str] = "archive.end-record-missing"


class TrailingBytes(ContainerFault):
    """Bytes follow the end record."""

    code: ClassVar[str] = "archive.trailing-bytes"


class CommentPresent(ContainerFault):
    """The ZIP or one of its entries has a comment, in which a second end record could hide."""

    code: ClassVar[str] = "archive.comment"


class SeveralDisks(ContainerFault):
    """The ZIP says that it is one of several disks."""

    code: ClassVar[str] = "archive.several-disks"


class FileCutShort(ContainerFault):
    """The file ends before what it says is in it."""

    code: ClassVar[str] = "archive.cut-short"


class ArchiveTooLarge(ContainerFault):
    """The file is larger than the limit."""

    code: ClassVar[str] = "archive.too-large"


class TooManyEntries(ContainerFault):
    """There are more entries than the limit."""

    code: ClassVar[str] = "archive.too-many-entries"


class EntryTooLarge(ContainerFault):
    """An entry's content is larger than the limit."""

    code: ClassVar[str] = "archive.entry-too-large"


class UnpacksTooLarge(ContainerFault):
    """The contents together are larger than the limit."""

    code: ClassVar[str] = "archive.unpacks-too-large"


class RatioTooHigh(ContainerFault):
    """An entry's content is more times larger than its packed bytes than the limit: a bomb."""

    code: ClassVar[str] = "archive.ratio-too-high"


class DirectoryMisplaced(ContainerFault):
    """The directory is not where the end record says, or does not end where that begins."""

    code: ClassVar[str] = "archive.directory-misplaced"


class DirectoryDamaged(ContainerFault):
    """The directory is not a list of directory headers."""

    code: ClassVar[str] = "archive.directory-damaged"


class EntryCountWrong(ContainerFault):
    """The end record counts other entries than the directory lists."""

    code: ClassVar[str] = "archive.entry-count"


class Zip64Contradiction(ContainerFault):
    """The ZIP64 records or fields contradict the others, or are there without need."""

    code: ClassVar[str] = "archive.zip64"


class EntryNameRefused(ContainerFault):
    """An entry's name is not one that an archive can have."""

    code: ClassVar[str] = "archive.entry-name"


class EntryTwice(ContainerFault):
    """Two entries have names that are the same, or the same to some file systems."""

    code: ClassVar[str] = "archive.entry-twice"


class MethodRefused(ContainerFault):
    """An entry is packed by another method than stored or deflate."""

    code: ClassVar[str] = "archive.method"


class EncryptedEntry(ContainerFault):
    """An entry is encrypted, or its header is masked."""

    code: ClassVar[str] = "archive.encrypted"


class FlagsRefused(ContainerFault):
    """An entry has a flag that is reserved, or of no use here."""

    code: ClassVar[str] = "archive.flags"


class ExtraFieldRefused(ContainerFault):
    """An entry has an extra field other than ZIP64 sizes, times and owner, or a malformed one."""

    code: ClassVar[str] = "archive.extra-field"


class AttributesRefused(ContainerFault):
    """An entry claims to be a link, a device or a program that runs with other rights."""

    code: ClassVar[str] = "archive.attributes"


class FolderNotEmpty(ContainerFault):
    """A folder's entry has content."""

    code: ClassVar[str] = "archive.folder-not-empty"


class LocalHeaderDiffers(ContainerFault):
    """The header before an entry's content is not what the directory says."""

    code: ClassVar[str] = "archive.local-header"


class DescriptorDiffers(ContainerFault):
    """The data descriptor after an entry's content is not what the directory says."""

    code: ClassVar[str] = "archive.data-descriptor"


class PrependedBytes(ContainerFault):
    """Bytes stand before the first entry."""

    code: ClassVar[str] = "archive.prepended-bytes"


class OverlappingEntries(ContainerFault):
    """Two entries share bytes of the file."""

    code: ClassVar[str] = "archive.overlapping-entries"


class HiddenBytes(ContainerFault):
    """Bytes between entries belong to none that the directory lists."""

    code: ClassVar[str] = "archive.hidden-bytes"


class DeflateDamaged(ContainerFault):
    """An entry's packed bytes are no deflate stream, or go on after its end."""

    code: ClassVar[str] = "archive.deflate"


class SizeWrong(ContainerFault):
    """An entry's content is not as long as its header says."""

    code: ClassVar[str] = "archive.entry-size"


class ChecksumWrong(ContainerFault):
    """An entry's content does not have the CRC-32 of its header."""

    code: ClassVar[str] = "archive.checksum"


class DescriptorInContent(ContainerFault):
    """A stored entry of unannounced length contains what looks like its end: readers would differ on it."""

    code: ClassVar[str] = "archive.descriptor-in-content"


@dataclass(eq=False, kw_only=True)
class EntryMissing(ArchiveError):
    """The archive has no entry of this name."""

    code: ClassVar[str] = "archive.entry-missing"
    entry: str

    def __str__(self) -> str:
        return f"the archive has no {self.entry}"


@dataclass(eq=False, kw_only=True)
class EntryUnfinished(ArchiveError):
    """The writing of an entry broke off, or still goes on, so the archive cannot be completed."""

    code: ClassVar[str] = "archive.entry-unfinished"
    entry: str

    def __str__(self) -> str:
        return f"the archive cannot be completed: the writing of {self.entry} did not end"


@dataclass(eq=False)
class ManifestRefused(ArchiveError):
    """The manifest is not what a manifest of this format says."""

    code: ClassVar[str] = "archive.manifest"
    field: str
    found: str
    expected: str

    def __str__(self) -> str:
        where = f"manifest.json, {self.field}" if self.field else "manifest.json"
        return f"{where}: found {self.found}; expected {self.expected}"


@dataclass(eq=False)
class FormatNewer(ArchiveError):
    """The archive's format is newer than this version knows."""

    code: ClassVar[str] = "archive.format-newer"
    found: int
    known: int

    def __str__(self) -> str:
        return (
            f"manifest.json, format_version: found {self.found}; this version reads up to {self.known}:"
            " restore it with a newer version"
        )


@dataclass(eq=False)
class LinesBroken(ArchiveError):
    """A file of lines breaks off within one, or has one that is too long to be a line."""

    code: ClassVar[str] = "archive.lines-broken"
    file: str
    line: int
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.file} line {self.line:,}: found {self.found}; expected {self.expected}"


@dataclass(eq=False)
class FileDiffers(ArchiveError):
    """A file of the archive is not the one that the manifest lists."""

    code: ClassVar[str] = "archive.file-differs"
    hint = "if it was edited on purpose, say so with --accept-edits (accept_edits)"
    file: str
    what: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what} {self.found}; the manifest says {self.expected}"


@dataclass(eq=False)
class ArchiveEdited(ArchiveError):
    """Files of the archive are not those that were signed: they were edited since, or are damaged."""

    code: ClassVar[str] = "archive.edited"
    hint = "if they were edited on purpose, say so with --accept-edits (accept_edits)"
    signed_by: str
    files: tuple[Differing, ...]

    @property
    def file(self) -> str:
        """The first of the files."""
        return self.files[0].file

    def __str__(self) -> str:
        named = "; ".join(map(str, self.files[:_MOST_NAMED]))
        more = f"; and {len(self.files) - _MOST_NAMED:,} more" if len(self.files) > _MOST_NAMED else ""
        return f"edited since {self.signed_by} signed it: {named}{more}"
