"""Numbers whose check digits do not add up: worth a look, and no reason to refuse what was sent."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stdnum import get_cc_module, iban
from stdnum.exceptions import ValidationError

from api.ubl.reading import UblDocument
from domain.parties import Party

_LIKE_IBAN = re.compile(r"[A-Z]{2}\d{2}[A-Z0-9]{8,30}")
_PREFIXES = {"EL": "gr", "XI": "gb"}  # VAT prefixes that are not the country's ISO code


def doubts(document: UblDocument) -> Iterator[str]:
    """A sentence for each VAT number and IBAN of the document that fails its country's check, where it has one."""
    parties = {
        "seller": document.seller,
        "buyer": document.buyer,
        "payee": document.payee,
        "tax representative": document.tax_representative,
    }
    for role, party in parties.items():
        if party is not None and _fails_vat_check(party):
            yield f"the VAT identifier of the {role}, {party.vat_identifier}, fails its country's check"
    for means in document.payment_means:
        for what, number in (("IBAN", means.iban), ("debited IBAN", means.debited_account)):
            if number is not None and _fails_iban_check(number):
                yield f"the {what} {number} fails its check"


def _fails_vat_check(party: Party) -> bool:
    number = re.sub(r"[^0-9A-Z]", "", (party.vat_identifier or "").upper())
    prefix = number[:2]
    if not prefix.isalpha():
        return False
    checker = get_cc_module(_PREFIXES.get(prefix, prefix.lower()), "vat")
    return checker is not None and not checker.is_valid(number) and not checker.is_valid(number[2:])


def _fails_iban_check(number: str) -> bool:
    compact = re.sub(r"[^0-9A-Z]", "", number.upper())
    if not _LIKE_IBAN.fullmatch(compact):
        return False
    try:
        iban.validate(compact, check_country=False)
    except ValidationError:
        return True
    return False
