"""The file that a container is read from."""

from __future__ import annotations

import os

from snapshots.format.errors import FileCutShort


class Source:
    """The file by position, from one open descriptor whose own position never matters."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size_bytes = os.fstat(descriptor).st_size

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Exactly *size_bytes* from *offset*. Raises FileCutShort."""
        data = os.pread(self._descriptor, size_bytes, offset) if size_bytes else b""
        while len(data) < size_bytes:  # a single read may stop early, at 2 GiB or on a network's file system
            more = os.pread(self._descriptor, size_bytes - len(data), offset + len(data))
            if not more:
                raise FileCutShort(
                    offset=offset, found=f"{len(data):,} bytes up to the end", expected=f"{size_bytes:,} bytes"
                )
            data += more
        return data
