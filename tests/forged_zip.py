"""ZIP files byte by byte, right by default and wrong where a test says so.

The layouts are written down here a second time on purpose: a forger that used the product's own would forge its
mistakes.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

LOCAL_FIELDS = ("signature", "needed", "flags", "method", "time", "date", "crc", "packed", "size", "name", "extra")
CENTRAL_FIELDS = (
    *("signature", "made_by", "needed", "flags", "method", "time", "date", "crc", "packed", "size", "name", "extra"),
    *("comment", "disk", "internal", "external", "offset"),
)
END_FIELDS = ("signature", "disk", "directory_disk", "here", "entries", "bytes", "offset", "comment")
END64_FIELDS = (
    "signature",
    "stated",
    "made_by",
    "needed",
    "disk",
    "directory_disk",
    "here",
    "entries",
    "bytes",
    "offset",
)


def deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def extra(kind: int, content: bytes) -> bytes:
    return struct.pack("<HH", kind, len(content)) + content


def zip64_extra(*values: int) -> bytes:
    return extra(1, struct.pack(f"<{len(values)}Q", *values))


@dataclass(kw_only=True)
class Member:
    """An entry; *local* and *central* replace fields of its headers, *before* and *after* are bytes around it."""

    name: bytes = b"manifest.json"
    content: bytes = b'{"format": 1}\n'
    method: int = 8
    flags: int = 0
    packed: bytes | None = None
    local: dict[str, int] = field(default_factory=dict)
    central: dict[str, int] = field(default_factory=dict)
    local_name: bytes | None = None
    local_extra: bytes = b""
    central_extra: bytes = b""
    comment: bytes = b""
    before: bytes = b""
    after: bytes = b""

    def packed_bytes(self) -> bytes:
        if self.packed is not None:
            return self.packed
        return deflated(self.content) if self.method == 8 else self.content

    def values(self) -> dict[str, Any]:
        return {
            "needed": 20,
            "flags": self.flags,
            "method": self.method,
            "time": 0x4321,
            "date": 0x5A21,
            "crc": zlib.crc32(self.content),
            "packed": len(self.packed_bytes()),
            "size": len(self.content),
        }

    def local_bytes(self) -> bytes:
        name = self.name if self.local_name is None else self.local_name
        values = self.values() | {"signature": b"PK\x03\x04", "name": len(name), "extra": len(self.local_extra)}
        values |= self.local
        head = struct.pack("<4sHHHHHIIIHH", *(values[key] for key in LOCAL_FIELDS))
        return head + name + self.local_extra + self.packed_bytes() + self.after

    def central_bytes(self, offset: int) -> bytes:
        values = self.values() | {"signature": b"PK\x01\x02", "made_by": 0x0314, "disk": 0, "internal": 0}
        values |= {"name": len(self.name), "extra": len(self.central_extra), "comment": len(self.comment)}
        external = 0o040755 << 16 | 0x10 if self.name.endswith(b"/") else 0o100644 << 16
        values |= {"external": external, "offset": offset} | self.central
        head = struct.pack("<4sHHHHHHIIIHHHHHII", *(values[key] for key in CENTRAL_FIELDS))
        return head + self.name + self.central_extra + self.comment


def descriptor(member: Member, *, signature: bytes = b"PK\x07\x08", layout: str = "<III") -> bytes:
    values = member.values()
    return signature + struct.pack(layout, values["crc"], values["packed"], values["size"])


def forge(
    *members: Member,
    end: dict[str, int] | None = None,
    before_directory: bytes = b"",
    after_directory: bytes = b"",
    comment: bytes = b"",
    tail: bytes = b"",
    listed: list[bytes] | None = None,
) -> bytes:
    """A ZIP of *members*; *listed* replaces the headers of its directory."""
    data = b""
    central = []
    for member in members:
        data += member.before
        central.append(member.central_bytes(len(data)))
        data += member.local_bytes()
    data += before_directory
    offset = len(data)
    headers = central if listed is None else listed
    directory = b"".join(headers)
    values: dict[str, Any] = {"signature": b"PK\x05\x06", "disk": 0, "directory_disk": 0, "here": len(headers)}
    values |= {"entries": len(headers), "bytes": len(directory), "offset": offset, "comment": len(comment)}
    values |= end or {}
    return data + directory + after_directory + end_record(values) + comment + tail


def end_record(values: dict[str, Any]) -> bytes:
    return struct.pack("<4sHHHHIIH", *(values[key] for key in END_FIELDS))


def end64(*, entries: int, size: int, offset: int, **changes: int) -> bytes:
    values: dict[str, Any] = {"signature": b"PK\x06\x06", "stated": 44, "made_by": 45, "needed": 45, "disk": 0}
    values |= {"directory_disk": 0, "here": entries, "entries": entries, "bytes": size, "offset": offset} | changes
    return struct.pack("<4sQHHIIQQQQ", *(values[key] for key in END64_FIELDS))


def locator(offset: int, *, disk: int = 0, disks: int = 1) -> bytes:
    return struct.pack("<4sIQI", b"PK\x06\x07", disk, offset, disks)
