"""Rules over several entities: references, merges, deletion, charts, default layouts, custom fields, closed books."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from domain import commands
from domain import control as c
from domain.checksums import customer_faults, is_iban, is_vat_number
from domain.documents.fields import Attachment
from domain.entity import FieldRefused, NotPossible
from domain.errors import DomainError
from domain.ids import EntityId
from domain.kinds import DOCUMENT_KINDS, Kind
from domain.numbering import FormatRefused
from domain.work import BooksClosed, EntityUnknown, ReferenceUnknown, StillReferred, TextRefused, kind_of
from tests.notebook import OWNER, Notebook, line

NOBODY = EntityId("01960000-0000-7000-8000-0000000000aa")


@pytest.fixture
def book() -> Notebook:
    """An account with one owner."""
    notebook = Notebook()
    notebook.tell(c.AccessGranted(person=OWNER, name="An", email="an@example.com", role=c.Role.OWNER))
    return notebook


def change(book: Notebook, kind: Kind, id_: EntityId, **fields: Any) -> None:
    book.run(lambda work: commands.change(work, kind, id_, fields))


def merge(book: Notebook, kind: Kind, one: EntityId, into: EntityId) -> None:
    book.run(lambda work: commands.merge(work, kind, one, into))


def delete(book: Notebook, kind: Kind, id_: EntityId) -> None:
    book.run(lambda work: commands.delete(work, kind, id_))


def define(book: Notebook, kind: str, key: str, type_: str = "text", choices: tuple[str, ...] = ()) -> None:
    book.tell(c.CustomFieldDefined(kind=kind, key=key, label=key, type=type_, choices=choices))  # type: ignore[arg-type]


# References -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Kind.INVOICE, {"customer": NOBODY}),
        (Kind.INVOICE, {"layout": NOBODY}),
        (Kind.INVOICE, {"lines": [line(item=NOBODY)]}),
        (Kind.INVOICE, {"lines": [line(ledger_account=NOBODY)]}),
        (Kind.INVOICE, {"customer": "not an id"}),
        (Kind.CREDIT_NOTE, {"preceding_invoices": [{"document": NOBODY}]}),
        (Kind.INVOICE, {"derived_from": [{"document": NOBODY}]}),
        (Kind.ITEM, {"ledger_account": NOBODY}),
        (Kind.SUBSCRIPTION, {"customer": NOBODY}),
        (Kind.SUBSCRIPTION, {"layout": NOBODY}),
        (Kind.LEDGER_ACCOUNT, {"parent": NOBODY}),
    ],
)
def test_a_reference_to_nothing_is_refused(book: Notebook, kind: Kind, fields: dict[str, Any]) -> None:
    with pytest.raises(ReferenceUnknown):
        book.create(kind, **fields)


def test_a_reference_to_another_kind_is_refused(book: Notebook) -> None:
    item = book.create(Kind.ITEM)

    with pytest.raises(ReferenceUnknown, match="customer"):
        book.create(Kind.INVOICE, customer=item)


def test_a_new_reference_to_what_was_merged_names_what_stands_for_it(book: Notebook) -> None:
    gone, kept = book.create(Kind.CUSTOMER), book.create(Kind.CUSTOMER)
    merge(book, Kind.CUSTOMER, gone, kept)

    with pytest.raises(ReferenceUnknown, match=kept):
        book.create(Kind.INVOICE, customer=gone)


def test_documents_made_from_others_lead_to_what_things_were_merged_into(book: Notebook) -> None:
    def pair(kind: Kind) -> tuple[EntityId, EntityId]:
        return book.create(kind), book.create(kind)

    (buyer, new_buyer), (item, new_item), (account, new_account) = (
        pair(Kind.CUSTOMER),
        pair(Kind.ITEM),
        pair(Kind.LEDGER_ACCOUNT),
    )
    sold = line(item=item, ledger_account=account)
    quote = book.issued(Kind.QUOTE, customer=buyer, lines=[sold])
    book.record(Kind.QUOTE, quote, "accepted")
    subscription = book.create(Kind.SUBSCRIPTION, customer=buyer, lines=[sold])
    for kind, gone, kept in (
        (Kind.CUSTOMER, buyer, new_buyer),
        (Kind.ITEM, item, new_item),
        (Kind.LEDGER_ACCOUNT, account, new_account),
    ):
        merge(book, kind, gone, kept)

    made = [
        book.run(lambda work: commands.convert(work, Kind.QUOTE, quote, Kind.INVOICE)),
        book.run(lambda work: commands.invoice_period(work, subscription)),
    ]

    for document in (book.entities[id_] for id_ in made):
        assert document.customer == new_buyer
        assert (document.lines[0].item, document.lines[0].ledger_account) == (new_item, new_account)


def test_a_draft_of_a_merged_customer_is_issued_to_the_one_that_stands_for_it(book: Notebook) -> None:
    gone = book.create(Kind.CUSTOMER)
    kept = book.create(Kind.CUSTOMER, party={"name": "De ware"})
    draft = book.create(Kind.INVOICE, customer=gone)
    merge(book, Kind.CUSTOMER, gone, kept)

    book.issue(Kind.INVOICE, draft)

    assert book.entities[draft].buyer.name == "De ware"


def test_nothing_is_merged_into_itself_or_round_in_a_ring(book: Notebook) -> None:
    one, other = book.create(Kind.CUSTOMER), book.create(Kind.CUSTOMER)
    with pytest.raises(FieldRefused):
        merge(book, Kind.CUSTOMER, one, one)
    merge(book, Kind.CUSTOMER, one, other)

    with pytest.raises(DomainError):
        merge(book, Kind.CUSTOMER, other, one)


def test_what_an_issued_document_refers_to_cannot_be_deleted(book: Notebook) -> None:
    customer, item = book.create(Kind.CUSTOMER), book.create(Kind.ITEM)
    invoice = book.issued(Kind.INVOICE, customer=customer, lines=[line(item=item)])

    for kind, id_ in ((Kind.CUSTOMER, customer), (Kind.ITEM, item)):
        with pytest.raises(StillReferred, match=book.entities[invoice].number):
            delete(book, kind, id_)


def test_what_only_a_draft_refers_to_can_be_deleted_and_the_draft_is_then_not_issued(book: Notebook) -> None:
    item = book.create(Kind.ITEM)
    draft = book.create(Kind.INVOICE, lines=[line(item=item)])

    delete(book, Kind.ITEM, item)

    with pytest.raises(ReferenceUnknown, match=item):
        book.issue(Kind.INVOICE, draft)


def test_deleting_sees_what_the_same_command_issued(book: Notebook) -> None:
    item = book.create(Kind.ITEM)
    draft = book.create(Kind.INVOICE, lines=[line(item=item)])

    def both(work: Any) -> None:
        commands.issue(work, Kind.INVOICE, draft)
        commands.delete(work, Kind.ITEM, item)

    with pytest.raises(StillReferred):
        book.run(both)


def test_what_is_deleted_is_not_there(book: Notebook) -> None:
    customer = book.create(Kind.CUSTOMER)
    delete(book, Kind.CUSTOMER, customer)

    with pytest.raises(EntityUnknown):
        change(book, Kind.CUSTOMER, customer, notes="x")


def test_no_document_descends_from_itself(book: Notebook) -> None:
    invoice = book.create(Kind.INVOICE)

    with pytest.raises(FieldRefused, match="derived_from"):
        change(book, Kind.INVOICE, invoice, derived_from=[{"document": invoice}])
    with pytest.raises(FieldRefused, match="itself"):
        change(book, Kind.INVOICE, invoice, preceding_invoices=[{"document": invoice}])


# Master data ----------------------------------------------------------------------------------------------------------


def test_a_ledger_accounts_number_begins_with_its_parents(book: Notebook) -> None:
    parent = book.create(Kind.LEDGER_ACCOUNT, number="70")
    child = book.create(Kind.LEDGER_ACCOUNT, number="700", parent=parent)

    for number in ("70", "71", "7"):
        with pytest.raises(FieldRefused, match="number"):
            book.create(Kind.LEDGER_ACCOUNT, number=number, parent=parent)
    with pytest.raises(FieldRefused, match="700"):
        change(book, Kind.LEDGER_ACCOUNT, parent, number="71")
    with pytest.raises(FieldRefused, match="70"):
        change(book, Kind.LEDGER_ACCOUNT, child, number="800")


def test_a_ledger_account_is_not_merged_into_one_that_could_not_be_its_childrens_parent(book: Notebook) -> None:
    parent, other = book.create(Kind.LEDGER_ACCOUNT, number="70"), book.create(Kind.LEDGER_ACCOUNT, number="61")
    book.create(Kind.LEDGER_ACCOUNT, number="700", parent=parent)

    with pytest.raises(FieldRefused, match="700"):
        merge(book, Kind.LEDGER_ACCOUNT, parent, other)


def test_a_document_kind_and_language_have_one_default_layout(book: Notebook) -> None:
    first = book.create(Kind.LAYOUT, default_for=["invoice"])
    with pytest.raises(FieldRefused, match="default"):
        book.create(Kind.LAYOUT, default_for=["invoice"])
    book.create(Kind.LAYOUT, default_for=["invoice"], language="fr")
    second = book.create(Kind.LAYOUT, default_for=["quote"])

    def swap(work: Any) -> None:
        commands.change(work, Kind.LAYOUT, first, {"default_for": []})
        commands.change(work, Kind.LAYOUT, second, {"document_kinds": ["invoice"], "default_for": ["invoice"]})

    book.run(swap)

    assert book.entities[second].default_for == ("invoice",)


def test_two_default_layouts_in_one_command_are_seen(book: Notebook) -> None:
    fields = {"name": "a", "document_kinds": ["invoice"], "language": "nl", "template": {}, "default_for": ["invoice"]}

    with pytest.raises(FieldRefused, match="default"):
        book.run(lambda work: [commands.create(work, Kind.LAYOUT, fields) for _ in range(2)])


def test_an_archived_default_layout_does_not_come_back_beside_another(book: Notebook) -> None:
    first = book.create(Kind.LAYOUT, default_for=["invoice"])
    book.run(lambda work: commands.archive(work, Kind.LAYOUT, first))
    book.create(Kind.LAYOUT, default_for=["invoice"])

    with pytest.raises(FieldRefused, match="default"):
        book.run(lambda work: commands.unarchive(work, Kind.LAYOUT, first))


def test_a_logo_has_at_most_512_kib(book: Notebook) -> None:
    def template(size: int) -> dict[str, Any]:
        return {
            "logo": {
                "media_type": "image/png",
                "data": "AAAA" * (size // 3) + ("AA==", "AAA=")[size % 3 - 1] * (size % 3 > 0),
            }
        }

    book.create(Kind.LAYOUT, template=template(512 * 1024))
    with pytest.raises(FieldRefused, match="logo"):
        book.create(Kind.LAYOUT, template=template(512 * 1024 + 1))


@pytest.mark.parametrize(
    ("number", "is_right"),
    [
        ("BE0202239951", True),
        ("BE0202239952", False),
        ("BE 0202.239.951", True),
        ("NL000099998B57", True),
        ("NL000099998B58", False),
        ("FR40303265045", True),
        ("FR41303265045", False),
        ("EL094259216", True),
        ("EL094259217", False),
        ("DE136695976", True),
        ("DE136695978", False),
        ("US12-3456789", True),
        ("123", True),
        ("BE", False),
    ],
)
def test_a_vat_number_is_checked_where_its_country_has_a_checksum(number: str, is_right: bool) -> None:
    assert is_vat_number(number) == is_right


@pytest.mark.parametrize(
    ("iban", "is_right"),
    [("BE71096123456769", True), ("BE71 0961 2345 6769", True), ("BE71096123456768", False), ("XX00", False)],
)
def test_an_iban_is_checked(iban: str, is_right: bool) -> None:
    assert is_iban(iban) == is_right


def test_a_customers_wrong_numbers_are_refused_when_entered_and_warned_of_when_imported(book: Notebook) -> None:
    wrong = {
        "party": {"name": "Klant", "vat_identifier": "BE0202239952"},
        "bank_accounts": [{"iban": "BE71096123456768"}],
    }
    with pytest.raises(FieldRefused, match="vat_identifier"):
        book.create(Kind.CUSTOMER, **wrong)

    fields = commands.read_fields(Kind.CUSTOMER, "created", {**wrong, "language": "nl", "currency": "EUR"})
    imported = book.run(lambda work: commands.create_from(work, Kind.CUSTOMER, fields))

    faults = customer_faults(book.entities[imported])
    assert [fault.field for fault in faults] == ["party.vat_identifier", "bank_accounts[0].iban"]
    change(book, Kind.CUSTOMER, imported, notes="wat niet verandert, blijft")
    with pytest.raises(FieldRefused, match="iban"):
        change(book, Kind.CUSTOMER, imported, bank_accounts=[{"iban": "BE71096123456768"}])


@pytest.mark.parametrize("party", [{}, {"name": ""}, {"name": None}])
def test_a_customer_has_a_name(book: Notebook, party: dict[str, Any]) -> None:
    with pytest.raises(FieldRefused, match="party"):
        book.create(Kind.CUSTOMER, party=party)


def test_a_text_that_cannot_be_kept_is_refused(book: Notebook) -> None:
    for name in ("a\0b", "a\ud800b"):
        with pytest.raises(TextRefused):
            book.create(Kind.CUSTOMER, party={"name": name})


def test_a_change_of_nothing_is_no_event(book: Notebook) -> None:
    customer = book.create(Kind.CUSTOMER)

    change(book, Kind.CUSTOMER, customer)

    assert book.entities[customer].version == 1


# Custom fields --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "right", "wrong"),
    [
        ("text", "alles", True),
        ("number", "12.5", "12,5"),
        ("money", "-0.01", "1e3"),
        ("date", "2026-02-28", "2026-02-30"),
        ("yes_no", False, "no"),
        ("choice", "rood", "groen"),
    ],
)
def test_a_custom_field_takes_values_of_its_type_only(
    book: Notebook, type_: str, right: str | bool, wrong: str | bool
) -> None:
    define(book, "customer", "it", type_, ("rood", "blauw") if type_ == "choice" else ())

    made = book.create(Kind.CUSTOMER, custom_fields={"it": right})
    with pytest.raises(FieldRefused, match="custom_fields"):
        book.create(Kind.CUSTOMER, custom_fields={"it": wrong})

    assert book.entities[made].custom_fields == {"it": right}


def test_a_custom_field_is_defined_for_its_kind_and_lines_apart(book: Notebook) -> None:
    define(book, "invoice", "it")
    define(book, "line", "on_line")

    book.create(Kind.INVOICE, custom_fields={"it": "x"}, lines=[line(custom_fields={"on_line": "y"})])
    for kind, fields in (
        (Kind.QUOTE, {"custom_fields": {"it": "x"}}),
        (Kind.INVOICE, {"lines": [line(custom_fields={"it": "x"})]}),
    ):
        with pytest.raises(FieldRefused, match="not defined"):
            book.create(kind, **fields)


def test_values_of_a_removed_custom_field_stay_and_are_left_out_of_what_is_made_from_it(book: Notebook) -> None:
    define(book, "invoice", "it")
    define(book, "line", "on_line")
    invoice = book.issued(Kind.INVOICE, custom_fields={"it": "x"}, lines=[line(custom_fields={"on_line": "y"})])
    book.tell(c.CustomFieldRemoved(kind="line", key="on_line"))

    note = book.run(lambda work: commands.credit(work, invoice))

    assert book.entities[invoice].custom_fields == {"it": "x"}
    assert (book.entities[note].custom_fields, book.entities[note].lines[0].custom_fields) == ({}, {})


@pytest.mark.parametrize(("type_", "choices"), [("choice", ()), ("text", ("a",))])
def test_choices_belong_to_the_type_choice(book: Notebook, type_: str, choices: tuple[str, ...]) -> None:
    with pytest.raises(FieldRefused, match="choices"):
        define(book, "customer", "it", type_, choices)


# Closed books ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def closed(book: Notebook) -> Notebook:
    """An account whose books are closed up to yesterday, with a draft and an issued invoice from before."""
    book.create(Kind.INVOICE, issue_date=str(date(2026, 3, 1)))
    book.issued(Kind.INVOICE, issue_date=str(date(2026, 3, 1)))
    book.tell(c.SettingsChanged(closed_until=date(2026, 3, 15)))
    return book


def of_state(book: Notebook, state: str) -> EntityId:
    return next(id_ for id_, one in book.entities.items() if getattr(one, "state", None) == state)


def documents(book: Notebook) -> dict[EntityId, Any]:
    return {id_: state for id_, state in book.entities.items() if kind_of(state).is_document}


def test_no_command_changes_adds_or_removes_a_document_of_closed_books(closed: Notebook) -> None:
    draft = of_state(closed, "draft")
    empty = Attachment(id="1", name="a", media_type="a/b", size=0, sha256=hashlib.sha256(b"").hexdigest())
    open_draft = closed.create(Kind.INVOICE)
    forbidden: list[Callable[[], Any]] = [
        lambda: closed.create(Kind.INVOICE, issue_date="2026-03-15"),
        lambda: closed.issue(Kind.INVOICE, draft),
        lambda: closed.issue(Kind.INVOICE, open_draft, issue_date=date(2026, 3, 15)),
        lambda: change(closed, Kind.INVOICE, draft, buyer_reference="x"),
        lambda: change(closed, Kind.INVOICE, draft, issue_date=None),
        lambda: change(closed, Kind.INVOICE, draft, lines=[line(net_price="1")]),
        lambda: change(closed, Kind.INVOICE, open_draft, issue_date="2026-03-15"),
        lambda: delete(closed, Kind.INVOICE, draft),
        lambda: closed.run(lambda work: commands.attach(work, Kind.INVOICE, draft, empty, b"")),
    ]
    before = documents(closed)

    for command in forbidden:
        with pytest.raises(BooksClosed, match="2026-03-15"):
            command()
    assert documents(closed) == before


def test_a_payment_is_dated_after_the_closed_books_whatever_it_pays(closed: Notebook) -> None:
    invoice = of_state(closed, "issued")
    with pytest.raises(BooksClosed):
        closed.record(Kind.INVOICE, invoice, "payment_registered", amount="12.10", means="30", date="2026-03-15")

    closed.record(Kind.INVOICE, invoice, "payment_registered", amount="12.10", means="30", date="2026-03-16")

    assert closed.entities[invoice].state == "paid"


# Numbers --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", DOCUMENT_KINDS)
def test_each_kind_has_a_series_of_its_own_without_gaps(book: Notebook, kind: Kind) -> None:
    drafts = [book.create(kind) for _ in range(3)]
    delete(book, kind, drafts[1])

    numbers = [book.issue(kind, draft) for draft in (drafts[2], drafts[0])]

    assert numbers == ["2026-00001", "2026-00002"]


def test_a_refused_issue_takes_no_number(book: Notebook) -> None:
    empty = book.create(Kind.INVOICE, lines=[])
    with pytest.raises(FieldRefused, match="lines"):
        book.issue(Kind.INVOICE, empty)

    assert book.issue(Kind.INVOICE, book.create(Kind.INVOICE)) == "2026-00001"


def test_a_year_begins_its_own_series_by_the_documents_date(book: Notebook) -> None:
    assert book.issue(Kind.INVOICE, book.create(Kind.INVOICE)) == "2026-00001"
    assert book.issue(Kind.INVOICE, book.create(Kind.INVOICE), issue_date=date(2027, 1, 1)) == "2027-00001"
    assert book.issue(Kind.INVOICE, book.create(Kind.INVOICE)) == "2026-00002"


def test_numbers_given_out_in_a_retired_stream_are_not_given_again(book: Notebook) -> None:
    book.tell(c.NumbersGiven(stream=1, highest={"invoice/2026-{}": 41}))

    assert book.issue(Kind.INVOICE, book.create(Kind.INVOICE)) == "2026-00042"


def test_the_day_is_the_sellers(book: Notebook) -> None:
    book.now = book.now.replace(month=12, day=31, hour=23, minute=30)  # half past midnight in Brussels

    invoice = book.issued(Kind.INVOICE)

    assert (book.entities[invoice].number, book.entities[invoice].issue_date) == ("2027-00001", date(2027, 1, 1))


@pytest.mark.parametrize(
    "format_",
    ["", "{year}", "{number}{number}", "{number:05}{year}", "1{number}", "{month}-{number}", "{day}-{number}"],
)
def test_a_format_that_could_not_number_documents_is_refused(book: Notebook, format_: str) -> None:
    with pytest.raises(FormatRefused):
        book.tell(c.SettingsChanged(number_formats={"invoice": format_}))


# Other steps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "end_of_month", "due"), [(0, False, "2026-03-16"), (30, False, "2026-04-15"), (30, True, "2026-04-30")]
)
def test_an_invoice_falls_due_by_its_customers_terms(book: Notebook, days: int, end_of_month: bool, due: str) -> None:
    customer = book.create(Kind.CUSTOMER, payment_terms={"days": days, "end_of_month": end_of_month})

    invoice = book.issued(Kind.INVOICE, customer=customer)

    assert str(book.entities[invoice].due_date) == due


def test_a_quote_is_accepted_on_its_last_day_and_expires_the_day_after(book: Notebook) -> None:
    quotes = [book.issued(Kind.QUOTE, valid_until=str(book.today)) for _ in range(2)]
    with pytest.raises(FieldRefused):
        book.record(Kind.QUOTE, quotes[1], "expired")
    book.record(Kind.QUOTE, quotes[0], "accepted")

    book.pass_days(1)
    with pytest.raises(FieldRefused):
        book.record(Kind.QUOTE, quotes[1], "accepted")
    book.record(Kind.QUOTE, quotes[1], "expired")

    assert [book.entities[quote].state for quote in quotes] == ["accepted", "expired"]


def test_a_period_is_invoiced_once_and_not_before_it_begins(book: Notebook) -> None:
    subscription = book.create(Kind.SUBSCRIPTION, auto_issue=True)

    invoice = book.run(lambda work: commands.invoice_period(work, subscription))

    period = book.entities[invoice].invoicing_period
    assert (str(period.start), str(period.end)) == ("2026-03-16", "2026-04-15")
    assert book.entities[invoice].number == "2026-00001"
    with pytest.raises(NotPossible, match="2026-04-16"):
        book.run(lambda work: commands.invoice_period(work, subscription))
    with pytest.raises(FieldRefused, match="invoiced already"):
        change(book, Kind.SUBSCRIPTION, subscription, next_date="2026-04-15")
    with pytest.raises(FieldRefused, match="invoiced already"):
        book.run(lambda work: commands.resume(work, subscription, date(2026, 4, 1)))


def test_a_period_that_begins_on_the_31st_returns_to_it_after_a_short_month(book: Notebook) -> None:
    subscription = book.create(Kind.SUBSCRIPTION, next_date="2025-12-31")

    starts = []
    for _ in range(3):
        starts.append(str(book.entities[subscription].next_date))
        book.run(lambda work: commands.invoice_period(work, subscription))

    assert [*starts, str(book.entities[subscription].next_date)] == [
        "2025-12-31",
        "2026-01-31",
        "2026-02-28",
        "2026-03-31",
    ]


@pytest.mark.parametrize("lie", [{"size": 1}, {"sha256": "0" * 64}], ids=["another size", "another hash"])
def test_an_attached_file_is_what_is_stated_of_it(book: Notebook, lie: dict[str, Any]) -> None:
    draft = book.create(Kind.INVOICE)
    facts = {"id": "1", "name": "a", "media_type": "a/b", "size": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}

    with pytest.raises(FieldRefused, match=next(iter(lie))):
        book.run(lambda work: commands.attach(work, Kind.INVOICE, draft, Attachment(**{**facts, **lie}), b"abc"))


def test_an_attached_file_has_a_limit(book: Notebook) -> None:
    draft = book.create(Kind.INVOICE)
    content = bytes(commands.MAX_ATTACHMENT_BYTES + 1)
    facts = Attachment(
        id="1", name="a", media_type="a/b", size=len(content), sha256=hashlib.sha256(content).hexdigest()
    )

    with pytest.raises(FieldRefused, match="size"):
        book.run(lambda work: commands.attach(work, Kind.INVOICE, draft, facts, content))


def test_a_field_of_another_document_kind_is_refused(book: Notebook) -> None:
    for kind, fields in (
        (Kind.INVOICE, {"valid_until": "2026-04-01"}),
        (Kind.QUOTE, {"due_date": "2026-04-01"}),
        (Kind.RECEIPT, {"carrier": "Post"}),
        (Kind.DELIVERY_NOTE, {"prepaid": "1.00"}),
    ):
        with pytest.raises(FieldRefused, match=next(iter(fields))):
            book.create(kind, **fields)


# The account's own history --------------------------------------------------------------------------------------------


def test_a_closed_account_takes_no_change_and_can_be_read(book: Notebook) -> None:
    customer = book.create(Kind.CUSTOMER)
    book.tell(c.Closed())

    assert book.run(lambda work: work.get(Kind.CUSTOMER, customer)).id == customer
    with pytest.raises(c.AccountClosed):
        change(book, Kind.CUSTOMER, customer, notes="x")
    for event in (
        c.Closed(),
        c.Renamed(name="x"),
        c.ModuleEnabled(module="x"),
        c.CustomFieldRemoved(kind="item", key="x"),
        c.RestoreBegun(archive="x", mode="add", stream=2),
    ):
        with pytest.raises(c.AccountClosed):
            book.tell(event)


@pytest.mark.parametrize("zone", ["Europe/Brussel", "Nowhere", "Europe"])
def test_a_time_zone_that_is_none_is_refused(book: Notebook, zone: str) -> None:
    with pytest.raises(FieldRefused, match="time_zone"):
        book.tell(c.SettingsChanged(time_zone=zone))


def test_the_only_owner_stays(book: Notebook) -> None:
    for event in (c.AccessRevoked(person=OWNER), c.AccessChanged(person=OWNER, role=c.Role.VIEWER)):
        with pytest.raises(NotPossible, match="only owner"):
            book.tell(event)
    with pytest.raises(NotPossible):
        book.tell(c.AccessGranted(person=OWNER, name="An", email="an@example.com", role=c.Role.EDITOR))


def test_a_member_says_what_they_want_to_be_told_of(book: Notebook) -> None:
    book.tell(c.NotificationsChanged(person=OWNER, topics=("paid",)))

    member = book.control.member(OWNER)
    assert member is not None
    assert member.topics == ("paid",)
