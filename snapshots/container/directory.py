"""The directory: the list of a ZIP's entries, each checked as far as its header there tells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from stat import S_IFDIR, S_IFMT, S_IFREG
from struct import unpack_from
from typing import Final

from snapshots.container.end_record import DirectoryPlace
from snapshots.container.extra_fields import extra_fields
from snapshots.container.format import (
    ATTACHMENTS,
    CENTRAL,
    CENTRAL_SIGNATURE,
    DEFLATED,
    EXTRA_ZIP64,
    FLAG_DESCRIPTOR,
    FLAG_ENCRYPTED,
    FLAG_MASKED,
    FLAG_STRONG_ENCRYPTION,
    FLAG_UTF8,
    FLAGS_DEFLATE_EFFORT,
    SATURATED_32,
    STORED,
    VERSION_ZIP64,
    CentralHeader,
    Limits,
    is_entry_name,
)
from snapshots.container.source import Source
from snapshots.format.errors import (
    AttributesRefused,
    CommentPresent,
    DirectoryDamaged,
    EncryptedEntry,
    EntryCountWrong,
    EntryNameRefused,
    EntryTooLarge,
    EntryTwice,
    FlagsRefused,
    FolderNotEmpty,
    MethodRefused,
    RatioTooHigh,
    SeveralDisks,
    SizeWrong,
    TooManyEntries,
    UnpacksTooLarge,
    Zip64Contradiction,
)

_METHODS: Final = (STORED, DEFLATED)
_ENCRYPTION: Final = FLAG_ENCRYPTED | FLAG_STRONG_ENCRYPTION | FLAG_MASKED
_KNOWN_FLAGS: Final = FLAGS_DEFLATE_EFFORT | FLAG_DESCRIPTOR | FLAG_UTF8
# Read-only, hidden, system, archive, normal, compressed, not indexed, and "the upper half is a Unix mode".
_DOS_ATTRIBUTES: Final = 0x0001 | 0x0002 | 0x0004 | 0x0020 | 0x0080 | 0x0800 | 0x2000 | 0x8000
_DOS_FOLDER: Final = 0x0010
_UNIX_SPECIAL_BITS: Final = 0o7000
# Room for the longest header of each entry, and for one hostile name, of which its own check then tells.
_BYTES_PER_ENTRY: Final = 512
_ALLOWANCE_BYTES: Final = 192 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One entry, as the directory has it."""

    name: str  # ends with a slash for a folder's entry, which some programs add
    method: int
    flags: int
    time: int
    date: int
    crc32: int
    packed_bytes: int
    size_bytes: int
    offset: int  # of the header before its content

    @property
    def is_folder(self) -> bool:
        """Whether it stands for a folder, and so has no content."""
        return self.name.endswith("/")


def list_entries(source: Source, place: DirectoryPlace, limits: Limits) -> list[Entry]:
    """The entries that the directory at *place* lists, in its order. Raises a ContainerFault.

    The number of entries is checked before the directory is read, and the other limits as it is.
    """
    _check_count(place, limits)
    budget = _Budget(limits)
    entries = []
    for entry in _parse(source.read(place.offset, place.size_bytes), place):
        budget.spend(entry)
        entries.append(entry)
    _check_names(entries)
    return entries


def _check_count(directory: DirectoryPlace, limits: Limits) -> None:
    most = limits.max_entries + limits.max_attachments
    if directory.entries > most:
        raise TooManyEntries(
            offset=directory.offset, found=f"{directory.entries:,} entries", expected=f"{most:,} at most"
        )
    least_bytes = directory.entries * CENTRAL.size
    most_bytes = directory.entries * _BYTES_PER_ENTRY + _ALLOWANCE_BYTES
    if not least_bytes <= directory.size_bytes <= most_bytes:
        raise EntryCountWrong(
            offset=directory.offset,
            found=f"{directory.entries:,} entries in a directory of {directory.size_bytes:,} bytes",
            expected=f"{least_bytes:,} to {most_bytes:,} bytes for so many",
        )


def _parse(raw: bytes, directory: DirectoryPlace) -> Iterator[Entry]:
    at = 0
    for number in range(directory.entries):
        offset = directory.offset + at
        if len(raw) - at < CENTRAL.size:
            raise EntryCountWrong(
                offset=offset, found=f"{number:,} entries", expected=f"{directory.entries:,} as the end record counts"
            )
        header = CentralHeader._make(CENTRAL.unpack_from(raw, at))
        if header.signature != CENTRAL_SIGNATURE:
            raise DirectoryDamaged(
                offset=offset, found=f"{header.signature!r}", expected=f"header {number + 1:,} of the directory"
            )
        after_name = at + CENTRAL.size + header.name_bytes
        after_extra = after_name + header.extra_bytes
        if after_extra > len(raw):
            raise DirectoryDamaged(
                offset=offset, found="a header that runs over the end", expected="all of it in the directory"
            )
        name = _name(raw[at + CENTRAL.size : after_name], offset)
        yield _entry(header, name, raw[after_name:after_extra], offset)
        at = after_extra
    if at != len(raw):
        raise EntryCountWrong(
            offset=directory.offset + at,
            found=f"{len(raw) - at:,} more bytes of directory",
            expected=f"its end after {directory.entries:,} entries",
        )


def _name(raw: bytes, offset: int) -> str:
    if not is_entry_name(raw.removesuffix(b"/")):
        shown = repr(raw[:80])[1:]
        raise EntryNameRefused(
            offset=offset, found=f"an entry named {shown}", expected="lower-case letters, digits and -_./ alone"
        )
    return raw.decode("ascii")


def _entry(header: CentralHeader, name: str, extra: bytes, offset: int) -> Entry:
    """The entry of a directory header. Raises the fault of its first field that is not as it must be."""
    _check_method(header.method, name, offset)
    _check_flags(header.flags, name, offset)
    if header.version_needed > VERSION_ZIP64:
        raise MethodRefused(
            entry=name, offset=offset, found=f"version {header.version_needed}", expected=f"{VERSION_ZIP64} at most"
        )
    if header.comment_bytes:
        raise CommentPresent(
            entry=name, offset=offset, found=f"a comment of {header.comment_bytes:,} bytes", expected="none"
        )
    if header.disk:
        raise SeveralDisks(entry=name, offset=offset, found=f"disk {header.disk}", expected="disk 0")
    _check_attributes(header, name, offset)
    narrow = (header.size_bytes, header.packed_bytes, header.offset)
    zip64 = extra_fields(extra, entry=name, offset=offset).get(EXTRA_ZIP64)
    size_bytes, packed_bytes, header_offset = _wide_values(narrow, zip64, name, offset)
    if header.method == STORED and packed_bytes != size_bytes:
        raise SizeWrong(
            entry=name, offset=offset, found=f"{packed_bytes:,} bytes stored", expected=f"{size_bytes:,} as unpacked"
        )
    if name.endswith("/") and (size_bytes or header.crc32):
        raise FolderNotEmpty(entry=name, offset=offset, found=f"{size_bytes:,} bytes of content", expected="none")
    return Entry(
        name=name,
        method=header.method,
        flags=header.flags,
        time=header.time,
        date=header.date,
        crc32=header.crc32,
        packed_bytes=packed_bytes,
        size_bytes=size_bytes,
        offset=header_offset,
    )


def _check_method(method: int, name: str, offset: int) -> None:
    if method not in _METHODS:
        raise MethodRefused(
            entry=name, offset=offset, found=f"packing method {method}", expected="0 (stored) or 8 (deflate)"
        )


def _check_flags(flags: int, name: str, offset: int) -> None:
    if flags & _ENCRYPTION:
        raise EncryptedEntry(
            entry=name, offset=offset, found=f"an encrypted entry (flags {flags:#06x})", expected="a plain one"
        )
    if flags & ~_KNOWN_FLAGS:
        raise FlagsRefused(
            entry=name,
            offset=offset,
            found=f"flags {flags:#06x}",
            expected=f"none but those of {_KNOWN_FLAGS:#06x}",
        )


def _check_attributes(header: CentralHeader, name: str, offset: int) -> None:
    mode, dos = header.external_attributes >> 16, header.external_attributes & 0xFFFF
    is_folder = name.endswith("/")
    kinds = (0, S_IFDIR) if is_folder else (0, S_IFREG)
    allowed = _DOS_ATTRIBUTES | (_DOS_FOLDER if is_folder else 0)
    if S_IFMT(mode) not in kinds or mode & _UNIX_SPECIAL_BITS or dos & ~allowed or header.internal_attributes > 1:
        raise AttributesRefused(
            entry=name,
            offset=offset,
            found=f"attributes {header.external_attributes:#010x}, {header.internal_attributes:#06x}",
            expected="a folder's" if is_folder else "a plain file's",
        )


def _wide_values(narrow: tuple[int, int, int], zip64: bytes | None, name: str, offset: int) -> tuple[int, int, int]:
    """The three values of a directory header, those that it has no room for taken from its ZIP64 field."""
    wide_count = narrow.count(SATURATED_32)
    if (zip64 is not None and not wide_count) or len(zip64 or b"") != 8 * wide_count:
        raise Zip64Contradiction(
            entry=name,
            offset=offset,
            found="no ZIP64 field" if zip64 is None else f"a ZIP64 field of {len(zip64):,} bytes",
            expected=f"one of {wide_count} values" if wide_count else "none, as no value needs it",
        )
    wide = iter(unpack_from(f"<{wide_count}Q", zip64 or b""))
    size_bytes, packed_bytes, header_offset = (next(wide) if value == SATURATED_32 else value for value in narrow)
    return size_bytes, packed_bytes, header_offset


class _Budget:
    """What is left of the limits while a directory is read; hostile input ends at the first entry too many."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._entries = 0
        self._attachments = 0
        self._unpacked_bytes = 0

    def spend(self, entry: Entry) -> None:
        """Count *entry* in. Raises EntryTooLarge, RatioTooHigh, UnpacksTooLarge, TooManyEntries."""
        limits = self._limits
        if entry.size_bytes > limits.max_entry_bytes:
            raise EntryTooLarge(
                entry=entry.name,
                offset=entry.offset,
                found=f"{entry.size_bytes:,} bytes",
                expected=f"{limits.max_entry_bytes:,} at most",
            )
        if entry.size_bytes > limits.max_ratio * entry.packed_bytes:
            raise RatioTooHigh(
                entry=entry.name,
                offset=entry.offset,
                found=f"{entry.size_bytes:,} bytes from {entry.packed_bytes:,}",
                expected=f"{limits.max_ratio:,} times as many at most",
            )
        self._unpacked_bytes += entry.size_bytes
        if self._unpacked_bytes > limits.max_unpacked_bytes:
            raise UnpacksTooLarge(
                entry=entry.name,
                offset=entry.offset,
                found=f"{self._unpacked_bytes:,} bytes of content so far",
                expected=f"{limits.max_unpacked_bytes:,} at most",
            )
        if entry.name.startswith(ATTACHMENTS):
            self._attachments += 1
        else:
            self._entries += 1
        if self._entries > limits.max_entries or self._attachments > limits.max_attachments:
            raise TooManyEntries(
                entry=entry.name,
                offset=entry.offset,
                found=f"{self._entries:,} entries and {self._attachments:,} attachments so far",
                expected=f"{limits.max_entries:,} and {limits.max_attachments:,} at most",
            )


def _check_names(entries: list[Entry]) -> None:
    """No two names may be one to any file system, nor a file be where another's folder is."""
    seen: set[str] = set()
    for entry in entries:
        folded = entry.name.lower().removesuffix("/")
        if folded in seen:
            raise EntryTwice(entry=entry.name, offset=entry.offset, found="a second entry", expected="one of each name")
        seen.add(folded)
    files = {entry.name.lower() for entry in entries if not entry.is_folder}
    for entry in entries:
        for folder in _folders_above(entry.name):
            if folder in files:
                raise EntryTwice(
                    entry=entry.name,
                    offset=entry.offset,
                    found=f"something inside {folder}, which is a file",
                    expected="either a file or a folder",
                )


def _folders_above(name: str) -> Iterator[str]:
    folder, slash, _ = name.removesuffix("/").rpartition("/")
    while slash:
        yield folder
        folder, slash, _ = folder.rpartition("/")
