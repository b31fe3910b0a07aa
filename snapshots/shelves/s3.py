"""A shelf that is a bucket of storage that speaks S3, or a part of one.

What is written goes out in parts, two at a time. Nothing stands under the name before the storage has put them
together, and what breaks off is called off there. Each request is signed with the hash of its body, so what the storage
takes is what was sent. A request that fails is tried again, a bounded number of times, within a bounded time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from snapshots.shelves.errors import (
    NameTaken,
    NotOnShelf,
    ShelfError,
    StorageFailed,
    StorageFull,
    StorageUnavailable,
    StoredDamaged,
)
from snapshots.shelves.shelf import Item, Sink, checked

if TYPE_CHECKING:  # there is nothing of that name to import
    from obstore import GetOptions
    from obstore.store import S3Config

_PART_BYTES = 8 << 20  # of at most 10,000: 78 GiB; and memory is three of them
_AT_ONCE = 2
_CONNECT_S = 5
_SAYS = re.compile(r"<Code>([^<]*)</Code>(?:\s*<Message>([^<]*)</Message>)?")
_STATUS = re.compile(r"status code: (\d{3})")
_FULL_CODES = {"QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "EntityTooLarge", "NoSpace"}


class S3Location(NamedTuple):
    """Which part of which bucket, and where. What is not said comes from the usual ``AWS_`` variables.

    So do the credentials: they are in no setting, and a role of the machine works as well.
    """

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    path_style: bool = True


class S3Shelf:
    """The objects of a bucket below a prefix."""

    def __init__(self, location: S3Location, *, timeout_s: float = 120, retries: int = 4) -> None:
        """*timeout_s*: for a request, such as a part of 8 MiB, and for trying it again, at most *retries* times."""
        self._location = location
        said: S3Config = {}
        if location.endpoint is not None:
            said["endpoint"] = location.endpoint
        if location.region is not None:
            said["region"] = location.region
        self._store = S3Store(
            location.bucket,
            config=said,
            prefix=location.prefix or None,
            virtual_hosted_style_request=not location.path_style,
            disable_bulk_delete=True,  # one at a time is understood by every storage
            client_options={
                "allow_http": (location.endpoint or "").startswith("http://"),
                "connect_timeout": timedelta(seconds=min(_CONNECT_S, timeout_s)),
                "timeout": timedelta(seconds=timeout_s),
            },
            retry_config={"max_retries": retries, "retry_timeout": timedelta(seconds=timeout_s)},
        )

    @contextmanager
    def put(self, name: str) -> Iterator[Sink]:
        """As `Shelf.put` says."""
        key, where = checked(name), self.where(name)
        with _told(where):
            writer = obstore.open_writer(self._store, key, buffer_size=_PART_BYTES, max_concurrency=_AT_ONCE)
        writing = _Writing(writer, where)
        try:
            yield writing
            with _told(where):
                writer.close()
        except BaseException as broken:
            with suppress(Exception):  # the first error is the one to tell; what is left there is nobody's
                writer.__exit__(type(broken), broken, broken.__traceback__)
            raise
        found = self.find(name)
        if found is None or found.size != writing.size:
            self.delete(name)
            raise StorageUnavailable(where, f"it took {writing.size:,} bytes, and has {found.size if found else 0:,}")

    def put_new(self, name: str, data: bytes) -> None:
        """As `Shelf.put_new` says, where the storage knows ``If-None-Match``; elsewhere the last one stays."""
        with _told(self.where(name)):
            obstore.put(self._store, checked(name), data, mode="create", use_multipart=False)

    def open(self, name: str) -> S3Stored:
        """As `Shelf.open` says."""
        key, where = checked(name), self.where(name)
        try:
            with _told(where):
                found = obstore.head(self._store, key)
        except _NotThere:
            raise NotOnShelf(where) from None
        return S3Stored(name, found["size"], self._store, found["e_tag"], where)

    def find(self, name: str) -> Item | None:
        """As `Shelf.find` says."""
        try:
            with _told(self.where(name)):
                found = obstore.head(self._store, checked(name))
        except _NotThere:
            return None
        return Item(name, found["size"], found["last_modified"])

    def items(self, within: str = "") -> Iterator[Item]:
        """As `Shelf.items` says."""
        with _told(self.where(within)):
            for page in obstore.list(self._store, checked(within) if within else None):
                for found in page:
                    yield Item(found["path"], found["size"], found["last_modified"])

    def delete(self, name: str) -> None:
        """As `Shelf.delete` says."""
        with suppress(_NotThere), _told(self.where(name)):
            obstore.delete(self._store, checked(name))

    def where(self, name: str) -> str:
        """The object's address."""
        return "s3://" + "/".join(part for part in (self._location.bucket, self._location.prefix, name) if part)

    def sweep(self) -> list[str]:
        """Nothing: what a crash cut off the storage alone sees, and a rule of the bucket's life cycle sweeps it."""
        return []


class S3Stored:
    """An object, as it was when it was opened: read by ranges that fail once it is another one."""

    def __init__(self, name: str, size: int, store: S3Store, etag: str | None, where: str) -> None:
        self.name = name
        self.size = size
        self._store = store
        self._etag = etag
        self._where = where

    def read(self, start: int, length: int) -> bytes:
        """As `Stored.read` says."""
        end = min(start + length, self.size)
        if start >= end:
            return b""
        asked: GetOptions = {"range": (start, end)}
        if self._etag is not None:
            asked["if_match"] = self._etag
        try:
            with _told(self._where):
                data = bytes(obstore.get(self._store, self.name, options=asked).bytes())
        except _NotThere:
            raise StoredDamaged(self._where, "it gone", "it to stay while it is read") from None
        except _Changed:
            raise StoredDamaged(self._where, "another in its place", "it to stay while it is read") from None
        if len(data) != end - start:
            raise StorageUnavailable(self._where, f"{len(data):,} bytes came where {end - start:,} were asked for")
        return data

    def close(self) -> None:
        """As `Stored.close` says."""


class _Writing:
    """An object that is written forward only, and how much was."""

    def __init__(self, writer: obstore.WritableFile, where: str) -> None:
        self._writer = writer
        self._where = where
        self.size = 0

    def write(self, data: bytes) -> None:
        with _told(self._where):
            self._writer.write(data)
        self.size += len(data)


class _NotThere(NotOnShelf):
    """The storage says that there is no such object."""


class _Changed(StoredDamaged):
    """The storage says that it is another object by now."""


@contextmanager
def _told(where: str) -> Iterator[None]:
    """What the storage refuses, or how it fails, is told as the shelf's error about *where*."""
    try:
        yield
    except FileNotFoundError as wrong:
        raise _missing(where, wrong) from wrong
    except AlreadyExistsError as wrong:
        raise NameTaken(where) from wrong
    except PreconditionError as wrong:
        raise _Changed(where, "another", "the same") from wrong
    except (PermissionDeniedError, UnauthenticatedError) as wrong:
        raise _full_or(StorageFailed, where, wrong) from wrong
    except (BaseError, OSError) as wrong:
        status = _STATUS.search(str(wrong))
        refused = status is not None and status[1][0] == "4" and status[1] not in {"408", "429"}
        raise _full_or(StorageFailed if refused else StorageUnavailable, where, wrong) from wrong


def _missing(where: str, wrong: FileNotFoundError) -> ShelfError:
    code, _ = _said(wrong)
    return StorageFailed(where, "there is no such bucket") if code == "NoSuchBucket" else _NotThere(where)


def _full_or(
    otherwise: type[StorageFailed | StorageUnavailable], where: str, wrong: Exception
) -> StorageFull | StorageFailed | StorageUnavailable:
    code, reason = _said(wrong)
    status = _STATUS.search(str(wrong))
    is_full = code in _FULL_CODES or (status is not None and status[1] == "507")
    return StorageFull(where, reason) if is_full else otherwise(where, reason)


def _said(wrong: Exception) -> tuple[str, str]:
    """The code that the storage gave, and the reason in words."""
    text = str(wrong)
    if said := _SAYS.search(text):
        return said[1], f"{said[1]}: {said[2]}" if said[2] else said[1]
    first = text.partition("\n")[0]
    return "", first.partition(": <?xml")[0][:300]
