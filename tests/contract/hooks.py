"""What schemathesis does not know by itself: how a body that is a file is sent."""

from __future__ import annotations

import schemathesis


@schemathesis.serializer("application/zip", "application/offset+octet-stream", "*/*")
def as_bytes(_context: object, value: object) -> bytes:
    """The bytes of a file."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
