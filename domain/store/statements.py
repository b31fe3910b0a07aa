"""SQL that stands in a file beside the module that speaks it: statements under ``-- name:`` headers."""

from __future__ import annotations

import re
from importlib.resources import files

_HEADER = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def statements(package: str, file: str) -> dict[str, bytes]:
    """The statements of *file* in *package*, by name. Bytes, since psycopg takes only literal text otherwise."""
    text = files(package).joinpath(file).read_text("utf-8")
    parts = _HEADER.split(text)
    return {name: body.strip().removesuffix(";").encode() for name, body in zip(parts[1::2], parts[2::2], strict=True)}
