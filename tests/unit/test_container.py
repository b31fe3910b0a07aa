"""What the container writes, it and every other ZIP program reads back; and what others pack again, it reads."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import tempfile
import textwrap
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshots.container import Container, ContainerWriter, Limits, open_container
from snapshots.format.errors import (
    ArchiveTooLarge,
    ContainerFault,
    EntryMissing,
    EntryNameRefused,
    EntryTooLarge,
    EntryTwice,
    EntryUnfinished,
    FileCutShort,
)

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

MODIFIED = datetime(2026, 3, 31, 12, 34, 56, tzinfo=UTC)
LINES = b"".join(b'{"id": "%d", "name": "A customer"}\n' % number for number in range(500))
CONTENTS = {
    "manifest.json": b'{"format": 1}\n',
    "customers.jsonl": LINES,
    "documents/invoices.jsonl": b"",
    "attachments/" + hashlib.sha256(b"a").hexdigest(): os.urandom(3_000),
    "schemas/customer.schema.json": b"{}",
    "README.txt": b"What is in this archive\r\n",
}


def written(contents: dict[str, bytes], *, may_exceed_4gib: bool = False, chunk_bytes: int = 1000) -> bytes:
    """An archive with all of *contents* streamed."""
    out = io.BytesIO()
    with ContainerWriter(out, MODIFIED) as writer:
        for name, content in contents.items():
            with writer.entry(name, may_exceed_4gib=may_exceed_4gib) as sink:
                for at in range(0, len(content), chunk_bytes):
                    sink.write(content[at : at + chunk_bytes])
    return out.getvalue()


def added(contents: dict[str, bytes]) -> bytes:
    """An archive with all of *contents* added whole."""
    out = io.BytesIO()
    with ContainerWriter(out, MODIFIED) as writer:
        for name, content in contents.items():
            writer.add(name, content)
    return out.getvalue()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Container]]:
    """Opens the container of some bytes, or of a path."""
    files: list[BinaryIO] = []

    def open_bytes(source: bytes | Path, limits: Limits | None = None) -> Container:
        path = source
        if isinstance(path, bytes):
            path = tmp_path / f"archive-{len(files)}.zip"
            path.write_bytes(source)  # type: ignore[arg-type]
        files.append(path.open("rb"))
        return open_container(files[-1], limits or Limits())

    yield open_bytes
    for file in files:
        file.close()


def contents_of(container: Container) -> dict[str, bytes]:
    return {name: b"".join(container.read_chunks(name)) for name in container.names()}


@pytest.mark.parametrize("wide", [False, True])
def test_what_was_streamed_in_is_read_back(opened: Callable[..., Container], wide: bool) -> None:
    container = opened(written(CONTENTS, may_exceed_4gib=wide))

    assert contents_of(container) == CONTENTS
    assert container.names() == list(CONTENTS)


def test_what_was_added_whole_is_read_back(opened: Callable[..., Container]) -> None:
    assert contents_of(opened(added(CONTENTS))) == CONTENTS


@given(st.binary(max_size=5_000), st.integers(1, 600), st.integers(1, 600))
def test_chunks_may_be_cut_anywhere_on_both_sides(content: bytes, write_bytes: int, read_bytes: int) -> None:
    archive = written({"timeline.jsonl": content * 3}, chunk_bytes=write_bytes)
    with tempfile.TemporaryFile() as file:
        file.write(archive)
        file.flush()

        chunks = list(open_container(file, Limits()).read_chunks("timeline.jsonl", read_bytes))

    assert b"".join(chunks) == content * 3
    assert all(0 < len(chunk) <= read_bytes for chunk in chunks)


@pytest.mark.parametrize("make", [written, added, lambda contents: written(contents, may_exceed_4gib=True)])
def test_pythons_zipfile_reads_what_we_write(make: Callable[[dict[str, bytes]], bytes]) -> None:
    with zipfile.ZipFile(io.BytesIO(make(CONTENTS))) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == CONTENTS
        assert {info.date_time for info in archive.infolist()} == {(2026, 3, 31, 12, 34, 56)}


@pytest.mark.parametrize("make", [written, added, lambda contents: written(contents, may_exceed_4gib=True)])
def test_unzip_finds_no_fault_in_what_we_write(make: Callable[[dict[str, bytes]], bytes], tmp_path: Path) -> None:
    if not shutil.which("unzip"):
        pytest.skip("unzip is not installed")
    path = tmp_path / "archive.zip"
    path.write_bytes(make(CONTENTS))

    result = subprocess.run(["unzip", "-t", path], capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout + result.stderr
    assert "No errors detected" in result.stdout


def test_a_sink_states_the_size_and_hash_of_its_content() -> None:
    out = io.BytesIO()
    with ContainerWriter(out, MODIFIED) as writer:
        with writer.entry("customers.jsonl") as sink:
            sink.write(LINES)
        whole = writer.add("items.jsonl", LINES)

    assert sink.result is not None
    for result in (sink.result, whole):
        assert (result.size_bytes, result.sha256) == (len(LINES), hashlib.sha256(LINES).hexdigest())
        assert result.crc32 == zipfile.ZipFile(out).getinfo(result.name).CRC
        assert result.packed_bytes == zipfile.ZipFile(out).getinfo(result.name).compress_size


def test_the_writer_only_ever_writes_forward() -> None:
    class Pipe:
        data = b""

        def write(self, data: bytes) -> None:
            self.data += data

    pipe = Pipe()
    with ContainerWriter(pipe, MODIFIED) as writer, writer.entry("manifest.json") as sink:
        sink.write(b"{}")

    assert zipfile.ZipFile(io.BytesIO(pipe.data)).read("manifest.json") == b"{}"


@pytest.mark.parametrize("make", [written, added])
def test_content_of_mere_repetition_is_not_taken_for_a_bomb(
    make: Callable[[dict[str, bytes]], bytes], opened: Callable[..., Container]
) -> None:
    contents = {"layouts.jsonl": b" " * 3_000_000}
    archive = make(contents)

    assert contents_of(opened(archive)) == contents
    with zipfile.ZipFile(io.BytesIO(archive)) as other:
        assert other.read("layouts.jsonl") == contents["layouts.jsonl"]


@pytest.mark.slow
def test_more_entries_than_a_plain_zip_counts_are_written_with_zip64(opened: Callable[..., Container]) -> None:
    contents = {f"attachments/{number}": b"" for number in range(65_537)}
    archive = added(contents)

    container = opened(archive, Limits(max_attachments=70_000))

    assert archive[-42:-38] == b"PK\x06\x07"
    assert container.names() == list(contents)
    assert len(zipfile.ZipFile(io.BytesIO(archive)).namelist()) == 65_537


def test_entries_beyond_the_bounds_of_a_plain_zip_are_written_with_zip64(
    opened: Callable[..., Container], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where a plain ZIP ends is moved from 4 GiB down to 1,000 bytes; the rest is as it would be.
    monkeypatch.setattr("snapshots.container.writer.WIDE_FROM", 1_000)
    contents = {"customers.jsonl": LINES, "items.jsonl": LINES[::-1], "manifest.json": b"{}"}
    archive = written(contents, may_exceed_4gib=True)

    monkeypatch.undo()

    assert archive[-42:-38] == b"PK\x06\x07"
    with zipfile.ZipFile(io.BytesIO(archive)) as other:
        assert {name: other.read(name) for name in other.namelist()} == contents
    assert contents_of(opened(archive)) == contents


def test_an_entry_that_outgrows_what_it_announced_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snapshots.container.writer.WIDE_FROM", 1_000)
    writer = ContainerWriter(io.BytesIO(), MODIFIED)

    with pytest.raises(EntryTooLarge), writer.entry("timeline.jsonl") as sink:
        sink.write(b"x" * 1_000)


@pytest.mark.parametrize(
    "name", ["", "../x", "/x", "a//b", "A.json", "a b", "x/", "x.", ".x", "a\\b", "é.json", "a" * 121]
)
def test_a_name_that_no_archive_has_is_refused_by_the_writer(name: str) -> None:
    with pytest.raises(EntryNameRefused):
        ContainerWriter(io.BytesIO(), MODIFIED).add(name, b"")


def test_a_name_is_written_once() -> None:
    writer = ContainerWriter(io.BytesIO(), MODIFIED)
    writer.add("manifest.json", b"")

    with pytest.raises(EntryTwice):
        writer.add("manifest.json", b"")


def test_an_archive_whose_entry_broke_off_is_never_completed() -> None:
    out = io.BytesIO()
    writer = ContainerWriter(out, MODIFIED)
    with pytest.raises(OSError, match="the disk is full"), writer.entry("timeline.jsonl"):
        raise OSError("the disk is full")

    with pytest.raises(EntryUnfinished) as refused:
        writer.close()

    assert "timeline.jsonl" in str(refused.value)
    assert b"PK\x05\x06" not in out.getvalue()


def test_a_writer_left_by_an_exception_completes_nothing() -> None:
    out = io.BytesIO()

    with suppress(OSError), ContainerWriter(out, MODIFIED) as writer:
        writer.add("manifest.json", b"{}")
        raise OSError("the disk is full")

    assert b"PK\x05\x06" not in out.getvalue()


@pytest.mark.parametrize(
    ("moment", "shown"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), (1980, 1, 1, 0, 0, 0)),
        (datetime(2200, 5, 5, tzinfo=UTC), (2107, 12, 31, 23, 59, 58)),
    ],
)
def test_a_moment_that_zip_cannot_say_becomes_the_nearest(moment: datetime, shown: tuple[int, ...]) -> None:
    out = io.BytesIO()
    with ContainerWriter(out, moment) as writer:
        writer.add("manifest.json", b"{}")

    assert zipfile.ZipFile(out).getinfo("manifest.json").date_time == shown


def test_two_entries_are_read_in_turns(opened: Callable[..., Container]) -> None:
    contents = {"customers.jsonl": LINES, "items.jsonl": LINES[::-1]}
    container = opened(written(contents))

    pairs = list(
        zip(container.read_chunks("customers.jsonl", 100), container.read_chunks("items.jsonl", 100), strict=True)
    )

    assert b"".join(first for first, _ in pairs) == LINES
    assert b"".join(second for _, second in pairs) == LINES[::-1]


def test_a_small_entry_is_read_whole_up_to_the_bound_given(opened: Callable[..., Container]) -> None:
    container = opened(written(CONTENTS))

    assert container.read("manifest.json", max_bytes=14) == CONTENTS["manifest.json"]
    assert container.size_bytes("manifest.json") == 14
    with pytest.raises(EntryTooLarge):
        container.read("manifest.json", max_bytes=13)


def test_an_entry_that_is_not_there_is_named(opened: Callable[..., Container]) -> None:
    with pytest.raises(EntryMissing) as refused:
        opened(written(CONTENTS)).read_chunks("items.jsonl")

    assert str(refused.value) == "the archive has no items.jsonl"


def test_a_file_at_the_limit_is_read_and_one_over_it_refused(opened: Callable[..., Container]) -> None:
    archive = written(CONTENTS)

    assert opened(archive, Limits(max_archive_bytes=len(archive))).names()
    with pytest.raises(ArchiveTooLarge):
        opened(archive, Limits(max_archive_bytes=len(archive) - 1))


def test_z30_a_file_that_takes_the_paths_place_is_never_seen(tmp_path: Path) -> None:
    path, other = tmp_path / "archive.zip", tmp_path / "other.zip"
    path.write_bytes(written({"manifest.json": b"ours"}))
    other.write_bytes(written({"manifest.json": b"theirs"}))

    with path.open("rb") as file:
        container = open_container(file, Limits())
        other.replace(path)

        assert container.read("manifest.json", max_bytes=100) == b"ours"


def test_z30_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "archive.zip"
    path.write_bytes(written(CONTENTS))

    with path.open("rb") as file:
        container = open_container(file, Limits())
        os.truncate(path, 50)

        with pytest.raises(FileCutShort):
            container.read("customers.jsonl", max_bytes=10**6)


# Z31: archives that others packed again. Each packer gets a folder with the files, and the path to make.


def zip_deflated(folder: Path, target: Path) -> None:
    run(["zip", "-q", "-r", target, "."], folder)


def zip_stored(folder: Path, target: Path) -> None:
    run(["zip", "-q", "-0", "-r", target, "."], folder)


def zip_without_folders_or_extra_fields(folder: Path, target: Path) -> None:
    run(["zip", "-q", "-X", "-D", "-r", target, "."], folder)


def zip_forced_zip64(folder: Path, target: Path) -> None:
    run(["zip", "-q", "-fz", "-r", target, "."], folder)


def zip_into_a_pipe(folder: Path, target: Path) -> None:
    target.write_bytes(run(["zip", "-q", "-r", "-", "."], folder))


def zip_stored_into_a_pipe(folder: Path, target: Path) -> None:
    target.write_bytes(run(["zip", "-q", "-0", "-r", "-", "."], folder))


def seven_zip(folder: Path, target: Path) -> None:
    run(["7z", "a", "-bd", "-tzip", target, "."], folder)


def bsdtar(folder: Path, target: Path) -> None:
    run(["bsdtar", "-a", "-cf", target, *sorted(path.name for path in folder.iterdir())], folder)


def cmake_by_libarchive(folder: Path, target: Path) -> None:
    run(["cmake", "-E", "tar", "cf", target, "--format=zip", *sorted(path.name for path in folder.iterdir())], folder)


def perl_into_a_pipe_with_zip64(folder: Path, target: Path) -> None:
    names = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
    script = "use IO::Compress::Zip qw(zip); my $t = shift; zip [@ARGV] => $t, Stream => 1, Zip64 => 1 or exit 1"
    run(["perl", "-e", script, target, *names], folder)


def java(folder: Path, target: Path) -> None:
    source = target.with_name("Repack.java")
    source.write_text(
        textwrap.dedent("""
        import java.io.*; import java.nio.file.*; import java.util.zip.*;
        public class Repack {
            public static void main(String[] args) throws Exception {
                Path folder = Paths.get(args[0]);
                try (ZipOutputStream out = new ZipOutputStream(new FileOutputStream(args[1]));
                     var paths = Files.walk(folder)) {
                    for (Path path : (Iterable<Path>) paths.sorted()::iterator) {
                        String name = folder.relativize(path).toString();
                        if (name.isEmpty()) continue;
                        boolean isFolder = Files.isDirectory(path);
                        out.putNextEntry(new ZipEntry(isFolder ? name + "/" : name));
                        if (!isFolder) Files.copy(path, out);
                        out.closeEntry();
                    }
                }
            }
        }
        """)
    )
    run(["java", source, folder, target], folder)


def run(command: list[str | Path], folder: Path) -> bytes:
    """What *command* prints, run in *folder*; the test is skipped when the program is not installed."""
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    return subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout


PACKERS = [
    *(zip_deflated, zip_stored, zip_without_folders_or_extra_fields, zip_forced_zip64, zip_into_a_pipe),
    *(zip_stored_into_a_pipe, seven_zip, bsdtar, cmake_by_libarchive),
    *(perl_into_a_pipe_with_zip64, pytest.param(java, marks=pytest.mark.slow)),
]


@pytest.mark.parametrize("pack", PACKERS)
def test_z31_an_archive_packed_again_by_another_program_is_read(
    pack: Callable[[Path, Path], None], tmp_path: Path, opened: Callable[..., Container]
) -> None:
    folder = tmp_path / "unpacked"
    for name, content in CONTENTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    pack(folder, tmp_path / "again.zip")

    assert contents_of(opened(tmp_path / "again.zip")) == CONTENTS


class Unseekable(io.RawIOBase):
    """A pipe, for zipfile: it then writes data descriptors."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer) -> int:
        piece = bytes(data)
        self.data += piece
        return len(piece)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("force_zip64", [False, True])
@pytest.mark.parametrize("folders", [False, True])
@pytest.mark.parametrize("pipe", [False, True])
def test_z31_an_archive_packed_again_by_zipfile_is_read(
    method: int, force_zip64: bool, folders: bool, pipe: bool, opened: Callable[..., Container]
) -> None:
    out = Unseekable() if pipe else io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        if folders:
            for folder in ("documents/", "attachments/", "schemas/"):
                archive.writestr(folder, b"")
        for name, content in reversed(CONTENTS.items()):
            with archive.open(name, "w", force_zip64=force_zip64) as entry:
                entry.write(content)

    data = bytes(out.data) if isinstance(out, Unseekable) else out.getvalue()

    assert contents_of(opened(data)) == CONTENTS


def test_z31_a_folder_made_by_zipfile_is_passed_over(opened: Callable[..., Container]) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.mkdir("documents")
        archive.writestr("documents/invoices.jsonl", b"{}")

    assert opened(out.getvalue()).names() == ["documents/invoices.jsonl"]


def test_a_fault_says_where_what_and_what_would_be_right(opened: Callable[..., Container]) -> None:
    with pytest.raises(ContainerFault) as refused:
        opened(b"no archive at all, but longer than an end record")

    assert refused.value.code == "archive.not-a-zip"
    assert str(refused.value) == "the archive, byte 0: found a file that begins with b'no a'; expected a ZIP file"
