"""A shelf that is a folder. What is not whole yet has a name that says so, and a lock of whoever writes it.

It gets its name by renaming, after its bytes are on disk; then the folder's entry goes to disk too. A crash leaves the
unfinished file and not the lock, so what is nobody's can be told from what somebody is at work on.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from snapshots.partial_files import claim, is_partial, sweep_partials
from snapshots.shelves.errors import NameTaken, NotOnShelf, NotSynced, StorageFailed, StorageFull
from snapshots.shelves.shelf import Item, Place, Sink, checked

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_TRIES = 10
_NOT_THERE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class FolderShelf:
    """The files below a folder, which is made when something is put there."""

    def __init__(self, folder: Path, *, mode: int = 0o777) -> None:
        """*mode*: of the folders that are made, as far as the process's mask lets."""
        self._folder = folder
        self._mode = mode

    @contextmanager
    def put(self, name: str) -> Iterator[Sink]:
        """As `Shelf.put` says."""
        target = self._path(name)
        with self._written(target) as (file, partial):
            yield _Writing(file, target)
            _finish(file, target)
            with _told(target):
                partial.replace(target)
        self._sync_folders(target)

    def put_new(self, name: str, data: bytes) -> None:
        """As `Shelf.put_new` says."""
        target = self._path(name)
        with self._written(target) as (file, partial):
            _Writing(file, target).write(data)
            _finish(file, target)
            try:
                target.hardlink_to(partial)
            except FileExistsError:
                raise NameTaken(str(target)) from None
            except OSError as wrong:
                raise StorageFailed(str(target), wrong.strerror or str(wrong)) from wrong
            partial.unlink()
        self._sync_folders(target)

    def open(self, name: str) -> FolderStored:
        """As `Shelf.open` says. If the file is removed or replaced meanwhile, it is read to its end all the same."""
        path = self._path(name)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except _NOT_THERE:
            raise NotOnShelf(str(path)) from None
        except OSError as wrong:
            raise StorageFailed(str(path), wrong.strerror or str(wrong)) from wrong
        return FolderStored(name, descriptor, str(path))

    def find(self, name: str) -> Item | None:
        """As `Shelf.find` says."""
        return _item(name, self._path(name))

    def items(self, within: str = "") -> Iterator[Item]:
        """As `Shelf.items` says. What is no file of its own, such as a link, is none of ours."""
        for path in sorted((self._path(within) if within else self._folder).rglob("*")):
            if not is_partial(path.name) and (item := _item(path.relative_to(self._folder).as_posix(), path)):
                yield item

    def delete(self, name: str) -> None:
        """As `Shelf.delete` says; folders that are empty then go as well."""
        path = self._path(name)
        with _told(path), suppress(*_NOT_THERE):
            path.unlink()
        with suppress(OSError):
            for folder in path.relative_to(self._folder).parents[:-1]:
                (self._folder / folder).rmdir()

    def where(self, name: str) -> str:
        """The file's path."""
        return str(self._path(name))

    def sweep(self) -> list[str]:
        """As `Shelf.sweep` says."""
        return [str(path) for path in sweep_partials(self._folder)]

    def _path(self, name: str) -> Path:
        return self._folder / checked(name)

    @contextmanager
    def _written(self, target: Path) -> Iterator[tuple[BinaryIO, Path]]:
        """A file that is claimed and not whole yet, and its name; gone when the ``with`` ends otherwise than well."""
        partial = target.with_name(f".{target.name[:100]}.{secrets.token_hex(8)}.partial")
        try:
            with self._created(partial) as file:
                claim(file)
                yield file, partial
        except BaseException:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise

    def _created(self, partial: Path) -> BinaryIO:
        with _told(partial):
            for _ in range(_TRIES):
                self._make(partial.parent)
                try:
                    return partial.open("xb")
                except FileNotFoundError:  # whoever deleted what was last in the folder took it away
                    continue
        raise StorageFailed(str(partial.parent), "is taken away again and again")

    def _make(self, folder: Path) -> None:
        missing = [one for one in (folder, *folder.parents) if not one.exists()]
        for one in reversed(missing):
            one.mkdir(mode=self._mode, exist_ok=True)
            _sync(one.parent)

    def _sync_folders(self, target: Path) -> None:
        try:
            _sync(target.parent)
        except OSError as wrong:  # it has its name by now, and what stood there before is gone
            raise NotSynced(str(target), wrong.strerror or str(wrong)) from wrong


class _Writing:
    """A file that is written forward only, whose errors are told as the shelf's."""

    def __init__(self, file: BinaryIO, target: Path) -> None:
        self._file = file
        self._target = target

    def write(self, data: bytes) -> None:
        with _told(self._target):
            self._file.write(data)


class FolderStored:
    """A file of a shelf, open."""

    def __init__(self, name: str, descriptor: int, where: str) -> None:
        self.name = name
        self._descriptor: int | None = descriptor
        self._where = where
        self.size = os.fstat(descriptor).st_size

    def read(self, start: int, length: int) -> bytes:
        """As `Stored.read` says."""
        assert self._descriptor is not None, "it is open"
        pieces = []
        end = min(start + length, self.size)
        try:
            while start < end and (piece := os.pread(self._descriptor, end - start, start)):
                pieces.append(piece)
                start += len(piece)
        except OSError as wrong:
            raise StorageFailed(self._where, wrong.strerror or str(wrong)) from wrong
        return b"".join(pieces)

    def close(self) -> None:
        """As `Stored.close` says."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def at_path(path: Path) -> Place:
    """The place that is that file."""
    return Place(FolderShelf(path.parent), path.name)


def _item(name: str, path: Path) -> Item | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return Item(name, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))


def _finish(file: BinaryIO, target: Path) -> None:
    with _told(target):
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _told(target: Path) -> Iterator[None]:
    """What the system refuses is told as the shelf's error about *target*."""
    try:
        yield
    except OSError as wrong:
        refused = StorageFull if wrong.errno in _NO_ROOM else StorageFailed
        raise refused(str(target), wrong.strerror or str(wrong)) from wrong


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
