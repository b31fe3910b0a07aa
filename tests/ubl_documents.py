"""UBL documents as the tests need them, written by themselves: makers default all that a test is not about.

``invoice()`` and ``credit_note()`` give the bytes of a document that is whole and comes to what it says: its totals
are added up here, in a few lines of their own, independent of the domain's. Whatever else a test wants in it is given
as XML, by where it goes.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal
from xml.sax.saxutils import escape, quoteattr

from msgspec import Struct

CENT = Decimal("0.01")
_NAMESPACES = (
    'xmlns:cac="urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2" '
    'xmlns:cbc="urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2"'
)


class Part(Struct, frozen=True):
    """An allowance or charge, on a line or the whole document."""

    amount: str
    charge: bool = False
    reason: str = "Agreed"
    category: str = "S"
    rate: str | None = "21"
    more: str = ""


class Sale(Struct, frozen=True):
    """A line: what was sold. *amount* is its net amount, worked out from the rest where None."""

    name: str = "Oak shelf"
    quantity: str = "1"
    price: str = "100.00"
    unit: str = "C62"
    category: str = "S"
    rate: str | None = "21"
    amount: str | None = None
    base_quantity: str | None = None
    parts: tuple[Part, ...] = ()
    more: str = ""
    more_item: str = ""
    more_price: str = ""

    @property
    def net(self) -> Decimal:
        """What the line comes to."""
        if self.amount is not None:
            return Decimal(self.amount)
        net = Decimal(self.quantity) * Decimal(self.price) / Decimal(self.base_quantity or 1)
        return rounded(net + sum((signed(part) for part in self.parts), Decimal(0)))


def rounded(value: Decimal) -> Decimal:
    """To the cent, halves away from zero."""
    return value.quantize(CENT, ROUND_HALF_UP)


def signed(part: Part) -> Decimal:
    """What the part adds to the amount that it is on."""
    return Decimal(part.amount) if part.charge else -Decimal(part.amount)


def element(name: str, value: object | None, /, **attributes: str) -> str:
    """``<cbc:Name …>value</cbc:Name>``, or nothing for None."""
    if value is None:
        return ""
    said = "".join(f" {key}={quoteattr(text)}" for key, text in attributes.items())
    return f"<cbc:{name}{said}>{escape(str(value))}</cbc:{name}>"


def category(code: str, rate: str | None, *, tag: str = "TaxCategory", more: str = "") -> str:
    """A VAT category."""
    return (
        f"<cac:{tag}>{element('ID', code)}{element('Percent', rate)}{more}"
        f"<cac:TaxScheme><cbc:ID>VAT</cbc:ID></cac:TaxScheme></cac:{tag}>"
    )


def party(
    name: str = "Houtwerk BV",
    *,
    vat: str | None = "BE0123456749",
    registration: str | None = None,
    endpoint: str | None = None,
    country: str = "BE",
    city: str = "Gent",
    more: str = "",
    trading_name: str | None = None,
) -> str:
    """What is inside a cac:Party; *more* goes first."""
    scheme = "<cac:TaxScheme><cbc:ID>VAT</cbc:ID></cac:TaxScheme>"
    return (
        f"{element('EndpointID', endpoint, schemeID='0208')}{more}"
        + (f"<cac:PartyName>{element('Name', trading_name)}</cac:PartyName>" if trading_name else "")
        + f"<cac:PostalAddress>{element('StreetName', 'Kade 1')}{element('CityName', city)}"
        f"{element('PostalZone', '9000')}<cac:Country>{element('IdentificationCode', country)}</cac:Country>"
        "</cac:PostalAddress>"
        + (f"<cac:PartyTaxScheme>{element('CompanyID', vat)}{scheme}</cac:PartyTaxScheme>" if vat else "")
        + f"<cac:PartyLegalEntity>{element('RegistrationName', name)}"
        f"{element('CompanyID', registration, schemeID='0208')}</cac:PartyLegalEntity>"
    )


SELLER = party()
BUYER = party("Café De Zon", vat="BE0202239951", city="Brugge")


def attachment(identifier: str, data: bytes, *, name: str = "note.pdf", media_type: str = "application/pdf") -> str:
    """A supporting document with its file inside."""
    return (
        f"<cac:AdditionalDocumentReference>{element('ID', identifier)}"
        f"{element('DocumentDescription', 'What it is about')}<cac:Attachment>"
        + element("EmbeddedDocumentBinaryObject", base64.b64encode(data).decode(), mimeCode=media_type, filename=name)
        + "</cac:Attachment></cac:AdditionalDocumentReference>"
    )


def reference(tag: str, identifier: str, more: str = "") -> str:
    """A reference to another document."""
    return f"<cac:{tag}>{element('ID', identifier)}{more}</cac:{tag}>"


def billing_reference(number: str, date: str | None = None) -> str:
    """The invoice that is credited or corrected."""
    inside = reference("InvoiceDocumentReference", number, element("IssueDate", date))
    return f"<cac:BillingReference>{inside}</cac:BillingReference>"


def payment_means(iban: str = "BE71096123456769", *, more: str = "", remittance: str | None = None) -> str:
    """A credit transfer."""
    return (
        f"<cac:PaymentMeans>{element('PaymentMeansCode', '30', name='Credit transfer')}{more}"
        f"{element('PaymentID', remittance)}<cac:PayeeFinancialAccount>{element('ID', iban)}"
        f"{element('Name', 'Houtwerk')}<cac:FinancialInstitutionBranch>{element('ID', 'GKCCBEBB')}"
        "</cac:FinancialInstitutionBranch></cac:PayeeFinancialAccount></cac:PaymentMeans>"
    )


def invoice(number: str = "2026-00001", **facts: object) -> bytes:
    """A UBL Invoice."""
    return _document("Invoice", number, **facts)  # type: ignore[arg-type]


def credit_note(number: str = "C-2026-1", **facts: object) -> bytes:
    """A UBL CreditNote."""
    return _document("CreditNote", number, **facts)  # type: ignore[arg-type]


def _document(
    root: str,
    number: str,
    *,
    sales: Iterable[Sale] = (Sale(),),
    parts: Iterable[Part] = (),
    date: str = "2026-03-02",
    type_code: str | None = None,
    currency: str = "EUR",
    seller: str = SELLER,
    buyer: str = BUYER,
    before_currency: str = "",
    after_currency: str = "",
    before_parties: str = "",
    after_parties: str = "",
    exemptions: dict[str, str] | None = None,
    more_vat: str = "",
    prepaid: str | None = None,
    rounding: str | None = None,
    totals: dict[str, str] | None = None,
    breakdown: str | None = None,
    prolog: str = '<?xml version="1.0" encoding="UTF-8"?>',
    at_end: str = "",
) -> bytes:
    sales, parts = tuple(sales), tuple(parts)
    sums = _sums(sales, parts, prepaid, rounding) | {name: Decimal(value) for name, value in (totals or {}).items()}
    code = type_code or ("380" if root == "Invoice" else "381")
    stated = "".join(element(name, value, currencyID=currency) for name, value in sums.items() if name != "TaxAmount")
    subtotals = _subtotals(sales, parts, currency, exemptions or {}) if breakdown is None else breakdown
    text = (
        f'{prolog}<{root} xmlns="urn:oasis:names:specification:ubl:schema:xsd:{root}-2" {_NAMESPACES}>\n'
        f"{element('CustomizationID', 'urn:cen.eu:en16931:2017')}\n"
        f"{element('ID', number)}\n{element('IssueDate', date)}\n"
        f"{element(root + 'TypeCode', code)}\n{before_currency}\n{element('DocumentCurrencyCode', currency)}\n"
        f"{after_currency}\n{before_parties}\n"
        f"<cac:AccountingSupplierParty><cac:Party>{seller}</cac:Party></cac:AccountingSupplierParty>\n"
        f"<cac:AccountingCustomerParty><cac:Party>{buyer}</cac:Party></cac:AccountingCustomerParty>\n"
        f"{after_parties}\n{''.join(_part(part, currency, on_document=True) for part in parts)}\n"
        f"<cac:TaxTotal>{element('TaxAmount', sums['TaxAmount'], currencyID=currency)}{subtotals}</cac:TaxTotal>\n"
        f"{more_vat}\n<cac:LegalMonetaryTotal>{stated}</cac:LegalMonetaryTotal>\n"
        f"{''.join(_sale(place, sale, root, currency) for place, sale in enumerate(sales, 1))}{at_end}</{root}>"
    )
    return text.encode()


def _vat(sales: tuple[Sale, ...], parts: tuple[Part, ...]) -> dict[tuple[str, str | None], Decimal]:
    taxable: dict[tuple[str, str | None], Decimal] = {}
    for sale in sales:
        key = (sale.category, sale.rate)
        taxable[key] = taxable.get(key, Decimal(0)) + sale.net
    for part in parts:
        key = (part.category, part.rate)
        taxable[key] = taxable.get(key, Decimal(0)) + signed(part)
    return taxable


def _tax(rate: str | None, taxable: Decimal) -> Decimal:
    return rounded(taxable * Decimal(rate or 0) / 100)


def _sums(
    sales: tuple[Sale, ...], parts: tuple[Part, ...], prepaid: str | None, rounding: str | None
) -> dict[str, Decimal]:
    lines = sum((sale.net for sale in sales), Decimal(0))
    without_vat = lines + sum((signed(part) for part in parts), Decimal(0))
    vat = sum((_tax(rate, taxable) for (_, rate), taxable in _vat(sales, parts).items()), Decimal("0.00"))
    sums = {"LineExtensionAmount": lines, "TaxExclusiveAmount": without_vat, "TaxInclusiveAmount": without_vat + vat}
    for name, is_charge in (("AllowanceTotalAmount", False), ("ChargeTotalAmount", True)):
        if any(part.charge is is_charge for part in parts):
            sums[name] = sum((Decimal(part.amount) for part in parts if part.charge is is_charge), Decimal(0))
    if prepaid is not None:
        sums["PrepaidAmount"] = Decimal(prepaid)
    if rounding is not None:
        sums["PayableRoundingAmount"] = Decimal(rounding)
    due = without_vat + vat - Decimal(prepaid or 0) + Decimal(rounding or 0)
    return sums | {"PayableAmount": due, "TaxAmount": vat}


def _subtotals(sales: tuple[Sale, ...], parts: tuple[Part, ...], currency: str, exemptions: dict[str, str]) -> str:
    return "".join(
        f"<cac:TaxSubtotal>{element('TaxableAmount', taxable, currencyID=currency)}"
        f"{element('TaxAmount', _tax(rate, taxable), currencyID=currency)}"
        f"{category(code, rate, more=exemptions.get(code, ''))}</cac:TaxSubtotal>"
        for (code, rate), taxable in _vat(sales, parts).items()
    )


def _part(part: Part, currency: str, *, on_document: bool = False) -> str:
    return (
        f"<cac:AllowanceCharge>{element('ChargeIndicator', str(part.charge).lower())}"
        f"{element('AllowanceChargeReason', part.reason)}{part.more}"
        f"{element('Amount', part.amount, currencyID=currency)}"
        f"{category(part.category, part.rate) if on_document else ''}</cac:AllowanceCharge>"
    )


def _sale(place: int, sale: Sale, root: str, currency: str) -> str:
    quantity = "InvoicedQuantity" if root == "Invoice" else "CreditedQuantity"
    tag = f"cac:{root}Line"
    return (
        f"<{tag}>{element('ID', place)}{element(quantity, sale.quantity, unitCode=sale.unit)}\n"
        f"{element('LineExtensionAmount', sale.net, currencyID=currency)}{sale.more}"
        f"{''.join(_part(part, currency) for part in sale.parts)}\n"
        f"<cac:Item>{element('Name', sale.name)}{sale.more_item}"
        f"{category(sale.category, sale.rate, tag='ClassifiedTaxCategory')}</cac:Item>\n"
        f"<cac:Price>{element('PriceAmount', sale.price, currencyID=currency)}"
        f"{element('BaseQuantity', sale.base_quantity, unitCode=sale.unit)}{sale.more_price}</cac:Price></{tag}>\n"
    )
