"""Taking backups: what an archive holds, what other tools read of it, and what is left when one fails."""

from __future__ import annotations

import hashlib
import json
import random
import resource
import shutil
import signal
import subprocess
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest

from domain import commands
from domain import control as c
from domain.documents.fields import Attachment
from domain.events import read_line
from domain.ids import EntityId
from domain.kinds import Kind
from domain.work import TooMuchAtOnce, Work
from snapshots.backup import ArchiveNotWritten, take_backup
from snapshots.reading.inspection import inspect_archive
from tests.fixtures.accounts import OpenAccount
from tests.fixtures.archives import SIGNER, Edited
from tests.integration.restoring import LINE, Books, as_file

ODD = (
    "quotes \" ' backslash \\ \\n \\\\. \u2028\u2029\x85 \U0001f6b2 tab\tfeed\n<b>{{7*7}}</b> =1+1 \ufeff e\u0301 \x7f"
)
CONTENT = b"%PDF-1.7 \x00\r\n\\." + random.Random(1).randbytes(5_000_000)


@pytest.fixture
def books(fresh_account: OpenAccount) -> Books:
    return Books(fresh_account())


def attached(books: Books, invoice: EntityId, content: bytes = CONTENT, *, id_: str = "1") -> str:
    """The hash of a file that is attached to a draft."""
    sha256 = hashlib.sha256(content).hexdigest()
    file = Attachment(id=id_, name=ODD[:40], media_type="application/pdf", size=len(content), sha256=sha256)
    books.run(lambda work: commands.attach(work, Kind.INVOICE, invoice, file, content))
    return sha256


def lived_in(books: Books) -> dict[str, Any]:
    """An account with every kind, each in some odd state, and texts that are hard to keep."""
    for kind in ("customer", "invoice", "line"):
        defined = c.CustomFieldDefined(kind=kind, key="region", label="Region", type="text")
        books.application.record_control(books.access.account, books.actor, defined)
    fields = {"region": ODD}
    made: dict[str, Any] = {}
    ledger = books.make(Kind.LEDGER_ACCOUNT, number="700", name="Sales", type="income")
    below = books.make(Kind.LEDGER_ACCOUNT, number="700000", name=ODD[:60], type="income", parent=ledger)
    vat = {"category": "S", "rate": "21"}
    item = books.make(
        Kind.ITEM, number='B"\\1', name="Bell", description=ODD, net_price="10.00", vat=vat, ledger_account=below
    )
    twin = books.make(Kind.ITEM, number="B-2", name="Bell too", net_price="10.00", vat=vat)
    books.run(lambda work: commands.merge(work, Kind.ITEM, twin, item))
    layout = books.make(
        Kind.LAYOUT, name=ODD[:60], document_kinds=["invoice"], language="nl", template={"top": ODD}, default_for=[]
    )
    books.run(lambda work: commands.archive(work, Kind.LAYOUT, layout))
    customer = books.customer(ODD[:200], number="7\t\\N", notes=ODD, custom_fields=fields)
    gone = books.customer("Gone")
    books.run(lambda work: commands.delete(work, Kind.CUSTOMER, gone))
    line = {**LINE, "item": item, "ledger_account": below, "custom_fields": fields}
    books.make(
        Kind.SUBSCRIPTION,
        customer=customer,
        lines=[line],
        interval={"n": 1, "unit": "months"},
        next_date=books.clock.now.date().isoformat(),
    )
    for kind in (Kind.QUOTE, Kind.PURCHASE_ORDER, Kind.DELIVERY_NOTE, Kind.INVOICE):
        made[kind.value] = books.issued(customer, kind, lines=[line])

    def receipt(work: Work) -> None:
        id_ = commands.create(work, Kind.RECEIPT, {"customer": customer, "lines": [LINE]})
        payment = {"id": "1", "date": work.today.isoformat(), "amount": "24.20", "means": "10"}
        commands.issue(work, Kind.RECEIPT, id_, payments=[payment])

    books.run(receipt)
    books.run(lambda work: commands.credit(work, made["invoice"]))
    deleted = books.make(Kind.INVOICE, customer=customer, lines=[line])
    made["of a deleted draft"] = attached(books, deleted, b"deleted")
    books.run(lambda work: commands.delete(work, Kind.INVOICE, deleted))
    draft = books.make(Kind.INVOICE, customer=customer, lines=[line], layout=None, custom_fields=fields)
    made["kept"] = attached(books, draft)
    made["taken off"] = attached(books, draft, b"taken off", id_="2")
    books.run(lambda work: commands.detach(work, Kind.INVOICE, draft, "2"))
    made["draft"] = draft

    def numbered(work: Work) -> EntityId:
        id_ = commands.create(work, Kind.INVOICE, {"customer": customer, "lines": [line]})
        commands.issue_as(work, Kind.INVOICE, id_, number='N/\\N "1"\t2', on=work.today)
        return id_

    made["numbered"] = books.run(numbered)
    return made


def content(archive: Edited) -> dict[str, bytes]:
    """The files that say what the account is."""
    return {name: held for name, held in archive.files.items() if name.endswith(".jsonl") or "attachments/" in name}


def test_an_account_with_everything_in_it_comes_back_here_and_elsewhere(
    books: Books, fresh_account: OpenAccount, tmp_path: Path
) -> None:
    made = lived_in(books)
    first = Edited(books.backup(tmp_path))
    books.run(lambda work: commands.delete(work, Kind.INVOICE, made["draft"]))
    other = Books(fresh_account())

    for target in (books, other):
        report = target.restore(first.zipped())

        again = Edited(target.backup(tmp_path))
        assert report.outcome == "restored"
        assert again.manifest["tree_head"] == first.manifest["tree_head"]
        assert content(again) == content(first)
        assert again.manifest["control_totals"] == first.manifest["control_totals"]
        assert again.manifest["counts"] == first.manifest["counts"]
        assert target.state(Kind.INVOICE, made["numbered"]).number == 'N/\\N "1"\t2'
        assert target.application.attachment(target.access.account, made["kept"]) == CONTENT


def test_every_line_of_an_archive_is_read_and_its_files_are_those_that_were_attached(
    books: Books, tmp_path: Path
) -> None:
    made = lived_in(books)

    archive = Edited(books.backup(tmp_path))

    for line in archive.files["timeline.jsonl"].split(b"\n")[:-1]:
        assert read_line(line).entity
    kept = {name.removeprefix("attachments/") for name in archive.files if name.startswith("attachments/")}
    assert kept == {made["kept"], made["taken off"], made["of a deleted draft"]}
    assert all(hashlib.sha256(archive.files[f"attachments/{sha256}"]).hexdigest() == sha256 for sha256 in kept)


def test_other_tools_read_an_archive_and_find_what_the_manifest_says(books: Books, tmp_path: Path) -> None:
    lived_in(books)
    archive = tmp_path / "a.zip"
    archive.write_bytes(books.backup(tmp_path))

    with zipfile.ZipFile(archive) as opened:
        assert opened.testzip() is None
        opened.extractall(tmp_path / "out")
        manifest = json.loads(opened.read("manifest.json"))
        assert {file["name"] for file in manifest["files"]} == set(opened.namelist()) - {
            "manifest.json",
            "manifest.sig",
        }

    for file in manifest["files"]:
        held = (tmp_path / "out" / file["name"]).read_bytes()
        assert (len(held), hashlib.sha256(held).hexdigest()) == (file["bytes"], file["sha256"])
        if "rows" in file and file["rows"] is not None:
            assert held.count(b"\n") == file["rows"]
    if shutil.which("unzip"):
        assert subprocess.run(["unzip", "-tqq", str(archive)], check=False).returncode == 0
    if shutil.which("sha256sum"):
        sums = "".join(f"{file['sha256']}  {file['name']}\n" for file in manifest["files"])
        (tmp_path / "out" / "SUMS").write_text(sums)
        checked = subprocess.run(["sha256sum", "-c", "--quiet", "SUMS"], cwd=tmp_path / "out", check=False)
        assert checked.returncode == 0


def test_a_file_that_the_account_never_got_does_not_spoil_the_next_archive(
    books: Books, fresh_account: OpenAccount, tmp_path: Path
) -> None:
    draft = books.make(Kind.INVOICE, customer=books.customer(), lines=[LINE])
    sha256 = attached(books, draft)
    books.run(lambda work: commands.detach(work, Kind.INVOICE, draft, "1"))
    archive = Edited(books.backup(tmp_path))
    name = f"attachments/{sha256}"
    del archive.files[name]
    archive.manifest["files"] = [file for file in archive.manifest["files"] if file["name"] != name]
    other = Books(fresh_account())
    other.restore(archive.zipped())

    again = other.backup(tmp_path)

    assert inspect_archive(as_file(again)).is_sound
    assert name not in Edited(again).files


def test_a_backup_says_where_the_archive_is_and_the_account_remembers_it(books: Books, tmp_path: Path) -> None:
    books.customer()

    taken = take_backup(books.application, books.access, books.actor, tmp_path / "a.zip", SIGNER)

    held = taken.path.read_bytes()
    assert (taken.size_bytes, taken.sha256) == (len(held), hashlib.sha256(held).hexdigest())
    assert (taken.stream, taken.position, taken.counts["customer"]) == (1, 1, 1)
    assert taken.root == Edited(held).manifest["tree_head"]["root"]
    with books.application.database.transaction(books.access.account) as connection:
        row = connection.execute("SELECT type, data FROM control_events ORDER BY position DESC LIMIT 1").fetchone()
    assert row is not None
    assert row[0] == "backup.taken"
    assert json.loads(row[1])["sha256"] == taken.sha256


def test_nothing_that_is_secret_is_in_an_archive(books: Books, tmp_path: Path) -> None:
    books.customer()

    archive = Edited(books.backup(tmp_path))

    everything = json.dumps(archive.manifest).encode() + b"".join(archive.files.values())
    for member in books.access.control.members:
        assert member.email.encode() not in everything


def test_a_full_disk_leaves_the_older_file_and_nothing_else(books: Books, tmp_path: Path) -> None:
    books.customer()
    target = tmp_path / "a.zip"
    target.write_bytes(b"the older one")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, before[1]))
    try:
        with pytest.raises(ArchiveNotWritten, match="too large"):
            take_backup(books.application, books.access, books.actor, target, SIGNER)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)

    assert target.read_bytes() == b"the older one"
    assert list(tmp_path.iterdir()) == [target]
    with books.application.database.transaction(books.access.account) as connection:
        row = connection.execute("SELECT type FROM control_events ORDER BY position DESC LIMIT 1").fetchone()
    assert row == ("backup.failed",)


def test_writers_are_not_kept_waiting_by_a_backup(books: Books, tmp_path: Path) -> None:
    customer = books.customer()
    written: list[EntityId] = []

    def progress(_phase: str, _done: int, _of: int) -> None:
        if not written:  # the backup's transaction is open; a writer that waited for it would wait for ever
            thread = threading.Thread(target=lambda: written.append(books.issued(customer)))
            thread.start()
            thread.join()

    taken = take_backup(books.application, books.access, books.actor, tmp_path / "a.zip", SIGNER, progress=progress)

    assert taken.position == 1
    assert books.state(Kind.INVOICE, written[0]).number
    assert inspect_archive(as_file(taken.path.read_bytes())).is_sound


def test_a_folder_that_takes_no_file_is_named(books: Books, tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file where a folder should be")

    with pytest.raises(ArchiveNotWritten, match="folder"):
        take_backup(books.application, books.access, books.actor, tmp_path / "folder" / "a.zip", SIGNER)


def test_what_no_archive_could_hold_is_refused_when_it_is_recorded(fresh_account: OpenAccount) -> None:
    books = Books(fresh_account())
    customer = books.customer()
    lines = [{**LINE, "line_id": str(number), "description": "x" * 10_000} for number in range(120)]
    before = books.rows()

    with pytest.raises(TooMuchAtOnce, match="at most 1,048,576"):
        books.make(Kind.INVOICE, customer=customer, lines=lines)

    assert books.rows() == before


def test_what_grows_beyond_what_an_archive_could_hold_is_refused_at_the_event_that_would_do_it(
    fresh_account: OpenAccount,
) -> None:
    books = Books(fresh_account())
    lines = [{**LINE, "line_id": str(number), "description": "x" * 10_000} for number in range(102)]
    invoice = books.issued(books.customer(), lines=lines)

    def pay(work: Work) -> None:
        for number in range(1_000):
            payment = {"id": f"{number:0200}", "amount": "0.01", "means": "30"}
            commands.record(work, Kind.INVOICE, invoice, "payment_registered", payment)

    with pytest.raises(TooMuchAtOnce):
        books.run(pay)

    assert len(books.state(Kind.INVOICE, invoice).payments) == 0
