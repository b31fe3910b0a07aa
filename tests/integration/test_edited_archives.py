"""Archives that were mended by hand, or came from elsewhere: what they say beside their events follows as events of
whoever restores, and of what they say of people nothing is believed.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from domain import commands
from domain.accounts import remove_member
from domain.application import Actor
from domain.control import AccessChanged, Role
from domain.errors import CounterfoilError
from domain.events import read_line
from domain.ids import EntityId
from domain.kinds import Kind
from projections.moments import Position
from projections.rebuild import rebuild
from projections.timeline import Entry, Filter, read_timeline
from snapshots.format.errors import ArchiveEdited
from snapshots.format.manifest import SNAPSHOT_FILES, TIMELINE
from snapshots.reading.inspection import inspect_archive, readable
from snapshots.restoring.report import RestoreReport
from snapshots.restoring.restore import ArchiveFaulty, OwnerOnly
from tests.fixtures.accounts import OpenAccount
from tests.fixtures.archives import KEYS, Edited, zip_of
from tests.integration.restoring import Books, as_file, is_sound

pytestmark = pytest.mark.slow
CUSTOMERS = SNAPSHOT_FILES[Kind.CUSTOMER]
INVOICES = SNAPSHOT_FILES[Kind.INVOICE]
BELL = {"number": "B", "name": "Bell", "unit": "C62", "net_price": "1", "vat": {"category": "S", "rate": "21"}}


@pytest.fixture
def books(fresh_account: OpenAccount) -> Books:
    return Books(fresh_account())


def entries(books: Books, entity: EntityId) -> list[Entry]:
    """What happened to an entity, oldest first."""
    page = read_timeline(books.application.database, books.access.account, Filter(entity=entity))
    return list(reversed(page.entries))


def renamed(archive: bytes, name: str) -> Edited:
    """The archive, with the name of its first customer's snapshot changed by hand."""
    edited = Edited(archive)
    edited.change_line(CUSTOMERS, b'"name":"Klant"', lambda line: line.replace(b'"name":"Klant"', name.encode()))
    return edited


def test_a_line_mended_by_hand_is_refused_without_the_choice_and_named(books: Books, tmp_path: Path) -> None:
    books.customer()
    edited = renamed(books.backup(tmp_path), '"name":"Mended"')
    before = books.rows()
    with pytest.raises(ArchiveEdited, match=CUSTOMERS):
        books.restore(edited.as_signed())
    assert books.rows() == before


def test_a_line_mended_by_hand_is_a_correction_of_whoever_restores(books: Books, tmp_path: Path) -> None:
    customer = books.customer()
    edited = renamed(books.backup(tmp_path), '"name":"Mended"')

    report = books.restore(edited.as_signed(), accept_edits=True)

    assert report.authenticity.verdict == "edited"
    assert [(one.how, one.file, one.line, one.id, one.fields) for one in report.corrections] == [
        ("corrected", CUSTOMERS, 1, customer, ("party",))
    ]
    assert books.state(Kind.CUSTOMER, customer).party.name == "Mended"
    made, corrected = entries(books, customer)
    assert (made.verified, corrected.verified) == (False, True)
    assert (corrected.type, corrected.actor, corrected.via) == ("customer.corrected", books.actor.name, "restore")
    assert is_sound(books)


def test_a_rehearsal_names_the_corrections_and_makes_none(books: Books, tmp_path: Path) -> None:
    books.customer()
    edited = renamed(books.backup(tmp_path), '"name":"Mended"')
    before = books.rows()
    report = books.restore(edited.as_signed(), accept_edits=True, dry_run=True)
    assert (report.corrections_count, books.rows() == before) == (1, True)


def test_a_signed_archive_whose_snapshot_is_not_the_fold_is_damaged(books: Books, tmp_path: Path) -> None:
    books.customer()
    with pytest.raises(ArchiveFaulty) as refused:
        books.restore(renamed(books.backup(tmp_path), '"name":"Mended"').zipped())
    assert refused.value.report.faults[0].code == "archive.snapshot-differs"


def test_a_line_may_be_mended_in_any_layout_and_order_of_keys(books: Books, tmp_path: Path) -> None:
    customer = books.customer(notes="as before")
    edited = Edited(books.backup(tmp_path))
    stated = json.loads(edited.lines(CUSTOMERS)[0])
    stated["notes"] = "mended"
    edited.put_lines(CUSTOMERS, [json.dumps(dict(sorted(stated.items(), reverse=True)), indent=None).encode()])
    books.restore(edited.as_signed(), accept_edits=True)
    assert books.state(Kind.CUSTOMER, customer).notes == "mended"


def test_what_is_only_written_otherwise_needs_no_correction(books: Books, tmp_path: Path) -> None:
    books.customer()
    edited = Edited(books.backup(tmp_path))
    edited.put_lines(CUSTOMERS, [json.dumps(json.loads(edited.lines(CUSTOMERS)[0])).encode()])
    report = books.restore(edited.as_signed(), accept_edits=True)
    assert (report.corrections_count, report.events) == (0, 1)
    assert is_sound(books)


def test_a_snapshot_line_that_was_taken_out_deletes_its_entity(books: Books, tmp_path: Path) -> None:
    books.customer()
    gone = books.make(
        Kind.ITEM, number="B", name="Bell", unit="C62", net_price="1", vat={"category": "S", "rate": "21"}
    )
    edited = Edited(books.backup(tmp_path))
    edited.put_lines(SNAPSHOT_FILES[Kind.ITEM], [])
    report = books.restore(edited.as_signed(), accept_edits=True)
    assert [(one.how, one.id) for one in report.corrections] == [("removed", gone)]
    assert [one.type for one in entries(books, gone)] == ["item.created", "item.deleted"]
    assert is_sound(books)


def test_an_issued_invoice_is_never_corrected_in_what_it_says(books: Books, tmp_path: Path) -> None:
    invoice = books.issued(books.customer())
    edited = Edited(books.backup(tmp_path))
    edited.change_line(INVOICES, b"Bell", lambda line: line.replace(b"Bell", b"Whistle"))
    before = books.rows()
    with pytest.raises(ArchiveFaulty) as refused:
        books.restore(edited.as_signed(), accept_edits=True)
    (fault,) = refused.value.report.faults
    assert (fault.file, fault.line, fault.field, fault.entity) == (INVOICES, 1, "lines", invoice)
    assert "credit it" in fault.reason
    assert books.rows() == before


def test_an_issued_invoice_that_was_taken_out_is_a_fault(books: Books, tmp_path: Path) -> None:
    books.issued(books.customer())
    edited = Edited(books.backup(tmp_path))
    edited.put_lines(INVOICES, [])
    with pytest.raises(ArchiveFaulty) as refused:
        books.restore(edited.as_signed(), accept_edits=True)
    assert refused.value.report.faults[0].code == "archive.snapshot-missing"


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        (b'"name":"Klant"', b'"name":""', "party.name"),
        (b'"currency":"EUR"', b'"currency":"EURO"', "currency"),
        (b'"version":1', b'"version":1,"version":1', "version"),
        (b'"version":1', b'"version":1,"unknown":1', None),
        (b'"version":1', b'"version":1,"price_list_discount":"1e9"', "price_list_discount"),
        (b'"version":1', b'"version":1,"deleted":true', "deleted"),
    ],
)
def test_a_line_mended_badly_is_refused_with_its_place(
    books: Books, tmp_path: Path, old: bytes, new: bytes, field: str | None
) -> None:
    customer = books.customer()
    edited = Edited(books.backup(tmp_path))
    edited.change_line(CUSTOMERS, old, lambda line: line.replace(old, new, 1))
    with pytest.raises(ArchiveFaulty) as refused:
        books.restore(edited.as_signed(), accept_edits=True)
    (fault,) = refused.value.report.faults
    assert (fault.file, fault.line, fault.field, fault.entity) == (CUSTOMERS, 1, field, customer)


@pytest.mark.parametrize("as_of", [None, Position(None, 1)])
def test_t12_a_line_from_the_future_that_nobody_vouches_for_moves_no_clock(
    books: Books, tmp_path: Path, as_of: Position | None
) -> None:
    customer = books.customer()
    archive = Edited(books.backup(tmp_path))
    at = re.compile(rb'"at":"[0-9]{4}')
    archive.put_lines(TIMELINE, [at.sub(b'"at":"2999', line) for line in archive.lines(TIMELINE)])
    before = books.rows()

    with pytest.raises(ArchiveFaulty) as refused:
        books.restore(archive.unsigned(), as_of=as_of)

    (fault,) = refused.value.report.faults
    assert (fault.code, fault.file, fault.line, fault.field) == ("archive.time-ahead", TIMELINE, 1, "at")
    assert fault.entity == customer
    assert books.rows() == before
    with as_file(archive.unsigned()) as file:
        assert [one.code for one in inspect_archive(file).faults] == ["archive.time-ahead"]


def credited(books: Books, tmp_path: Path) -> tuple[EntityId, EntityId, Edited]:
    """An invoice, the credit note that took it back, and a backup of both without the events that led there."""
    invoice = books.issued(books.customer())
    note = books.run(lambda work: commands.credit(work, invoice))
    books.run(lambda work: commands.issue(work, Kind.CREDIT_NOTE, note))
    archive = Edited(books.backup(tmp_path))
    archive.put_lines(TIMELINE, [])
    del archive.manifest["control_totals"]
    return invoice, note, archive


def mend(archive: Edited, kind: Kind, id_: EntityId, **changes: Any) -> None:
    """Change an entity's snapshot by hand; None takes a field away."""

    def changed(line: bytes) -> bytes:
        stated = {**json.loads(line), **changes}
        return json.dumps({name: value for name, value in stated.items() if value is not None}).encode()

    archive.change_line(SNAPSHOT_FILES[kind], f'"id":"{id_}"'.encode(), changed)


@pytest.mark.parametrize("mode", ["overwrite", "add"])
def test_t13_what_is_issued_refers_to_no_draft_which_could_still_be_deleted(
    books: Books, fresh_account: OpenAccount, tmp_path: Path, mode: str
) -> None:
    _, note, archive = credited(books, tmp_path)
    other = Books(fresh_account())
    assert other.restore(archive.unsigned(), mode=mode).outcome == "restored"
    other = Books(fresh_account())
    mend(archive, Kind.CREDIT_NOTE, note, state="draft", number=None)

    with pytest.raises(ArchiveFaulty) as refused:
        other.restore(archive.unsigned(), mode=mode)

    assert refused.value.report.faults[0].code == "archive.reference-unknown"
    assert f"credits.by: refers to {note}, which is a draft" in refused.value.report.faults[0].reason


def test_t13_what_is_added_refers_to_no_draft_of_the_account(
    books: Books, fresh_account: OpenAccount, tmp_path: Path
) -> None:
    invoice, note, archive = credited(books, tmp_path)
    other = Books(fresh_account())
    draft = Edited(archive.zipped().getvalue())
    draft.put_lines(SNAPSHOT_FILES[Kind.CREDIT_NOTE], [])
    draft.change_line(INVOICES, b'"credits"', lambda line: json.dumps(_drafted(json.loads(line))).encode())
    other.restore(draft.unsigned(), mode="add")
    assert other.state(Kind.INVOICE, invoice).state == "draft"

    with pytest.raises(ArchiveFaulty) as refused:
        other.restore(archive.unsigned(), mode="add")

    assert refused.value.report.faults[0].entity == note
    assert "which is a draft; expected a document of the account" in refused.value.report.faults[0].reason


def _drafted(stated: dict[str, Any]) -> dict[str, Any]:
    for name in ("number", "credits"):
        del stated[name]
    stated["totals"] |= {"due": stated["totals"]["with_vat"]}
    return {**stated, "state": "draft"}


def test_t13_a_credit_note_takes_back_no_more_than_it_comes_to(
    books: Books, fresh_account: OpenAccount, tmp_path: Path
) -> None:
    invoice, note, archive = credited(books, tmp_path)
    lines = archive.lines(INVOICES)
    second = {**json.loads(lines[0]), "id": str(invoice)[:-12] + "00000000abcd", "number": "2026-09999"}
    archive.put_lines(INVOICES, [*lines, json.dumps(second).encode()])

    with pytest.raises(ArchiveFaulty) as refused:
        Books(fresh_account()).restore(archive.unsigned())

    found = [one.entity for one in refused.value.report.faults if one.code == "archive.credited-twice"]
    assert (len(found), set(found)) == (2, {invoice, second["id"]})
    assert f"credits.by: {note} takes back 48.40 in all; it comes to 24.20" in refused.value.report.faults[0].reason


def test_an_archive_without_a_timeline_is_imported_by_whoever_restores_it(
    books: Books, fresh_account: OpenAccount, tmp_path: Path
) -> None:
    customer = books.customer()
    invoice = books.issued(customer)
    paid = {"id": "p1", "date": "2026-02-01", "amount": "4.20", "means": "30"}
    books.run(lambda work: commands.record(work, Kind.INVOICE, invoice, "payment_registered", paid))
    archive = Edited(books.backup(tmp_path))
    archive.put_lines(TIMELINE, [])
    archive.manifest["segments"] = []
    other = Books(fresh_account())

    report = other.restore(archive.unsigned())

    assert (report.authenticity.verdict, report.events, report.corrections_count) == ("unsigned", 2, 2)
    for kind, id_ in ((Kind.CUSTOMER, customer), (Kind.INVOICE, invoice)):
        (imported,) = entries(other, id_)
        assert (imported.type, imported.actor, imported.via, imported.verified) == (
            f"{kind.value}.imported",
            other.actor.name,
            "import",
            True,
        )
    assert str(other.state(Kind.INVOICE, invoice).totals.due) == "20.00"
    assert rebuild(other.application.database, other.access.account, check=True).differences == ()
    again = Edited(other.backup(tmp_path))
    assert [read_line(line).type for line in again.lines(TIMELINE)] == ["customer.imported", "invoice.imported"]
    assert other.restore(again.zipped()).corrections_count == 0


def test_what_comes_without_a_timeline_is_added_and_what_is_there_is_not_touched(
    books: Books, fresh_account: OpenAccount, tmp_path: Path
) -> None:
    customer = books.customer("Theirs")
    archive = Edited(books.backup(tmp_path))
    archive.put_lines(TIMELINE, [])
    archive.manifest["segments"] = []
    other = Books(fresh_account())
    own = other.customer("Ours")

    added = other.restore(archive.unsigned(), mode="add")
    again = other.restore(archive.unsigned(), mode="add")

    assert (added.outcome, again.outcome) == ("restored", "nothing_to_add")
    assert [other.state(Kind.CUSTOMER, id_).party.name for id_ in (own, customer)] == ["Ours", "Theirs"]
    assert rebuild(other.application.database, other.access.account, check=True).differences == ()


def test_t10_in_an_edited_archive_nobody_is_believed(books: Books, tmp_path: Path) -> None:
    bo = next(member for member in books.access.control.members if member.role == "editor")
    customer = books.customer()
    archive = Edited(books.backup(tmp_path))
    forged = books.actor.name.encode()
    archive.change_line(TIMELINE, forged, lambda line: line.replace(forged, f"person:{bo.person}".encode()))

    report = books.restore(archive.as_signed(), accept_edits=True)

    (person,) = report.people
    assert (person.person, person.linked_to, person.verified) == (bo.person, books.person, False)
    (made,) = entries(books, customer)
    assert (made.actor, made.linked_to, made.verified) == (f"person:{bo.person}", books.actor.name, False)


def test_t10_a_system_part_is_not_believed_either(books: Books, tmp_path: Path) -> None:
    customer = books.customer()
    archive = Edited(books.backup(tmp_path))
    forged = books.actor.name.encode()
    archive.change_line(TIMELINE, forged, lambda line: line.replace(forged, b"system:subscription"))
    books.restore(archive.unsigned())
    (made,) = entries(books, customer)
    assert (made.actor, made.linked_to, made.verified) == ("system:subscription", books.actor.name, False)


def laundered(books: Books, tmp_path: Path, **choices: Any) -> tuple[EntityId, RestoreReport]:
    """A customer whom a forged line says somebody else made, restored, backed up (and signed), and restored again."""
    bo = next(member for member in books.access.control.members if member.role == "editor")
    customer = books.customer()
    archive = Edited(books.backup(tmp_path))
    forged = books.actor.name.encode()
    archive.change_line(TIMELINE, forged, lambda line: line.replace(forged, f"person:{bo.person}".encode()))
    books.restore(archive.unsigned(), **choices)
    return customer, books.restore(books.backup(tmp_path))


def test_t10_a_forged_name_is_not_laundered_by_a_signed_backup(books: Books, tmp_path: Path) -> None:
    customer, report = laundered(books, tmp_path)
    assert report.authenticity.verdict == "authentic"
    (made,) = entries(books, customer)
    assert (made.linked_to, made.verified) == (books.actor.name, False)


def test_what_the_owner_vouched_for_stays_vouched_for_and_on_record(books: Books, tmp_path: Path) -> None:
    bo = next(member for member in books.access.control.members if member.role == "editor")
    customer, _ = laundered(books, tmp_path, trust_attribution=True)
    (made,) = entries(books, customer)
    assert (made.linked_to, made.verified) == (f"person:{bo.person}", True)
    page = read_timeline(books.application.database, books.access.account, Filter(type="attribution.trusted"))
    assert [entry.actor for entry in page.entries] == [books.actor.name]


def test_only_an_owner_vouches_for_names(books: Books, tmp_path: Path) -> None:
    archive = books.backup(tmp_path)
    books.access = books.access._replace(role=type(books.access.role)("administrator"))
    with pytest.raises(OwnerOnly, match="vouching"):
        books.restore(archive, trust_attribution=True)


@pytest.mark.parametrize("choice", ["trust_attribution", "change_closed_periods", "user_map"])
def test_t10_who_no_longer_owns_the_account_gives_no_owners_word(books: Books, tmp_path: Path, choice: str) -> None:
    bo = next(member for member in books.access.control.members if member.role == "editor")
    books.customer()
    archive = Edited(books.backup(tmp_path))
    stranger = "0192f3a0-0000-7000-8000-0000000000ff"
    archive.manifest["people"].append({"id": stranger})
    for person, role in ((bo.person, "owner"), (books.person, "administrator")):
        changed = AccessChanged(person=person, role=Role(role))
        books.application.record_control(books.access.account, books.actor, changed)
    before = books.rows()

    with pytest.raises(CounterfoilError, match=r"owner"):
        books.restore(archive.zipped(), **{choice: {stranger: bo.person} if choice == "user_map" else True})

    assert books.rows() == before


def test_what_the_restorer_adds_is_theirs_for_certain(books: Books, fresh_account: OpenAccount, tmp_path: Path) -> None:
    theirs = books.make(Kind.ITEM, **BELL)
    archive = Edited(books.backup(tmp_path))
    other = Books(fresh_account())
    other.make(Kind.ITEM, **BELL)
    other.restore(archive.unsigned(), mode="add")
    made, merged = entries(other, theirs)
    assert (made.verified, merged.verified, merged.type) == (False, True, "item.merged")


def test_who_lost_their_role_meanwhile_restores_nothing(books: Books, tmp_path: Path) -> None:
    bo = next(member for member in books.access.control.members if member.role == "editor")
    archive = books.backup(tmp_path)
    access, actor = books.access, books.actor
    books.actor = Actor.person(bo.person, "api")
    before = books.rows()
    remove_member(books.application, access, actor, email=bo.email)
    with pytest.raises(Exception, match=r"account|member"):
        books.restore(archive)
    assert books.rows() == before


def test_an_inspection_names_the_lines_that_were_edited(books: Books, tmp_path: Path) -> None:
    customer = books.customer()
    edited = renamed(books.backup(tmp_path), '"name":"Mended"')
    with as_file(edited.as_signed()) as file:
        found = inspect_archive(file, keys=KEYS)
    assert [(one.file, one.line, one.id, one.fields) for one in found.corrections] == [
        (CUSTOMERS, 1, customer, ("party",))
    ]
    assert [one.file for one in found.authenticity.differing] == [CUSTOMERS]
    assert (found.faults, found.is_sound) == ((), False)
    assert f"{CUSTOMERS} line 1: customer {customer}, corrected: party" in readable(found)


def test_snapshots_alone_are_an_archive_of_other_software(books: Books) -> None:
    customer = "0192f3a0-0000-7000-8000-000000000002"
    line = json.dumps(
        {"currency": "EUR", "language": "nl", "party": {"name": "Café Zuid"}, "version": 7, "id": customer}
    ).encode()
    content = line + b"\n"
    manifest = {
        "format_version": 1,
        "product_version": "other software 3.2",
        "archive": "theirs",
        "account": {"id": "0192f3a0-0000-7000-8000-000000000001", "name": "Acme BV"},
        "taken_at": "2026-01-31T10:00:00Z",
        "taken_by": "system:other",
        "counts": {"customer": 1},
        "meaning": {"settings": {"country": "BE", "currency": "EUR", "language": "nl", "time_zone": "Europe/Brussels"}},
        "files": [
            {
                "name": CUSTOMERS,
                "rows": 1,
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        ],
    }
    archive = zip_of({CUSTOMERS: content, "manifest.json": json.dumps(manifest).encode()})

    report = books.restore(archive)

    assert [one.how for one in report.corrections] == ["imported"]
    assert books.state(Kind.CUSTOMER, EntityId(customer)).party.name == "Café Zuid"
    assert is_sound(books)
