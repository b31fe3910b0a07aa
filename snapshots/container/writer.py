"""The writer of containers: an ordinary ZIP that `unzip`, 7-Zip and Windows Explorer open, written strictly forward.

Nothing is ever patched, so that an archive can go through encryption or into an HTTP response as it is made. An entry
of unknown length is therefore followed by a data descriptor, which every ZIP program reads where the content is
deflated; one whose content is at hand (`ContainerWriter.add`) has its sizes in front and needs none.

Memory is one chunk, and some hundred bytes for each entry.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from struct import pack as packed_struct
from types import TracebackType
from typing import Final, NamedTuple, Protocol, Self

from isal import isal_zlib

from snapshots.container.format import (
    CENTRAL,
    CENTRAL_SIGNATURE,
    DEFLATED,
    DESCRIPTOR,
    DESCRIPTOR64,
    DESCRIPTOR_SIGNATURE,
    END,
    END64,
    END64_SIGNATURE,
    END64_STATED_BYTES,
    END_SIGNATURE,
    EXTRA_ZIP64,
    FLAG_DESCRIPTOR,
    LOCAL,
    LOCAL_SIGNATURE,
    LOCATOR,
    LOCATOR_SIGNATURE,
    SATURATED_16,
    SATURATED_32,
    STORED,
    VERSION_DEFLATE,
    VERSION_ZIP64,
    WRITTEN_RATIO,
    CentralHeader,
    End64Record,
    EndRecord,
    LocalHeader,
    Locator,
    is_entry_name,
)
from snapshots.format.errors import EntryNameRefused, EntryTooLarge, EntryTwice, EntryUnfinished

# Level 2 packs as well as zlib's level 1, at four times its speed; 3 gained nothing on JSON lines (2026-11).
_LEVEL: Final = 2
_MADE_ON_UNIX: Final = 3 << 8
_PLAIN_FILE: Final = 0o100644 << 16
# A deflate block without content, allowed between any two others once the stream stands at a whole byte.
_EMPTY_BLOCK: Final = b"\x00\x00\x00\xff\xff"
# From this size, offset or length of the directory on, a value stands in the ZIP64 fields.
WIDE_FROM: Final = SATURATED_32
_FIRST_DOS_YEAR, _LAST_DOS_YEAR = 1980, 2107


class ByteSink(Protocol):
    """Where an archive goes: a file, a pipe, an encryption. Takes all of what it is given, or raises."""

    def write(self, data: bytes, /) -> object:
        """Take *data*, after all that came before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenEntry:
    """What the manifest says of an entry: its content's size and hash, and what it became in the ZIP."""

    name: str
    size_bytes: int
    packed_bytes: int
    crc32: int
    sha256: str  # lower-case hexadecimal


class Packed(NamedTuple):
    """Content that is ready to be an entry: how it is packed, and what is said of it."""

    method: int
    packed: bytes
    size_bytes: int
    crc32: int
    sha256: str


def pack(content: bytes) -> Packed:
    """*content*, deflated where that makes it smaller, stored otherwise."""
    packed = isal_zlib.compress(content, _LEVEL, -isal_zlib.MAX_WBITS)
    method = DEFLATED
    if not len(content) // WRITTEN_RATIO < len(packed) < len(content):
        packed, method = content, STORED
    return Packed(method, packed, len(content), isal_zlib.crc32(content), sha256(content).hexdigest())


class EntrySink:
    """Takes the content of one entry, in chunks; `result` is set once the entry is complete.

    Chunks from 64 KiB on cost no interpreter time to speak of: packing and hashing them releases the interpreter lock.
    """

    def __init__(self, name: str, out: ByteSink, *, max_bytes: int, header_offset: int) -> None:
        self.name = name
        self.result: WrittenEntry | None = None
        self._out = out
        self._max_bytes = max_bytes
        self._header_offset = header_offset
        self._hash = sha256()
        self._deflate = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, -isal_zlib.MAX_WBITS)
        self._crc32 = 0
        self._size_bytes = 0
        self._packed_bytes = 0

    def write(self, chunk: bytes) -> None:
        """Add *chunk* to the content. Raises EntryTooLarge, before anything too much is written."""
        self._size_bytes += len(chunk)
        if self._size_bytes > self._max_bytes:
            raise _too_large(self.name, self._header_offset, found_bytes=self._size_bytes, max_bytes=self._max_bytes)
        self._hash.update(chunk)
        self._crc32 = isal_zlib.crc32(chunk, self._crc32)
        self._put(self._deflate.compress(chunk))

    def finish(self) -> WrittenEntry:
        """Write what the packer still holds. Called by the writer, once."""
        short_bytes = self._size_bytes // WRITTEN_RATIO - self._packed_bytes
        if short_bytes > 0:
            # Content of almost nothing but repetition packs so well that a reader would refuse it as a bomb.
            self._put(self._deflate.flush(isal_zlib.Z_SYNC_FLUSH))
            self._put(_EMPTY_BLOCK * (short_bytes // len(_EMPTY_BLOCK) + 1))
        self._put(self._deflate.flush())
        self.result = WrittenEntry(
            name=self.name,
            size_bytes=self._size_bytes,
            packed_bytes=self._packed_bytes,
            crc32=self._crc32,
            sha256=self._hash.hexdigest(),
        )
        return self.result

    def _put(self, packed: bytes) -> None:
        if packed:
            self._packed_bytes += len(packed)
            self._out.write(packed)


class ContainerWriter:
    """Writes entries one after another into *out*, all dated *modified*. ZIP knows no zones: its own is left out.

    As a context manager it completes the archive on leaving; after an exception it does not, and what was written is no
    archive. It never closes *out*.
    """

    def __init__(self, out: ByteSink, modified: datetime) -> None:
        self._out = out
        self._time, self._date = _dos_time(modified)
        self._offset = 0
        self._central: list[bytes] = []
        self._names: set[str] = set()
        self._unfinished: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()

    @contextmanager
    def entry(self, name: str, *, may_exceed_4gib: bool = False) -> Iterator[EntrySink]:
        """A sink for the content of *name*; on leaving, the entry is complete and the sink has its `result`.

        An entry that may exceed 4 GiB says so before its first byte, as its header must. Raises EntryNameRefused,
        EntryTwice, EntryUnfinished.
        """
        self._begin(name)
        header_offset = self._offset
        header = self._local_header(name, method=DEFLATED, flags=FLAG_DESCRIPTOR)
        if may_exceed_4gib:
            header = header._replace(
                version_needed=VERSION_ZIP64, packed_bytes=SATURATED_32, size_bytes=SATURATED_32, extra_bytes=20
            )
        self._put(LOCAL.pack(*header) + name.encode() + (_zip64(0, 0) if may_exceed_4gib else b""))
        max_bytes = 2**63 if may_exceed_4gib else WIDE_FROM - 1 - WIDE_FROM // WRITTEN_RATIO
        sink = EntrySink(name, self._out, max_bytes=max_bytes, header_offset=header_offset)
        yield sink
        written = sink.finish()
        self._offset += written.packed_bytes
        descriptor = DESCRIPTOR64 if may_exceed_4gib else DESCRIPTOR
        self._put(descriptor.pack(DESCRIPTOR_SIGNATURE, written.crc32, written.packed_bytes, written.size_bytes))
        self._end(header, written, header_offset)

    def add(self, name: str, content: bytes) -> WrittenEntry:
        """Write *content* as the entry *name*: deflated where that makes it smaller, stored otherwise.

        Raises EntryNameRefused, EntryTwice, EntryTooLarge from 4 GiB on, EntryUnfinished.
        """
        if len(content) >= WIDE_FROM:
            raise _too_large(name, self._offset, found_bytes=len(content), max_bytes=WIDE_FROM - 1)
        return self.add_packed(name, pack(content))

    def add_packed(self, name: str, content: Packed) -> WrittenEntry:
        """Write as `add` does what is packed already."""
        self._begin(name)
        header_offset = self._offset
        written = WrittenEntry(
            name=name,
            size_bytes=content.size_bytes,
            packed_bytes=len(content.packed),
            crc32=content.crc32,
            sha256=content.sha256,
        )
        header = self._local_header(name, method=content.method, flags=0)._replace(
            crc32=written.crc32, packed_bytes=written.packed_bytes, size_bytes=written.size_bytes
        )
        self._put(LOCAL.pack(*header) + name.encode() + content.packed)
        self._end(header, written, header_offset)
        return written

    def close(self) -> None:
        """Write the directory and the end record: only now is what was written an archive. Raises EntryUnfinished."""
        self._guard_unfinished()
        directory_offset, entries = self._offset, len(self._central)
        for header in self._central:
            self._put(header)
        directory_bytes = self._offset - directory_offset
        if entries >= SATURATED_16 or directory_bytes >= WIDE_FROM or directory_offset >= WIDE_FROM:
            self._put_end64(entries, directory_bytes, directory_offset)
        self._put(
            END.pack(
                *EndRecord(
                    signature=END_SIGNATURE,
                    disk=0,
                    directory_disk=0,
                    entries_here=min(entries, SATURATED_16),
                    entries=min(entries, SATURATED_16),
                    directory_bytes=_narrow(directory_bytes),
                    directory_offset=_narrow(directory_offset),
                    comment_bytes=0,
                )
            )
        )

    def _put_end64(self, entries: int, directory_bytes: int, directory_offset: int) -> None:
        end64_offset = self._offset
        self._put(
            END64.pack(
                *End64Record(
                    signature=END64_SIGNATURE,
                    stated_bytes=END64_STATED_BYTES,
                    made_by=_MADE_ON_UNIX | VERSION_ZIP64,
                    version_needed=VERSION_ZIP64,
                    disk=0,
                    directory_disk=0,
                    entries_here=entries,
                    entries=entries,
                    directory_bytes=directory_bytes,
                    directory_offset=directory_offset,
                )
            )
        )
        self._put(LOCATOR.pack(*Locator(LOCATOR_SIGNATURE, end64_disk=0, end64_offset=end64_offset, disks=1)))

    def _begin(self, name: str) -> None:
        self._guard_unfinished()
        if not is_entry_name(name.encode()):
            raise EntryNameRefused(
                entry=name, offset=self._offset, found=repr(name), expected="lower-case letters, digits and -_./ alone"
            )
        if name in self._names:
            raise EntryTwice(entry=name, offset=self._offset, found="a second entry", expected="one of each name")
        self._names.add(name)
        self._unfinished = name

    def _guard_unfinished(self) -> None:
        if self._unfinished is not None:
            raise EntryUnfinished(entry=self._unfinished)

    def _local_header(self, name: str, *, method: int, flags: int) -> LocalHeader:
        return LocalHeader(
            signature=LOCAL_SIGNATURE,
            version_needed=VERSION_DEFLATE,
            flags=flags,
            method=method,
            time=self._time,
            date=self._date,
            crc32=0,
            packed_bytes=0,
            size_bytes=0,
            name_bytes=len(name),
            extra_bytes=0,
        )

    def _end(self, local: LocalHeader, written: WrittenEntry, header_offset: int) -> None:
        # The directory names in a ZIP64 field just those of the three that its own fields have no room for.
        wide = [value for value in (written.size_bytes, written.packed_bytes, header_offset) if value >= WIDE_FROM]
        extra = _zip64(*wide) if wide else b""
        central = CentralHeader(
            signature=CENTRAL_SIGNATURE,
            made_by=_MADE_ON_UNIX | VERSION_ZIP64,
            version_needed=VERSION_ZIP64 if wide else local.version_needed,
            flags=local.flags,
            method=local.method,
            time=local.time,
            date=local.date,
            crc32=written.crc32,
            packed_bytes=_narrow(written.packed_bytes),
            size_bytes=_narrow(written.size_bytes),
            name_bytes=local.name_bytes,
            extra_bytes=len(extra),
            comment_bytes=0,
            disk=0,
            internal_attributes=0,
            external_attributes=_PLAIN_FILE,
            offset=_narrow(header_offset),
        )
        self._central.append(CENTRAL.pack(*central) + written.name.encode() + extra)
        self._unfinished = None

    def _put(self, data: bytes) -> None:
        self._out.write(data)
        self._offset += len(data)


def _too_large(name: str, offset: int, *, found_bytes: int, max_bytes: int) -> EntryTooLarge:
    return EntryTooLarge(
        entry=name,
        offset=offset,
        found=f"{found_bytes:,} bytes of content",
        expected=f"{max_bytes:,} at most, unless it is streamed as an entry that may exceed 4 GiB",
    )


def _narrow(value: int) -> int:
    """*value* for a field of 32 bits, which leaves to ZIP64 what it has no room for."""
    return value if value < WIDE_FROM else SATURATED_32


def _zip64(*values: int) -> bytes:
    return packed_struct(f"<HH{len(values)}Q", EXTRA_ZIP64, 8 * len(values), *values)


def _dos_time(moment: datetime) -> tuple[int, int]:
    """The two fields of a ZIP's time; moments that they have no room for become the nearest that they do."""
    if moment.year < _FIRST_DOS_YEAR:
        moment = moment.replace(year=_FIRST_DOS_YEAR, month=1, day=1, hour=0, minute=0, second=0)
    if moment.year > _LAST_DOS_YEAR:
        moment = moment.replace(year=_LAST_DOS_YEAR, month=12, day=31, hour=23, minute=59, second=58)
    time = moment.hour << 11 | moment.minute << 5 | moment.second // 2
    date = (moment.year - _FIRST_DOS_YEAR) << 9 | moment.month << 5 | moment.day
    return time, date
