"""What a ZIP file must look like to be an archive, said once for its writer and its reader.

An archive is an ordinary ZIP, but of the many that ZIP allows only those that every reader reads alike: entries stand
one after another from byte 0 to the directory, the directory repeats what stands before them, and the file ends with
the end record. The container knows nothing of what is in the entries.

Field names and numbers are those of PKWARE's APPNOTE 6.3.10, sections 4.3 to 4.5.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from struct import Struct
from typing import Final, NamedTuple

from domain.events import LINE_LIMITS, LineLimits

LOCAL_SIGNATURE: Final = b"PK\x03\x04"
DESCRIPTOR_SIGNATURE: Final = b"PK\x07\x08"
CENTRAL_SIGNATURE: Final = b"PK\x01\x02"
END_SIGNATURE: Final = b"PK\x05\x06"
END64_SIGNATURE: Final = b"PK\x06\x06"
LOCATOR_SIGNATURE: Final = b"PK\x06\x07"

LOCAL: Final = Struct("<4sHHHHHIIIHH")
CENTRAL: Final = Struct("<4sHHHHHHIIIHHHHHII")
END: Final = Struct("<4sHHHHIIH")
END64: Final = Struct("<4sQHHIIQQQQ")
LOCATOR: Final = Struct("<4sIQI")
DESCRIPTOR: Final = Struct("<4sIII")
DESCRIPTOR64: Final = Struct("<4sIQQ")
# The size that an end record of ZIP64 states: its own without the first 12 bytes.
END64_STATED_BYTES: Final = END64.size - 12

STORED: Final = 0
DEFLATED: Final = 8

FLAG_ENCRYPTED: Final = 1 << 0
FLAGS_DEFLATE_EFFORT: Final = 1 << 1 | 1 << 2  # how hard the packer tried; of no consequence
FLAG_DESCRIPTOR: Final = 1 << 3
FLAG_STRONG_ENCRYPTION: Final = 1 << 6
FLAG_UTF8: Final = 1 << 11
FLAG_MASKED: Final = 1 << 13

VERSION_DEFLATE: Final = 20
VERSION_ZIP64: Final = 45

EXTRA_ZIP64: Final = 0x0001
# Value: the longest content that the field's definition allows.
EXTRA_LENGTHS: Final = {EXTRA_ZIP64: 28, 0x5455: 13, 0x7875: 24, 0x000A: 32}

# From these values on, a field stands in the ZIP64 records instead.
SATURATED_16: Final = 0xFFFF
SATURATED_32: Final = 0xFFFFFFFF

# "documents/invoices.jsonl": lower case, so that no two names are one to a file system that ignores case; no segment
# begins or ends with a dot, so that none leads upwards or loses its end on Windows.
MAX_NAME_BYTES: Final = 120
_SEGMENT = rb"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_-])?"
_NAME = re.compile(rb"README\.txt|(?:" + _SEGMENT + rb"/){0,3}" + _SEGMENT)
ATTACHMENTS: Final = "attachments/"


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much an archive may be, checked before or while it is unpacked. All bounds are inclusive."""

    max_archive_bytes: int = 256 * 1024**2
    max_entries: int = 1_000  # without attachments, which are one entry each
    max_attachments: int = 50_000
    max_entry_bytes: int = 2 * 1024**3
    max_unpacked_bytes: int = 16 * 1024**3  # of all entries together
    max_ratio: int = 200
    max_manifest_bytes: int = 16 * 1024**2  # the people and control totals of a large account are about 2 MB
    max_work_factor: int = 18  # of an archive encrypted with a passphrase: 256 MiB to try one, as age writes it
    lines: LineLimits = LINE_LIMITS  # for whoever reads lines out of an entry


# The writer keeps every entry within the ratio that readers allow by default, so that no backup is taken for a bomb.
WRITTEN_RATIO: Final = Limits().max_ratio // 2


class LocalHeader(NamedTuple):
    """What stands before an entry's content."""

    signature: bytes
    version_needed: int
    flags: int
    method: int
    time: int
    date: int
    crc32: int
    packed_bytes: int
    size_bytes: int
    name_bytes: int
    extra_bytes: int


class CentralHeader(NamedTuple):
    """What the directory says of an entry."""

    signature: bytes
    made_by: int
    version_needed: int
    flags: int
    method: int
    time: int
    date: int
    crc32: int
    packed_bytes: int
    size_bytes: int
    name_bytes: int
    extra_bytes: int
    comment_bytes: int
    disk: int
    internal_attributes: int
    external_attributes: int
    offset: int


class EndRecord(NamedTuple):
    """The last record of the file."""

    signature: bytes
    disk: int
    directory_disk: int
    entries_here: int
    entries: int
    directory_bytes: int
    directory_offset: int
    comment_bytes: int


class End64Record(NamedTuple):
    """The end record of ZIP64, for counts and offsets that the last record has no room for."""

    signature: bytes
    stated_bytes: int
    made_by: int
    version_needed: int
    disk: int
    directory_disk: int
    entries_here: int
    entries: int
    directory_bytes: int
    directory_offset: int


class Locator(NamedTuple):
    """Where the end record of ZIP64 is."""

    signature: bytes
    end64_disk: int
    end64_offset: int
    disks: int


def is_entry_name(raw: bytes) -> bool:
    """Whether an archive can have a file of this name."""
    return len(raw) <= MAX_NAME_BYTES and _NAME.fullmatch(raw) is not None
