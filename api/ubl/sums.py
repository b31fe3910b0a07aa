"""What a UBL file says it comes to (BG-22, BG-23), held against what its lines, allowances and charges come to."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, NamedTuple

from msgspec import Meta

from api.ubl.element import Element
from api.ubl.errors import ElementTwice, TotalDiffers
from api.ubl.lines import read_vat
from domain.codes import minor_unit
from domain.decimals import ZERO
from domain.lines import (
    DocumentAllowanceCharge,
    Line,
    Totals,
    Vat,
    VatBreakdown,
    VatExemption,
    totals,
    vat_breakdown,
)
from domain.parties import LongText

_ExemptionCode = Annotated[str, Meta(max_length=50)]
_SUMS = {
    "lines": "cbc:LineExtensionAmount",
    "without_vat": "cbc:TaxExclusiveAmount",
    "with_vat": "cbc:TaxInclusiveAmount",
    "allowances": "cbc:AllowanceTotalAmount",
    "charges": "cbc:ChargeTotalAmount",
    "paid": "cbc:PrepaidAmount",
    "rounding": "cbc:PayableRoundingAmount",
    "due": "cbc:PayableAmount",
}
_ALWAYS = ("lines", "without_vat", "with_vat", "due")  # BR-12 to BR-15


class VatTotals(NamedTuple):
    """The file's VAT totals: in the document's currency with the breakdown, and in the VAT currency."""

    total: Element | None
    in_vat_currency: Decimal | None


class Sums(NamedTuple):
    """What the file states, and what its figures come to: equal, each where the file states it."""

    stated: Totals
    stated_breakdown: tuple[VatBreakdown, ...]
    exemptions: tuple[VatExemption, ...]
    totals: Totals
    breakdown: tuple[VatBreakdown, ...]


def read_vat_totals(root: Element, currency: str, vat_currency: str | None) -> VatTotals:
    """The TaxTotal of the document's currency (BT-110, BG-23), and that of the VAT currency (BT-111)."""
    found: dict[str, Element] = {}
    for element in root.each("cac:TaxTotal"):
        amount = element.the("cbc:TaxAmount")
        of = amount.the_attribute("currencyID")
        if of not in (currency, vat_currency):
            amount.refuse(f"an amount in {of}", f"one in {' or '.join(filter(None, (currency, vat_currency)))}")
        if of in found:
            element.refuse(f"a second VAT total in {of}", "one for each currency", ElementTwice)
        found[of] = element
    other = found.get(vat_currency) if vat_currency and vat_currency != currency else None
    in_vat_currency = other.the("cbc:TaxAmount").as_amount(vat_currency) if other and vat_currency else None
    return VatTotals(found.get(currency), in_vat_currency)


def read_sums(
    root: Element,
    vat_total: Element | None,
    currency: str,
    *,
    lines: tuple[Line, ...],
    allowances: tuple[DocumentAllowanceCharge, ...],
    charges: tuple[DocumentAllowanceCharge, ...],
) -> Sums:
    """The file's totals and ours. Raises TotalDiffers at the first that is not what the figures come to."""
    subtotals = _read_subtotals(vat_total, currency) if vat_total else {}
    exemptions = tuple(
        VatExemption(category=part.category, reason=part.exemption_reason, code=part.exemption_code)
        for part, _ in subtotals.values()
        if part.exemption_reason or part.exemption_code
    )
    digits = minor_unit(currency)
    breakdown = vat_breakdown(lines, allowances, charges, exemptions, digits)
    _compare_breakdown(subtotals, breakdown, vat_total, currency)

    monetary = root.the("cac:LegalMonetaryTotal")
    for name in _ALWAYS:
        monetary.the(_SUMS[name])
    stated = {name: monetary.amount(path, currency) for name, path in _SUMS.items()}
    ours = totals(
        lines, allowances, charges, breakdown, digits=digits, paid=stated["paid"], rounding=stated["rounding"]
    )
    stated_vat = vat_total.amount("cbc:TaxAmount", currency) if vat_total else None
    if vat_total and stated_vat is not None and stated_vat != ours.vat:
        vat_total.the("cbc:TaxAmount").refuse(str(stated_vat), str(ours.vat), TotalDiffers)
    for name, path in _SUMS.items():
        if (stated[name] or ZERO) != (computed := getattr(ours, name) or ZERO):
            (monetary.one(path) or monetary).refuse(str(stated[name]), str(computed), TotalDiffers)
    return Sums(
        stated=Totals(**{**stated, "vat": ours.vat if stated_vat is None else stated_vat}),  # type: ignore[arg-type]
        stated_breakdown=tuple(part for part, _ in subtotals.values()),
        exemptions=exemptions,
        totals=ours,
        breakdown=breakdown,
    )


def _read_subtotals(vat_total: Element, currency: str) -> dict[Vat, tuple[VatBreakdown, Element]]:
    found: dict[Vat, tuple[VatBreakdown, Element]] = {}
    for element in vat_total.each("cac:TaxSubtotal"):
        category = element.the("cac:TaxCategory")
        vat = read_vat(category)
        if vat in found:
            element.refuse(f"a second subtotal of {_named(vat)}", "one for each category and rate", ElementTwice)
        part = VatBreakdown(
            category=vat.category,
            rate=vat.rate,
            taxable=element.the("cbc:TaxableAmount").as_amount(currency),
            tax=element.the("cbc:TaxAmount").as_amount(currency),
            exemption_reason=category.value("cbc:TaxExemptionReason", LongText),
            exemption_code=category.value("cbc:TaxExemptionReasonCode", _ExemptionCode),
        )
        found[vat] = (part, element)
    return found


def _compare_breakdown(
    stated: dict[Vat, tuple[VatBreakdown, Element]],
    computed: tuple[VatBreakdown, ...],
    vat_total: Element | None,
    currency: str,
) -> None:
    ours = {Vat(category=part.category, rate=part.rate): part for part in computed}
    for vat, (part, element) in stated.items():
        own = ours.get(vat)
        if part.taxable != (taxable := own.taxable if own else ZERO):
            element.the("cbc:TaxableAmount").refuse(str(part.taxable), str(taxable), TotalDiffers)
        if part.tax != (tax := own.tax if own else ZERO):
            element.the("cbc:TaxAmount").refuse(str(part.tax), str(tax), TotalDiffers)
    for vat, own in ours.items():
        if stated and vat_total and vat not in stated and (own.taxable or own.tax):
            comes_to = f"{own.tax} {currency} on {own.taxable} of {_named(vat)}"
            vat_total.refuse(f"no subtotal of {_named(vat)}", comes_to, TotalDiffers)


def _named(vat: Vat) -> str:
    return f"category {vat.category}" if vat.rate is None else f"category {vat.category} at {vat.rate} %"
