"""Code lists that fields refer to, from the packages that keep them.

Currencies are ISO 4217; countries ISO 3166-1 alpha-2 with the two codes that EN 16931 adds (``1A``, ``XI``);
VAT categories the subset of UNCL 5305 that EN 16931 allows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import iso4217
import pycountry
from msgspec import Meta

COUNTRIES: tuple[str, ...] = tuple(sorted({country.alpha_2 for country in pycountry.countries} | {"1A", "XI"}))
MINOR_UNITS: dict[str, int] = {
    currency.code: currency.exponent for currency in iso4217.Currency if currency.exponent is not None
}

VatCategory = Literal["S", "Z", "E", "AE", "K", "G", "O", "L", "M"]

if TYPE_CHECKING:
    Country = str
    Currency = str
else:
    # A Literal is checked by a hash look-up while decoding; type checkers cannot read one made from a package's list.
    Country = Literal[COUNTRIES]
    Currency = Literal[tuple(sorted(MINOR_UNITS))]

# UN/ECE Recommendations 20 and 21 have over 2,000 codes and no package that keeps them: their form is checked.
Unit = Annotated[str, Meta(pattern=r"^[A-Z0-9]{1,3}$")]
Language = Annotated[str, Meta(pattern=r"^[a-z]{2,3}(-[A-Z]{2})?$")]


def minor_unit(currency: str) -> int:
    """How many decimals amounts in *currency* have (ISO 4217)."""
    return MINOR_UNITS[currency]
