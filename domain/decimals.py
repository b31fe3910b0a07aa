"""Decimal numbers as they are written: at most 15 digits before the point and 6 after it, nothing else.

Amounts, prices, quantities and rates travel as JSON strings. A decoder makes ``Decimal`` of far more than we allow
(``NaN``, ``1E+99``, ``1_000``); what is allowed is stated here once, with a cheap screen for bulk reading.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from typing import Any

import msgspec

WHOLE_DIGITS = 15
FRACTION_DIGITS = 6
PLAIN = f"a decimal of at most {WHOLE_DIGITS} digits before and {FRACTION_DIGITS} after the point"
_WRITTEN = re.compile(r"-?\d{1,15}(\.\d{1,6})?", re.ASCII)
_DIGITS_TO_ZERO = bytes(48 if 48 <= byte <= 57 else byte for byte in range(256))
# Each begins with a character that lines seldom have, so that a search skips from one to the next.
_NOT_PLAIN = tuple(
    re.compile(mark).search
    for mark in (rb"NaN", rb"Infinity", rb"E[+-]\d", rb"\.\d{%d}" % (FRACTION_DIGITS + 1), rb'"-0')
)
_TOO_LONG = b"0" * (WHOLE_DIGITS + 1)

ZERO = Decimal(0)
HUNDRED = Decimal(100)


def is_plain(value: Decimal) -> bool:
    """Whether *value* is written as we write decimals; minus zero is not."""
    return _WRITTEN.fullmatch(str(value)) is not None and not (value.is_zero() and value.is_signed())


def may_hold_odd_decimals(lines: bytes) -> bool:
    """Whether JSON *lines* may hold a decimal that is not plain. No false "no"; a "yes" wants a look at each value.

    The lines are as we write them: an exponent has its sign.
    """
    if any(search(lines) for search in _NOT_PLAIN):
        return True
    return _TOO_LONG in lines.translate(_DIGITS_TO_ZERO)


def odd_decimals(value: Any, path: str = "") -> Iterator[tuple[str, Decimal]]:
    """The path and value of each decimal inside *value* (structs, tuples, dicts) that is not plain."""
    if isinstance(value, Decimal):
        if not is_plain(value):
            yield path, value
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from odd_decimals(getattr(value, name), f"{path}.{name}" if path else name)
    elif isinstance(value, (tuple, list)):
        for index, part in enumerate(value):
            yield from odd_decimals(part, f"{path}[{index}]")
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from odd_decimals(part, f"{path}.{key}" if path else str(key))


@cache
def quantum(digits: int) -> Decimal:
    """The smallest step with *digits* decimals: 0.01 for 2."""
    return Decimal(1).scaleb(-digits)


def round_half_up(value: Decimal, digits: int) -> Decimal:
    """*value* rounded to *digits* decimals, halves away from zero (EN 16931, section 6.4 on rounding)."""
    rounded = value.quantize(quantum(digits), ROUND_HALF_UP)
    return rounded or abs(rounded)
