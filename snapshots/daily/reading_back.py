"""Reading a backup back from where it is kept, before it is shown as taken: what stands there is what was written,
every file in it is the one that the signed manifest lists, and its timeline leads to the tree head.

Whether each snapshot is the fold of its events is not looked at here, every night: a rehearsal does that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, ClassVar

from domain.errors import ArchiveError
from domain.tree import EMPTY, append, leaf_hashes
from snapshots.container import Limits
from snapshots.format.manifest import TIMELINE, FileListed, Manifest
from snapshots.reading.archive import Archive, open_archive
from snapshots.trust.signing import KeyRing


@dataclass(eq=False)
class ReadBackOtherwise(ArchiveError):
    """What was read back is not what an archive of ours must be."""

    code: ClassVar[str] = "archive.read-back-otherwise"
    file: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.file} as it was read back: found {self.found}; expected {self.expected}"


def read_back(file: BinaryIO, keys: KeyRing, limits: Limits) -> Manifest:
    """The manifest of the archive in *file*, every file of which was read. Raises ArchiveError leaves."""
    archive = open_archive(file, limits, keys)
    if archive.authenticity.verdict != "authentic" or not archive.authenticity.is_ours:
        raise ReadBackOtherwise("manifest.sig", str(archive.authenticity), "a signature by this installation's key")
    for listed in archive.manifest.files:
        rows = _read_timeline(archive) if listed.name == TIMELINE else _read(archive, listed)
        if rows != listed.rows:
            raise ReadBackOtherwise(listed.name, f"{rows:,} lines", f"{listed.rows:,}")
    return archive.manifest


def _read(archive: Archive, listed: FileListed) -> int | None:
    """How many lines the file has, if it is one of lines. Raises as ``Archive.chunks`` does."""
    rows = 0
    for chunk in archive.chunks(listed.name):
        rows += 0 if listed.rows is None else chunk.count(b"\n")
    return None if listed.rows is None else rows


def _read_timeline(archive: Archive) -> int:
    frontier = EMPTY
    for block in archive.blocks(TIMELINE):
        frontier = append(frontier, leaf_hashes(block.split(b"\n")[:-1]))
    root, expected = frontier.root().hex(), archive.manifest.tree_head.root
    if root != expected:
        raise ReadBackOtherwise(TIMELINE, f"lines that lead to the tree root {root}", expected)
    return frontier.size
