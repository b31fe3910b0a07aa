"""Texts as they are looked for: without case, accents and odd spaces; and identifiers without what is put between."""

from __future__ import annotations

import re
import unicodedata

# Letters that are no letter with a mark to Unicode, and that people type without.
_PLAIN = str.maketrans({
    "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h", "ŋ": "n",
})  # fmt: skip
_BETWEEN = re.compile(r"[\W_]+")
_DIGITS = re.compile(r"[0-9]+")
_WIDTH = 18  # of the numbers within a number: more digits are ordered as text


def fold(text: str) -> str:
    """*text* in small letters without accents, one space between words."""
    if not text.isascii():
        parts = unicodedata.normalize("NFKD", text).casefold()
        text = "".join(letter for letter in parts if not unicodedata.combining(letter)).translate(_PLAIN)
    return " ".join(text.lower().split())


def squeeze(text: str) -> str:
    """*text*, an identifier, folded and without spaces, points and hyphens: ``BE 0123.456.749`` is ``be0123456749``."""
    return _BETWEEN.sub("", fold(text))


def in_order(number: str) -> str:
    """*number* so that text order is that of the numbers in it: ``R-9`` comes before ``R-10``."""
    return _DIGITS.sub(lambda digits: digits[0].zfill(_WIDTH), number)
