"""A file without a name that keeps records by partition, so that what must be looked at together can be read together.

An archive's lines come in order of position, but are checked entity by entity. Spooled by a part of the entity's id
they come back in partitions that fit in memory, whatever the archive's size. The file has no name: a crash leaves
nothing.
"""

from __future__ import annotations

import os
import tempfile
from array import array
from types import TracebackType
from typing import Self

_BUFFER_BYTES = 4 * 1024 * 1024  # of all partitions together; written when full


class Spool:
    """Bytes by partition, appended in any order, read back whole, a partition at a time."""

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self._file = tempfile.TemporaryFile(buffering=0, prefix="counterfoil-")  # noqa: SIM115 - closed by close
        self._buffers: list[list[bytes]] = [[] for _ in range(partitions)]
        self._buffered = 0
        # Offset, length, offset, length, … of each partition's pieces: as tuples they were 60 MB for a million events.
        self._pieces = [array("Q") for _ in range(partitions)]
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

    def add(self, partition: int, record: bytes) -> None:
        """Append *record* to a partition."""
        self._buffers[partition].append(record)
        self._buffered += len(record)
        if self._buffered >= _BUFFER_BYTES:
            self._flush()

    def _flush(self) -> None:
        pieces = []
        for partition, buffer in enumerate(self._buffers):
            if buffer:
                piece = b"".join(buffer)
                buffer.clear()
                pieces.append(piece)
                self._pieces[partition].extend((self._end, len(piece)))
                self._end += len(piece)
        self._buffered = 0
        view = memoryview(b"".join(pieces))
        while view:
            view = view[self._file.write(view) :]

    def read(self, partition: int) -> bytes:
        """All that was appended to a partition, in order."""
        places = self._pieces[partition]
        pieces = [
            _pread(self._file.fileno(), size, offset) for offset, size in zip(places[::2], places[1::2], strict=True)
        ]
        return b"".join(pieces + self._buffers[partition])


def _pread(descriptor: int, size: int, offset: int) -> bytes:
    """Exactly *size* bytes from *offset*: a read may give less than it was asked for."""
    pieces = []
    while size:
        piece = os.pread(descriptor, size, offset)
        if not piece:
            raise OSError(f"a spool of ours ends at byte {offset:,}, {size:,} bytes early")
        pieces.append(piece)
        size -= len(piece)
        offset += len(piece)
    return b"".join(pieces)
