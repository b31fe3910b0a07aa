"""UBL files become an account's customers, items, invoices and credit notes: each wholly, or not at all."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from api.ubl import FileReport, ImportReport, import_documents, read_ubl
from domain import commands
from domain import control as c
from domain.accounts import Access, ensure_person, open_account
from domain.application import Actor, Application, utc_now
from domain.customers import Customer
from domain.documents.document import Document, DocumentState
from domain.ids import EntityId, PersonId
from domain.items import Item
from domain.kinds import Kind
from domain.parties import Address, Identifier, Party
from domain.store.database import Database
from domain.work import Work, decode_state
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
)

EXAMPLES = Path(__file__).parents[3] / "shared" / "data" / "peppol-bis-billing-3-examples"
COMPANY = Party(name="Houtwerk BV", vat_identifier="BE0123456749", address=Address(country="BE"))


class Books:
    """An account, and what a test asks of it."""

    def __init__(self, application: Application, access: Access, person: PersonId) -> None:
        self.application = application
        self.account = access.account
        self.actor = Actor.person(person, "cli")

    def take(self, *files: bytes, any_supplier: bool = False) -> ImportReport:
        """Import *files*, named 1.xml, 2.xml and so on."""
        named = [(f"{place}.xml", data) for place, data in enumerate(files, 1)]
        return import_documents(self.application, self.account, self.actor, named, any_supplier=any_supplier)

    def run(self, command: Any) -> Any:
        """Run a command on the account."""
        return self.application.run(self.account, self.actor, command)

    def all_of(self, kind: Kind) -> list[Any]:
        """The entities of a kind, by number or id."""

        def read(work: Work) -> list[Any]:
            return sorted(
                (decode_state(kind, raw) for raw in work.reader.of_kind(kind)),
                key=lambda state: getattr(state, "number", None) or state.id,
            )

        found: list[Any] = self.run(read)
        return found

    def document(self, report: FileReport) -> Document:
        """The document that a file became."""
        assert report.document is not None, report.refused
        found: Document = self.application.find(self.account, report.document.kind, report.document.id)[0]
        return found

    def events(self) -> list[tuple[str, str, str]]:
        """Type, actor and way in of every event, in order."""
        with self.application.database.transaction(self.account) as connection:
            return connection.execute("SELECT type, actor, via FROM events ORDER BY position").fetchall()


@pytest.fixture(scope="module")
def application(server_dsn: str) -> Iterator[Application]:
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    with Database(make_conninfo(server_dsn, dbname=name)) as database:
        yield Application(database)
    with psycopg.connect(server_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def open_books(application: Application, *, company: Party | None = COMPANY, **settings: Any) -> Books:
    """A fresh account of a Belgian company."""
    owner = ensure_person(application.database, f"{uuid.uuid4().hex}@example.com", "An", at=utc_now())
    facts = {"country": "BE", "currency": "EUR", "language": "nl", "time_zone": "Europe/Brussels", **settings}
    access = open_account(application, "Houtwerk", owner, c.SettingsFields(company=company, **facts), via="cli")
    return Books(application, access, owner.id)


@pytest.fixture
def books(application: Application) -> Books:
    return open_books(application)


def reasons(report: ImportReport) -> list[str]:
    return [file.refused.reason for file in report.files if file.refused]


def test_an_invoice_is_there_with_its_number_date_parties_and_totals(books: Books) -> None:
    data = invoice("2025-00107", date="2025-11-30", sales=[Sale(quantity="2")], parts=[Part("10.00")], prepaid="20.00")
    stated = read_ubl(data, name="1.xml")

    (file,) = books.take(data).files

    document = books.document(file)
    assert (document.state, document.number, document.issue_date) == (
        DocumentState.ISSUED,
        "2025-00107",
        stated.issue_date,
    )
    assert (document.seller, document.buyer) == (stated.seller, stated.buyer)
    assert document.totals == stated.stated == file.totals
    assert document.vat_breakdown == stated.stated_breakdown


def test_every_event_says_who_and_that_it_came_by_import(books: Books) -> None:
    books.take(invoice(before_parties=attachment("A1", b"%PDF-1.7")))

    assert [type_ for type_, _, _ in books.events()] == [
        "customer.created",
        "item.created",
        "invoice.drafted",
        "invoice.attachment_added",
        "invoice.issued",
    ]
    assert {(actor, via) for _, actor, via in books.events()} == {(books.actor.name, "import")}


def test_an_embedded_file_is_kept_byte_for_byte(books: Books) -> None:
    content = bytes(range(256))

    (file,) = books.take(invoice(before_parties=attachment("A1", content, name="plan.pdf"))).files

    (kept,) = books.document(file).attachments
    assert (kept.id, kept.name, kept.size, file.attachments) == ("A1", "plan.pdf", 256, 1)
    assert books.application.attachment(books.account, kept.sha256) == content


def test_a_customer_is_recognised_by_vat_identifier_whatever_its_name(books: Books) -> None:
    renamed = party("De Zon Horeca", vat="BE 0202.239.951", city="Brugge")

    report = books.take(invoice("1"), invoice("2", buyer=renamed))

    (customer,) = books.all_of(Kind.CUSTOMER)
    assert customer.party.name == "Café De Zon"
    assert [entry.id for entry in report.files[1].recognised if entry.kind is Kind.CUSTOMER] == [customer.id]
    assert books.document(report.files[1]).buyer.name == "De Zon Horeca"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (party("A", vat=None, endpoint="0456"), party("B", vat=None, endpoint="0456")),
        (party("A", vat=None, registration="0456"), party("B", vat=None, registration="0456")),
        (party("Jan  Peeters", vat=None), party("jan peeters", vat=None)),
        (party("A", vat="BE0202239951", endpoint="0456"), party("A", vat=None, endpoint="0456")),
    ],
)
def test_a_customer_is_recognised_by_what_it_has(books: Books, first: str, second: str) -> None:
    books.take(invoice("1", buyer=first), invoice("2", buyer=second))

    assert len(books.all_of(Kind.CUSTOMER)) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (party("A", vat="BE0202239951"), party("A", vat="BE0403170701")),
        (party("A", vat="BE0202239951", endpoint="0456"), party("A", vat="BE0403170701", endpoint="0456")),
        (party("A", vat=None, registration="1"), party("A", vat=None, registration="2")),
        (party("A", vat=None), party("A", vat=None, country="FR")),
    ],
)
def test_customers_that_differ_in_what_is_theirs_alone_are_two(books: Books, first: str, second: str) -> None:
    books.take(invoice("1", buyer=first), invoice("2", buyer=second))

    assert len(books.all_of(Kind.CUSTOMER)) == 2


def test_a_customer_that_was_there_before_is_recognised(books: Books) -> None:
    fields = {"party": {"name": "Zon", "vat_identifier": "BE0202239951"}, "payment_terms": {"days": 30}}
    there = books.run(lambda work: commands.create(work, Kind.CUSTOMER, fields))

    (file,) = books.take(invoice()).files

    document = books.document(file)
    assert document.customer == there
    assert document.due_date is None  # the file says none, whatever is agreed today


def test_what_a_customer_was_merged_into_is_recognised(books: Books) -> None:
    books.take(invoice("1"))
    (old,) = books.all_of(Kind.CUSTOMER)

    def merge(work: Work) -> EntityId:
        new = commands.create(work, Kind.CUSTOMER, {"party": {"name": "Zon Groep", "vat_identifier": "BE0403170701"}})
        commands.merge(work, Kind.CUSTOMER, old.id, new)
        return new

    new = books.run(merge)

    (file,) = books.take(invoice("2")).files

    assert books.document(file).customer == new


def test_a_deleted_customer_is_made_anew(books: Books) -> None:
    there = books.run(
        lambda work: commands.create(work, Kind.CUSTOMER, {"party": {"name": "Zon", "vat_identifier": "BE0202239951"}})
    )
    books.run(lambda work: commands.delete(work, Kind.CUSTOMER, there))

    (file,) = books.take(invoice()).files

    assert books.document(file).customer != there


def item_id(tag: str, value: str) -> str:
    scheme = ' schemeID="0160"' if tag == "Standard" else ""
    return f"<cac:{tag}ItemIdentification><cbc:ID{scheme}>{value}</cbc:ID></cac:{tag}ItemIdentification>"


def test_items_are_recognised_by_number_then_standard_number_then_name(books: Books) -> None:
    sales = [
        Sale(name="Shelf", more_item=item_id("Sellers", "S-1")),
        Sale(name="Shelf, oak", more_item=item_id("Sellers", "S-1")),
        Sale(name="Screw", more_item=item_id("Standard", "05412345000013")),
        Sale(name="Screw 4x40", more_item=item_id("Standard", "05412345000013")),
        Sale(name="Work"),
        Sale(name="WORK "),
    ]

    (file,) = books.take(invoice(sales=sales)).files

    items: list[Item] = books.all_of(Kind.ITEM)
    assert [(item.number, item.name) for item in items] == [("I00001", "Screw"), ("I00002", "Work"), ("S-1", "Shelf")]
    lines = books.document(file).lines
    assert [line.item for line in lines] == [item.id for item in (items[2], *items[:2]) for _ in range(2)]
    assert [line.name for line in lines] == ["Shelf", "Shelf, oak", "Screw", "Screw 4x40", "Work", "WORK"]


def test_items_of_an_earlier_import_are_recognised(books: Books) -> None:
    sales = [Sale(name="Shelf", more_item=item_id("Sellers", "S-1")), Sale(name="Work")]
    books.take(invoice("1", sales=sales))

    books.take(invoice("2", sales=[*sales, Sale(name="Nails")]))

    assert [item.number for item in books.all_of(Kind.ITEM)] == ["I00001", "I00002", "S-1"]


def test_articles_of_one_name_with_two_standard_numbers_are_two_items(books: Books) -> None:
    sales = [Sale(more_item=item_id("Standard", number)) for number in ("05412345000013", "05412345000020")]

    books.take(invoice(sales=sales))

    assert len(books.all_of(Kind.ITEM)) == 2


def test_an_item_has_the_price_of_one_and_the_vat_of_its_line(books: Books) -> None:
    books.take(invoice(sales=[Sale(quantity="250", price="9.00", base_quantity="100", unit="MTR", rate="6")]))

    (item,) = books.all_of(Kind.ITEM)
    assert (item.net_price, item.unit, item.vat.rate) == (Decimal("0.09"), "MTR", Decimal(6))


def test_a_credit_note_takes_back_the_invoice_that_it_names(books: Books) -> None:
    report = books.take(invoice("7", sales=[Sale(), Sale()]), credit_note("C1", before_parties=billing_reference("7")))

    credited, note = (books.document(file) for file in report.files)
    assert note.preceding_invoices[0].document == credited.id
    assert [(credit.by, credit.amount) for credit in credited.credits] == [(note.id, Decimal("121.00"))]
    assert credited.totals is not None
    assert credited.totals.due == Decimal("121.00")
    assert [entry.name for entry in report.files[1].credited] == ["7"]


def test_a_credit_note_given_before_its_invoice_finds_it(books: Books) -> None:
    report = books.take(credit_note("C1", before_parties=billing_reference("7")), invoice("7"))

    assert [file.file for file in report.files] == ["1.xml", "2.xml"]
    assert books.document(report.files[1]).state is DocumentState.CREDITED


def test_a_credit_note_for_more_than_is_left_keeps_the_number_only(books: Books) -> None:
    note = credit_note("C1", sales=[Sale(), Sale()], before_parties=billing_reference("7"))

    report = books.take(invoice("7"), note)

    assert books.document(report.files[0]).credits == ()
    assert books.document(report.files[1]).preceding_invoices[0].document is None
    assert "more than the 121.00 that 7 has left" in report.files[1].warnings[-1]


@pytest.mark.parametrize(
    "other", [invoice("7", buyer=party("B", vat="BE0403170701")), invoice("7", currency="USD"), invoice("8")]
)
def test_a_credit_note_takes_nothing_back_from_another_customers_invoice(books: Books, other: bytes) -> None:
    report = books.take(other, credit_note("C1", before_parties=billing_reference("7")))

    assert books.document(report.files[0]).credits == ()
    assert books.document(report.files[1]).preceding_invoices[0].number == "7"
    assert "invoice 7 is not there for this customer: kept as a number only" in report.files[1].warnings


def test_a_number_that_is_there_is_refused_and_nothing_of_its_file_stays(books: Books) -> None:
    books.take(invoice("7"))
    before = books.events()

    report = books.take(invoice("7", buyer=party("New", vat="BE0403170701"), sales=[Sale(name="New")]))

    assert reasons(report) == [
        "1.xml: invoice '7' is there already; expected a number that no invoice of the account has"
    ]
    assert books.events() == before


def test_one_bad_file_stops_no_other(books: Books) -> None:
    report = books.take(invoice("1"), b"<Invoice>", invoice("2", totals={"PayableAmount": "1.00"}), invoice("4"))

    assert [file.refused.code if file.refused else None for file in report.files] == [
        None,
        "ubl.not-well-formed",
        "ubl.total-differs",
        None,
    ]
    assert [document.number for document in books.all_of(Kind.INVOICE)] == ["1", "4"]
    assert (len(report.imported), len(report.refused)) == (2, 2)


@pytest.mark.parametrize(
    ("company", "seller"),
    [
        (COMPANY, party("Another name", vat="be 0123.456.749")),
        (Party(name="X", legal_registration=Identifier(scheme="0208", value="0123")), party("Y", registration="0123")),
        (Party(name="X", electronic_address=Identifier(scheme="0208", value="0123")), party("Y", endpoint="0123")),
        (Party(name="Houtwerk  bv"), party("Houtwerk BV")),
    ],
)
def test_the_accounts_own_company_is_recognised(application: Application, company: Party, seller: str) -> None:
    assert reasons(open_books(application, company=company).take(invoice(seller=seller))) == []


@pytest.mark.parametrize(
    ("company", "seller"),
    [
        (COMPANY, party("Houtwerk BV", vat="BE0403170701")),
        (Party(name="Y", legal_registration=Identifier(scheme="0208", value="0123")), party("Y", registration="9")),
        (Party(name="X"), party("Y")),
    ],
)
def test_another_supplier_is_refused_with_both_names_and_a_hint(
    application: Application, company: Party, seller: str
) -> None:
    books = open_books(application, company=company)

    (file,) = books.take(invoice(seller=seller)).files

    assert file.refused is not None
    assert file.refused.code == "ubl.supplier-is-another"
    assert company.name in file.refused.reason
    assert "--any-supplier" in (file.refused.hint or "")
    assert books.events() == []


def test_any_supplier_will_do_when_asked_and_stays_on_the_document(books: Books) -> None:
    (file,) = books.take(invoice(seller=party("Elsewhere", vat=None)), any_supplier=True).files

    assert books.document(file).seller.name == "Elsewhere"  # type: ignore[union-attr]


def test_an_account_without_company_details_refuses_with_a_hint(application: Application) -> None:
    (file,) = open_books(application, company=None).take(invoice()).files

    assert file.refused is not None
    assert file.refused.code == "ubl.company-unknown"
    assert "its company's name" in (file.refused.hint or "")


def test_closed_books_refuse_what_is_dated_in_them(application: Application) -> None:
    books = open_books(application)
    closed = c.SettingsChanged(closed_until=read_ubl(invoice(), name="x").issue_date)
    books.application.record_control(books.account, books.actor, closed)

    report = books.take(invoice("1", date="2026-03-02"), invoice("2", date="2026-03-03"))

    assert reasons(report) == ["date: found 2026-03-02; the books are closed up to 2026-03-02"]
    assert [document.number for document in books.all_of(Kind.INVOICE)] == ["2"]


def test_the_next_invoice_made_here_is_numbered_after_the_imported_ones(books: Books) -> None:
    books.take(invoice("old-7"))
    (customer,) = books.all_of(Kind.CUSTOMER)

    def sell(work: Work) -> str:
        line = {"line_id": "1", "name": "Shelf", "quantity": "1", "unit": "C62", "net_price": "1.00"}
        lines = [{**line, "vat": {"category": "S", "rate": "21"}}]
        fields = {"customer": customer.id, "issue_date": "2026-03-03", "lines": lines}
        return commands.issue(work, Kind.INVOICE, commands.create(work, Kind.INVOICE, fields))

    before = books.run(sell)
    books.take(invoice("2026-00041"))

    assert (before, books.run(sell)) == ("2026-00001", "2026-00042")


def test_numbers_that_fail_their_check_are_warned_of_and_kept(books: Books) -> None:
    data = invoice(buyer=party("Zon", vat="BE0202239952"), after_parties=payment_means("BE71096123456768"))

    (file,) = books.take(data).files

    assert file.warnings == (
        "the VAT identifier of the buyer, BE0202239952, fails its country's check",
        "the IBAN BE71096123456768 fails its check",
    )
    assert books.document(file).payment_means[0].iban == "BE71096123456768"


def test_sound_numbers_are_not_warned_of(books: Books) -> None:
    (file,) = books.take(invoice(after_parties=payment_means())).files

    assert file.warnings == ()


def test_what_the_file_holds_and_is_not_kept_is_in_the_report(books: Books) -> None:
    (file,) = books.take(invoice(before_currency=element("UBLVersionID", "2.1"))).files

    assert [(one.path, one.value) for one in file.unread] == [("/Invoice/cbc:UBLVersionID", "2.1")]


def test_the_report_can_be_written_as_json(books: Books) -> None:
    report = books.take(invoice("1"), b"")

    written = msgspec.json.decode(msgspec.json.encode(report))

    assert [file["file"] for file in written["files"]] == ["1.xml", "2.xml"]
    assert written["files"][0]["totals"]["due"] == "121.00"


def test_customers_made_have_the_accounts_language_and_the_invoices_currency(books: Books) -> None:
    (file,) = books.take(invoice(currency="USD")).files

    (customer,) = books.all_of(Kind.CUSTOMER)
    assert isinstance(customer, Customer)
    assert (customer.language, customer.currency) == ("nl", "USD")
    assert "has its price in USD" in file.warnings[0]


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the Peppol BIS Billing 3 examples are not beside the repository")
@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.xml")) or ["absent"])
def test_the_published_examples_import_with_equal_totals(application: Application, name: str) -> None:
    books = open_books(application)
    data = (EXAMPLES / name).read_bytes()
    stated = read_ubl(data, name=name)

    (file,) = books.take(data, any_supplier=True).files

    document = books.document(file)
    assert stated.unread == ()
    assert document.totals is not None
    for field in stated.stated.__struct_fields__:
        assert (getattr(document.totals, field) or 0) == (getattr(stated.stated, field) or 0), field
    assert {(part.category, part.rate, part.taxable, part.tax) for part in document.vat_breakdown} == {
        (part.category, part.rate, part.taxable, part.tax) for part in stated.stated_breakdown
    }
