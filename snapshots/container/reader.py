"""The reader of containers: unpacks the entries of a ZIP whose structure was found sound, within limits.

What it reads is what every other ZIP program reads, or it refuses. All reading is from one open descriptor by position,
so entries can be read interleaved and a file that takes the path's place meanwhile is never seen. Memory is a chunk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final, cast

from isal import isal_zlib

from snapshots.container.directory import list_entries
from snapshots.container.end_record import find_directory
from snapshots.container.format import DESCRIPTOR_SIGNATURE, STORED, Limits
from snapshots.container.layout import LocatedEntry, locate_entries
from snapshots.container.source import Source
from snapshots.format.errors import (
    ArchiveTooLarge,
    ChecksumWrong,
    DeflateDamaged,
    DescriptorInContent,
    EntryMissing,
    EntryTooLarge,
    SizeWrong,
)

# Of content; some thousand JSON lines. Larger chunks gained nothing (2026-11).
CHUNK_BYTES: Final = 1024 * 1024
# Of packed bytes at a time: few enough that what a full chunk leaves unread is cheap to carry over.
_PACKED_BYTES: Final = 64 * 1024


# The stubs of isal 1.9 declare it an instance.
_NotDeflate: Final = cast(type[Exception], isal_zlib.error)


class Container:
    """A ZIP whose structure is sound. The file must stay open while it is read."""

    def __init__(self, source: Source, located: Sequence[LocatedEntry]) -> None:
        self._source = source
        self._located = {found.entry.name: found for found in located if not found.entry.is_folder}

    def names(self) -> list[str]:
        """The files in the archive, in the order in which they lie in it; entries of folders are left out."""
        return list(self._located)

    def size_bytes(self, name: str) -> int:
        """How long the content of *name* is, unpacked, as stated. Raises EntryMissing."""
        return self._find(name).entry.size_bytes

    def read_chunks(self, name: str, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
        """The content of *name* in chunks of at most *chunk_bytes*, none empty.

        The last chunk comes only once the whole has the stated length and CRC-32. Raises EntryMissing at once, and
        SizeWrong, DeflateDamaged, ChecksumWrong, DescriptorInContent or FileCutShort while it is read.
        """
        found = self._find(name)
        chunks = (
            self._stored(found, chunk_bytes) if found.entry.method == STORED else self._inflated(found, chunk_bytes)
        )
        return _checked(chunks, found)

    def read(self, name: str, max_bytes: int) -> bytes:
        """The whole content of *name*. Raises EntryTooLarge over *max_bytes*, and what `read_chunks` raises."""
        entry = self._find(name).entry
        if entry.size_bytes > max_bytes:
            raise EntryTooLarge(
                entry=name, offset=entry.offset, found=f"{entry.size_bytes:,} bytes", expected=f"{max_bytes:,} at most"
            )
        return b"".join(self.read_chunks(name))

    def _find(self, name: str) -> LocatedEntry:
        try:
            return self._located[name]
        except KeyError:
            raise EntryMissing(entry=name) from None

    def _packed(self, found: LocatedEntry, step_bytes: int) -> Iterator[bytes]:
        after = found.content_offset + found.entry.packed_bytes
        for offset in range(found.content_offset, after, step_bytes):
            yield self._source.read(offset, min(step_bytes, after - offset))

    def _stored(self, found: LocatedEntry, chunk_bytes: int) -> Iterator[bytes]:
        overlap = b""
        for chunk in self._packed(found, chunk_bytes):
            if not found.length_is_announced:
                # A reader that knows no directory, as it reads a pipe, takes this for the end of the content.
                if DESCRIPTOR_SIGNATURE in overlap + chunk:
                    raise DescriptorInContent(
                        entry=found.entry.name,
                        offset=found.content_offset,
                        found="a descriptor's signature in stored content of unannounced length",
                        expected="deflated content, or a length in the header before it",
                    )
                overlap = (overlap + chunk)[1 - len(DESCRIPTOR_SIGNATURE) :]
            yield chunk

    def _inflated(self, found: LocatedEntry, chunk_bytes: int) -> Iterator[bytes]:
        # ISA-L inflates at two to three times the speed of zlib. It accepts a code set with unused codes, which zlib
        # refuses; 300,000 damaged streams showed no other difference, and none in what both accept (2026-11).
        inflate = isal_zlib.decompressobj(-isal_zlib.MAX_WBITS)
        has_ended = False
        for packed in self._packed(found, _PACKED_BYTES):
            if has_ended:
                raise _damaged(found, "more packed bytes after the end of the stream")
            waiting, may_hold_more = packed, True
            while may_hold_more:
                try:
                    chunk = inflate.decompress(waiting, max_length=chunk_bytes)
                except _NotDeflate as broken:
                    raise _damaged(found, f"no deflate stream ({broken})") from broken
                if chunk:
                    yield chunk
                waiting = inflate.unconsumed_tail
                # A full chunk may have left content inside, even when no packed byte is left.
                has_ended = inflate.eof
                may_hold_more = not has_ended and (len(chunk) == chunk_bytes or len(waiting) > 0)
        if not has_ended:
            raise _damaged(found, "a stream that does not end")
        if inflate.unused_data:
            raise _damaged(found, "more packed bytes after the end of the stream")


def open_container(file: BinaryIO, limits: Limits) -> Container:
    """The container in *file*, a regular file open for reading, once every structure in it was found sound.

    Nothing is unpacked yet. Raises the ContainerFault of the first thing that is not as it must be.
    """
    source = Source(file.fileno())
    if source.size_bytes > limits.max_archive_bytes:
        raise ArchiveTooLarge(
            offset=0, found=f"{source.size_bytes:,} bytes", expected=f"{limits.max_archive_bytes:,} at most"
        )
    place = find_directory(source)
    return Container(source, locate_entries(source, list_entries(source, place, limits), place.offset))


def _checked(chunks: Iterator[bytes], found: LocatedEntry) -> Iterator[bytes]:
    """*chunks*, never more of them than the stated length, and the last only once the whole is as stated."""
    entry = found.entry
    size_bytes = crc32 = 0
    held = b""
    for chunk in chunks:
        size_bytes += len(chunk)
        if size_bytes > entry.size_bytes:
            raise _wrong_size(found, f"more than {entry.size_bytes:,} bytes")
        crc32 = isal_zlib.crc32(chunk, crc32)
        if held:
            yield held
        held = chunk
    if size_bytes != entry.size_bytes:
        raise _wrong_size(found, f"{size_bytes:,} bytes")
    if crc32 != entry.crc32:
        raise ChecksumWrong(
            entry=entry.name,
            offset=found.content_offset,
            found=f"content with CRC-32 {crc32:08x}",
            expected=f"{entry.crc32:08x}",
        )
    if held:
        yield held


def _wrong_size(found: LocatedEntry, what: str) -> SizeWrong:
    return SizeWrong(
        entry=found.entry.name,
        offset=found.content_offset,
        found=what,
        expected=f"{found.entry.size_bytes:,} bytes of content",
    )


def _damaged(found: LocatedEntry, what: str) -> DeflateDamaged:
    return DeflateDamaged(
        entry=found.entry.name,
        offset=found.content_offset,
        found=what,
        expected=f"one deflate stream of {found.entry.packed_bytes:,} bytes",
    )
