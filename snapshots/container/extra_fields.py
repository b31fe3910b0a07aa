"""The extra fields of a header: ZIP64 sizes, times and owner, and none that could change what a reader reads."""

from __future__ import annotations

from struct import unpack_from

from snapshots.container.format import EXTRA_LENGTHS
from snapshots.format.errors import ExtraFieldRefused


def extra_fields(raw: bytes, *, entry: str, offset: int) -> dict[int, bytes]:
    """The content of each field in *raw*, from the header of *entry* at *offset*. Raises ExtraFieldRefused."""
    fields: dict[int, bytes] = {}
    at = 0
    while at < len(raw):
        kind, length = unpack_from("<HH", raw, at) if len(raw) - at >= 4 else (-1, 0)
        after = at + 4 + length
        if kind not in EXTRA_LENGTHS or kind in fields or length > EXTRA_LENGTHS[kind] or after > len(raw):
            raise ExtraFieldRefused(
                entry=entry,
                offset=offset,
                found=f"extra field {kind:#06x} of {length:,} bytes" if kind >= 0 else "half an extra field",
                expected="ZIP64 sizes, times and owner alone, each once",
            )
        fields[kind] = raw[at + 4 : after]
        at = after
    return fields
