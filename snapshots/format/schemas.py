"""JSON Schema of each line of an archive, made from the structs that read them."""

from __future__ import annotations

from functools import cache

import msgspec

from domain.documents import Document
from domain.events import LINE_TYPES, OLDER_LINE_TYPES
from domain.rules import RULES
from snapshots.format.manifest import SNAPSHOT_FILES, Manifest


@cache
def schemas() -> dict[str, bytes]:
    """Name of the schema file → its bytes: one a snapshot file (one for all documents), one for the
    timeline's lines, one for the manifest.
    """
    made = {
        file.replace(".jsonl", ".schema.json"): _schema(RULES[kind].state)
        for kind, file in SNAPSHOT_FILES.items()
        if not kind.is_document
    }
    made["documents.schema.json"] = _schema(Document)
    made["timeline.schema.json"] = _schemas([*LINE_TYPES.values(), *OLDER_LINE_TYPES.values()])
    made["manifest.schema.json"] = _schema(Manifest)
    return made


def _schema(of: type) -> bytes:
    return msgspec.json.format(msgspec.json.encode(msgspec.json.schema(of)), indent=2) + b"\n"


def _schemas(of: list[type]) -> bytes:
    found, components = msgspec.json.schema_components(of, ref_template="#/$defs/{name}")
    return msgspec.json.format(msgspec.json.encode({"oneOf": list(found), "$defs": components}), indent=2) + b"\n"
