"""What a UBL document says comes out in the domain's terms, and what has no place there is listed."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from api.ubl import read_ubl
from api.ubl.errors import ElementMissing, ElementTwice, TotalDiffers, ValueRefused
from domain.documents.fields import Card, Delivery, Note, PaymentMeans, PrecedingInvoice, SupportingDocument
from domain.kinds import Kind
from domain.lines import Attribute, Classification, Period, VatExemption
from domain.parties import Address, Contact, Identifier
from tests.ubl_documents import (
    Part,
    Sale,
    attachment,
    billing_reference,
    credit_note,
    element,
    invoice,
    party,
    payment_means,
    reference,
)


def test_a_plain_invoice_says_who_sold_what_to_whom() -> None:
    document = read_ubl(invoice("2026-00007", sales=[Sale(name="Oak shelf", quantity="3")]), name="plain.xml")

    assert (document.kind, document.number, document.issue_date) == (Kind.INVOICE, "2026-00007", dt.date(2026, 3, 2))
    assert (document.seller.name, document.seller.vat_identifier) == ("Houtwerk BV", "BE0123456749")
    assert document.buyer.address == Address(lines=("Kade 1",), city="Brugge", post_code="9000", country="BE")
    assert [(line.name, line.quantity, line.net_amount) for line in document.lines] == [
        ("Oak shelf", Decimal(3), Decimal(300))
    ]
    assert (document.totals.without_vat, document.totals.vat, document.totals.due) == (
        Decimal(300),
        Decimal(63),
        Decimal(363),
    )
    assert document.unread == ()


def test_a_plain_invoice_states_what_it_comes_to() -> None:
    document = read_ubl(invoice(sales=[Sale(), Sale(price="0.335", rate="6")]), name="plain.xml")

    assert document.stated == document.totals
    assert document.stated_breakdown == document.vat_breakdown


def test_allowances_and_charges_count_on_the_line_and_on_the_document() -> None:
    more = element("MultiplierFactorNumeric", "10") + element("BaseAmount", "100.00", currencyID="EUR")
    sale = Sale(parts=(Part("10.00", reason="Loyal", more=more), Part("2.50", charge=True, reason="Sawing")))
    document = read_ubl(
        invoice(sales=[sale], parts=[Part("5.00", reason="Spring"), Part("7.00", charge=True, reason="Freight")]),
        name="parts.xml",
    )

    (line,) = document.lines
    assert (line.net_amount, line.allowances[0].percent, line.allowances[0].base) == (
        Decimal("92.50"),
        Decimal(10),
        Decimal(100),
    )
    assert [charge.reason for charge in line.charges] == ["Sawing"]
    assert [(part.reason, part.vat.category, part.vat.rate) for part in document.allowances] == [
        ("Spring", "S", Decimal(21))
    ]
    assert (document.totals.allowances, document.totals.charges) == (Decimal(5), Decimal(7))
    assert document.totals.without_vat == Decimal("94.50")


@pytest.mark.parametrize(
    ("category", "rate"), [("S", "21"), ("Z", "0"), ("E", "0"), ("AE", "0"), ("K", "0"), ("G", "0"), ("O", None)]
)
def test_every_vat_category_is_read_with_why_it_bears_no_tax(category: str, rate: str | None) -> None:
    reason = (
        ""
        if category in "SZ"
        else element("TaxExemptionReasonCode", "VATEX-EU-X") + element("TaxExemptionReason", f"Reason of {category}")
    )
    document = read_ubl(
        invoice(sales=[Sale(category=category, rate=rate)], exemptions={category: reason}), name="category.xml"
    )

    assert document.lines[0].vat.category == category
    assert document.lines[0].vat.rate == (None if rate is None else Decimal(rate))
    assert document.vat_breakdown == document.stated_breakdown
    assert document.vat_exemptions == (
        (VatExemption(category=category, reason=f"Reason of {category}", code="VATEX-EU-X"),) if reason else ()
    )


def test_several_vat_categories_add_up_each_by_itself() -> None:
    sales = [Sale(), Sale(rate="6", price="10.00"), Sale(category="E", rate="0", price="7.00")]
    document = read_ubl(
        invoice(sales=sales, exemptions={"E": element("TaxExemptionReason", "Training")}), name="several.xml"
    )

    assert [(part.category, part.rate, part.taxable, part.tax) for part in document.vat_breakdown] == [
        ("S", Decimal(21), Decimal(100), Decimal(21)),
        ("S", Decimal(6), Decimal(10), Decimal("0.60")),
        ("E", Decimal(0), Decimal(7), Decimal(0)),
    ]


def test_a_rate_of_an_exempt_category_that_is_left_out_is_0() -> None:
    document = read_ubl(invoice(sales=[Sale(category="AE", rate=None)]), name="reverse.xml")

    assert document.lines[0].vat.rate == 0


def test_a_negative_invoice_keeps_its_signs() -> None:
    document = read_ubl(
        invoice(sales=[Sale(quantity="-2")], before_parties=billing_reference("2026-00001")), name="negative.xml"
    )

    assert (document.lines[0].net_amount, document.totals.due) == (-Decimal(200), Decimal(-242))
    assert document.preceding_invoices == (PrecedingInvoice(number="2026-00001"),)


def test_a_credit_note_has_positive_amounts_and_says_what_it_credits() -> None:
    document = read_ubl(
        credit_note("C1", before_parties=billing_reference("2026-00001", "2026-03-02")), name="credit.xml"
    )

    assert (document.kind, document.type_code, document.totals.due) == (Kind.CREDIT_NOTE, "381", Decimal(121))
    assert document.preceding_invoices == (PrecedingInvoice(number="2026-00001", date=dt.date(2026, 3, 2)),)


def test_a_credit_note_names_its_project_and_its_due_date_where_ubl_lets_it() -> None:
    project = reference("AdditionalDocumentReference", "P7", element("DocumentTypeCode", "50"))
    means = payment_means(more=element("PaymentDueDate", "2026-04-01"))
    document = read_ubl(credit_note(before_parties=project, after_parties=means), name="credit.xml")

    assert (document.project_reference, document.due_date) == ("P7", dt.date(2026, 4, 1))
    assert document.supporting_documents == ()
    assert document.unread == ()


def test_an_embedded_file_comes_out_byte_for_byte() -> None:
    data = bytes(range(256)) * 5
    document = read_ubl(invoice(before_parties=attachment("A1", data, name="plan.pdf")), name="attached.xml")

    (file,) = document.attachments
    assert (file.id, file.name, file.media_type, file.data) == ("A1", "plan.pdf", "application/pdf", data)
    assert file.description == "What it is about"
    assert document.supporting_documents == (SupportingDocument(id="A1", description="What it is about"),)


def test_payee_and_tax_representative_are_parties_of_their_own() -> None:
    payee = (
        '<cac:PayeeParty><cac:PartyIdentification><cbc:ID schemeID="SEPA">BE69ZZZ050D000000008</cbc:ID>'
        "</cac:PartyIdentification><cac:PartyName><cbc:Name>Factor NV</cbc:Name></cac:PartyName>"
        '<cac:PartyLegalEntity><cbc:CompanyID schemeID="0208">0403170701</cbc:CompanyID></cac:PartyLegalEntity>'
        "</cac:PayeeParty>"
    )
    representative = (
        f"<cac:TaxRepresentativeParty>{party('Fiscal BV', vat='NL000099998B57')}</cac:TaxRepresentativeParty>"
    )
    document = read_ubl(invoice(after_parties=payee + representative), name="payee.xml")

    assert document.payee is not None
    assert document.tax_representative is not None
    assert (document.payee.name, document.payee.identifiers) == ("Factor NV", ())
    assert document.payee.legal_registration == Identifier(scheme="0208", value="0403170701")
    assert document.creditor_identifier == "BE69ZZZ050D000000008"
    assert document.tax_representative.vat_identifier == "NL000099998B57"
    assert document.unread == ()


def test_everything_that_a_party_says_is_kept() -> None:
    seller = (
        '<cbc:EndpointID schemeID="0208">0123456749</cbc:EndpointID>'
        '<cac:PartyIdentification><cbc:ID schemeID="0088">5412345000013</cbc:ID></cac:PartyIdentification>'
        "<cac:PartyIdentification><cbc:ID>H-7</cbc:ID></cac:PartyIdentification>"
        "<cac:PartyName><cbc:Name>Houtwerk</cbc:Name></cac:PartyName>"
        "<cac:PostalAddress><cbc:StreetName>Kade 1</cbc:StreetName><cbc:AdditionalStreetName>Bus 2"
        "</cbc:AdditionalStreetName><cbc:CityName>Gent</cbc:CityName><cbc:PostalZone>9000</cbc:PostalZone>"
        "<cbc:CountrySubentity>Oost-Vlaanderen</cbc:CountrySubentity><cac:AddressLine><cbc:Line>Poort 3</cbc:Line>"
        "</cac:AddressLine><cac:Country><cbc:IdentificationCode>BE</cbc:IdentificationCode></cac:Country>"
        "</cac:PostalAddress>"
        "<cac:PartyTaxScheme><cbc:CompanyID>BE0123456749</cbc:CompanyID><cac:TaxScheme><cbc:ID>VAT</cbc:ID>"
        "</cac:TaxScheme></cac:PartyTaxScheme><cac:PartyTaxScheme><cbc:CompanyID>Registered</cbc:CompanyID>"
        "<cac:TaxScheme><cbc:ID>TAX</cbc:ID></cac:TaxScheme></cac:PartyTaxScheme>"
        "<cac:PartyLegalEntity><cbc:RegistrationName>Houtwerk BV</cbc:RegistrationName>"
        '<cbc:CompanyID schemeID="0208">0123456749</cbc:CompanyID><cbc:CompanyLegalForm>RPR Gent</cbc:CompanyLegalForm>'
        "</cac:PartyLegalEntity><cac:Contact><cbc:Name>An</cbc:Name><cbc:Telephone>09 1</cbc:Telephone>"
        "<cbc:ElectronicMail>an@example.com</cbc:ElectronicMail></cac:Contact>"
    )
    read = read_ubl(invoice(seller=seller), name="party.xml")

    assert read.seller.identifiers == (Identifier(scheme="0088", value="5412345000013"), Identifier(value="H-7"))
    assert (read.seller.name, read.seller.trading_name, read.seller.legal_form) == (
        "Houtwerk BV",
        "Houtwerk",
        "RPR Gent",
    )
    assert read.seller.address is not None
    assert read.seller.address.lines == ("Kade 1", "Bus 2", "Poort 3")
    assert read.seller.address.subdivision == "Oost-Vlaanderen"
    assert read.seller.electronic_address == Identifier(scheme="0208", value="0123456749")
    assert read.seller.tax_registration == "Registered"
    assert read.seller.contact == Contact(name="An", phone="09 1", email="an@example.com")
    assert read.unread == ()


def test_a_party_without_a_registered_name_goes_by_the_one_it_trades_under() -> None:
    buyer = (
        "<cac:PartyName><cbc:Name>De Zon</cbc:Name></cac:PartyName><cac:PostalAddress><cac:Country>"
        "<cbc:IdentificationCode>BE</cbc:IdentificationCode></cac:Country></cac:PostalAddress>"
    )

    assert read_ubl(invoice(buyer=buyer), name="buyer.xml").buyer.name == "De Zon"


def test_a_price_for_a_number_of_pieces_is_divided() -> None:
    discount = (
        '<cac:AllowanceCharge><cbc:ChargeIndicator>false</cbc:ChargeIndicator><cbc:Amount currencyID="EUR">1.00'
        '</cbc:Amount><cbc:BaseAmount currencyID="EUR">10.00</cbc:BaseAmount></cac:AllowanceCharge>'
    )
    sale = Sale(name="Screws", quantity="250", price="9.00", base_quantity="100", more_price=discount)
    (line,) = read_ubl(invoice(sales=[sale]), name="screws.xml").lines

    assert line.net_amount == Decimal("22.50")
    assert (line.gross_price, line.price_discount, line.price_base_quantity) == (Decimal(10), Decimal(1), Decimal(100))
    assert line.price_base_unit == "C62"


def test_everything_that_a_line_says_is_kept() -> None:
    more = (
        element("Note", "Handle with care")
        + element("AccountingCost", "4000")
        + "<cac:InvoicePeriod><cbc:StartDate>2026-01-01</cbc:StartDate><cbc:EndDate>2026-01-31</cbc:EndDate>"
        "</cac:InvoicePeriod><cac:OrderLineReference><cbc:LineID>12</cbc:LineID></cac:OrderLineReference>"
        '<cac:DocumentReference><cbc:ID schemeID="AWV">M-1</cbc:ID><cbc:DocumentTypeCode>130</cbc:DocumentTypeCode>'
        "</cac:DocumentReference>"
    )
    more_item = (
        element("Description", "One metre")
        + "<cac:BuyersItemIdentification><cbc:ID>B1</cbc:ID></cac:BuyersItemIdentification>"
        "<cac:SellersItemIdentification><cbc:ID>S1</cbc:ID></cac:SellersItemIdentification>"
        '<cac:StandardItemIdentification><cbc:ID schemeID="0160">05412345000013</cbc:ID>'
        "</cac:StandardItemIdentification>"
        "<cac:OriginCountry><cbc:IdentificationCode>FR</cbc:IdentificationCode></cac:OriginCountry>"
        '<cac:CommodityClassification><cbc:ItemClassificationCode listID="STI" listVersionID="21">30151500'
        "</cbc:ItemClassificationCode></cac:CommodityClassification>"
        "<cac:AdditionalItemProperty><cbc:Name>Colour</cbc:Name><cbc:Value>Oak</cbc:Value></cac:AdditionalItemProperty>"
    )
    document = read_ubl(invoice(sales=[Sale(more=more, more_item=more_item)]), name="line.xml")

    (line,) = document.lines
    assert (line.note, line.accounting_reference, line.order_line) == ("Handle with care", "4000", "12")
    assert line.period == Period(start=dt.date(2026, 1, 1), end=dt.date(2026, 1, 31))
    assert line.invoiced_object == Identifier(scheme="AWV", value="M-1")
    assert (line.description, line.buyer_item_id, line.seller_item_id) == ("One metre", "B1", "S1")
    assert line.standard_item_id == Identifier(scheme="0160", value="05412345000013")
    assert line.classifications == (Classification(list="STI", version="21", code="30151500"),)
    assert (line.origin_country, line.attributes) == ("FR", (Attribute(name="Colour", value="Oak"),))
    assert document.unread == ()


def test_vat_in_the_accounting_currency_stands_beside_the_documents_own() -> None:
    document = read_ubl(
        invoice(
            currency="USD",
            after_currency=element("TaxCurrencyCode", "EUR"),
            more_vat='<cac:TaxTotal><cbc:TaxAmount currencyID="EUR">19.32</cbc:TaxAmount></cac:TaxTotal>',
        ),
        name="dollars.xml",
    )

    assert (document.currency, document.totals.vat) == ("USD", Decimal(21))
    assert (document.vat_currency, document.vat_total_in_vat_currency) == ("EUR", Decimal("19.32"))


def test_what_was_prepaid_and_rounded_counts_in_what_is_due() -> None:
    document = read_ubl(invoice(prepaid="100.00", rounding="-0.02"), name="prepaid.xml")

    assert (document.prepaid, document.rounding, document.totals.due) == (
        Decimal(100),
        Decimal("-0.02"),
        Decimal("20.98"),
    )


def test_the_references_of_the_document_are_kept_each_in_its_place() -> None:
    references = (
        "<cac:OrderReference><cbc:ID>O1</cbc:ID><cbc:SalesOrderID>SO1</cbc:SalesOrderID></cac:OrderReference>"
        + reference("DespatchDocumentReference", "D1")
        + reference("ReceiptDocumentReference", "R1")
        + reference("OriginatorDocumentReference", "T1")
        + reference("ContractDocumentReference", "K1")
        + '<cac:AdditionalDocumentReference><cbc:ID schemeID="ABT">OBJ</cbc:ID>'
        "<cbc:DocumentTypeCode>130</cbc:DocumentTypeCode></cac:AdditionalDocumentReference>"
        "<cac:AdditionalDocumentReference><cbc:ID>W1</cbc:ID><cac:Attachment><cac:ExternalReference>"
        "<cbc:URI>https://example.com/w1</cbc:URI></cac:ExternalReference></cac:Attachment>"
        "</cac:AdditionalDocumentReference>" + reference("ProjectReference", "P1")
    )
    document = read_ubl(
        invoice(
            before_currency=element("Note", "#AAI#On paper")
            + element("Note", "Thanks")
            + element("DueDate", "2026-04-01"),
            after_currency=element("AccountingCost", "A1") + element("BuyerReference", "B1"),
            before_parties="<cac:InvoicePeriod><cbc:DescriptionCode>35</cbc:DescriptionCode></cac:InvoicePeriod>"
            + references,
        ),
        name="references.xml",
    )

    assert (document.order_reference, document.sales_order_reference) == ("O1", "SO1")
    assert (document.despatch_advice_reference, document.receiving_advice_reference) == ("D1", "R1")
    assert (document.tender_reference, document.contract_reference, document.project_reference) == ("T1", "K1", "P1")
    assert document.invoiced_object == Identifier(scheme="ABT", value="OBJ")
    assert document.supporting_documents == (SupportingDocument(id="W1", uri="https://example.com/w1"),)
    assert document.notes == (Note(subject="AAI", text="On paper"), Note(text="Thanks"))
    assert (document.accounting_reference, document.buyer_reference) == ("A1", "B1")
    assert (document.tax_point_code, document.invoicing_period) == ("35", None)
    assert document.unread == ()


def test_ways_to_pay_and_the_place_of_delivery_are_kept() -> None:
    card = (
        "<cac:PaymentMeans><cbc:PaymentMeansCode>48</cbc:PaymentMeansCode><cac:CardAccount>"
        "<cbc:PrimaryAccountNumberID>1234</cbc:PrimaryAccountNumberID><cbc:NetworkID>VISA</cbc:NetworkID>"
        "<cbc:HolderName>J. Zon</cbc:HolderName></cac:CardAccount></cac:PaymentMeans>"
        "<cac:PaymentMeans><cbc:PaymentMeansCode>59</cbc:PaymentMeansCode><cac:PaymentMandate><cbc:ID>MAN1</cbc:ID>"
        "<cac:PayerFinancialAccount><cbc:ID>BE68539007547034</cbc:ID></cac:PayerFinancialAccount></cac:PaymentMandate>"
        "</cac:PaymentMeans>"
    )
    delivery = (
        "<cac:Delivery><cbc:ActualDeliveryDate>2026-03-01</cbc:ActualDeliveryDate><cac:DeliveryLocation>"
        '<cbc:ID schemeID="0088">5412345000013</cbc:ID></cac:DeliveryLocation><cac:DeliveryParty><cac:PartyName>'
        "<cbc:Name>Depot</cbc:Name></cac:PartyName></cac:DeliveryParty></cac:Delivery>"
    )
    document = read_ubl(invoice(after_parties=delivery + payment_means(remittance="+++1+++") + card), name="pay.xml")

    assert document.payment_means == (
        PaymentMeans(
            code="30",
            name="Credit transfer",
            remittance="+++1+++",
            iban="BE71096123456769",
            account_name="Houtwerk",
            bic="GKCCBEBB",
        ),
        PaymentMeans(code="48", card=Card(number="1234", holder="J. Zon")),
        PaymentMeans(code="59", mandate="MAN1", debited_account="BE68539007547034"),
    )
    assert document.delivery == Delivery(
        name="Depot", location=Identifier(scheme="0088", value="5412345000013"), date=dt.date(2026, 3, 1)
    )
    assert [(one.path, one.value) for one in document.unread] == [
        ("/Invoice/cac:PaymentMeans[2]/cac:CardAccount/cbc:NetworkID", "VISA")
    ]


def test_what_is_not_kept_is_listed_with_its_path_and_value() -> None:
    extra = (
        '<cbc:UBLVersionID>2.1</cbc:UBLVersionID><cac:Signature><cbc:ID schemeAgencyID="6">S1</cbc:ID></cac:Signature>'
    )
    document = read_ubl(
        invoice(before_currency=extra, after_currency='<cbc:Note languageID="nl">Dank</cbc:Note>'), name="x"
    )

    assert [(one.path, one.value) for one in document.unread] == [
        ("/Invoice/cbc:UBLVersionID", "2.1"),
        ("/Invoice/cac:Signature/cbc:ID", "S1"),
        ("/Invoice/cac:Signature/cbc:ID/@schemeAgencyID", "6"),
        ("/Invoice/cbc:Note/@languageID", "nl"),
    ]


@pytest.mark.parametrize(
    "name",
    [
        "LineExtensionAmount",
        "TaxExclusiveAmount",
        "TaxInclusiveAmount",
        "AllowanceTotalAmount",
        "ChargeTotalAmount",
        "PayableAmount",
        "TaxAmount",
    ],
)
def test_a_wrong_total_is_refused_with_both_figures(name: str) -> None:
    with pytest.raises(TotalDiffers) as refused:
        read_ubl(invoice(totals={name: "9999.00"}, parts=[Part("1.00"), Part("2.00", charge=True)]), name="wrong.xml")

    assert refused.value.path.endswith(f"cbc:{name}")
    assert refused.value.found == "9999.00"
    assert Decimal(refused.value.expected) < 200
    assert "stated 9999.00; the figures come to" in str(refused.value)


def test_a_wrong_line_amount_is_refused_at_its_line() -> None:
    with pytest.raises(TotalDiffers) as refused:
        read_ubl(invoice(sales=[Sale(), Sale(amount="100.01")]), name="wrong.xml")

    assert refused.value.path == "/Invoice/cac:InvoiceLine[2]/cbc:LineExtensionAmount"
    assert (refused.value.found, refused.value.expected) == ("100.01", "100.00")
    assert refused.value.line > 1


@pytest.mark.parametrize(
    ("taxable", "tax", "rate", "path"),
    [
        ("99.00", "21.00", "21", "cbc:TaxableAmount"),
        ("100.00", "20.00", "21", "cac:TaxSubtotal/cbc:TaxAmount"),
        ("100.00", "21.00", "20", "cbc:TaxableAmount"),
    ],
)
def test_a_vat_breakdown_that_the_lines_do_not_come_to_is_refused(taxable: str, tax: str, rate: str, path: str) -> None:
    breakdown = (
        f"<cac:TaxSubtotal>{element('TaxableAmount', taxable, currencyID='EUR')}"
        f"{element('TaxAmount', tax, currencyID='EUR')}<cac:TaxCategory><cbc:ID>S</cbc:ID>{element('Percent', rate)}"
        "<cac:TaxScheme><cbc:ID>VAT</cbc:ID></cac:TaxScheme></cac:TaxCategory></cac:TaxSubtotal>"
    )
    with pytest.raises(TotalDiffers) as refused:
        read_ubl(invoice(breakdown=breakdown), name="wrong.xml")

    assert refused.value.path.endswith(path)


def test_a_category_that_the_breakdown_leaves_out_is_refused() -> None:
    one_of_two = invoice(sales=[Sale(), Sale(rate="6")]).replace(b"</cac:TaxSubtotal><cac:TaxSubtotal>", b"<!-- -->")
    start, _, rest = one_of_two.partition(b"<!-- -->")
    without_second = start + b"</cac:TaxSubtotal>" + rest.partition(b"</cac:TaxSubtotal>")[2]

    with pytest.raises(TotalDiffers) as refused:
        read_ubl(without_second, name="wrong.xml")

    assert "no subtotal of category S at 6 %" in str(refused.value)


@pytest.mark.parametrize("tag", ["ID", "IssueDate", "InvoiceTypeCode", "DocumentCurrencyCode", "PayableAmount"])
def test_what_an_invoice_cannot_do_without_is_named(tag: str) -> None:
    start, _, rest = invoice().decode().partition(f"<cbc:{tag}")
    without = start + rest.partition(f"</cbc:{tag}>")[2]

    with pytest.raises(ElementMissing) as refused:
        read_ubl(without.encode(), name="missing.xml")

    assert f"no cbc:{tag}" in str(refused.value)


@pytest.mark.parametrize(
    "text", ["1,00", "1e2", "NaN", "Infinity", "0x10", "1 000", "١٠", "1" * 16, "0.1234567", "--1", ""]
)
def test_a_price_that_is_no_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises((ValueRefused, ElementMissing)):
        read_ubl(
            invoice(sales=[Sale(price="100.00")]).replace(b">100.00</cbc:PriceA", f">{text}</cbc:PriceA".encode()),
            name="x",
        )


@pytest.mark.parametrize("text", ["100.0000000000", "+100", "00100.00", "100.", " 100.00\n"])
def test_a_number_may_be_written_as_xml_schema_lets_it(text: str) -> None:
    data = invoice(sales=[Sale(price="100.00")]).replace(b">100.00</cbc:PriceA", f">{text}</cbc:PriceA".encode())

    assert read_ubl(data, name="x").lines[0].net_price == 100


@pytest.mark.parametrize(
    "text", ["2026-02-30", "02-03-2026", "20260302", "2026-3-2", "2026-03-02T00:00:00", "２026-03-02"]
)
def test_a_date_that_is_no_iso_date_is_refused(text: str) -> None:
    with pytest.raises(ValueRefused, match="a date such as"):
        read_ubl(invoice(date=text), name="x")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (b">BE</cbc:IdentificationCode>", b">XX</cbc:IdentificationCode>", "a code of the list"),
        (b">EUR</cbc:DocumentCurrencyCode>", b">EURO</cbc:DocumentCurrencyCode>", "a code of the list"),
        (b'unitCode="C62"', b'unitCode="pieces"', "matching regex"),
        (b'currencyID="EUR"', b'currencyID="USD"', "one in EUR"),
        (b'PriceAmount currencyID="EUR"', b'PriceAmount currencyID="USD"', "one in EUR"),
        (b'PayableAmount currencyID="EUR"', b'PayableAmount currencyID="USD"', "one in EUR"),
        (b"<cbc:ID>S</cbc:ID>", b"<cbc:ID>H</cbc:ID>", "a code of the list"),
        (
            b"<cbc:ID>VAT</cbc:ID></cac:TaxScheme></cac:ClassifiedTax",
            b"<cbc:ID>GST</cbc:ID></cac:TaxScheme></cac:ClassifiedTax",
            "VAT",
        ),
        (b">100.00</cbc:PriceAmount>", b">-100.00</cbc:PriceAmount>", "BR-27"),
        (b">380<", b">381<", "a CreditNote"),
    ],
)
def test_a_value_that_its_element_cannot_have_is_refused(before: bytes, after: bytes, expected: str) -> None:
    data = invoice()
    assert before in data

    with pytest.raises(ValueRefused) as refused:
        read_ubl(data.replace(before, after, 1), name="x")

    assert expected in refused.value.expected


def test_two_lines_with_one_id_are_refused() -> None:
    data = invoice(sales=[Sale(), Sale()]).replace(b"<cac:InvoiceLine><cbc:ID>2<", b"<cac:InvoiceLine><cbc:ID>1<")

    with pytest.raises(ElementTwice, match="each line's id once"):
        read_ubl(data, name="x")


def test_an_error_says_file_line_element_what_was_found_and_what_would_be_right() -> None:
    with pytest.raises(ValueRefused) as refused:
        read_ubl(invoice(date="yesterday"), name="march/7.xml")

    assert str(refused.value) == (
        "march/7.xml line 4, /Invoice/cbc:IssueDate: found 'yesterday'; expected a date such as 2026-03-31"
    )


def test_a_second_seller_identifier_for_direct_debit_is_the_creditors() -> None:
    seller = party(
        more='<cac:PartyIdentification><cbc:ID schemeID="SEPA">BE69ZZZ050D000000008</cbc:ID></cac:PartyIdentification>'
    )
    document = read_ubl(invoice(seller=seller), name="x")

    assert document.creditor_identifier == "BE69ZZZ050D000000008"
    assert document.seller.identifiers == ()
