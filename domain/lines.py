"""Document lines, allowances and charges, and how their amounts add up (EN 16931 BG-20 to BG-25, section 6.4).

A line's net amount (BT-131) = quantity × net price ÷ base quantity − allowances + charges, rounded half up to the
currency's minor unit, once. VAT per category and rate (BG-23) is computed on that category's sum.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal, DecimalException
from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace

from domain.codes import Country, Unit, VatCategory, minor_unit
from domain.decimals import HUNDRED, PLAIN, ZERO, odd_decimals, round_half_up
from domain.entity import FieldRefused
from domain.ids import EntityId
from domain.parties import Identifier, LongText, Name, Reference, Text, Value

CustomFields = dict[str, str | bool]


class Vat(Value, frozen=True, kw_only=True):
    """VAT category (UNCL 5305) and rate in percent (BT-151/152); category O has no rate."""

    category: VatCategory
    rate: Decimal | None = None


class Classification(Value, frozen=True, kw_only=True):
    """An item's class in a named list (BT-158)."""

    list: Annotated[str, Meta(min_length=1, max_length=20)]
    version: Annotated[str, Meta(max_length=50)] | None = None
    code: Reference


class Attribute(Value, frozen=True, kw_only=True):
    """A property of the item (BG-32)."""

    name: Text
    value: Text


class AllowanceCharge(Value, frozen=True, kw_only=True):
    """A deduction from, or addition to, a line (BG-27, BG-28): a positive amount, with what it was computed from."""

    amount: Decimal
    base: Decimal | None = None
    percent: Decimal | None = None
    reason: Text | None = None
    reason_code: Annotated[str, Meta(max_length=10)] | None = None


class DocumentAllowanceCharge(AllowanceCharge, frozen=True, kw_only=True):
    """A deduction from, or addition to, the whole document (BG-20, BG-21), with its own VAT."""

    vat: Vat


class Period(Value, frozen=True, kw_only=True):
    """From *start* to *end*, both inclusive, the seller's calendar (BG-14, BG-26)."""

    start: date | None = None
    end: date | None = None


class Line(Value, frozen=True, kw_only=True):
    """One line of a document (BG-25). The domain sets ``net_amount`` (BT-131), and checks it wherever lines come in."""

    line_id: Annotated[str, Meta(min_length=1, max_length=100)]
    item: EntityId | None = None
    name: Name
    description: LongText | None = None
    seller_item_id: Reference | None = None
    buyer_item_id: Reference | None = None
    standard_item_id: Identifier | None = None
    classifications: tuple[Classification, ...] = ()
    origin_country: Country | None = None
    attributes: tuple[Attribute, ...] = ()
    quantity: Decimal
    unit: Unit
    net_price: Decimal
    gross_price: Decimal | None = None
    price_discount: Decimal | None = None
    price_base_quantity: Decimal | None = None
    price_base_unit: Unit | None = None
    allowances: tuple[AllowanceCharge, ...] = ()
    charges: tuple[AllowanceCharge, ...] = ()
    vat: Vat
    ledger_account: EntityId | None = None
    accounting_reference: Reference | None = None
    invoiced_object: Identifier | None = None
    note: LongText | None = None
    period: Period | None = None
    order_line: Annotated[str, Meta(max_length=100)] | None = None
    custom_fields: CustomFields = {}
    net_amount: Decimal | None = None


class VatBreakdown(Value, frozen=True, kw_only=True):
    """VAT of one category and rate (BG-23): taxable amount (BT-116), tax (BT-117)."""

    category: VatCategory
    rate: Decimal | None = None
    taxable: Decimal
    tax: Decimal
    exemption_reason: LongText | None = None
    exemption_code: Annotated[str, Meta(max_length=50)] | None = None


class VatExemption(Value, frozen=True, kw_only=True):
    """Why a VAT category of the document bears no tax (BT-120, BT-121)."""

    category: VatCategory
    reason: LongText | None = None
    code: Annotated[str, Meta(max_length=50)] | None = None


class Totals(Value, frozen=True, kw_only=True):
    """Document totals (BG-22): BT-106 lines, BT-107 allowances, BT-108 charges, BT-109 without VAT, BT-110 VAT,
    BT-112 with VAT, BT-113 paid, BT-114 rounding, BT-115 due.
    """

    lines: Decimal
    allowances: Decimal | None = None
    charges: Decimal | None = None
    without_vat: Decimal
    vat: Decimal
    with_vat: Decimal
    paid: Decimal | None = None
    rounding: Decimal | None = None
    due: Decimal


def check_vat(field: str, vat: Vat) -> None:
    """That the rate fits the category (EN 16931 BR-S-05 and its like). Raises FieldRefused."""
    rate = "no rate" if vat.rate is None else f"{vat.rate} %"
    if vat.rate is not None and vat.rate > HUNDRED:
        raise FieldRefused(field, rate, "a rate of at most 100 %")
    match vat.category:
        case "S":
            if vat.rate is None or vat.rate <= 0:
                raise FieldRefused(field, f"category S with {rate}", "a rate above 0 (EN 16931 BR-S-05)")
        case "L" | "M":
            if vat.rate is None or vat.rate < 0:
                raise FieldRefused(field, f"category {vat.category} with {rate}", "a rate of 0 or more")
        case _:
            if vat.rate:
                raise FieldRefused(field, f"category {vat.category} with {rate}", "a rate of 0, or none")


def check_lines(lines: Iterable[Line]) -> None:
    """That each line can stand on a document: its id once, price and base quantity in range. Raises FieldRefused."""
    seen = set()
    for line in lines:
        if line.line_id in seen:
            raise FieldRefused("lines.line_id", f"{line.line_id!r} twice", "each line's id once")
        seen.add(line.line_id)
        if line.price_base_quantity is not None and line.price_base_quantity <= 0:
            raise FieldRefused("lines.price_base_quantity", str(line.price_base_quantity), "more than 0")
        if line.net_price < 0:
            raise FieldRefused("lines.net_price", str(line.net_price), "an amount of at least 0 (EN 16931 BR-27)")
        if not _is_standard(line.vat):
            check_vat(f"lines[{line.line_id}].vat", line.vat)


def _is_standard(vat: Vat) -> bool:
    """Whether it is of the category that nearly all lines have, with a rate that it may have."""
    return vat.category == "S" and vat.rate is not None and ZERO < vat.rate <= HUNDRED


def check_amount(field: str, amount: Decimal | None, digits: int) -> None:
    """That *amount* has no more decimals than its currency (EN 16931 BR-DEC-01 and its like). Raises FieldRefused."""
    if amount is not None and round_half_up(amount, digits) != amount:
        raise FieldRefused(field, str(amount), f"an amount with at most {digits} decimals")


def net_amount(line: Line, digits: int) -> Decimal:
    """The line's net amount (BT-131), rounded half up to *digits* decimals, once. Raises FieldRefused out of range."""
    try:
        amount = line.quantity * line.net_price
        if line.price_base_quantity:
            amount /= line.price_base_quantity
        for allowance in line.allowances:
            amount -= allowance.amount
        for charge in line.charges:
            amount += charge.amount
        return round_half_up(amount, digits)
    except DecimalException:
        field = f"lines[{line.line_id}].net_amount"
        raise FieldRefused(field, f"{line.quantity} × {line.net_price}"[:100], PLAIN) from None


def with_net_amounts(lines: tuple[Line, ...], currency: str) -> tuple[Line, ...]:
    """The lines with each net amount computed anew for *currency*. Raises FieldRefused out of range."""
    digits = minor_unit(currency)
    try:
        return tuple([replace(line, net_amount=net_amount(line, digits)) for line in lines])
    except FieldRefused:
        for path, value in odd_decimals(lines, "lines"):
            raise FieldRefused(path, str(value)[:40], PLAIN) from None
        raise


def vat_breakdown(
    lines: Iterable[Line],
    allowances: Iterable[DocumentAllowanceCharge],
    charges: Iterable[DocumentAllowanceCharge],
    exemptions: Iterable[VatExemption],
    digits: int,
) -> tuple[VatBreakdown, ...]:
    """VAT per category and rate, in order of first appearance (BR-CO-17: tax = taxable × rate, rounded half up)."""
    taxable: dict[tuple[VatCategory, Decimal | None], Decimal] = {}
    for line in lines:
        key = (line.vat.category, line.vat.rate)
        taxable[key] = taxable.get(key, ZERO) + (line.net_amount or ZERO)
    for allowance in allowances:
        key = (allowance.vat.category, allowance.vat.rate)
        taxable[key] = taxable.get(key, ZERO) - allowance.amount
    for charge in charges:
        key = (charge.vat.category, charge.vat.rate)
        taxable[key] = taxable.get(key, ZERO) + charge.amount
    reasons = {exemption.category: exemption for exemption in exemptions}
    return tuple(
        [
            _breakdown(category, rate, amount, reasons.get(category), digits)
            for (category, rate), amount in taxable.items()
        ]
    )


def _breakdown(
    category: VatCategory, rate: Decimal | None, taxable: Decimal, exemption: VatExemption | None, digits: int
) -> VatBreakdown:
    tax = taxable * rate / HUNDRED if rate else ZERO
    return VatBreakdown(
        category=category,
        rate=rate,
        taxable=round_half_up(taxable, digits),
        tax=round_half_up(tax, digits),
        exemption_reason=exemption.reason if exemption else None,
        exemption_code=exemption.code if exemption else None,
    )


def totals(
    lines: Iterable[Line],
    allowances: tuple[DocumentAllowanceCharge, ...],
    charges: tuple[DocumentAllowanceCharge, ...],
    breakdown: Iterable[VatBreakdown],
    *,
    digits: int,
    paid: Decimal | None,
    rounding: Decimal | None,
) -> Totals:
    """The document's totals (BR-CO-10 to BR-CO-16)."""
    of_lines = round_half_up(sum([line.net_amount or ZERO for line in lines], ZERO), digits)
    of_allowances = round_half_up(sum([part.amount for part in allowances], ZERO), digits) if allowances else None
    of_charges = round_half_up(sum([part.amount for part in charges], ZERO), digits) if charges else None
    without_vat = of_lines - (of_allowances or ZERO) + (of_charges or ZERO)
    vat = round_half_up(sum([part.tax for part in breakdown], ZERO), digits)
    with_vat = without_vat + vat
    return Totals(
        lines=of_lines,
        allowances=of_allowances,
        charges=of_charges,
        without_vat=without_vat,
        vat=vat,
        with_vat=with_vat,
        paid=paid,
        rounding=rounding,
        due=with_vat - (paid or ZERO) + (rounding or ZERO),
    )
