"""What every place that keeps archives must do, tried on a folder and on S3; and what each does when it fails."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, Self

import pytest

from snapshots.shelves import FolderShelf, Place, S3Location, S3Shelf, Shelf, private_copy, s3
from snapshots.shelves.copies import pieces, sha256_of
from snapshots.shelves.errors import (
    NameRefused,
    NameTaken,
    NotOnShelf,
    NotSynced,
    ShelfError,
    StorageFailed,
    StorageFull,
    StorageUnavailable,
    StoredDamaged,
)
from tests.fixtures.s3_server import Fault, GoBetween, S3Server, go_between

MIB = 1 << 20
LARGE = random.Random(5).randbytes(11 * MIB)  # three parts
ENDS_S = 3  # how long a storage that fails is waited for


class BrokenOff(Exception):
    """What a test lets a writing fail with."""


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "_PART_BYTES", 5 * MIB)  # the least that S3 takes


def put(shelf: Shelf, name: str, content: bytes) -> None:
    with shelf.put(name) as sink:
        for start in range(0, len(content), MIB):
            sink.write(content[start : start + MIB])


def read(shelf: Shelf, name: str) -> bytes:
    stored = shelf.open(name)
    try:
        return b"".join(pieces(stored))
    finally:
        stored.close()


def names(shelf: Shelf, within: str = "") -> list[str]:
    return [item.name for item in shelf.items(within)]


class ShelfContract:
    """What every place that keeps archives must do. Subclass it with a fixture `shelf`, empty and your own."""

    @pytest.mark.parametrize("content", [b"", b"x", LARGE], ids=["nothing", "a byte", "parts"])
    def test_what_is_put_is_read_back_as_it_was(self, shelf: Shelf, content: bytes) -> None:
        put(shelf, "acme/a.zip", content)

        found = shelf.find("acme/a.zip")
        assert read(shelf, "acme/a.zip") == content
        assert found is not None
        assert (found.name, found.size) == ("acme/a.zip", len(content))
        assert names(shelf) == ["acme/a.zip"]

    def test_a_put_that_breaks_off_leaves_what_was_there(self, shelf: Shelf) -> None:
        put(shelf, "acme/a.zip", b"the older one")

        for name in ("acme/a.zip", "acme/b.zip"):
            with pytest.raises(BrokenOff):
                self._break_off(shelf, name)

        assert names(shelf) == ["acme/a.zip"]
        assert read(shelf, "acme/a.zip") == b"the older one"
        assert shelf.sweep() == []

    def _break_off(self, shelf: Shelf, name: str) -> None:
        with shelf.put(name) as sink:
            sink.write(LARGE)
            raise BrokenOff

    def test_nothing_stands_under_the_name_before_it_is_whole(self, shelf: Shelf) -> None:
        with shelf.put("acme/a.zip") as sink:
            sink.write(LARGE)
            meanwhile = (names(shelf), shelf.find("acme/a.zip"))

        assert meanwhile == ([], None)
        assert names(shelf) == ["acme/a.zip"]

    def test_any_range_is_read(self, shelf: Shelf) -> None:
        put(shelf, "a", LARGE)
        stored = shelf.open("a")
        chooses = random.Random(7)

        for _ in range(20):
            start, length = chooses.randrange(len(LARGE) + 10), chooses.choice([0, 1, 1000, MIB])
            assert stored.read(start, length) == LARGE[start : start + length]
        assert sha256_of(stored) == hashlib.sha256(LARGE).hexdigest()
        stored.close()

    def test_what_is_not_there_is_told(self, shelf: Shelf) -> None:
        assert shelf.find("acme/a.zip") is None
        assert names(shelf) == names(shelf, "acme") == []
        shelf.delete("acme/a.zip")
        with pytest.raises(NotOnShelf):
            shelf.open("acme/a.zip")

    def test_what_is_deleted_is_gone(self, shelf: Shelf) -> None:
        put(shelf, "acme/a/1", b"x")
        put(shelf, "acme/b", b"x")

        shelf.delete("acme/a/1")

        assert names(shelf) == ["acme/b"]

    def test_names_are_listed_in_order_and_only_those_within(self, shelf: Shelf) -> None:
        for name in ("acme/b", "acme/a", "acme-bv/a", "acme/c/d"):
            put(shelf, name, b"x")

        assert sorted(names(shelf)) == ["acme-bv/a", "acme/a", "acme/b", "acme/c/d"]
        assert names(shelf, "acme") == ["acme/a", "acme/b", "acme/c/d"]
        assert names(shelf, "acm") == []

    def test_what_is_new_is_put_once(self, shelf: Shelf) -> None:
        shelf.put_new("acme/1", b"x")

        assert read(shelf, "acme/1") == b"x"

    @pytest.mark.parametrize(
        "name",
        ["", ".", "..", "../a", "a/../b", "/etc/passwd", "a//b", "a/", "a\0b", "a\nb", "C:\\a", "a/./b", "x" * 256,
         "\ud800"],
    )  # fmt: skip
    def test_z10_a_name_that_leads_elsewhere_is_none(self, shelf: Shelf, name: str) -> None:
        for door in (shelf.open, shelf.find, shelf.delete):
            with pytest.raises(NameRefused):
                door(name)
        with pytest.raises(NameRefused), shelf.put(name):
            pass
        with pytest.raises(NameRefused):
            shelf.put_new(name, b"x")
        assert names(shelf) == []

    def test_memory_is_bounded_whatever_is_written_and_read(self, shelf: Shelf) -> None:
        tracemalloc.start()
        with shelf.put("a") as sink:
            for _ in range(100):
                sink.write(bytes(MIB))
        stored = shelf.open("a")
        sha256_of(stored)
        stored.close()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert most < 32 * MIB


class TestFolderShelf(ShelfContract):
    @pytest.fixture
    def shelf(self, tmp_path: Path) -> Shelf:
        return FolderShelf(tmp_path / "made" / "when" / "needed")

    def test_what_is_there_already_is_not_replaced_by_what_must_be_new(self, shelf: Shelf) -> None:
        shelf.put_new("acme/1", b"first")

        with pytest.raises(NameTaken):
            shelf.put_new("acme/1", b"second")

        assert read(shelf, "acme/1") == b"first"
        assert shelf.sweep() == []

    def test_what_is_open_is_read_to_its_end_when_it_is_replaced(self, shelf: Shelf) -> None:
        put(shelf, "a", b"older")
        stored = shelf.open("a")
        put(shelf, "a", b"newer")
        shelf.delete("a")

        assert stored.read(0, 10) == b"older"
        stored.close()
        stored.close()

    def test_a_link_is_none_of_ours(self, shelf: Shelf, tmp_path: Path) -> None:
        put(shelf, "acme/a", b"x")
        link = Path(shelf.where("acme/link"))
        (tmp_path / "secret").write_bytes(b"secret")
        link.symlink_to(tmp_path / "secret")

        assert names(shelf) == ["acme/a"]
        assert shelf.find("acme/link") is None
        with pytest.raises(StorageFailed):
            shelf.open("acme/link")

    @pytest.mark.parametrize("wrong", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EMFILE])
    @pytest.mark.parametrize("operation", ["open", "write", "fsync", "replace"])
    def test_f07_what_the_system_refuses_leaves_nothing_and_is_named(
        self, shelf: Shelf, monkeypatch: pytest.MonkeyPatch, operation: str, wrong: int
    ) -> None:
        put(shelf, "a", b"older")

        with monkeypatch.context() as patch:
            _fail(patch, operation, OSError(wrong, os.strerror(wrong)))
            with pytest.raises(StorageFull if wrong in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG} else StorageFailed):
                put(shelf, "a", b"newer")

        assert read(shelf, "a") == b"older"
        assert [path.name for path in Path(shelf.where("a")).parent.iterdir()] == ["a"]
        put(shelf, "a", b"newer")
        assert read(shelf, "a") == b"newer"

    def test_f08_a_folder_that_cannot_be_synced_is_told(self, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
        put(shelf, "a", b"older")
        real, calls = os.fsync, count(1)

        def fsync(descriptor: int) -> None:
            real(descriptor)
            if next(calls) == 2:
                raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.raises(NotSynced):
            put(shelf, "a", b"newer")
        assert read(shelf, "a") == b"newer"


def _fail(patch: pytest.MonkeyPatch, operation: str, wrong: OSError) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise wrong

    match operation:
        case "open":
            patch.setattr(Path, "open", fail)
        case "write":
            real = Path.open

            def unwritable(self: Path, *args: Any, **more: Any) -> Any:
                opened = real(self, *args, **more)
                return _Unwritable(opened, wrong) if args == ("xb",) else opened

            patch.setattr(Path, "open", unwritable)
        case "fsync":
            patch.setattr(os, "fsync", fail)
        case "replace":
            patch.setattr(Path, "replace", fail)


class _Unwritable:
    """A file that takes nothing."""

    def __init__(self, file: Any, wrong: OSError) -> None:
        self._file, self._wrong = file, wrong

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, data: bytes) -> int:
        raise self._wrong


class TestS3Shelf(ShelfContract):
    @pytest.fixture
    def shelf(self, s3_server: S3Server) -> Shelf:
        return S3Shelf(s3_server.location())

    def test_two_prefixes_never_see_each_other(self, s3_server: S3Server) -> None:
        location = s3_server.location()
        ours, theirs = S3Shelf(location), S3Shelf(location._replace(prefix=location.prefix + "-other"))
        put(ours, "acme/a", b"ours")

        assert names(theirs) == []
        assert theirs.find("acme/a") is None

    def test_what_is_replaced_while_it_is_read_is_told(self, shelf: Shelf) -> None:
        put(shelf, "a", b"older")
        put(shelf, "b", b"older")
        replaced, deleted = shelf.open("a"), shelf.open("b")
        put(shelf, "a", b"newer")
        shelf.delete("b")

        for stored in (replaced, deleted):
            with pytest.raises(StoredDamaged):
                stored.read(0, 10)

    def test_storage_that_is_not_there_or_refuses_us_is_told(
        self, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here = s3_server.location()
        refusing = here._replace(bucket="another")
        away = here._replace(endpoint="http://127.0.0.1:1")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not the secret")
        stranger = S3Shelf(here)

        for shelf, expected in (
            (S3Shelf(refusing), StorageFailed),
            (stranger, StorageFailed),
            (S3Shelf(away, timeout_s=ENDS_S, retries=1), StorageUnavailable),
        ):
            with pytest.raises(expected) as told:
                put(shelf, "a", b"x")
            assert "secret" not in str(told.value)
            with pytest.raises(expected):
                names(shelf)


@pytest.fixture
def between(s3_server: S3Server) -> Iterator[GoBetween]:
    with go_between(s3_server) as made:
        yield made


@pytest.fixture
def location(s3_server: S3Server, between: GoBetween) -> S3Location:
    return s3_server.location(endpoint=between.endpoint)


def fails(fault: Fault | None, first: int = 1, last: int = 1_000_000) -> Callable[[int, str, str], Fault | None]:
    """That fault of each request from the *first* to the *last*, counted from 1."""
    return lambda number, method, path: fault if first <= number <= last else None


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["answers 500", "hangs up"])
def test_f06_a_fault_of_any_one_request_of_a_put_is_got_over(
    location: S3Location, between: GoBetween, fault: Fault
) -> None:
    shelf = S3Shelf(location, retries=1)
    put(shelf, "a", LARGE)
    requests = len(between.requests)

    for failing in range(1, requests + 1):
        between.requests.clear()
        between.fault = fails(fault, failing, failing)
        put(shelf, f"b{failing}", LARGE)
        between.fault = fails(None)

        assert len(between.requests) > requests, "it was tried again"
        assert read(shelf, f"b{failing}") == LARGE


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["answers 500", "hangs up", "acts and hangs up", "is full"])
def test_f06_a_put_whose_requests_fail_from_any_one_on_shows_nothing_whole(
    location: S3Location, s3_server: S3Server, between: GoBetween, fault: Fault
) -> None:
    straight = S3Shelf(location._replace(endpoint=s3_server.endpoint))
    shelf = S3Shelf(location, timeout_s=ENDS_S, retries=1)
    put(shelf, "a", LARGE)

    for failing in range(1, len(between.requests) + 1):
        between.requests.clear()
        between.fault = fails(fault, failing)
        with pytest.raises(StorageFull if fault == "is full" else ShelfError):
            put(shelf, f"b{failing}", LARGE)
        between.fault = fails(None)

        left = straight.find(f"b{failing}")
        assert left is None or (left.size == len(LARGE) and read(straight, left.name) == LARGE)
        assert len(between.requests) < 40, "it is not tried for ever"


@pytest.mark.slow
def test_f06_a_storage_that_says_nothing_is_waited_for_a_bounded_time(location: S3Location, between: GoBetween) -> None:
    between.fault = fails("says nothing")
    shelf = S3Shelf(location, timeout_s=0.5, retries=1)

    with pytest.raises(StorageUnavailable):
        shelf.find("a")


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["answers half", "hangs up", "answers 500"])
def test_f06_a_reading_that_breaks_off_is_got_over_or_told_and_never_short(
    location: S3Location, between: GoBetween, fault: Fault
) -> None:
    shelf = S3Shelf(location, timeout_s=ENDS_S, retries=1)
    put(shelf, "a", LARGE)
    stored = shelf.open("a")

    between.requests.clear()
    between.fault = fails(fault, 1, 1)
    assert stored.read(5, MIB) == LARGE[5 : 5 + MIB]

    between.fault = fails(fault)
    with pytest.raises(StorageUnavailable):
        stored.read(5, MIB)


def test_z30_a_private_copy_is_what_was_there_and_leaves_nothing(tmp_path: Path) -> None:
    shelf, home = FolderShelf(tmp_path / "shelf"), tmp_path / "home"
    home.mkdir()
    put(shelf, "a", b"as it was")

    with private_copy(Place(shelf, "a"), home, most_bytes=100) as copy:
        Path(shelf.where("a")).write_bytes(b"changed in place")
        seen = copy.read()
        assert list(home.iterdir()) == []

    assert seen == b"as it was"


def test_z30_a_copy_of_what_was_changed_is_refused(tmp_path: Path) -> None:
    shelf = FolderShelf(tmp_path)
    put(shelf, "a", b"as it was")
    known = hashlib.sha256(b"as it was").hexdigest()
    Path(shelf.where("a")).write_bytes(b"as it is.")

    with (
        pytest.raises(StoredDamaged, match="SHA-256"),
        private_copy(Place(shelf, "a"), tmp_path, most_bytes=100, sha256=known),
    ):
        pass


def test_a_copy_is_bounded(tmp_path: Path) -> None:
    shelf = FolderShelf(tmp_path / "shelf")
    put(shelf, "a", LARGE)

    with private_copy(Place(shelf, "a"), tmp_path, most_bytes=MIB) as copy:
        assert len(copy.read()) == MIB + 1
