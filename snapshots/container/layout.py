"""The layout: how the entries lie in the file, and whether what stands around them is what the directory says.

ZIP says most things twice, and programs differ in which they believe. Here both must say the same, and every byte of
the file must belong to exactly one record.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import unpack
from typing import Final

from snapshots.container.directory import Entry
from snapshots.container.extra_fields import extra_fields
from snapshots.container.format import (
    DESCRIPTOR,
    DESCRIPTOR64,
    DESCRIPTOR_SIGNATURE,
    EXTRA_ZIP64,
    FLAG_DESCRIPTOR,
    LOCAL,
    LOCAL_SIGNATURE,
    SATURATED_32,
    VERSION_ZIP64,
    LocalHeader,
)
from snapshots.container.source import Source
from snapshots.format.errors import (
    DescriptorDiffers,
    FolderNotEmpty,
    HiddenBytes,
    LocalHeaderDiffers,
    OverlappingEntries,
    PrependedBytes,
    Zip64Contradiction,
)

# How an empty content deflates, for those who deflate even a folder.
_EMPTY_DEFLATED: Final = b"\x03\x00"
_ZIP64_SIZES: Final = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class LocatedEntry:
    """An entry of which both headers say the same, and where its packed bytes are."""

    entry: Entry
    content_offset: int
    length_is_announced: bool  # by the header before the content, not only behind it and in the directory


def locate_entries(source: Source, entries: list[Entry], directory_offset: int) -> list[LocatedEntry]:
    """The *entries* in the order in which they lie. They must tile the file from byte 0 to the directory.

    Reads every header before a content, and no content. Raises a ContainerFault.
    """
    in_order = sorted(entries, key=lambda entry: entry.offset)
    starts = [entry.offset for entry in in_order]
    if starts[0] > 0:
        raise PrependedBytes(offset=0, found=f"{starts[0]:,} bytes", expected=f"the entry {in_order[0].name}")
    return [
        _locate(source, entry, after) for entry, after in zip(in_order, [*starts[1:], directory_offset], strict=True)
    ]


def _locate(source: Source, entry: Entry, after: int) -> LocatedEntry:
    """Where the content of *entry* is, when all of it fits exactly before *after*."""
    _check_room(entry, LOCAL.size + len(entry.name), after)
    local, extra = _read_local(source, entry)
    header_bytes = LOCAL.size + local.name_bytes + local.extra_bytes
    _check_room(entry, header_bytes, after)
    is_zip64 = _check_local(local, extra, entry)
    content_offset = entry.offset + header_bytes
    after_content = content_offset + entry.packed_bytes
    has_descriptor = bool(entry.flags & FLAG_DESCRIPTOR)
    if has_descriptor:
        _check_descriptor(source, entry, after_content, after - after_content, is_zip64=is_zip64)
    elif after_content != after:
        raise HiddenBytes(
            entry=entry.name,
            offset=after_content,
            found=f"{after - after_content:,} bytes that no entry owns",
            expected="the next entry, or the directory",
        )
    if entry.is_folder and source.read(content_offset, entry.packed_bytes) not in {b"", _EMPTY_DEFLATED}:
        raise FolderNotEmpty(
            entry=entry.name, offset=content_offset, found=f"{entry.packed_bytes:,} packed bytes", expected="none"
        )
    announced = not has_descriptor or local.size_bytes not in {0, SATURATED_32}
    return LocatedEntry(entry=entry, content_offset=content_offset, length_is_announced=announced)


def _check_room(entry: Entry, header_bytes: int, after: int) -> None:
    if entry.offset + header_bytes + entry.packed_bytes > after:
        raise OverlappingEntries(
            entry=entry.name,
            offset=entry.offset,
            found=f"a header and {entry.packed_bytes:,} packed bytes that run over byte {after:,}",
            expected="an end before the next entry and the directory",
        )


def _read_local(source: Source, entry: Entry) -> tuple[LocalHeader, dict[int, bytes]]:
    """The header before the content, with the name that the directory has, and its extra fields."""
    local = LocalHeader._make(LOCAL.unpack(source.read(entry.offset, LOCAL.size)))
    if local.signature != LOCAL_SIGNATURE:
        raise _differs(entry, f"{local.signature!r}", "the header of the entry")
    rest = source.read(entry.offset + LOCAL.size, local.name_bytes + local.extra_bytes)
    name, extra = rest[: local.name_bytes], rest[local.name_bytes :]
    if name != entry.name.encode():
        raise _differs(entry, f"the name {name!r}", "the name that the directory has")
    return local, extra_fields(extra, entry=entry.name, offset=entry.offset)


def _check_local(local: LocalHeader, extra: dict[int, bytes], entry: Entry) -> bool:
    """Check the header before the content against the directory's. Returns whether its sizes are ZIP64's."""
    for name in ("flags", "method", "time", "date"):
        if getattr(local, name) != getattr(entry, name):
            raise _differs(entry, f"{name} {getattr(local, name)}", f"{getattr(entry, name)} as in the directory")
    if local.version_needed > VERSION_ZIP64:
        raise _differs(entry, f"version {local.version_needed}", f"{VERSION_ZIP64} at most")
    found = {"crc32": local.crc32, "packed_bytes": local.packed_bytes, "size_bytes": local.size_bytes}
    zip64 = extra.get(EXTRA_ZIP64)
    saturated = (local.packed_bytes, local.size_bytes).count(SATURATED_32)
    if zip64 is not None or saturated:
        if zip64 is None or saturated != _ZIP64_SIZES or len(zip64) != 8 * _ZIP64_SIZES:
            raise Zip64Contradiction(
                entry=entry.name,
                offset=entry.offset,
                found=f"{saturated} sizes left to a ZIP64 field of {len(zip64 or b''):,} bytes",
                expected="both, to one of 16, or none",
            )
        found["size_bytes"], found["packed_bytes"] = unpack("<QQ", zip64)
    # Whoever did not know a value when the entry began left it at zero, and wrote a descriptor after the content.
    may_be_zero = bool(entry.flags & FLAG_DESCRIPTOR)
    for name, value in found.items():
        if value != getattr(entry, name) and not (may_be_zero and value == 0):
            raise _differs(
                entry, f"{name.replace('_', ' ')} {value:,}", f"{getattr(entry, name):,} as in the directory"
            )
    return zip64 is not None


def _differs(entry: Entry, found: str, expected: str) -> LocalHeaderDiffers:
    return LocalHeaderDiffers(entry=entry.name, offset=entry.offset, found=found, expected=expected)


def _check_descriptor(source: Source, entry: Entry, offset: int, room_bytes: int, *, is_zip64: bool) -> None:
    """What follows the content must be the directory's values, with a signature or without, and nothing more."""
    layout = DESCRIPTOR64 if is_zip64 else DESCRIPTOR
    if not is_zip64 and max(entry.packed_bytes, entry.size_bytes) > SATURATED_32:
        raise Zip64Contradiction(
            entry=entry.name, offset=offset, found="a content of over 4 GiB", expected="a ZIP64 field that announces it"
        )
    whole = layout.pack(DESCRIPTOR_SIGNATURE, entry.crc32, entry.packed_bytes, entry.size_bytes)
    bare = whole.removeprefix(DESCRIPTOR_SIGNATURE)
    if room_bytes not in {len(whole), len(bare)}:
        raise DescriptorDiffers(
            entry=entry.name,
            offset=offset,
            found=f"{room_bytes:,} bytes before the next entry or the directory",
            expected=f"a descriptor of {len(bare)} or {len(whole)}",
        )
    found = source.read(offset, room_bytes)
    if found not in {whole, bare}:
        raise DescriptorDiffers(
            entry=entry.name, offset=offset, found=found.hex(" ", 4), expected=whole[-room_bytes:].hex(" ", 4)
        )
