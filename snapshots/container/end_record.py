"""The end of the file: the records from which a reader learns where the directory is, and how many entries it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from snapshots.container.format import (
    END,
    END64,
    END64_SIGNATURE,
    END64_STATED_BYTES,
    END_SIGNATURE,
    LOCAL_SIGNATURE,
    LOCATOR,
    LOCATOR_SIGNATURE,
    SATURATED_16,
    SATURATED_32,
    End64Record,
    EndRecord,
    Locator,
)
from snapshots.container.source import Source
from snapshots.format.errors import (
    CommentPresent,
    DirectoryMisplaced,
    EmptyArchive,
    EndRecordMissing,
    EntryCountWrong,
    NotAZip,
    SeveralDisks,
    TrailingBytes,
    Zip64Contradiction,
)

# The longest comment that an end record can have: as far back as one can begin.
_LONGEST_COMMENT: Final = 0xFFFF
# Which value of each of its fields says "see the end record of ZIP64".
_SATURATED: Final = {
    "disk": SATURATED_16,
    "directory_disk": SATURATED_16,
    "entries_here": SATURATED_16,
    "entries": SATURATED_16,
    "directory_bytes": SATURATED_32,
    "directory_offset": SATURATED_32,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class DirectoryPlace:
    """Where the directory is and how many entries it has, as the end of the file states."""

    offset: int
    size_bytes: int
    entries: int


def find_directory(source: Source) -> DirectoryPlace:
    """Where the directory of *source* is. Reads some hundred bytes of a sound file. Raises a ContainerFault."""
    end_offset = source.size_bytes - END.size
    if end_offset < 0:
        raise NotAZip(offset=0, found=f"{source.size_bytes:,} bytes", expected="a ZIP file")
    end = EndRecord._make(END.unpack(source.read(end_offset, END.size)))
    if end.signature != END_SIGNATURE:
        raise _why_no_end(source)
    if end.comment_bytes:
        raise CommentPresent(offset=end_offset, found=f"a comment of {end.comment_bytes:,} bytes", expected="none")
    after_directory = end_offset
    locator_offset = end_offset - LOCATOR.size
    if locator_offset >= 0:
        locator = Locator._make(LOCATOR.unpack(source.read(locator_offset, LOCATOR.size)))
        if locator.signature == LOCATOR_SIGNATURE:
            after_directory = locator_offset - END64.size
            end = _widen(end, end_offset, _read_end64(source, locator, locator_offset))
    if end.disk or end.directory_disk:
        raise SeveralDisks(
            offset=end_offset, found=f"disk {end.disk} with the directory on {end.directory_disk}", expected="disk 0"
        )
    if end.entries_here != end.entries:
        raise EntryCountWrong(
            offset=end_offset, found=f"{end.entries_here:,} entries here of {end.entries:,}", expected="all of them"
        )
    if end.directory_offset + end.directory_bytes != after_directory:
        raise DirectoryMisplaced(
            offset=end_offset,
            found=f"a directory of {end.directory_bytes:,} bytes from byte {end.directory_offset:,} on",
            expected=f"one that ends at byte {after_directory:,}",
        )
    if end.entries == 0:
        raise EmptyArchive(offset=end_offset, found="no entry", expected="an archive's entries")
    return DirectoryPlace(offset=end.directory_offset, size_bytes=end.directory_bytes, entries=end.entries)


def _why_no_end(source: Source) -> NotAZip | EndRecordMissing | TrailingBytes | CommentPresent:
    tail_bytes = min(source.size_bytes, END.size + _LONGEST_COMMENT)
    tail = source.read(source.size_bytes - tail_bytes, tail_bytes)
    last_possible = tail_bytes - END.size - 1
    at = tail.rfind(END_SIGNATURE, 0, last_possible + len(END_SIGNATURE))
    if at >= 0:
        end = EndRecord._make(END.unpack_from(tail, at))
        offset = source.size_bytes - tail_bytes + at
        following = tail_bytes - at - END.size
        if end.comment_bytes == following:
            return CommentPresent(offset=offset, found=f"a comment of {following:,} bytes", expected="none")
        return TrailingBytes(offset=offset + END.size, found=f"{following:,} bytes", expected="the end of the file")
    begins = source.read(0, len(LOCAL_SIGNATURE))
    if begins != LOCAL_SIGNATURE:
        return NotAZip(offset=0, found=f"a file that begins with {begins!r}", expected="a ZIP file")
    return EndRecordMissing(
        offset=source.size_bytes - END.size,
        found="no end record: the file was cut short, or something was added",
        expected="an end record as the last 22 bytes",
    )


def _read_end64(source: Source, locator: Locator, locator_offset: int) -> End64Record:
    if locator.end64_disk != 0 or locator.disks not in {0, 1}:
        raise SeveralDisks(
            offset=locator_offset, found=f"disk {locator.end64_disk} of {locator.disks}", expected="disk 0 of 1"
        )
    expected = locator_offset - END64.size
    if expected < 0 or locator.end64_offset != expected:
        raise Zip64Contradiction(
            offset=locator_offset,
            found=f"a locator of an end record at byte {locator.end64_offset:,}",
            expected="one just before the locator",
        )
    end64 = End64Record._make(END64.unpack(source.read(expected, END64.size)))
    if (end64.signature, end64.stated_bytes) != (END64_SIGNATURE, END64_STATED_BYTES):
        raise Zip64Contradiction(
            offset=expected, found=f"{end64.signature!r} of {end64.stated_bytes:,} bytes", expected="a ZIP64 end record"
        )
    return end64


def _widen(end: EndRecord, end_offset: int, end64: End64Record) -> EndRecord:
    """The end record with the values of *end64*, which must be the same wherever it states its own."""
    wide = {name: getattr(end64, name) for name in _SATURATED}
    for name, saturated in _SATURATED.items():
        narrow = getattr(end, name)
        if narrow not in {wide[name], saturated}:
            raise Zip64Contradiction(
                offset=end_offset,
                found=f"{name.replace('_', ' ')} {narrow:,}",
                expected=f"{wide[name]:,} as in the ZIP64 end record",
            )
    return end._replace(**wide)
