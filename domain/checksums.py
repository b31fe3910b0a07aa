"""Checksums of VAT and bank account numbers, where a country's have one: what catches a slip of the pen.

A person who enters a wrong number is told at once; what is imported is kept as it came and warned of.
"""

from __future__ import annotations

from typing import Any

import stdnum
import stdnum.iban
from stdnum.exceptions import ValidationError

from domain.codes import COUNTRIES
from domain.customers import Customer
from domain.entity import FieldRefused

# Prefixes of VAT numbers that are no ISO 3166 code, and whose numbers they are: Greece, Northern Ireland.
_PREFIXES = {"EL": "GR", "XI": "GB"}


def customer_faults(customer: Customer) -> list[FieldRefused]:
    """What is wrong with the customer's VAT and bank account numbers, to be raised or shown."""
    faults = []
    vat = customer.party.vat_identifier
    if vat is not None and not is_vat_number(vat):
        faults.append(FieldRefused("party.vat_identifier", repr(vat)[:60], f"a VAT number of {vat[:2].upper()}"))
    for number, account in enumerate(customer.bank_accounts):
        if not is_iban(account.iban):
            field = f"bank_accounts[{number}].iban"
            faults.append(FieldRefused(field, repr(account.iban)[:60], "an IBAN with right check digits"))
    return faults


def is_vat_number(text: str) -> bool:
    """Whether *text* may be a VAT number: wrong only if its country's numbers have a form and this has not."""
    prefix = text.strip()[:2].upper()
    country = _PREFIXES.get(prefix, prefix)
    if country not in COUNTRIES:
        return True
    module: Any = stdnum.get_cc_module(country.lower(), "vat")
    number = text if prefix in (country, "EL") else f"{country}{text.strip()[2:]}"
    return module is None or _is_valid(module, number)


def is_iban(text: str) -> bool:
    """Whether *text* is an IBAN: country, length and check digits (ISO 13616), and the country's own check."""
    return _is_valid(stdnum.iban, text)


def _is_valid(module: Any, number: str) -> bool:
    try:
        module.validate(number)
    except ValidationError:
        return False
    return True
