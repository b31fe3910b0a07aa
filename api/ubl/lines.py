"""Lines of a UBL file (BG-25), and the allowances, charges and VAT of lines and of the whole document."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, NamedTuple, cast

from msgspec import Meta
from msgspec.structs import replace

from api.ubl.element import Element
from api.ubl.errors import ElementMissing, ElementTwice, TotalDiffers
from api.ubl.parties import read_identifier
from domain.codes import Country, Unit, VatCategory, minor_unit
from domain.decimals import ZERO
from domain.kinds import Kind
from domain.lines import (
    AllowanceCharge,
    Attribute,
    Classification,
    DocumentAllowanceCharge,
    Line,
    Period,
    Vat,
    net_amount,
)
from domain.parties import Identifier, LongText, Name, Reference, Text

_LineId = Annotated[str, Meta(max_length=100)]
_ReasonCode = Annotated[str, Meta(max_length=10)]
_List = Annotated[str, Meta(max_length=20)]
_ListVersion = Annotated[str, Meta(max_length=50)]
LINES = {Kind.INVOICE: "cac:InvoiceLine", Kind.CREDIT_NOTE: "cac:CreditNoteLine"}
_QUANTITIES = {Kind.INVOICE: "cbc:InvoicedQuantity", Kind.CREDIT_NOTE: "cbc:CreditedQuantity"}
OBJECT_TYPE = "130"  # UNTDID 1001: the document reference names the invoiced object (BT-18, BT-128)
_EXEMPT = ("Z", "E", "AE", "K", "G")  # whose rate is 0 (BR-Z-5, BR-E-5 …), said or not


class _Price(NamedTuple):
    net: Decimal
    gross: Decimal | None
    discount: Decimal | None
    base_quantity: Decimal | None
    base_unit: str | None


def read_lines(root: Element, kind: Kind, currency: str) -> tuple[Line, ...]:
    """The lines, each with its net amount as computed; TotalDiffers where the file states another one."""
    lines = []
    seen = set()
    for element in root.each(LINES[kind]):
        line = _read_line(element, kind, currency)
        if line.line_id in seen:
            element.the("cbc:ID").refuse(f"a second line {line.line_id!r}", "each line's id once", ElementTwice)
        seen.add(line.line_id)
        lines.append(line)
    if not lines:
        root.the(LINES[kind])
    return tuple(lines)


def _read_line(line: Element, kind: Kind, currency: str) -> Line:
    item = line.the("cac:Item")
    price = _read_price(line.the("cac:Price"), currency)
    quantity = line.the(_QUANTITIES[kind])
    allowances, charges = read_allowances_and_charges(line, currency)
    period = line.one("cac:InvoicePeriod")
    read = Line(
        line_id=line.the_value("cbc:ID", _LineId),
        name=item.the_value("cbc:Name", Name),
        description=item.value("cbc:Description", LongText),
        seller_item_id=item.value("cac:SellersItemIdentification/cbc:ID", Reference),
        buyer_item_id=item.value("cac:BuyersItemIdentification/cbc:ID", Reference),
        standard_item_id=read_identifier(item, "cac:StandardItemIdentification/cbc:ID"),
        classifications=_classifications(item),
        origin_country=item.value("cac:OriginCountry/cbc:IdentificationCode", Country),
        attributes=tuple(
            Attribute(name=one.the_value("cbc:Name", Text), value=one.the_value("cbc:Value", Text))
            for one in item.each("cac:AdditionalItemProperty")
        ),
        quantity=quantity.as_decimal(),
        unit=quantity.the_attribute("unitCode", Unit),
        net_price=price.net,
        gross_price=price.gross,
        price_discount=price.discount,
        price_base_quantity=price.base_quantity,
        price_base_unit=price.base_unit,
        allowances=allowances,
        charges=charges,
        vat=read_vat(item.the("cac:ClassifiedTaxCategory")),
        accounting_reference=line.value("cbc:AccountingCost", Reference),
        invoiced_object=_invoiced_object(line),
        note=line.value("cbc:Note", LongText),
        period=read_period(period) if period else None,
        order_line=line.value("cac:OrderLineReference/cbc:LineID", _LineId),
    )
    computed = net_amount(read, minor_unit(currency))
    amount = line.the("cbc:LineExtensionAmount")
    if (stated := amount.as_amount(currency)) != computed:
        amount.refuse(str(stated), str(computed), TotalDiffers)
    return replace(read, net_amount=computed)


def _read_price(price: Element, currency: str) -> _Price:
    amount = price.the("cbc:PriceAmount")
    net = amount.as_amount(currency)
    if net < 0:
        amount.refuse(str(net), "a price of at least 0 (EN 16931 BR-27)")
    base = price.one("cbc:BaseQuantity")
    base_quantity = base.as_decimal() if base else None
    if base and base_quantity is not None and base_quantity <= 0:
        base.refuse(str(base_quantity), "more than 0")
    allowance = price.one("cac:AllowanceCharge")
    if allowance and allowance.the("cbc:ChargeIndicator").as_yes_or_no():
        allowance.refuse("a charge on a price", "an allowance: its net price is its gross price less a discount")
    return _Price(
        net=net,
        gross=allowance.amount("cbc:BaseAmount", currency) if allowance else None,
        discount=allowance.amount("cbc:Amount", currency) if allowance else None,
        base_quantity=base_quantity,
        base_unit=base.attribute("unitCode", Unit) if base else None,
    )


def read_allowances_and_charges(
    parent: Element, currency: str
) -> tuple[tuple[AllowanceCharge, ...], tuple[AllowanceCharge, ...]]:
    """The allowances and the charges on *parent*, each in their order."""
    parts: dict[bool, list[AllowanceCharge]] = {False: [], True: []}
    for element in parent.each("cac:AllowanceCharge"):
        parts[element.the("cbc:ChargeIndicator").as_yes_or_no()].append(_allowance_or_charge(element, currency))
    return tuple(parts[False]), tuple(parts[True])


def read_document_allowances_and_charges(
    root: Element, currency: str
) -> tuple[tuple[DocumentAllowanceCharge, ...], tuple[DocumentAllowanceCharge, ...]]:
    """The allowances and the charges on the whole document (BG-20, BG-21), each with its VAT."""
    parts: dict[bool, list[DocumentAllowanceCharge]] = {False: [], True: []}
    for element in root.each("cac:AllowanceCharge"):
        plain = _allowance_or_charge(element, currency)
        fields = {name: getattr(plain, name) for name in plain.__struct_fields__}
        part = DocumentAllowanceCharge(**fields, vat=read_vat(element.the("cac:TaxCategory")))
        parts[element.the("cbc:ChargeIndicator").as_yes_or_no()].append(part)
    return tuple(parts[False]), tuple(parts[True])


def _allowance_or_charge(element: Element, currency: str) -> AllowanceCharge:
    return AllowanceCharge(
        amount=element.the("cbc:Amount").as_amount(currency),
        base=element.amount("cbc:BaseAmount", currency),
        percent=element.decimal("cbc:MultiplierFactorNumeric"),
        reason=element.value("cbc:AllowanceChargeReason", Text),
        reason_code=element.value("cbc:AllowanceChargeReasonCode", _ReasonCode),
    )


def read_vat(category: Element) -> Vat:
    """The VAT category and rate; the rate of an exempt category is 0, and category O has none."""
    if (scheme := category.the_value("cac:TaxScheme/cbc:ID")) != "VAT":
        category.the("cac:TaxScheme/cbc:ID").refuse(repr(scheme), "VAT")
    code = cast("VatCategory", category.the_value("cbc:ID", VatCategory))
    percent = category.one("cbc:Percent")
    if code == "O":
        # Some write 0 % here: it says nothing, stays unmarked, and so is listed as not kept.
        if percent and not _says_nothing(percent):
            percent.refuse(str(percent.as_decimal()), "no rate: category O is outside the scope of VAT")
        return Vat(category=code, rate=None)
    rate = percent.as_decimal() if percent and percent.has_text else None
    if rate is None and code not in _EXEMPT:
        category.refuse("no cbc:Percent", f"the rate of category {code}", ElementMissing)
    if code in _EXEMPT and rate and percent:
        percent.refuse(str(rate), f"0, the rate of category {code}")
    return Vat(category=code, rate=rate if rate is not None else ZERO)


def _says_nothing(percent: Element) -> bool:
    return not (percent.peek(".") or "").strip("0.")


def read_period(period: Element) -> Period | None:
    """From when to when, both days inclusive (BG-14, BG-26)."""
    start, end = period.date("cbc:StartDate"), period.date("cbc:EndDate")
    if start and end and end < start:
        period.refuse(f"{start} to {end}", "an end that is not before its start")
    return Period(start=start, end=end) if start or end else None


def _classifications(item: Element) -> tuple[Classification, ...]:
    found = []
    for commodity in item.each("cac:CommodityClassification"):
        if code := commodity.one("cbc:ItemClassificationCode"):
            name = code.the_attribute("listID", _List)
            version = code.attribute("listVersionID", _ListVersion)
            found.append(Classification(list=name, version=version, code=code.text(Reference)))
    return tuple(found)


def _invoiced_object(line: Element) -> Identifier | None:
    """The object that the line is about (BT-128)."""
    found = None
    for reference in line.each("cac:DocumentReference"):
        if reference.peek("cbc:DocumentTypeCode") in (None, OBJECT_TYPE):
            if found:
                reference.refuse("a second reference to an invoiced object", "one", ElementTwice)
            reference.value("cbc:DocumentTypeCode")
            found = read_identifier(reference, "cbc:ID")
    return found
