"""Identifiers: time-ordered UUIDs (RFC 9562, version 7) in their canonical lower-case text form."""

from __future__ import annotations

import re
from datetime import datetime
from typing import NewType

import uuid_utils

EntityId = NewType("EntityId", str)
AccountId = NewType("AccountId", str)
PersonId = NewType("PersonId", str)

_CANONICAL = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
NIL = "00000000-0000-0000-0000-000000000000"


def new_id(at: datetime | None = None) -> EntityId:
    """A fresh identifier; its leading 48 bits are *at* (default: now), so that ids sort by time of making."""
    if at is None:
        return EntityId(str(uuid_utils.uuid7()))
    return EntityId(str(uuid_utils.uuid7(nanoseconds=round(at.timestamp() * 1_000_000) * 1000)))


def is_canonical(text: str) -> bool:
    """Whether *text* is a UUID as we write it: lower case, with hyphens, not nil; no id has two spellings."""
    return _CANONICAL.fullmatch(text) is not None and text != NIL
