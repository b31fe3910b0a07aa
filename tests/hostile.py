"""Hostile inputs that are large or slow to read for whoever is careless, built by small generators and never stored."""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

from snapshots.format.manifest import MANIFEST, SIGNATURE, TIMELINE
from tests.fixtures.archives import SIGNER, Edited
from tests.forged_zip import Member, forge
from tests.small_archive import small_archive

MIB = 1024 * 1024
# Deflate blocks without content: what keeps the ratio of a bomb at what is allowed.
_EMPTY_BLOCKS = b"\x00\x00\x00\xff\xff" * 1_100


def with_manifest(change: dict[str, Any] | bytes) -> bytes:
    """A signed archive whose manifest has fields of *change*, or is *change*."""
    edited = Edited(small_archive())
    raw = change if isinstance(change, bytes) else json.dumps({**edited.manifest, **change}).encode()
    return stored({**edited.files, MANIFEST: raw, SIGNATURE: SIGNER.sign(raw)})


def manifest_of_empty_objects() -> bytes:
    """16 MiB of manifest, which come to 350 MB of dictionaries."""
    return with_manifest(b'{"format_version":1,"x":[' + b"{}," * (5 * MIB) + b"{}]}")


def manifest_of_texts() -> bytes:
    """A manifest of as many small texts as it has room for."""
    return with_manifest(b'{"format_version":1,"x":[' + b'"\\\\",' * (3 * MIB) + b'""]}')


def manifest_of_keys() -> bytes:
    """A manifest of a million keys, all of them different."""
    keys = b",".join(b'"%d":{}' % number for number in range(900_000))
    return with_manifest(b'{"format_version":1,"x":{' + keys + b"}}")


def line_of_quotation_marks() -> bytes:
    """A line of a megabyte of escaped quotation marks, in a text that does not end."""
    return with_last_line(b'{"type":"' + b'\\"' * (MIB // 2 - 10))


def line_of_values() -> bytes:
    """A line of a megabyte of empty lists."""
    return with_last_line(b'{"type":[' + b"[]," * 340_000 + b"[]]}")


def line_of_nesting() -> bytes:
    """A line of a hundred thousand brackets."""
    return with_last_line(b"[" * 100_000)


def with_last_line(line: bytes) -> bytes:
    """A signed archive whose timeline ends with *line*."""
    edited = Edited(small_archive())
    edited.put_lines(TIMELINE, [*edited.lines(TIMELINE), line])
    return signed(edited)


def lines_without_end() -> bytes:
    """A timeline of two gigabytes without a line feed, within every limit of the container, in an archive of 15 MB."""
    edited = Edited(small_archive())
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(b"x" * MIB) + packer.flush(zlib.Z_FULL_FLUSH) + _EMPTY_BLOCKS
    packed = piece * 2_047 + b"\x03\x00"
    sizes = {"size": 2_047 * MIB}
    edited.manifest["files"] = [
        {**one, "bytes": sizes["size"]} if one["name"] == TIMELINE else one for one in edited.manifest["files"]
    ]
    raw = json.dumps(edited.manifest).encode()
    members = [
        Member(name=name.encode(), content=content) for name, content in edited.files.items() if name != TIMELINE
    ]
    members += [Member(name=MANIFEST.encode(), content=raw), Member(name=SIGNATURE.encode(), content=SIGNER.sign(raw))]
    return forge(*members, Member(name=TIMELINE.encode(), packed=packed, local=sizes, central=sizes))


def directory_of_many() -> bytes:
    """Sixty thousand empty entries, each of them real."""
    one = Member(name=b"attachments/00000", content=b"", method=0)
    local, central = one.local_bytes(), one.central_bytes(0)
    names = [b"attachments/%05d" % number for number in range(60_000)]
    headers = [central[:42] + struct.pack("<I", number * len(local)) + name for number, name in enumerate(names)]
    return forge(Member(before=b"".join(local[:30] + name for name in names)), listed=headers)


def one_entity_of_many_events() -> bytes:
    """A timeline of 30 MB about one customer, each line as it must be but for its place."""
    edited = Edited(small_archive())
    line = next(line for line in edited.lines(TIMELINE) if b'"customer.created"' in line)
    edited.put_lines(TIMELINE, [line] * (30 * MIB // len(line)))
    return signed(edited)


def signed(edited: Edited) -> bytes:
    """The archive put together again and signed, its files stored."""
    raw = json.dumps(edited.manifest).encode()
    return stored({**edited.files, MANIFEST: raw, SIGNATURE: SIGNER.sign(raw)})


def stored(files: dict[str, bytes]) -> bytes:
    """A ZIP of *files* as they are, so that no limit on the ratio refuses what is made of repetition."""
    return forge(*(Member(name=name.encode(), content=content, method=0) for name, content in files.items()))


def elements_without_content() -> bytes:
    """An invoice of seven million empty elements."""
    return _ubl(b"<a/>" * (7 * MIB))


def texts_beyond_the_first_plane() -> bytes:
    """An invoice of thirty megabytes, which are four times as many with one character of four bytes among them."""
    return _ubl(("<Note>" + "a" * (31 * MIB) + "😀</Note>").encode())


def _ubl(content: bytes) -> bytes:
    return b'<Invoice xmlns="urn:oasis:names:specification:ubl:schema:xsd:Invoice-2">' + content + b"</Invoice>"
