"""From UBL files to an account's customers, items, invoices and credit notes: each file wholly, or not at all.

The door is ``import_documents``. A document keeps its number, its date and both its parties. Nothing is sent, numbered
or charged by it; every event says that it came by import.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from msgspec import Struct
from msgspec.structs import replace

from api.ubl.checksums import doubts
from api.ubl.directory import Directory, FreshItems, is_company
from api.ubl.element import Unread
from api.ubl.errors import CompanyUnknown, NumberThere, SupplierIsAnother, UblError
from api.ubl.reading import UblDocument, read_ubl
from domain import commands
from domain.application import Actor, Application
from domain.customers import Created as CustomerCreated
from domain.customers import Customer
from domain.decimals import ZERO
from domain.documents.document import Document, DocumentState
from domain.documents.events import Drafted
from domain.documents.fields import Attachment, DocumentFields, PrecedingInvoice
from domain.errors import DomainError
from domain.ids import AccountId, EntityId
from domain.items import Item
from domain.kinds import Kind
from domain.lines import Line, Totals
from domain.parties import Party, PaymentTerms
from domain.store.streams import NumberTaken
from domain.work import Work

_KEPT = tuple(name for name in UblDocument.__struct_fields__ if name in DocumentFields.__struct_fields__)


class Entry(Struct, frozen=True):
    """An entity that an import made or recognised."""

    kind: Kind
    id: EntityId
    name: str


class Refusal(Struct, frozen=True):
    """Why a file was not imported."""

    code: str
    reason: str
    hint: str | None = None


class FileReport(Struct, frozen=True, kw_only=True):
    """What became of one file: the document and its totals, what was made with it and what was there before, what is
    worth a look, and what the file holds that is not kept; or why it was refused.
    """

    file: str
    document: Entry | None = None
    currency: str | None = None
    totals: Totals | None = None
    made: tuple[Entry, ...] = ()
    recognised: tuple[Entry, ...] = ()
    credited: tuple[Entry, ...] = ()
    attachments: int = 0
    warnings: tuple[str, ...] = ()
    unread: tuple[Unread, ...] = ()
    refused: Refusal | None = None


class ImportReport(Struct, frozen=True):
    """What became of each file, in the order they were given."""

    files: tuple[FileReport, ...]

    @property
    def refused(self) -> tuple[FileReport, ...]:
        """The files that were not imported."""
        return tuple(file for file in self.files if file.refused)

    @property
    def imported(self) -> tuple[FileReport, ...]:
        """The files that were."""
        return tuple(file for file in self.files if not file.refused)


@dataclass
class _Import:
    """What one try at one file made; a try that came to nothing leaves nothing behind."""

    document: UblDocument
    made: list[Entry] = field(default_factory=list)
    recognised: list[Entry] = field(default_factory=list)
    credited: list[Entry] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    customers: list[Customer] = field(default_factory=list)
    items: FreshItems = field(default_factory=FreshItems)
    directory: Directory | None = None
    entry: Entry | None = None
    totals: Totals | None = None


def import_documents(
    application: Application,
    account: AccountId,
    actor: Actor,
    files: Iterable[tuple[str, bytes]],
    *,
    any_supplier: bool = False,
) -> ImportReport:
    """Import *files*, each a name and its bytes; what became of each. A refused one changes nothing and stops no other.

    Credit notes come last, so that the invoices they credit are there; each is held in memory until then. Importing a
    file again refuses it: its number is there. Customers and items that others add meanwhile may be made once more.
    Raises StoreError leaves when the account or its database is not there.
    """
    actor = actor._replace(via="import")
    reports: dict[int, FileReport] = {}
    later: list[tuple[int, UblDocument]] = []
    run = _Run(application, account, actor, any_supplier=any_supplier)
    for place, (name, data) in enumerate(files):
        try:
            document = read_ubl(data, name=name)
        except UblError as wrong:
            reports[place] = _refusal(name, wrong)
            continue
        if document.kind is Kind.CREDIT_NOTE:
            later.append((place, document))
        else:
            reports[place] = run.take(document)
    for place, document in later:
        reports[place] = run.take(document)
    return ImportReport(tuple(reports[place] for place in sorted(reports)))


class _Run:
    """An import of several files: what it learned of the account from one goes on to the next."""

    def __init__(self, application: Application, account: AccountId, actor: Actor, *, any_supplier: bool) -> None:
        self._application = application
        self._account = account
        self._actor = actor
        self._any_supplier = any_supplier
        self._directory: Directory | None = None

    def take(self, document: UblDocument) -> FileReport:
        """Import one document in one transaction."""

        def command(work: Work) -> _Import:
            if not self._any_supplier:
                _check_supplier(document, work.control.settings.company)
            known = self._directory if self._directory and self._directory.stream == work.stream else Directory(work)
            return _import_document(work, document, known)

        try:
            done = self._application.run(self._account, self._actor, command)
        except (UblError, DomainError, NumberTaken) as wrong:
            return _refusal(document.file, wrong)
        self._learn(done)
        return FileReport(
            file=document.file,
            document=done.entry,
            currency=document.currency,
            totals=done.totals,
            made=tuple(done.made),
            recognised=tuple(done.recognised),
            credited=tuple(done.credited),
            attachments=len(document.attachments),
            warnings=(*doubts(document), *done.warnings),
            unread=document.unread,
        )

    def _learn(self, done: _Import) -> None:
        """Only now that it is recorded: a try that was decided anew made nothing."""
        self._directory = done.directory
        if self._directory is not None:
            for customer in done.customers:
                self._directory.add_customer(customer)
            for item in done.items.by_id.values():
                self._directory.add_item(item)


def _refusal(name: str, wrong: UblError | DomainError | NumberTaken) -> FileReport:
    return FileReport(file=name, refused=Refusal(wrong.code, str(wrong), wrong.hint))


def _check_supplier(document: UblDocument, company: Party | None) -> None:
    if company is None:
        raise CompanyUnknown(document.file, _named(document.seller))
    if not is_company(company, document.seller):
        raise SupplierIsAnother(document.file, _named(document.seller), _named(company))


def _named(party: Party) -> str:
    return f"{party.name} ({party.vat_identifier})" if party.vat_identifier else party.name


def _import_document(work: Work, document: UblDocument, directory: Directory) -> _Import:
    if work.reader.by_number(document.kind, document.number):
        raise NumberThere(document.file, document.kind.value, document.number)
    made = _Import(document, directory=directory)
    customer = _customer(work, document, made)
    lines = tuple(replace(line, item=_item(work, line, made)) for line in document.lines)
    id_ = commands.create_from(work, document.kind, _drafted(work, document, customer, lines, made))
    for file in document.attachments:
        sha256 = hashlib.sha256(file.data).hexdigest()
        attachment = Attachment(
            id=file.id,
            name=file.name,
            media_type=file.media_type,
            size=len(file.data),
            sha256=sha256,
            description=file.description,
        )
        commands.attach(work, document.kind, id_, attachment, file.data)
    commands.issue_as(work, document.kind, id_, number=document.number, on=document.issue_date)
    work.keep_number(document.kind, document.number, document.issue_date)
    issued: Document = work.get(document.kind, id_)
    made.entry, made.totals = Entry(document.kind, id_, document.number), issued.totals
    for decided in work.decided:
        if decided.type.endswith(".credited"):
            made.credited.append(Entry(decided.kind, decided.entity, decided.state.number))
    return made


def _drafted(work: Work, document: UblDocument, customer: Customer, lines: tuple[Line, ...], made: _Import) -> Drafted:
    terms = document.payment_terms
    if terms is None and document.due_date is None and customer.payment_terms is not None:
        terms = PaymentTerms()  # else the customer's terms of today would give it a due date that it never had
    changed = {
        "lines": lines,
        "payment_terms": terms,
        "preceding_invoices": _preceding(work, document, customer, made),
    }
    kept = {name: getattr(document, name) for name in _KEPT}
    return Drafted(**{**kept, **changed}, customer=customer.id, language=customer.language)


def _customer(work: Work, document: UblDocument, made: _Import) -> Customer:
    assert made.directory is not None, "a try begins with one"
    found = made.directory.customer(work, document.buyer)
    if found is not None:
        made.recognised.append(Entry(Kind.CUSTOMER, found.id, found.party.name))
        return found
    fields = CustomerCreated(
        party=document.buyer,
        language=work.control.settings.language,
        currency=document.currency,
        route=document.buyer.electronic_address,
    )
    id_ = commands.create_from(work, Kind.CUSTOMER, fields)
    customer: Customer = work.get(Kind.CUSTOMER, id_)
    made.customers.append(customer)
    made.made.append(Entry(Kind.CUSTOMER, id_, customer.party.name))
    return customer


def _item(work: Work, line: Line, made: _Import) -> EntityId:
    assert made.directory is not None, "a try begins with one"
    found = made.directory.item(work, line, made.items)
    if found is not None:
        entry = Entry(Kind.ITEM, found.id, found.name)
        if found.id not in made.items.by_id and entry not in made.recognised:
            made.recognised.append(entry)
        return found.id
    id_ = commands.create_from(work, Kind.ITEM, made.directory.new_item(work, line, made.items))
    item: Item = work.get(Kind.ITEM, id_)
    made.items.add(item)
    made.made.append(Entry(Kind.ITEM, id_, item.name))
    own_currency = work.control.settings.currency
    if made.document.currency != own_currency:
        made.warnings.append(
            f"item {item.number} has its price in {made.document.currency} as it was invoiced; "
            f"the account's currency is {own_currency}"
        )
    return id_


def _preceding(work: Work, document: UblDocument, customer: Customer, made: _Import) -> tuple[PrecedingInvoice, ...]:
    """The invoices referred to: those of the same customer and currency that the account has, by id as well.

    A credit note for more than they have left keeps their numbers only: it cannot take back what is not there.
    """
    found: list[tuple[PrecedingInvoice, Document | None]] = []
    for one in document.preceding_invoices:
        invoice = _invoice(work, document, customer, one.number or "")
        if invoice is None:
            made.warnings.append(f"invoice {one.number} is not there for this customer: kept as a number only")
        found.append((one, invoice))
    linked = {invoice.id: invoice for _, invoice in found if invoice is not None}
    left = sum((_left_to_credit(invoice) for invoice in linked.values()), ZERO)
    if document.kind is Kind.CREDIT_NOTE and linked and document.totals.with_vat > left:
        made.warnings.append(
            f"it credits {document.totals.with_vat} {document.currency}, more than the {left} that "
            f"{', '.join(invoice.number or '' for invoice in linked.values())} has left: kept as a number only"
        )
        return document.preceding_invoices
    return tuple(replace(one, document=invoice.id) if invoice else one for one, invoice in found)


def _invoice(work: Work, document: UblDocument, customer: Customer, number: str) -> Document | None:
    id_ = work.reader.by_number(Kind.INVOICE, number)
    found: Document | None = work.find(id_) if id_ else None
    if found is None or found.currency != document.currency:
        return None
    return found if found.customer == customer.id else None


def _left_to_credit(invoice: Document) -> Decimal:
    if invoice.totals is None or invoice.state is DocumentState.CREDITED:
        return ZERO
    return max(invoice.totals.with_vat - invoice.credited, ZERO)
