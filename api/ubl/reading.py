"""A UBL 2.1 Invoice or CreditNote as EN 16931 means it: everything that it says, in the domain's own terms.

The door is ``read_ubl``. What it returns has been checked: the file is safe, whole, and comes to what it says. What the
file holds and the domain has no place for is in ``unread``: whatever no reader asked for, found by looking.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import re
from decimal import Decimal
from typing import Annotated

from msgspec import Meta, Struct

from api.ubl.element import Element, Marks, Unread, unread
from api.ubl.errors import ElementTwice, ValueRefused
from api.ubl.lines import OBJECT_TYPE, read_document_allowances_and_charges, read_lines, read_period
from api.ubl.parsing import kind_of, parse
from api.ubl.parties import read_address, read_creditor_identifier, read_identifier, read_party
from api.ubl.sums import read_sums, read_vat_totals
from domain.codes import Currency
from domain.documents.events import Number
from domain.documents.fields import (
    Card,
    Code,
    Delivery,
    Note,
    PaymentMeans,
    PrecedingInvoice,
    SupportingDocument,
)
from domain.kinds import Kind
from domain.lines import DocumentAllowanceCharge, Line, Period, Totals, VatBreakdown, VatExemption
from domain.parties import Identifier, LongText, Name, Party, PaymentTerms, Reference, Text

_CREDITING = frozenset({"81", "83", "261", "262", "296", "308", "381", "396", "420", "458", "502", "503", "532"})
_TYPE_CODES = {Kind.INVOICE: "cbc:InvoiceTypeCode", Kind.CREDIT_NOTE: "cbc:CreditNoteTypeCode"}
_PROJECT_TYPE = "50"  # UNTDID 1001: how a credit note, which has no ProjectReference, names its project (BT-11)
_NOTE = re.compile(r"#([A-Z]{3})#\s*(.+)", re.DOTALL)  # BT-21 in BT-22: a code of UNTDID 4451
_Uri = Annotated[str, Meta(max_length=2000)]
_Scheme = Annotated[str, Meta(max_length=20)]
_MediaType = Annotated[str, Meta(pattern=r"^[a-z0-9.+-]+/[a-z0-9.+-]+$", max_length=100)]
_FILE_NAME_LIMIT = 255
# What BR-CL-24 allows, and the XML that national rules add. None is ever shown in place: see X11 of the fault list.
_MEDIA_TYPES = (
    "application/pdf",
    "image/png",
    "image/jpeg",
    "text/csv",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.oasis.opendocument.spreadsheet",
    "application/xml",
    "text/xml",
)


class EmbeddedFile(Struct, frozen=True, kw_only=True):
    """A file inside the document (BT-125); ``id`` is that of the supporting document it belongs to."""

    id: str
    name: str
    media_type: str
    data: bytes
    description: str | None = None


class UblDocument(Struct, frozen=True, kw_only=True):
    """What a UBL file says. Fields that ``DocumentFields`` has too have its names and types.

    ``totals`` and ``vat_breakdown`` are ours, ``stated`` and ``stated_breakdown`` the file's: equal in amount.
    """

    file: str
    kind: Kind
    number: str
    issue_date: dt.date
    currency: str
    seller: Party
    buyer: Party
    lines: tuple[Line, ...]
    allowances: tuple[DocumentAllowanceCharge, ...]
    charges: tuple[DocumentAllowanceCharge, ...]
    vat_exemptions: tuple[VatExemption, ...]
    prepaid: Decimal | None
    rounding: Decimal | None
    payee: Party | None
    tax_representative: Party | None
    process: str | None
    specification: str | None
    buyer_reference: str | None
    order_reference: str | None
    sales_order_reference: str | None
    contract_reference: str | None
    project_reference: str | None
    receiving_advice_reference: str | None
    despatch_advice_reference: str | None
    tender_reference: str | None
    invoiced_object: Identifier | None
    accounting_reference: str | None
    supporting_documents: tuple[SupportingDocument, ...]
    vat_currency: str | None
    vat_total_in_vat_currency: Decimal | None
    delivery: Delivery | None
    notes: tuple[Note, ...]
    payment_terms: PaymentTerms | None
    type_code: str
    due_date: dt.date | None
    tax_point_date: dt.date | None
    tax_point_code: str | None
    invoicing_period: Period | None
    payment_means: tuple[PaymentMeans, ...]
    creditor_identifier: str | None
    preceding_invoices: tuple[PrecedingInvoice, ...]
    totals: Totals
    vat_breakdown: tuple[VatBreakdown, ...]
    stated: Totals
    stated_breakdown: tuple[VatBreakdown, ...]
    attachments: tuple[EmbeddedFile, ...]
    unread: tuple[Unread, ...]


class _References(Struct, frozen=True, kw_only=True):
    """What AdditionalDocumentReference stands for: BT-18, BG-24, and on a credit note BT-11."""

    invoiced_object: Identifier | None
    project: str | None
    documents: tuple[SupportingDocument, ...]
    files: tuple[EmbeddedFile, ...]


def read_ubl(data: bytes, *, name: str) -> UblDocument:
    """The document in *data*; *name* is what errors call the file. Raises a UblFault.

    Reads nothing but *data*. A credit note's amounts are positive, as UBL has them.
    """
    tree = parse(data, name=name)
    marks: Marks = set()
    root = Element(tree, name, marks)
    kind = kind_of(tree)
    currency = root.the_value("cbc:DocumentCurrencyCode", Currency)
    vat_currency = root.value("cbc:TaxCurrencyCode", Currency)
    lines = read_lines(root, kind, currency)
    allowances, charges = read_document_allowances_and_charges(root, currency)
    vat_totals = read_vat_totals(root, currency, vat_currency)
    sums = read_sums(root, vat_totals.total, currency, lines=lines, allowances=allowances, charges=charges)
    seller, payee = root.the("cac:AccountingSupplierParty/cac:Party"), root.one("cac:PayeeParty")
    tax_representative = root.one("cac:TaxRepresentativeParty")
    references = _references(root, kind)
    means = root.each("cac:PaymentMeans")
    terms = root.value("cac:PaymentTerms/cbc:Note", LongText)
    period = root.one("cac:InvoicePeriod")
    issue_date = root.date("cbc:IssueDate")
    if issue_date is None:
        root.the("cbc:IssueDate").text()
    assert issue_date is not None, "the line above refuses a file without it"
    return UblDocument(
        file=name,
        kind=kind,
        number=root.the_value("cbc:ID", Number),
        issue_date=issue_date,
        currency=currency,
        seller=read_party(seller),
        buyer=read_party(root.the("cac:AccountingCustomerParty/cac:Party")),
        lines=lines,
        allowances=allowances,
        charges=charges,
        vat_exemptions=sums.exemptions,
        prepaid=sums.stated.paid,
        rounding=sums.stated.rounding,
        payee=read_party(payee) if payee else None,
        tax_representative=read_party(tax_representative) if tax_representative else None,
        process=root.value("cbc:ProfileID", Text),
        specification=root.value("cbc:CustomizationID", Text),
        buyer_reference=root.value("cbc:BuyerReference", Reference),
        order_reference=root.value("cac:OrderReference/cbc:ID", Reference),
        sales_order_reference=root.value("cac:OrderReference/cbc:SalesOrderID", Reference),
        contract_reference=root.value("cac:ContractDocumentReference/cbc:ID", Reference),
        project_reference=references.project or root.value("cac:ProjectReference/cbc:ID", Reference),
        receiving_advice_reference=root.value("cac:ReceiptDocumentReference/cbc:ID", Reference),
        despatch_advice_reference=root.value("cac:DespatchDocumentReference/cbc:ID", Reference),
        tender_reference=root.value("cac:OriginatorDocumentReference/cbc:ID", Reference),
        invoiced_object=references.invoiced_object,
        accounting_reference=root.value("cbc:AccountingCost", Reference),
        supporting_documents=references.documents,
        vat_currency=vat_currency,
        vat_total_in_vat_currency=vat_totals.in_vat_currency,
        delivery=_delivery(root),
        notes=tuple(_note(note) for note in root.each("cbc:Note") if note.has_text),
        payment_terms=PaymentTerms(text=terms) if terms else None,
        type_code=_type_code(root, kind),
        due_date=_due_date(root, means),
        tax_point_date=root.date("cbc:TaxPointDate"),
        tax_point_code=period.value("cbc:DescriptionCode", Code) if period else None,
        invoicing_period=read_period(period) if period else None,
        payment_means=tuple(_payment_means(one) for one in means),
        creditor_identifier=read_creditor_identifier(payee, seller),
        preceding_invoices=_preceding_invoices(root),
        totals=sums.totals,
        vat_breakdown=sums.breakdown,
        stated=sums.stated,
        stated_breakdown=sums.stated_breakdown,
        attachments=references.files,
        unread=unread(tree, marks),
    )


def _type_code(root: Element, kind: Kind) -> str:
    """The document's type (BT-3), which must agree with what the file is."""
    code = root.the(_TYPE_CODES[kind])
    value = code.text(Code)
    if kind is Kind.INVOICE and value in _CREDITING:
        code.refuse(f"{value}, a credit note's type, in an Invoice", "a CreditNote, or an invoice's type such as 380")
    if kind is Kind.CREDIT_NOTE and value == "380":
        code.refuse("380, an invoice's type, in a CreditNote", "a credit note's type such as 381")
    return value


def _note(note: Element) -> Note:
    text = note.text(LongText)
    coded = _NOTE.fullmatch(text)
    return Note(subject=coded.group(1), text=coded.group(2)) if coded else Note(text=text)


def _due_date(root: Element, means: list[Element]) -> dt.date | None:
    """When it falls due (BT-9); a credit note, which has no DueDate, says it with its means of payment."""
    stated = root.date("cbc:DueDate")
    if stated:
        return stated
    return next((due for one in means if (due := one.date("cbc:PaymentDueDate"))), None)


def _payment_means(means: Element) -> PaymentMeans:
    code = means.the("cbc:PaymentMeansCode")
    account = means.one("cac:PayeeFinancialAccount")
    card = means.one("cac:CardAccount")
    mandate = means.one("cac:PaymentMandate")
    return PaymentMeans(
        code=code.text(Code),
        name=code.attribute("name", Text),
        remittance=means.value("cbc:PaymentID", Text),
        iban=account.value("cbc:ID", Reference) if account else None,
        account_name=account.value("cbc:Name", Name) if account else None,
        bic=account.value("cac:FinancialInstitutionBranch/cbc:ID", Reference) if account else None,
        card=Card(number=card.the_value("cbc:PrimaryAccountNumberID", Code), holder=card.value("cbc:HolderName", Name))
        if card
        else None,
        mandate=mandate.value("cbc:ID", Reference) if mandate else None,
        debited_account=mandate.value("cac:PayerFinancialAccount/cbc:ID", Reference) if mandate else None,
    )


def _preceding_invoices(root: Element) -> tuple[PrecedingInvoice, ...]:
    found = (reference.one("cac:InvoiceDocumentReference") for reference in root.each("cac:BillingReference"))
    return tuple(
        PrecedingInvoice(number=one.the_value("cbc:ID", Reference), date=one.date("cbc:IssueDate"))
        for one in found
        if one
    )


def _delivery(root: Element) -> Delivery | None:
    delivery = root.one("cac:Delivery")
    if delivery is None:
        return None
    address = delivery.one("cac:DeliveryLocation/cac:Address")
    read = Delivery(
        name=delivery.value("cac:DeliveryParty/cac:PartyName/cbc:Name", Name),
        location=read_identifier(delivery, "cac:DeliveryLocation/cbc:ID"),
        date=delivery.date("cbc:ActualDeliveryDate"),
        address=read_address(address) if address else None,
    )
    return read if read != Delivery() else None


def _references(root: Element, kind: Kind) -> _References:
    invoiced_object: Identifier | None = None
    project: str | None = None
    documents: list[SupportingDocument] = []
    files: list[EmbeddedFile] = []
    for reference in root.each("cac:AdditionalDocumentReference"):
        type_code = reference.peek("cbc:DocumentTypeCode")
        if type_code == OBJECT_TYPE and invoiced_object is None:
            reference.the_value("cbc:DocumentTypeCode")
            invoiced_object = read_identifier(reference, "cbc:ID")
        elif type_code == _PROJECT_TYPE and kind is Kind.CREDIT_NOTE and project is None:
            reference.the_value("cbc:DocumentTypeCode")
            project = reference.the_value("cbc:ID", Reference)
        else:
            documents.append(_supporting_document(reference))
        if embedded := reference.one("cac:Attachment/cbc:EmbeddedDocumentBinaryObject"):
            file = _embedded_file(embedded, reference)
            if any(file.id == other.id for other in files):
                reference.refuse(f"a second file under {file.id!r}", "one for each reference", ElementTwice)
            files.append(file)
    return _References(invoiced_object=invoiced_object, project=project, documents=tuple(documents), files=tuple(files))


def _supporting_document(reference: Element) -> SupportingDocument:
    identifier = reference.the("cbc:ID")
    return SupportingDocument(
        id=identifier.text(Reference),
        scheme=identifier.attribute("schemeID", _Scheme),
        type_code=reference.value("cbc:DocumentTypeCode", Code),
        description=reference.value("cbc:DocumentDescription", LongText),
        uri=reference.value("cac:Attachment/cac:ExternalReference/cbc:URI", _Uri),
    )


def _embedded_file(embedded: Element, reference: Element) -> EmbeddedFile:
    media_type = embedded.the_attribute("mimeCode", _MediaType)
    if media_type not in _MEDIA_TYPES:
        embedded.refuse(f"a file of type {media_type}", f"one of {', '.join(_MEDIA_TYPES)} (EN 16931 BR-CL-24)")
    try:
        data = base64.b64decode("".join(embedded.text().split()), validate=True)
    except (binascii.Error, ValueError):
        embedded.refuse("text that is not base64", "the file in base64")
    return EmbeddedFile(
        id=reference.the_value("cbc:ID", Reference),
        name=_file_name(embedded),
        media_type=media_type,
        data=data,
        description=reference.value("cbc:DocumentDescription", LongText),
    )


def _file_name(embedded: Element) -> str:
    """The file's bare name: of a path, as some software writes, only the last part is a name."""
    stated = (embedded.peek_attribute("filename") or "").strip()
    bare = "".join(sign for sign in re.split(r"[/\\]", stated)[-1] if sign.isprintable()).strip()
    if bare in ("", ".", "..") or len(bare) > _FILE_NAME_LIMIT:
        embedded.refuse(f"the file name {stated[:200]!r}", f"a name of 1 to {_FILE_NAME_LIMIT} signs", ValueRefused)
    if bare == stated:
        embedded.attribute("filename")
    return bare
