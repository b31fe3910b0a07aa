"""What an archive is found to be: authentic, edited or unsigned; and what becomes of it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from domain import commands
from domain.documents.fields import Attachment
from domain.errors import ArchiveError
from domain.kinds import Kind
from snapshots.container import Limits
from snapshots.format.authenticity import Authenticity
from snapshots.format.errors import ArchiveEdited, FileDiffers
from snapshots.format.manifest import SIGNATURE, TIMELINE
from snapshots.reading.inspection import inspect_archive, readable
from snapshots.restoring.report import readable as restore_text
from snapshots.trust.signing import KeyRing, Signer
from tests.fixtures.accounts import OpenAccount
from tests.fixtures.archives import KEYS, SIGNER, Edited
from tests.integration.restoring import LINE, Books, as_file

CUSTOMERS = "customers.jsonl"


@pytest.fixture
def books(fresh_account: OpenAccount) -> Books:
    return Books(fresh_account())


@pytest.fixture
def archive(books: Books, tmp_path: Path) -> Edited:
    books.issued(books.customer("Jan"))
    return Edited(books.backup(tmp_path))


def seen(archive: bytes, keys: KeyRing = KEYS) -> Authenticity:
    """What an inspection finds."""
    return inspect_archive(as_file(archive), Limits(), keys).authenticity


def segments(books: Books) -> list[str]:
    with books.application.database.transaction(books.access.account) as connection:
        return [row[0] for row in connection.execute("SELECT authenticity FROM segments ORDER BY 1").fetchall()]


def test_a_backup_is_authentic_where_its_key_is_trusted(books: Books, archive: Edited) -> None:
    found = inspect_archive(as_file(archive.as_signed()), keys=KEYS)
    report = books.restore(archive.as_signed())

    assert found.is_sound
    assert found.authenticity == Authenticity(verdict="authentic", key=SIGNER.key, key_name="tests", is_ours=True)
    assert "authentic (signed by tests" in readable(found)
    assert report.authenticity == found.authenticity
    assert "authentic" in segments(books)


def test_a_backup_is_unsigned_where_its_key_is_not_trusted(archive: Edited) -> None:
    found = seen(archive.as_signed(), KeyRing())

    assert (found.verdict, found.key) == ("unsigned", SIGNER.key)


def test_m02_an_archive_without_a_signature_is_restored_as_unsigned(books: Books, archive: Edited) -> None:
    report = books.restore(archive.unsigned())

    assert report.authenticity.verdict == "unsigned"
    assert "unsigned" in segments(books)


def test_m02_a_malformed_signature_is_refused_and_nothing_changes(books: Books, archive: Edited) -> None:
    before = books.rows()
    archive.signature = archive.signature[:-5]

    for accept_edits in (False, True):
        with pytest.raises(ArchiveError) as refused:
            books.restore(archive.as_signed(), accept_edits=accept_edits)
        assert refused.value.code == "archive.signature"
    assert books.rows() == before


def test_an_edited_archive_is_refused_and_each_file_that_differs_is_named(books: Books, archive: Edited) -> None:
    archive.files[CUSTOMERS] = archive.files[CUSTOMERS].replace(b"Jan", b"Jon")
    archive.files["README.txt"] += b"More to read"
    before = books.rows()

    with pytest.raises(ArchiveEdited) as refused:
        books.restore(archive.as_signed())

    assert [one.file for one in refused.value.files] == ["README.txt", CUSTOMERS]
    assert "README.txt: size" in str(refused.value)
    assert "customers.jsonl: SHA-256" in str(refused.value)
    assert books.rows() == before


def test_an_inspection_names_the_files_that_were_edited(archive: Edited) -> None:
    archive.files["README.txt"] += b"More to read"

    found = inspect_archive(as_file(archive.as_signed()), keys=KEYS)

    assert not found.is_sound
    assert found.faults_count == 0
    assert found.authenticity.verdict == "edited"
    assert found.authenticity.differs("README.txt")
    assert "README.txt: size" in readable(found)


def test_an_edited_archive_is_read_where_edits_are_accepted(books: Books, archive: Edited) -> None:
    archive.files["README.txt"] += b"More to read"

    report = books.restore(archive.as_signed(), accept_edits=True)

    assert report.outcome == "restored"
    assert report.authenticity.verdict == "edited"
    assert report.authenticity.key_name == "tests"
    assert "edited" in segments(books)


def test_accepted_edits_may_change_rows_counts_and_the_root(books: Books, archive: Edited) -> None:
    signed = archive.raw_manifest
    books.customer("Piet")
    for file in (CUSTOMERS, TIMELINE):
        added = books_line(books, archive, file)
        archive.files[file] += added

    with pytest.raises(ArchiveEdited):
        books.restore(archive.as_signed())
    report = books.restore(archive.as_signed(), accept_edits=True)

    assert archive.raw_manifest == signed
    assert report.outcome == "restored"
    assert report.events == json.loads(signed)["tree_head"]["size"] + 1


def books_line(books: Books, archive: Edited, file: str) -> bytes:
    """What a file has more in a backup of now."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        now = Edited(books.backup(Path(folder)))
    there = set(archive.lines(file))
    return b"".join(line + b"\n" for line in now.lines(file) if line not in there)


def test_accepted_edits_are_held_against_the_rules_of_lines_all_the_same(books: Books, archive: Edited) -> None:
    archive.files[TIMELINE] = archive.files[TIMELINE].replace(b'"customer.created"', b'"customer.cheated"', 1)
    before = books.rows()

    with pytest.raises(Exception, match=r"customer\.cheated") as refused:
        books.restore(archive.as_signed(), accept_edits=True)

    assert refused.value.code == "restore.archive-faulty"  # type: ignore[attr-defined]
    assert books.rows() == before


def test_a_changed_manifest_under_a_signature_is_edited(books: Books, archive: Edited) -> None:
    archive.raw_manifest = archive.raw_manifest.replace(b'"Trapgevel"', b'"Trapgever"')

    with pytest.raises(ArchiveEdited) as refused:
        books.restore(archive.as_signed())

    assert [one.file for one in refused.value.files] == ["manifest.json"]
    assert books.restore(archive.as_signed(), accept_edits=True).authenticity.verdict == "edited"


def test_an_unsigned_archive_with_a_file_that_differs_needs_the_choice_too(books: Books, archive: Edited) -> None:
    archive.files["README.txt"] += b"More to read"

    with pytest.raises(FileDiffers):
        books.restore(archive.unsigned())
    report = books.restore(archive.unsigned(), accept_edits=True)

    assert report.authenticity.verdict == "unsigned"
    assert report.authenticity.differs("README.txt")


def test_m03_a_key_in_the_archive_is_not_believed(books: Books, archive: Edited) -> None:
    stranger = Signer(bytes(32))
    raw = json.dumps(archive.manifest).encode()
    archive.raw_manifest, archive.signature = raw, stranger.sign(raw)

    assert seen(archive.as_signed()).verdict == "unsigned"
    archive.files[SIGNATURE.replace(".sig", ".pem")] = b"a key"
    with pytest.raises(ArchiveError) as refused:
        books.restore(archive.as_signed())
    assert refused.value.code == "archive.manifest"


def test_m06_an_older_authentic_archive_says_how_old_it_is_and_what_would_be_lost(
    books: Books, archive: Edited
) -> None:
    since = books.issued(books.customer("Piet"))
    live = books.rows()

    report = books.restore(archive.as_signed(), dry_run=True)

    assert report.authenticity.verdict == "authentic"
    assert report.taken_at == json.loads(archive.raw_manifest)["taken_at"].replace("Z", "+00:00")
    assert [one.id for one in report.lost_documents] == [since]
    assert "LOST: 1 issued documents" in restore_text(report)
    assert books.rows() == live
    restored = books.restore(archive.as_signed())
    with books.application.database.transaction(books.access.account) as connection:
        kept = connection.execute(
            "SELECT status, head_position FROM streams WHERE stream_id = %s", [restored.retired_stream]
        ).fetchone()
    assert kept == ("retired", report.events + 3), "all that would be lost is kept in the replaced stream"


def test_an_attached_file_is_never_taken_for_another_than_its_name_says(books: Books, tmp_path: Path) -> None:
    draft = books.make(Kind.INVOICE, customer=books.customer(), lines=[LINE])
    content = b"as it was signed"
    sha256 = hashlib.sha256(content).hexdigest()
    file = Attachment(id="1", name="a.txt", media_type="text/plain", size=len(content), sha256=sha256)
    books.run(lambda work: commands.attach(work, Kind.INVOICE, draft, file, content))
    archive = Edited(books.backup(tmp_path))
    archive.files[f"attachments/{sha256}"] = b"something else"

    for accept_edits in (False, True):
        with pytest.raises(ArchiveError, match=sha256):
            books.restore(archive.as_signed(), accept_edits=accept_edits)
