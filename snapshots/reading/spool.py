"""A file without a name that keeps records by partition, so that what must be looked at together can be read together.

An archive's lines come in order of position, but are checked entity by entity. Spooled by a part of the entity's id
they come back in partitions that fit in memory, whatever the archive's size. The file has no name: a crash leaves
nothing.
"""

from __future__ import annotations

import os
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from struct import Struct
from types import TracebackType
from typing import NamedTuple, Self

_BUFFER_BYTES = 4 * 1024 * 1024  # of all partitions together; written when full
_RECORD = Struct("<HII")  # file, lines, bytes


class Spool:
    """Bytes by partition, appended in any order, read back whole, a partition at a time."""

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self._file = tempfile.TemporaryFile(buffering=0, prefix="counterfoil-")  # noqa: SIM115 - closed by close
        self._buffers: list[list[bytes]] = [[] for _ in range(partitions)]
        self._buffered = 0
        # Offset, length, offset, length, … of each partition's pieces: as tuples they were 60 MB for a million events.
        self._places = [array("Q") for _ in range(partitions)]
        self._end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the file's room back."""
        self._file.close()

    @property
    def descriptor(self) -> int:
        """The open file, for `read_places`."""
        return self._file.fileno()

    def add(self, partition: int, record: bytes) -> None:
        """Append *record* to a partition."""
        self._buffers[partition].append(record)
        self._buffered += len(record)
        if self._buffered >= _BUFFER_BYTES:
            self.write_out()

    def write_out(self) -> None:
        """Put what waits in memory into the file."""
        self._write((partition, b"".join(buffer)) for partition, buffer in enumerate(self._buffers) if buffer)
        for buffer in self._buffers:
            buffer.clear()
        self._buffered = 0

    def _write(self, pieces: Iterable[tuple[int, bytes]]) -> None:
        written = []
        for partition, piece in pieces:
            written.append(piece)
            self._places[partition].extend((self._end, len(piece)))
            self._end += len(piece)
        view = memoryview(b"".join(written))
        while view:
            view = view[self._file.write(view) :]

    def places(self, partition: int) -> bytes:
        """Where in the file a partition is, but for what waits in memory: what `read_places` takes."""
        return self._places[partition].tobytes()

    def read(self, partition: int) -> bytes:
        """All that was appended to a partition, in order."""
        return read_places(self.descriptor, self.places(partition)) + b"".join(self._buffers[partition])


class Lines(NamedTuple):
    """Lines of one file of an archive, each ended by a line feed, and their numbers, as an ``array("Q")`` has them."""

    file: int
    numbers: bytes
    lines: bytes


class LineSpool(Spool):
    """Lines of numbered files, with their own numbers, by partition."""

    def __init__(self, partitions: int) -> None:
        super().__init__(partitions)
        self._of_file = 0
        self._lines: list[list[bytes]] = [[] for _ in range(partitions)]
        self._numbers = [array("Q") for _ in range(partitions)]

    def add_lines(self, file: int, partitions: Sequence[int], numbers: Sequence[int], lines: Sequence[bytes]) -> None:
        """Append each of the *lines*, which have no line feed, to its partition."""
        if file != self._of_file:
            self.write_out()
            self._of_file = file
        their_lines, their_numbers = self._lines, self._numbers
        for partition, number, line in zip(partitions, numbers, lines, strict=True):
            their_lines[partition].append(line)
            their_numbers[partition].append(number)
        self._buffered += sum(map(len, lines))
        if self._buffered >= _BUFFER_BYTES:
            self.write_out()

    def write_out(self) -> None:
        """Put what waits in memory into the file."""
        self._write(self._records())
        self._buffered = 0

    def _records(self) -> Iterator[tuple[int, bytes]]:
        for partition, lines in enumerate(self._lines):
            if lines:
                joined, numbers = b"\n".join(lines), self._numbers[partition]
                head = _RECORD.pack(self._of_file, len(lines), len(joined) + 1)
                yield partition, b"".join((head, numbers.tobytes(), joined, b"\n"))
                lines.clear()
                self._numbers[partition] = array("Q")


def read_lines_back(content: bytes) -> list[Lines]:
    """The lines of a partition of a `LineSpool`, file by file, in the order in which they were added."""
    numbers: dict[int, list[bytes]] = {}
    lines: dict[int, list[bytes]] = {}
    at = 0
    while at < len(content):
        file, count, size = _RECORD.unpack_from(content, at)
        at += _RECORD.size
        numbers.setdefault(file, []).append(content[at : at + 8 * count])
        at += 8 * count
        lines.setdefault(file, []).append(content[at : at + size])
        at += size
    return [Lines(file, b"".join(numbers[file]), b"".join(lines[file])) for file in lines]


def read_places(descriptor: int, places: bytes) -> bytes:
    """The bytes at the *places* of an open file, one after another."""
    pairs = array("Q")
    pairs.frombytes(places)
    return b"".join([_pread(descriptor, size, offset) for offset, size in zip(pairs[::2], pairs[1::2], strict=True)])


def _pread(descriptor: int, size: int, offset: int) -> bytes:
    """Exactly *size* bytes from *offset*: a read may give less than it was asked for."""
    piece = os.pread(descriptor, size, offset)
    if len(piece) == size:
        return piece
    if not piece:
        raise OSError(f"a spool of ours ends at byte {offset:,}, {size:,} bytes early")
    return piece + _pread(descriptor, size - len(piece), offset + len(piece))
