"""A copy of what stands on a shelf, to work from: in a file without a name, so that a crash leaves nothing.

Nobody else can change it between the check and the use of what is in it, and reading it at random costs nothing.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from snapshots.shelves.errors import StorageFull, StoredDamaged
from snapshots.shelves.shelf import Place, Stored

PIECE_BYTES = 4 << 20


def pieces(stored: Stored, start: int = 0, end: int | None = None) -> Iterator[bytes]:
    """The bytes of *stored* from *start* up to *end* (its end), a bounded piece at a time."""
    end = stored.size if end is None else end
    while start < end and (piece := stored.read(start, min(PIECE_BYTES, end - start))):
        yield piece
        start += len(piece)


def sha256_of(stored: Stored) -> str:
    """The SHA-256 of all of it, hexadecimal; all of it is read."""
    hashed = hashlib.sha256()
    for piece in pieces(stored):
        hashed.update(piece)
    return hashed.hexdigest()


@contextmanager
def private_copy(place: Place, folder: Path, *, most_bytes: int, sha256: str | None = None) -> Iterator[BinaryIO]:
    """A copy of what stands at *place*, in a file of *folder* that has no name; its room is given back at the end.

    What has more than *most_bytes* is copied only as far as shows it. Raises StoredDamaged where *sha256* is said and
    it is not that, NotOnShelf, StorageFull and what reading does.
    """
    stored = place.shelf.open(place.name)
    try:
        with tempfile.TemporaryFile(dir=folder, prefix="counterfoil-") as copy:
            found = hashlib.sha256()
            end = min(stored.size, most_bytes + 1)
            try:
                for piece in pieces(stored, end=end):
                    found.update(piece)
                    copy.write(piece)
                copy.flush()
            except OSError as wrong:
                raise StorageFull(str(folder), wrong.strerror or str(wrong)) from wrong
            if sha256 is not None and end == stored.size and found.hexdigest() != sha256:
                raise StoredDamaged(place.where, f"the SHA-256 {found.hexdigest()}", sha256)
            copy.seek(0)
            yield copy
    finally:
        stored.close()
