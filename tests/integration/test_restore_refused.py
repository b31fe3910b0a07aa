"""Archives that are not sound: each refused with file, line, field and reason, and the account as it was."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from domain import commands
from domain.customers import Customer
from domain.documents.fields import Attachment
from domain.errors import CounterfoilError
from domain.kinds import Kind
from domain.work import Work
from snapshots.format.manifest import TIMELINE
from snapshots.reading.inspection import inspect_archive
from snapshots.restoring.restore import Refused
from tests.fixtures.accounts import OpenAccount
from tests.fixtures.archives import Edited
from tests.integration.restoring import Books, as_file, is_sound

INVOICES = "documents/invoices.jsonl"
CUSTOMERS = "customers.jsonl"


@pytest.fixture
def books(fresh_account: OpenAccount) -> Books:
    """An account with two customers and two invoices, one of them paid."""
    books = Books(fresh_account())
    first, second = books.customer("Jan"), books.customer("Piet")
    paid = books.issued(first)
    books.issued(second)
    payment = {"amount": "24.20", "means": "30"}
    books.run(lambda work: commands.record(work, Kind.INVOICE, paid, "payment_registered", payment))
    return books


def swapped(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """Replaces *old* in a line, which must be there."""

    def change(line: bytes) -> bytes:
        assert old in line
        return line.replace(old, new)

    return change


def no_json(archive: Edited) -> None:
    archive.change_line(TIMELINE, b"customer.created", lambda line: line[:-1])


def unknown_type(archive: Edited) -> None:
    archive.change_line(TIMELINE, b"invoice.issued", swapped(b"invoice.issued", b"invoice.shouted"))


def no_name(archive: Edited) -> None:
    archive.change_line(TIMELINE, b'"name":"Jan"', swapped(b'{"name":"Jan"}', b"{}"))


def key_twice(archive: Edited) -> None:
    archive.change_line(TIMELINE, b'"name":"Jan"', swapped(b'{"name":"Jan"}', b'{"name":"Jan","name":"Jan"}'))


def reference_to_nothing(archive: Edited) -> None:
    customer = json.loads(archive.lines(CUSTOMERS)[0])["id"].encode()
    nobody = b"01900000-0000-7000-8000-000000000000"
    for name in (TIMELINE, INVOICES):
        lines = [line.replace(b'"customer":"' + customer, b'"customer":"' + nobody) for line in archive.lines(name)]
        archive.put_lines(name, lines)


def number_twice(archive: Edited) -> None:
    numbers = [json.loads(line)["number"].encode() for line in archive.lines(INVOICES)]
    for name in (TIMELINE, INVOICES):
        archive.put_lines(name, [line.replace(numbers[1], numbers[0]) for line in archive.lines(name)])


def other_snapshot(archive: Edited) -> None:
    archive.change_line(CUSTOMERS, b'"name":"Jan"', swapped(b"Jan", b"Jon"))


def version_gap(archive: Edited) -> None:
    archive.put_lines(TIMELINE, [line for line in archive.lines(TIMELINE) if b"invoice.issued" not in line])


def time_goes_back(archive: Edited) -> None:
    lines = archive.lines(TIMELINE)
    at = next(number for number, line in enumerate(lines) if b"payment_registered" in line)
    written = json.loads(lines[at])["at"].encode()
    lines[at] = lines[at].replace(written, b"2001-01-01T00:00:00.000000Z")
    archive.put_lines(TIMELINE, lines)


def paid_too_much(archive: Edited) -> None:
    archive.change_line(TIMELINE, b"payment_registered", swapped(b'"amount":"24.20"', b'"amount":"24.21"'))


def amount_that_is_none(archive: Edited) -> None:
    archive.change_line(TIMELINE, b"payment_registered", swapped(b'"amount":"24.20"', b'"amount":"NaN"'))


def totals_that_differ(archive: Edited) -> None:
    archive.manifest["control_totals"]["revenue"][0]["taxable"] = "1.00"


def missing_file(archive: Edited) -> None:
    del archive.files[CUSTOMERS]


def unlisted_file(archive: Edited) -> None:
    archive.files["more.jsonl"] = b""


def other_hash(archive: Edited) -> None:
    archive.files[CUSTOMERS] = archive.files[CUSTOMERS].replace(b"Jan", b"Jon")


def newer_format(archive: Edited) -> None:
    archive.manifest["format_version"] = 2


def no_format(archive: Edited) -> None:
    del archive.manifest["format_version"]


def unknown_key(archive: Edited) -> None:
    archive.manifest["more"] = 1


def wrong_root(archive: Edited) -> None:
    archive.manifest["tree_head"]["root"] = "0" * 64


def fewer_rows(archive: Edited) -> None:
    archive.relist(TIMELINE, rows=1)
    archive.manifest["tree_head"]["size"] = 1


def event_twice(archive: Edited) -> None:
    archive.put_lines(TIMELINE, [*archive.lines(TIMELINE), archive.lines(TIMELINE)[-1]])


def version_too_large(archive: Edited) -> None:
    archive.change_line(TIMELINE, b'"name":"Jan"', swapped(b'"version":1', b'"version":9999999999'))


def type_version_too_large(archive: Edited) -> None:
    archive.change_line(TIMELINE, b'"name":"Jan"', swapped(b'"type_version":1', b'"type_version":99999'))


def no_such_day(archive: Edited) -> None:
    archive.change_line(TIMELINE, b'"name":"Jan"', lambda line: re.sub(rb'"at":"\d{4}-\d\d', rb'"at":"2024-13', line))


def no_id(archive: Edited) -> None:
    customer = json.loads(archive.lines(CUSTOMERS)[0])["id"].encode()
    for name in (TIMELINE, CUSTOMERS, INVOICES):
        archive.put_lines(name, [line.replace(customer, b"-" * 33 + customer[33:]) for line in archive.lines(name)])


def raw_nul(archive: Edited) -> None:
    archive.change_line(TIMELINE, b'"name":"Jan"', swapped(b"Jan", b"Ja\x00"))


def raw_tab(archive: Edited) -> None:
    archive.change_line(TIMELINE, b'"name":"Jan"', swapped(b'"data":{', b'"data":{\t'))


def no_utf8(archive: Edited) -> None:
    archive.change_line(TIMELINE, b'"name":"Jan"', swapped(b"Jan", b"Ja\xff"))


def something_before_a_line(archive: Edited) -> None:
    archive.change_line(TIMELINE, b'"name":"Jan"', lambda line: b"x" + line)


def something_that_ends_as_a_line(archive: Edited) -> None:
    line = next(line for line in archive.lines(TIMELINE) if b'"name":"Jan"' in line)
    strange = json.loads(line)["entity"].encode()
    other = line.replace(strange, b"01900000-0000-7000-8000-000000000000")
    archive.put_lines(TIMELINE, [*archive.lines(TIMELINE), b"x" + other])


def nobody_at_work(archive: Edited) -> None:
    archive.change_line(
        TIMELINE, b'"name":"Jan"', lambda line: re.sub(rb'"actor":"[^"]*"', b'"actor":"person:zzz"', line)
    )


def reference_that_is_no_id(archive: Edited) -> None:
    customer = json.loads(archive.lines(CUSTOMERS)[0])["id"].encode()
    for name in (TIMELINE, INVOICES):
        lines = [line.replace(b'"customer":"' + customer, b'"customer":"x\\ny') for line in archive.lines(name)]
        archive.put_lines(name, lines)


def snapshot_of_no_json(archive: Edited) -> None:
    archive.change_line(CUSTOMERS, b'"name":"Jan"', lambda _: b"what is this?")


def snapshot_twice(archive: Edited) -> None:
    archive.put_lines(CUSTOMERS, [*archive.lines(CUSTOMERS), archive.lines(CUSTOMERS)[0]])


def snapshot_misplaced(archive: Edited) -> None:
    lines = archive.lines(CUSTOMERS)
    archive.put_lines(CUSTOMERS, lines[1:])
    archive.put_lines("items.jsonl", lines[:1])


def snapshot_missing(archive: Edited) -> None:
    archive.put_lines(CUSTOMERS, archive.lines(CUSTOMERS)[1:])


def merged_in_a_ring(archive: Edited) -> None:
    ids = [json.loads(line)["id"] for line in archive.lines(CUSTOMERS)]
    events, snapshots = archive.lines(TIMELINE), archive.lines(CUSTOMERS)
    created = json.loads(events[0])
    for at, (one, other) in enumerate((ids, ids[::-1])):
        merged = {**created, "type": "customer.merged", "entity": one, "version": 2, "data": {"into": other}}
        events.append(json.dumps({**merged, "at": json.loads(events[-1])["at"]}, separators=(",", ":")).encode())
        state = msgspec.json.decode(snapshots[at], type=Customer)
        snapshots[at] = msgspec.json.encode(msgspec.structs.replace(state, version=2, merged_into=other))
    archive.put_lines(TIMELINE, events)
    archive.put_lines(CUSTOMERS, snapshots)


def snapshot_without_events(archive: Edited) -> None:
    archive.put_lines(TIMELINE, [line for line in archive.lines(TIMELINE) if b'"name":"Jan"' not in line])


FAULTS = [
    (no_json, "line.refused", TIMELINE, "no JSON"),
    (unknown_type, "line.refused", TIMELINE, "type: found 'invoice.shouted'"),
    (no_name, "line.refused", TIMELINE, "data.party"),
    (key_twice, "line.refused", TIMELINE, "the key twice"),
    (reference_to_nothing, "archive.reference-unknown", INVOICES, "customer: refers to 01900000"),
    (number_twice, "archive.key-twice", INVOICES, "invoice number"),
    (other_snapshot, "archive.snapshot-differs", CUSTOMERS, "Jon"),
    (version_gap, "archive.version-gap", TIMELINE, "version: found"),
    (time_goes_back, "archive.time-goes-back", TIMELINE, "2001-01-01"),
    (paid_too_much, "domain.too-much", TIMELINE, "24.21 is more than the 24.20"),
    (amount_that_is_none, "line.refused", TIMELINE, "amount: found NaN"),
    (totals_that_differ, "archive.totals-differ", "manifest.json", "found 1.00"),
    (event_twice, "archive.version-gap", TIMELINE, "version: found"),
    (version_too_large, "line.refused", TIMELINE, "version: found 9999999999"),
    (type_version_too_large, "line.refused", TIMELINE, "type_version: found 99999"),
    (no_such_day, "line.refused", TIMELINE, "at: found '2024-13"),
    (no_id, "line.refused", TIMELINE, "entity: found '-----"),
    (raw_nul, "line.refused", TIMELINE, "no JSON"),
    (raw_tab, "line.refused", TIMELINE, "canonical line"),
    (no_utf8, "line.refused", TIMELINE, "not UTF-8"),
    (something_before_a_line, "line.refused", TIMELINE, "no JSON"),
    (something_that_ends_as_a_line, "line.refused", TIMELINE, "no JSON"),
    (nobody_at_work, "line.refused", TIMELINE, "actor: found 'person:zzz'"),
    (reference_that_is_no_id, "archive.reference-unknown", INVOICES, "customer: refers to"),
    (snapshot_of_no_json, "line.refused", CUSTOMERS, "no JSON"),
    (snapshot_twice, "archive.snapshot-twice", CUSTOMERS, "expected it once"),
    (snapshot_misplaced, "archive.snapshot-misplaced", "items.jsonl", "expected it in customers.jsonl"),
    (snapshot_missing, "archive.snapshot-missing", CUSTOMERS, "expected its snapshot"),
    (merged_in_a_ring, "archive.merged-in-a-ring", CUSTOMERS, "expected one that is merged no further"),
    (snapshot_without_events, "archive.no-events", CUSTOMERS, "no event"),
]
# What an archive lacks, or has twice across its files, has no line of its own.
WITHOUT_LINE = {
    "archive.reference-unknown",
    "archive.key-twice",
    "archive.totals-differ",
    "archive.snapshot-missing",
    "archive.merged-in-a-ring",
}


@pytest.mark.parametrize(("edit", "code", "file", "reason"), FAULTS, ids=[one[0].__name__ for one in FAULTS])
def test_a_faulty_record_is_named_and_changes_nothing(
    books: Books, tmp_path: Path, edit: Callable[[Edited], None], code: str, file: str, reason: str
) -> None:
    archive = Edited(books.backup(tmp_path))
    edit(archive)
    before = books.rows()

    with pytest.raises(Refused) as refused:
        books.restore(archive.zipped())

    faults = refused.value.report.faults
    found = next((fault for fault in faults if fault.code == code), None)
    assert found is not None, faults
    assert found.file == file
    assert reason in found.reason
    assert found.line is not None or code in WITHOUT_LINE
    assert refused.value.report.outcome == "refused"
    assert books.rows() == before


@pytest.mark.parametrize("mode", ["overwrite", "add"])
@pytest.mark.parametrize(
    "edit", [one[0] for one in FAULTS if one[0] is not totals_that_differ], ids=lambda edit: edit.__name__
)
def test_what_is_left_when_a_fault_is_skipped_is_sound_and_can_be_backed_up(
    books: Books, fresh_account: OpenAccount, tmp_path: Path, edit: Callable[[Edited], None], mode: str
) -> None:
    archive = Edited(books.backup(tmp_path))
    edit(archive)
    target = Books(fresh_account())

    report = target.restore(archive.zipped(), errors="skip", mode=mode)

    assert report.outcome in ("restored", "nothing_to_add")
    assert report.faults_count > 0
    assert is_sound(target)
    assert inspect_archive(as_file(target.backup(tmp_path))).is_sound


def last_line_unended(archive: Edited) -> None:
    archive.files[CUSTOMERS] = archive.files[CUSTOMERS][:-1]
    archive.relist(CUSTOMERS, rows=2)


def line_too_long(archive: Edited) -> None:
    archive.put_lines(TIMELINE, [*archive.lines(TIMELINE), b"x" * (1024 * 1024 + 1)])


UNSOUND = [
    (last_line_unended, "archive.lines-broken"),
    (missing_file, "archive.manifest"),
    (unlisted_file, "archive.manifest"),
    (other_hash, "archive.edited"),
    (newer_format, "archive.format-newer"),
    (no_format, "archive.manifest"),
    (unknown_key, "archive.manifest"),
    (wrong_root, "archive.file-differs"),
    (fewer_rows, "archive.file-differs"),
]


@pytest.mark.parametrize(("edit", "code"), UNSOUND, ids=[one[0].__name__ for one in UNSOUND])
def test_an_archive_that_is_not_what_it_says_is_refused(
    books: Books, tmp_path: Path, edit: Callable[[Edited], None], code: str
) -> None:
    archive = Edited(books.backup(tmp_path))
    edit(archive)
    before = books.rows()

    with pytest.raises(CounterfoilError) as refused:
        books.restore(archive.zipped())

    assert refused.value.code == code
    assert books.rows() == before
    control = books.application.database
    with control.transaction(books.access.account) as connection:
        last = connection.execute("SELECT type FROM control_events ORDER BY position DESC LIMIT 1").fetchone()
    assert last == ("restore.failed",)


@pytest.mark.parametrize("length", [0, 1, 22, 1_000, -1])
def test_a_truncated_archive_is_refused(books: Books, tmp_path: Path, length: int) -> None:
    archive = books.backup(tmp_path)
    before = books.rows()

    with pytest.raises(CounterfoilError) as refused:
        books.restore(archive[:length])

    assert refused.value.code.startswith("archive.")
    assert books.rows() == before


def test_a_zip_of_something_else_is_refused(books: Books) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("holiday.jpg", b"...")

    with pytest.raises(CounterfoilError) as refused:
        books.restore(made.getvalue())

    assert refused.value.code == "archive.manifest"


def test_a_manifest_with_a_key_twice_is_refused(books: Books, tmp_path: Path) -> None:
    archive = Edited(books.backup(tmp_path))
    text = json.dumps(archive.manifest)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as again:
        for name, content in archive.files.items():
            again.writestr(name, content)
        again.writestr("manifest.json", text[:-1] + ', "stream": 1}')

    with pytest.raises(CounterfoilError, match="twice"):
        books.restore(made.getvalue())


def test_a_rehearsal_of_a_faulty_archive_says_the_same_and_leaves_no_record(books: Books, tmp_path: Path) -> None:
    archive = Edited(books.backup(tmp_path))
    no_name(archive)
    before = books.application.control(books.access.account)

    with pytest.raises(Refused) as rehearsed:
        books.restore(archive.zipped(), dry_run=True)
    with pytest.raises(Refused) as refused:
        books.restore(archive.zipped())

    assert rehearsed.value.report.faults == refused.value.report.faults
    assert books.application.control(books.access.account) == before


def test_an_archive_without_an_attached_file_is_refused(books: Books, tmp_path: Path) -> None:
    customer = books.customer("Els")
    content = b"%PDF-1.7"
    sha256 = hashlib.sha256(content).hexdigest()
    attachment = Attachment(id="1", name="a.pdf", media_type="application/pdf", size=len(content), sha256=sha256)

    def draft(work: Work) -> None:
        made = commands.create(work, Kind.INVOICE, {"customer": customer, "lines": []})
        commands.attach(work, Kind.INVOICE, made, attachment, content)

    books.run(draft)
    archive = Edited(books.backup(tmp_path))
    name = f"attachments/{sha256}"
    del archive.files[name]
    archive.manifest["files"] = [one for one in archive.manifest["files"] if one["name"] != name]

    with pytest.raises(Refused) as refused:
        books.restore(archive.zipped())

    assert refused.value.report.faults[0].code == "archive.attachment-missing"


def test_what_was_deleted_is_not_made_again(books: Books, tmp_path: Path) -> None:
    gone = books.customer("Gone")
    books.run(lambda work: commands.delete(work, Kind.CUSTOMER, gone))
    archive = Edited(books.backup(tmp_path))
    lines = archive.lines(TIMELINE)
    made = next(line for line in lines if gone.encode() in line and b"customer.created" in line)
    later = json.loads(next(line for line in lines if gone.encode() in line and b"customer.deleted" in line))["at"]
    again = made.replace(b'"version":1', b'"version":3').replace(json.loads(made)["at"].encode(), later.encode())
    archive.put_lines(TIMELINE, [*lines, again])

    with pytest.raises(Refused) as refused:
        books.restore(archive.zipped())

    assert [fault.code for fault in refused.value.report.faults] == ["domain.not-possible"]


def test_a_manifest_that_lists_ever_so_many_files_and_one_twice_is_refused_at_once(
    books: Books, tmp_path: Path
) -> None:
    """Looking for the one that is there twice takes as long as the list, not its square."""
    archive = Edited(books.backup(tmp_path))
    hashes = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(50_000)]
    listed = [{"name": f"attachments/{sha256}", "bytes": 0, "sha256": sha256} for sha256 in hashes]
    archive.manifest["files"] += [*listed, listed[0]]

    with pytest.raises(CounterfoilError) as refused:
        books.restore(archive.zipped())

    assert refused.value.code == "archive.manifest"
    assert f"{listed[0]['name']} twice" in str(refused.value)
