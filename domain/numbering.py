"""Document numbers: a series for each kind and year, without gaps, by the account's format.

A format is text with ``{number}`` once, optionally padded (``{number:05}``), and ``{year}`` or ``{month}`` of the
document's date: ``{year}-{number:05}`` gives 2026-00001. A series is what a format comes to for one date.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import ClassVar

from domain.errors import DomainError

_PART = re.compile(r"\{(?P<name>[a-z]+)(?::0(?P<width>[1-9]))?\}")
_LITERAL = re.compile(r"[A-Za-z0-9 ./_#-]*")
DEFAULT_FORMAT = "{year}-{number:05}"


@dataclass(eq=False)
class FormatRefused(DomainError):
    """A number format that could not number documents."""

    code: ClassVar[str] = "domain.number-format"
    format: str
    reason: str

    def __str__(self) -> str:
        return f"number format {self.format!r}: {self.reason}; right would be, for example, {DEFAULT_FORMAT!r}"


@dataclass(frozen=True)
class Series:
    """The numbers of one format and date: *prefix*, the number with at least *width* digits, *suffix*."""

    prefix: str
    width: int
    suffix: str

    @property
    def key(self) -> str:
        """What names the series: its numbers with the digits left out."""
        return f"{self.prefix}{{}}{self.suffix}"

    def number(self, ordinal: int) -> str:
        """The number of the *ordinal*-th document, from 1."""
        return f"{self.prefix}{ordinal:0{self.width}}{self.suffix}"

    def ordinal(self, number: str) -> int | None:
        """Which document of the series *number* is, or None when it belongs to another."""
        if not number.startswith(self.prefix) or not number.endswith(self.suffix):
            return None
        digits = number[len(self.prefix) : len(number) - len(self.suffix)]
        if not digits.isascii() or not digits.isdigit() or len(digits) > 18 or len(digits) < self.width:
            return None
        return int(digits)


def check_format(text: str) -> None:
    """That *text* can number documents. Raises FormatRefused."""
    parts = list(_PART.finditer(text))
    names = [part["name"] for part in parts]
    if names.count("number") != 1:
        raise FormatRefused(text, "{number} must stand in it once")
    unknown = sorted(set(names) - {"number", "year", "month"})
    if unknown:
        raise FormatRefused(text, f"{{{unknown[0]}}} is not known")
    if any(part["width"] for part in parts if part["name"] != "number"):
        raise FormatRefused(text, "only {number} can be padded")
    if "month" in names and "year" not in names:
        raise FormatRefused(text, "{month} without {year} would give the same numbers again a year later")
    if not _LITERAL.fullmatch(_PART.sub("", text)) or len(text) > 60:
        raise FormatRefused(
            text, "beside the parts only letters, digits, blanks and ./_#- may stand, 60 characters in all"
        )
    number = next(part for part in parts if part["name"] == "number")
    before, after = text[: number.start()], text[number.end() :]
    if before[-1:].isdigit() or after[:1].isdigit() or before.endswith("}") or after.startswith("{"):
        raise FormatRefused(text, "{number} must be set off from other digits")


def series(text: str, on: date) -> Series:
    """The series that the format *text* comes to for a document dated *on*."""
    number = next(part for part in _PART.finditer(text) if part["name"] == "number")
    dated = {"year": f"{on.year:04}", "month": f"{on.month:02}"}

    def written(part: str) -> str:
        return _PART.sub(lambda match: dated[match["name"]], part)

    return Series(written(text[: number.start()]), int(number["width"] or 1), written(text[number.end() :]))
