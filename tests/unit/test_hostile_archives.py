"""Archives made to be read differently by different programs, or to exhaust the one that reads them: all refused.

The cases are numbered as in the project's list of faults. Z12 and the second half of Z17 are not the container's.
"""

from __future__ import annotations

import io
import struct
import tarfile
import tempfile
import zipfile
import zlib
from datetime import UTC, datetime

import pytest
from isal import isal_zlib

from snapshots.container import ContainerWriter, Limits, open_container
from snapshots.format.errors import (
    ArchiveTooLarge,
    AttributesRefused,
    ChecksumWrong,
    CommentPresent,
    ContainerFault,
    DeflateDamaged,
    DescriptorDiffers,
    DescriptorInContent,
    DirectoryDamaged,
    DirectoryMisplaced,
    EmptyArchive,
    EncryptedEntry,
    EndRecordMissing,
    EntryCountWrong,
    EntryNameRefused,
    EntryTooLarge,
    EntryTwice,
    ExtraFieldRefused,
    FlagsRefused,
    FolderNotEmpty,
    HiddenBytes,
    LocalHeaderDiffers,
    MethodRefused,
    NotAZip,
    OverlappingEntries,
    PrependedBytes,
    RatioTooHigh,
    SeveralDisks,
    SizeWrong,
    TooManyEntries,
    TrailingBytes,
    UnpacksTooLarge,
    Zip64Contradiction,
)
from tests.forged_zip import Member, deflated, descriptor, end64, extra, forge, locator, zip64_extra

WIDE = 0xFFFFFFFF


def contents(data: bytes, limits: Limits | None = None) -> dict[str, bytes]:
    """Everything in the archive *data*."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        container = open_container(file, limits or Limits())
        return {name: b"".join(container.read_chunks(name)) for name in container.names()}


def opening(data: bytes, limits: Limits | None = None) -> None:
    """Open the archive *data* and unpack nothing."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        open_container(file, limits or Limits())


def items(**facts: object) -> Member:
    """A second entry beside the manifest."""
    return Member(name=b"items.jsonl", content=b'{"id": 1}\n', **facts)  # type: ignore[arg-type]


def small_archive() -> bytes:
    """A whole archive by our own writer: streamed, added, stored, and one announced as large."""
    out = io.BytesIO()
    with ContainerWriter(out, datetime(2026, 3, 31, tzinfo=UTC)) as writer:
        writer.add("manifest.json", b'{"format": 1}\n' * 3)
        with writer.entry("items.jsonl") as sink:
            sink.write(b'{"id": 1}\n{"id": 2}\n')
        with writer.entry("timeline.jsonl", may_exceed_4gib=True) as sink:
            sink.write(b'{"type": "item.added"}\n' * 5)
    return out.getvalue()


def test_the_forger_makes_archives_that_are_read_when_nothing_is_forged() -> None:
    data = forge(Member(), items())

    assert contents(data) == {"manifest.json": b'{"format": 1}\n', "items.jsonl": b'{"id": 1}\n'}


# Bombs


def test_z01_many_entries_on_one_content_are_refused_before_any_is_unpacked() -> None:
    kernel = Member(name=b"attachments/00", content=b"x" * 1000)
    listed = [Member(name=b"attachments/%02d" % n, content=b"x" * 1000).central_bytes(0) for n in range(50)]

    with pytest.raises((OverlappingEntries, LocalHeaderDiffers)):
        opening(forge(kernel, listed=listed))


def test_z01_one_entry_listed_twice_under_its_own_name_is_refused() -> None:
    with pytest.raises(EntryTwice):
        opening(forge(Member(), listed=[Member().central_bytes(0)] * 2))


def test_z02_headers_quoted_inside_a_content_are_refused_before_any_is_unpacked() -> None:
    # The first entry is a stored block around the second one's header, and goes on into its content.
    kernel = Member(name=b"attachments/1", content=b"x" * 1000)
    inner = kernel.local_bytes()
    header = inner[: len(inner) - len(kernel.packed_bytes())]
    quoted = struct.pack("<BHH", 0, len(header), len(header) ^ 0xFFFF) + header
    outer = Member(name=b"attachments/0", content=header + b"x" * 1000, packed=quoted + kernel.packed_bytes())
    second_offset = len(outer.local_bytes()) - len(inner)
    data = forge(outer, listed=[outer.central_bytes(0), kernel.central_bytes(second_offset)])
    assert zlib.decompress(outer.packed_bytes(), -15) == outer.content

    with pytest.raises(OverlappingEntries):
        opening(data)


def test_z03_an_entry_is_read_at_its_size_limit_and_refused_above_it() -> None:
    data = forge(Member(content=bytes(range(256)) * 4))

    assert contents(data, Limits(max_entry_bytes=1024))
    assert contents(data, Limits(max_entry_bytes=1025))
    with pytest.raises(EntryTooLarge):
        opening(data, Limits(max_entry_bytes=1023))


def test_z03_an_archive_is_read_at_its_unpacked_limit_and_refused_above_it() -> None:
    data = forge(Member(content=b"12345"), items())

    assert contents(data, Limits(max_unpacked_bytes=15))
    assert contents(data, Limits(max_unpacked_bytes=16))
    with pytest.raises(UnpacksTooLarge):
        opening(data, Limits(max_unpacked_bytes=14))


def test_z03_an_entry_is_read_at_the_ratio_limit_and_refused_above_it() -> None:
    packed = deflated(b"x" * 1000)
    ratio = 1000 // len(packed)
    exact = Member(content=b"x" * (ratio * len(packed)), packed=deflated(b"x" * (ratio * len(packed))))
    assert len(exact.packed_bytes()) == len(packed)

    assert contents(forge(exact), Limits(max_ratio=ratio))
    assert contents(forge(exact), Limits(max_ratio=ratio + 1))
    with pytest.raises(RatioTooHigh):
        opening(forge(exact), Limits(max_ratio=ratio - 1))


def test_z03_a_bomb_that_states_its_size_is_refused_before_it_is_unpacked() -> None:
    with pytest.raises(RatioTooHigh):
        opening(forge(Member(content=b"\x00" * 10_000_000)))


def test_z03_a_bomb_that_lies_about_its_size_is_stopped_at_the_size_that_it_states() -> None:
    bomb = deflated(b"\x00" * 10_000_000)
    taken: list[bytes] = []
    with tempfile.TemporaryFile() as file:
        file.write(forge(Member(content=b"\x00" * 100, packed=bomb)))
        file.flush()
        container = open_container(file, Limits())

        with pytest.raises(SizeWrong):
            taken.extend(container.read_chunks("manifest.json", 4096))

    assert sum(map(len, taken)) <= 100


def test_z03_an_archive_over_the_size_of_a_file_is_refused() -> None:
    data = forge(Member())

    with pytest.raises(ArchiveTooLarge):
        opening(data, Limits(max_archive_bytes=len(data) - 1))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_z04_an_entry_packed_by_another_program_than_deflate_is_refused_unopened(method: int) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("manifest.json", b"x" * 1000)

    with pytest.raises(MethodRefused):
        opening(out.getvalue())


@pytest.mark.parametrize("method", [1, 6, 9, 12, 14, 93, 95, 98, 99, 0xFFFF])
def test_z05_an_unknown_method_is_refused_by_its_number(method: int) -> None:
    with pytest.raises(MethodRefused) as refused:
        opening(forge(Member(method=method)))

    assert f"method {method}" in str(refused.value)


@pytest.mark.parametrize("local", [0, 1, 9, 99])
def test_z05_a_method_that_differs_between_the_headers_is_refused(local: int) -> None:
    with pytest.raises(LocalHeaderDiffers):
        opening(forge(Member(local={"method": local})))


def test_z05_a_version_beyond_what_deflate_and_zip64_need_is_refused() -> None:
    with pytest.raises(MethodRefused):
        opening(forge(Member(central={"needed": 46})))
    with pytest.raises(LocalHeaderDiffers):
        opening(forge(Member(local={"needed": 46})))


def test_z06_a_zip_inside_is_bytes_like_any_other() -> None:
    inner = forge(Member())

    assert contents(forge(Member(name=b"attachments/inner.zip", content=inner, method=0))) == {
        "attachments/inner.zip": inner
    }


@pytest.mark.parametrize("count", [60_000, 65_534])
def test_z07_too_many_entries_are_refused_by_their_number_before_the_directory_is_read(count: int) -> None:
    # There is no directory of so many entries at all: were it read, the error would be another.
    with pytest.raises(TooManyEntries):
        opening(forge(Member(), end={"here": count, "entries": count}))


def test_z07_a_number_of_entries_that_only_zip64_can_say_is_refused_too() -> None:
    member = Member()
    size, offset = len(member.central_bytes(0)), len(member.local_bytes())
    records = end64(entries=200_000, size=size, offset=offset) + locator(offset + size)

    with pytest.raises(TooManyEntries):
        opening(forge(member, after_directory=records, end={"here": 0xFFFF, "entries": 0xFFFF}))


def test_z07_a_directory_too_large_for_its_entries_is_refused_unread() -> None:
    with pytest.raises(EntryCountWrong) as refused:
        opening(forge(Member(), listed=[Member().central_bytes(0) + b"\x00" * 1_000_000]))

    assert "1 entries in a directory of 1,000,059 bytes" in str(refused.value)


def test_z07_entries_and_attachments_have_limits_of_their_own() -> None:
    members = [Member(name=b"attachments/%d" % n) for n in range(3)] + [Member(), items()]

    assert contents(forge(*members), Limits(max_entries=2, max_attachments=3))
    for limits in (Limits(max_entries=1, max_attachments=4), Limits(max_entries=3, max_attachments=2)):
        with pytest.raises(TooManyEntries):
            opening(forge(*members), limits)


# Names


def test_z08_a_name_twice_is_refused() -> None:
    with pytest.raises(EntryTwice) as refused:
        opening(forge(Member(), items(), Member(content=b"other")))

    assert refused.value.entry == "manifest.json"


@pytest.mark.parametrize(
    "name", [b"Manifest.json", b"MANIFEST.JSON", b"manifest.json.", b"manifest.json ", "é.json".encode(), b"e\xcc\x81"]
)
def test_z09_a_name_that_some_file_systems_take_for_another_is_refused(name: bytes) -> None:
    with pytest.raises(EntryNameRefused):
        opening(forge(Member(), Member(name=name)))


@pytest.mark.parametrize("other", [b"readme.txt", b"readme.txt/x", b"readme.txt/"])
def test_z09_a_name_that_equals_the_readme_but_for_its_case_is_refused(other: bytes) -> None:
    with pytest.raises(EntryTwice):
        opening(forge(Member(name=b"README.txt"), Member(name=other, content=b"", method=0)))


def test_z09_a_file_where_the_folder_of_another_is_is_refused() -> None:
    with pytest.raises(EntryTwice):
        opening(forge(Member(name=b"documents"), Member(name=b"documents/invoices.jsonl")))


@pytest.mark.parametrize(
    "name",
    [
        *(b"../manifest.json", b"documents/../manifest.json", b"/etc/passwd", b"c:\\x", b"c:/x", b"documents\\x"),
        *(b"documents//x", b"./x", b".", b"..", b"", b"/", b"x/./y", b"~/x", b".hidden", b"manifest.json\x00.exe"),
        *(b"manifest.json\n", b"a\r", b"a b", "x\u202etxt".encode(), b"\xff\xfe", b"x" * 65_535, b"a/b/c/d/e"),
        *(b"-x", b"con:", b"a*", b"a?", b"%2e%2e/x"),
    ],
)
def test_z10_a_name_that_leads_elsewhere_is_refused(name: bytes) -> None:
    with pytest.raises(EntryNameRefused) as refused:
        opening(forge(Member(name=name)))

    assert len(str(refused.value)) < 500


@pytest.mark.parametrize(
    "external",
    [
        *(0o120777 << 16, 0o020644 << 16, 0o060644 << 16, 0o010644 << 16, 0o140644 << 16, 0o040755 << 16),
        *(0o104755 << 16, 0o102755 << 16, 0o101755 << 16, 0x10, 0x08, 0x40, 0x400),
    ],
)
def test_z11_a_link_a_device_a_folders_mode_or_setuid_is_refused(external: int) -> None:
    with pytest.raises(AttributesRefused):
        opening(forge(Member(central={"external": external})))


def test_z11_a_folder_that_claims_to_be_a_link_is_refused() -> None:
    with pytest.raises(AttributesRefused):
        opening(forge(Member(name=b"documents/", content=b"", method=0, central={"external": 0o120777 << 16})))


# Headers


@pytest.mark.parametrize("field", ["flags", "method", "time", "date", "crc", "packed", "size", "name", "extra"])
def test_z13_a_header_that_differs_from_the_directory_is_refused(field: str) -> None:
    member = Member()
    values = member.values() | {"name": len(member.name), "extra": 0}

    with pytest.raises(ContainerFault):
        opening(forge(Member(local={field: values[field] ^ 2})))


def test_z13_a_name_that_differs_between_the_headers_is_refused() -> None:
    with pytest.raises(LocalHeaderDiffers):
        opening(forge(Member(local_name=b"manifesT.json")))
    with pytest.raises(LocalHeaderDiffers):
        opening(forge(Member(local_name=b"manifest.jsonl")))


def test_z13_an_entry_whose_header_is_none_is_refused() -> None:
    with pytest.raises(LocalHeaderDiffers):
        opening(forge(items(), Member()).replace(b"PK\x03\x04", b"PK\x03\x05"))


def test_z14_an_entry_that_the_directory_leaves_out_is_refused() -> None:
    first, hidden, last = Member(), items(), Member(name=b"customers.jsonl")
    offset = len(first.local_bytes()) + len(hidden.local_bytes())

    with pytest.raises(HiddenBytes) as refused:
        opening(forge(first, hidden, last, listed=[first.central_bytes(0), last.central_bytes(offset)]))

    assert refused.value.offset == len(first.local_bytes())


def test_z14_a_first_or_last_entry_that_the_directory_leaves_out_is_refused() -> None:
    first, last = Member(), items()

    with pytest.raises(PrependedBytes):
        opening(forge(first, last, listed=[last.central_bytes(len(first.local_bytes()))]))
    with pytest.raises(HiddenBytes):
        opening(forge(first, last, listed=[first.central_bytes(0)]))


@pytest.mark.parametrize("gap", [b"\x00", b"x" * 70_000])
def test_z14_bytes_between_entries_or_before_the_directory_are_refused(gap: bytes) -> None:
    for data in (forge(Member(), items(before=gap)), forge(Member(), before_directory=gap)):
        with pytest.raises(HiddenBytes):
            opening(data)


@pytest.mark.parametrize("chunk_bytes", [1, 7, 1024 * 1024])
def test_z15_content_longer_than_stated_is_refused_though_the_short_part_has_the_right_checksum(
    chunk_bytes: int,
) -> None:
    long = b"the part that is stated, and more"
    data = forge(Member(content=long[:24], packed=deflated(long)))

    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        container = open_container(file, Limits())
        with pytest.raises(SizeWrong):
            list(container.read_chunks("manifest.json", chunk_bytes))


@pytest.mark.parametrize("rest", [b"\x00", b"\x03\x00", b"x" * 200_000])
def test_z15_packed_bytes_after_the_end_of_the_stream_are_refused(rest: bytes) -> None:
    with pytest.raises(DeflateDamaged):
        contents(forge(Member(packed=deflated(Member().content) + rest)))


def test_z15_a_stored_entry_has_one_size() -> None:
    with pytest.raises(SizeWrong):
        opening(forge(Member(method=0, central={"size": 5}, local={"size": 5})))


def test_z16_content_shorter_than_stated_is_refused() -> None:
    with pytest.raises(SizeWrong):
        contents(forge(Member(content=b"x" * 90, packed=deflated(b"x" * 50))))


@pytest.mark.parametrize("packed", [1_000, WIDE - 1])
def test_z16_packed_bytes_beyond_the_end_of_the_file_are_refused(packed: int) -> None:
    with pytest.raises(OverlappingEntries):
        opening(forge(Member(central={"packed": packed}, local={"packed": packed})))


def test_z16_a_stream_cut_short_is_refused() -> None:
    with pytest.raises(DeflateDamaged):
        contents(forge(Member(content=b"x" * 90, packed=deflated(b"x" * 90)[:-1])))


@pytest.mark.parametrize("method", [0, 8])
def test_z17_content_with_another_checksum_is_refused_before_its_last_chunk_is_given(method: int) -> None:
    data = forge(Member(method=method, central={"crc": 1}, local={"crc": 1}))

    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        with pytest.raises(ChecksumWrong):
            next(open_container(file, Limits()).read_chunks("manifest.json"))


# The file


@pytest.mark.parametrize("prefix", [b"\x00", b"#!/bin/sh\n", forge(items())])
def test_z18_bytes_before_the_first_entry_are_refused(prefix: bytes) -> None:
    with pytest.raises(DirectoryMisplaced):
        opening(prefix + forge(Member()))
    with pytest.raises(PrependedBytes):
        opening(forge(Member(before=prefix)))


@pytest.mark.parametrize("tail_bytes", [1, 21, 22, 1000])
def test_z19_bytes_after_the_end_record_are_refused(tail_bytes: int) -> None:
    with pytest.raises(TrailingBytes):
        opening(forge(Member(), tail=b"\x00" * tail_bytes))


def test_z19_so_many_bytes_after_the_end_record_that_it_is_out_of_sight_are_refused() -> None:
    with pytest.raises(EndRecordMissing):
        opening(forge(Member(), tail=b"\x00" * 70_000))


def test_z20_a_comment_is_refused() -> None:
    with pytest.raises(CommentPresent):
        opening(forge(Member(), comment=b"taken in March"))
    with pytest.raises(CommentPresent):
        opening(forge(Member(comment=b"x")))
    with pytest.raises(CommentPresent):
        opening(forge(Member(), end={"comment": 5}))


def test_z20_a_second_end_record_is_refused_after_the_first_and_inside_its_comment() -> None:
    second = forge(Member())[-22:]

    with pytest.raises(DirectoryMisplaced):
        opening(forge(Member(), tail=second))
    with pytest.raises(ContainerFault):
        opening(forge(Member(), comment=second))
    with pytest.raises(ContainerFault):
        opening(forge(Member(), comment=struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 0, 0, 0, 0, 0)))


@pytest.mark.parametrize("entries", [1, 3, 9])
def test_z21_an_end_record_that_counts_other_entries_is_refused(entries: int) -> None:
    with pytest.raises((EntryCountWrong, HiddenBytes)):
        opening(forge(Member(), items(), end={"here": entries, "entries": entries}))


def test_z21_an_end_record_that_counts_none_is_refused() -> None:
    with pytest.raises(EmptyArchive):
        opening(forge(Member(), end={"here": 0, "entries": 0}))


def test_z21_a_directory_that_is_no_list_of_headers_is_refused() -> None:
    whole = Member().central_bytes(0)

    with pytest.raises(DirectoryDamaged):
        opening(forge(Member(), listed=[b"PK\x01\x03" + whole[4:]]))
    with pytest.raises(DirectoryDamaged):
        opening(forge(Member(central={"extra": 9})))
    with pytest.raises(EntryCountWrong):
        opening(forge(Member(), listed=[whole + b"x" * 10]))
    with pytest.raises(EntryCountWrong):
        opening(forge(Member(central_extra=extra(0x000A, b"\x00" * 32)), end={"here": 2, "entries": 2}))


@pytest.mark.parametrize("off_by", [-1, 1])
def test_z21_a_directory_one_byte_off_is_refused(off_by: int) -> None:
    size, offset = len(Member().central_bytes(0)), len(Member().local_bytes())
    changes = {"bytes": size + off_by}, {"offset": offset + off_by}
    for end in (*changes, {"bytes": size + off_by, "offset": offset - off_by}):
        with pytest.raises(ContainerFault):
            opening(forge(Member(), end=end))


@pytest.mark.parametrize("at", [0, 1, 10**6, 2**63, 2**64 - 1])
def test_z22_a_locator_that_leads_nowhere_is_refused(at: int) -> None:
    with pytest.raises(Zip64Contradiction):
        opening(forge(Member(), after_directory=locator(at)))


def test_z22_zip64_end_records_that_agree_are_read_and_any_that_do_not_are_refused() -> None:
    member = Member()
    size, offset = len(member.central_bytes(0)), len(member.local_bytes())

    def archive(end: dict[str, int] | None = None, **changes: int) -> bytes:
        facts = {"entries": 1, "size": size, "offset": offset} | changes
        return forge(member, after_directory=end64(**facts) + locator(offset + size), end=end)

    assert contents(archive())
    assert contents(archive({"here": 0xFFFF, "entries": 0xFFFF, "bytes": WIDE, "offset": WIDE}))
    for field, value in (
        ("size", size + 1),
        ("offset", 2**63),
        ("entries", 2),
        ("stated", 45),
        ("disk", 1),
        ("here", 0),
    ):
        with pytest.raises(ContainerFault):
            opening(archive(None, **{field: value}))
    with pytest.raises(Zip64Contradiction):
        opening(archive({"here": 2, "entries": 2}))
    with pytest.raises(Zip64Contradiction):
        opening(forge(member, after_directory=end64(entries=1, size=size, offset=offset) + locator(offset + size + 1)))
    with pytest.raises(DirectoryMisplaced):
        opening(archive({"bytes": WIDE, "offset": WIDE}, offset=2**63))
    with pytest.raises(SeveralDisks):
        opening(
            forge(member, after_directory=end64(entries=1, size=size, offset=offset) + locator(offset + size, disk=1))
        )


def test_z22_a_zip64_field_without_need_is_refused() -> None:
    with pytest.raises(Zip64Contradiction):
        opening(forge(Member(central_extra=zip64_extra(14))))
    with pytest.raises(Zip64Contradiction):
        opening(forge(Member(local_extra=zip64_extra(14, 16))))


@pytest.mark.parametrize("size", [WIDE, 2**63 - 1, 2**63, 2**64 - 1])
def test_z22_sizes_beyond_any_file_are_refused(size: int) -> None:
    wide = {"size": WIDE, "packed": WIDE}
    member = Member(
        local=wide, central=wide, local_extra=zip64_extra(size, size), central_extra=zip64_extra(size, size), method=0
    )

    with pytest.raises(EntryTooLarge):
        opening(forge(member))
    with pytest.raises(OverlappingEntries):
        opening(forge(member), Limits(max_entry_bytes=2**64, max_unpacked_bytes=2**64))


def test_z22_zip64_fields_that_hold_too_little_or_too_much_are_refused() -> None:
    for central, field in (
        ({"size": WIDE}, b""),
        ({"size": WIDE}, zip64_extra()),
        ({"size": WIDE}, zip64_extra(14, 16)),
        ({"size": WIDE, "offset": WIDE}, zip64_extra(14)),
        ({"size": WIDE}, extra(1, b"1234")),
    ):
        with pytest.raises(Zip64Contradiction):
            opening(forge(Member(central=central, central_extra=field)))


def test_z22_true_zip64_for_a_small_entry_is_read() -> None:
    member = Member()
    size, packed = len(member.content), len(member.packed_bytes())
    wide = {"size": WIDE, "packed": WIDE}
    member = Member(
        local=wide,
        central=wide | {"offset": WIDE},
        local_extra=zip64_extra(size, packed),
        central_extra=zip64_extra(size, packed, 0),
    )

    assert contents(forge(member)) == {"manifest.json": member.content}


@pytest.mark.parametrize("flags", [1 << 0, 1 << 6, 1 << 13, 1 << 0 | 1 << 6])
def test_z23_an_encrypted_or_masked_entry_is_refused(flags: int) -> None:
    with pytest.raises(EncryptedEntry):
        opening(forge(Member(flags=flags)))


@pytest.mark.parametrize("bit", [4, 5, 7, 8, 9, 10, 12, 14, 15])
def test_z23_a_reserved_or_patched_data_flag_is_refused(bit: int) -> None:
    with pytest.raises(FlagsRefused):
        opening(forge(Member(flags=1 << bit)))


def described(*, zeros: bool = True, **facts: object) -> Member:
    """An entry followed by a right descriptor, unless *facts* say otherwise."""
    member = Member(flags=8, **facts)  # type: ignore[arg-type]
    if zeros:
        member.local = {"crc": 0, "packed": 0, "size": 0} | member.local
    return member


@pytest.mark.parametrize("signature", [b"PK\x07\x08", b""])
@pytest.mark.parametrize("zeros", [True, False])
def test_z24_a_descriptor_that_agrees_is_read_with_and_without_signature(signature: bytes, zeros: bool) -> None:
    member = described(zeros=zeros)
    member.after = descriptor(member, signature=signature)

    assert contents(forge(member, items())) == {"manifest.json": member.content, "items.jsonl": b'{"id": 1}\n'}


@pytest.mark.parametrize("signature", [b"PK\x07\x08", b""])
def test_z24_a_wide_descriptor_is_read_where_a_zip64_field_announces_it(signature: bytes) -> None:
    member = described(local={"packed": WIDE, "size": WIDE}, local_extra=zip64_extra(0, 0))
    member.after = descriptor(member, signature=signature, layout="<IQQ")

    assert contents(forge(member)) == {"manifest.json": member.content}


@pytest.mark.parametrize("signature", [b"PK\x07\x08", b""])
@pytest.mark.parametrize("field", [0, 1, 2])
def test_z24_a_descriptor_that_differs_from_the_directory_is_refused(signature: bytes, field: int) -> None:
    member = described()
    after = bytearray(descriptor(member, signature=signature))
    after[len(signature) + 4 * field] ^= 1
    member.after = bytes(after)

    with pytest.raises(DescriptorDiffers):
        opening(forge(member))


def test_z24_a_descriptor_that_is_missing_too_long_or_of_the_wrong_width_is_refused() -> None:
    whole = descriptor(described())
    for after in (b"", whole[:-1], whole + b"\x00", descriptor(described(), layout="<IQQ"), b"PK\x07\x09" + whole[4:]):
        with pytest.raises(DescriptorDiffers):
            opening(forge(described(after=after)))


def test_z24_a_descriptor_with_far_too_much_after_it_is_refused_unread() -> None:
    with pytest.raises(DescriptorDiffers) as refused:
        opening(forge(described(after=descriptor(described()) + b"x" * 1000)))

    assert "1,016 bytes before" in str(refused.value)


def test_z24_content_of_over_4_gib_must_announce_its_wide_descriptor() -> None:
    member = described(central={"size": WIDE}, central_extra=zip64_extra(2**33))
    member.after = descriptor(member)

    with pytest.raises(Zip64Contradiction):
        opening(forge(member), Limits(max_entry_bytes=2**40, max_unpacked_bytes=2**40, max_ratio=2**40))


def test_z24_a_descriptor_that_no_flag_announces_is_refused() -> None:
    with pytest.raises(HiddenBytes):
        opening(forge(Member(after=descriptor(Member()))))


def test_z24_stored_content_of_unannounced_length_must_not_contain_a_descriptor() -> None:
    hidden = Member(content=b"short")
    harmless = described(method=0, content=b"no descriptor in here")
    harmless.after = descriptor(harmless)
    forged = described(method=0, content=b"x" * 10 + descriptor(hidden) + items().local_bytes())
    forged.after = descriptor(forged)

    assert contents(forge(harmless)) == {"manifest.json": b"no descriptor in here"}
    with pytest.raises(DescriptorInContent):
        contents(forge(forged))


@pytest.mark.parametrize("chunk_bytes", [1, 2, 3, 5, 1000])
def test_z24_a_descriptor_in_stored_content_is_found_across_chunks(chunk_bytes: int) -> None:
    forged = described(method=0, content=b"x" * 10 + b"PK\x07\x08" + b"x" * 10)
    forged.after = descriptor(forged)

    with tempfile.TemporaryFile() as file:
        file.write(forge(forged))
        file.flush()
        with pytest.raises(DescriptorInContent):
            list(open_container(file, Limits()).read_chunks("manifest.json", chunk_bytes))


def test_z25_a_unicode_path_that_renames_an_entry_is_refused() -> None:
    name = b"items.jsonl"
    field = extra(0x7075, struct.pack("<BI", 1, zlib.crc32(b"manifest.json")) + name)

    for member in (Member(central_extra=field), Member(local_extra=field)):
        with pytest.raises(ExtraFieldRefused):
            opening(forge(member))


@pytest.mark.parametrize("kind", [0x0007, 0x0017, 0x6375, 0x9901, 0xCAFE, 0xD935, 0x0000])
def test_z25_any_other_extra_field_is_refused(kind: int) -> None:
    with pytest.raises(ExtraFieldRefused):
        opening(forge(Member(central_extra=extra(kind, b"1234"))))


@pytest.mark.parametrize(
    "raw", [b"\x55", b"\x55\x54\x05", extra(0x5455, b"12345") * 2, b"UT\x06\x0012345", extra(0x5455, b"x" * 200)]
)
def test_z25_malformed_extra_fields_are_refused(raw: bytes) -> None:
    for member in (Member(central_extra=raw), Member(local_extra=raw)):
        with pytest.raises(ExtraFieldRefused):
            opening(forge(member))


def test_z25_times_and_owners_are_read_over() -> None:
    fields = extra(0x5455, b"\x01\x00\x00\x00\x00") + extra(0x7875, b"\x01\x04\x00\x00\x00\x00\x04\x00\x00\x00\x00")
    ntfs = extra(0x000A, b"\x00" * 32)

    assert contents(forge(Member(local_extra=fields, central_extra=ntfs + fields)))


def test_z26_a_utf8_flag_in_one_header_only_is_refused_and_invalid_utf8_too() -> None:
    with pytest.raises(LocalHeaderDiffers):
        opening(forge(Member(local={"flags": 1 << 11})))
    with pytest.raises(LocalHeaderDiffers):
        opening(forge(Member(central={"flags": 1 << 11})))
    with pytest.raises(EntryNameRefused):
        opening(forge(Member(name=b"\xff\xfe.json", flags=1 << 11)))
    assert contents(forge(Member(flags=1 << 11)))


@pytest.mark.parametrize("end", [{"disk": 1}, {"directory_disk": 1}, {"disk": 0xFFFF}])
def test_z27_a_zip_of_several_disks_is_refused(end: dict[str, int]) -> None:
    with pytest.raises(SeveralDisks):
        opening(forge(Member(), end=end))


def test_z27_entries_on_another_disk_are_refused() -> None:
    with pytest.raises(SeveralDisks):
        opening(forge(Member(central={"disk": 1})))
    with pytest.raises(EntryCountWrong):
        opening(forge(Member(), items(), end={"here": 1}))


def tar_file() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("manifest.json"))
    return out.getvalue()


@pytest.mark.parametrize(
    "data",
    [b"", b"P", b"x" * 22, b"x" * 100_000, isal_zlib.compress(b"x" * 100, wbits=31), b"7z\xbc\xaf'\x1c" + b"\x00" * 99],
)
def test_z27_what_is_no_zip_is_refused(data: bytes) -> None:
    with pytest.raises(NotAZip):
        opening(data)


def test_z27_a_tar_named_zip_is_refused() -> None:
    with pytest.raises(NotAZip):
        opening(tar_file())


def test_z27_an_end_record_alone_is_refused() -> None:
    with pytest.raises(EmptyArchive):
        opening(forge())


def test_a_folder_with_content_is_refused() -> None:
    for member in (
        Member(name=b"documents/", content=b"x", method=0),
        Member(name=b"documents/", content=b"x"),
        Member(name=b"documents/", content=b"xx", packed=b"\x03\x00"),
        Member(name=b"documents/", content=b"", packed=b"\x03\x01"),
        Member(name=b"documents/", content=b"", packed=b"hidden"),
    ):
        with pytest.raises(FolderNotEmpty):
            opening(forge(Member(), member))


# Every accident


@pytest.mark.slow
def test_z28_an_archive_cut_at_any_byte_is_refused() -> None:
    data = small_archive()
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        for size in reversed(range(len(data))):
            file.truncate(size)
            with pytest.raises(ContainerFault):
                open_container(file, Limits())


@pytest.mark.slow
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(small_archive(), id="ours"),
        pytest.param(forge(Member(), items(method=0), Member(name=b"documents/", content=b"", method=0)), id="forged"),
    ],
)
def test_z29_an_archive_with_any_bit_flipped_is_refused_or_has_the_same_content(data: bytes) -> None:
    original = contents(data)
    unharmed = 0
    with tempfile.TemporaryFile(buffering=0) as file:
        for bit in range(8 * len(data)):
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << bit % 8
            file.seek(0)
            file.write(flipped)
            try:
                container = open_container(file, Limits())
                found = {name: b"".join(container.read_chunks(name)) for name in container.names()}
            except ContainerFault:
                continue
            unharmed += 1
            assert found == original, f"bit {bit % 8} of byte {bit // 8}"

    assert unharmed < len(data)  # of eight times as many flips, those of times, versions and permissions
