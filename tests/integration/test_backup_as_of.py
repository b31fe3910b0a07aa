"""Backups of a past moment, and of a stream that was replaced: what was there then, and nothing that came since."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain import commands
from domain.kinds import Kind
from domain.store.streams import StreamUnknown
from projections.moments import MomentAhead, Position
from snapshots.backup import take_backup
from snapshots.reading import inspection
from snapshots.reading.inspection import inspect_archive
from snapshots.restoring import report
from tests.fixtures.accounts import OpenAccount
from tests.fixtures.archives import SIGNER
from tests.histories import History, histories, play
from tests.integration.restoring import Books, as_file, is_sound

few = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
OF_THE_MOMENT = ("archive", "taken_at", "email_salt", "people", "as_of", "files")


@pytest.fixture
def books(fresh_account: OpenAccount) -> Books:
    return Books(fresh_account())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where archives go; each example overwrites the one before it."""
    return tmp_path_factory.mktemp("archives")


def archived(books: Books, folder: Path, **which: Any) -> bytes:
    """The bytes of an archive of *which* moment."""
    target = folder / "a.zip"
    return take_backup(books.application, books.access, books.actor, target, SIGNER, **which).path.read_bytes()


def content(archive: bytes) -> dict[str, bytes]:
    """The files that hold what an account is, and what the manifest says of it."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        names = [name for name in opened.namelist() if name.endswith(".jsonl") or name.startswith("attachments/")]
        files = {name: opened.read(name) for name in names}
        manifest = json.loads(opened.read("manifest.json"))
    said = {name: value for name, value in manifest.items() if name not in OF_THE_MOMENT}
    listed = {name: value for name, value in manifest.items() if name == "files"}["files"]
    said["files"] = [file for file in listed if file["name"] in files]
    return {**files, "said": json.dumps(said).encode()}


@pytest.mark.slow
@few
@given(histories(), histories(), st.data())
def test_an_archive_as_of_a_position_is_the_archive_that_was_taken_there(
    fresh_account: OpenAccount, folder: Path, history: History, later: History, data: st.DataObject
) -> None:
    books = Books(fresh_account())
    play(books.application, books.access, history[: data.draw(st.integers(0, len(history)), label="steps before")])
    then = archived(books, folder)
    position = json.loads(zipfile.ZipFile(io.BytesIO(then)).read("manifest.json"))["tree_head"]["size"]
    play(books.application, books.access, later)

    past = archived(books, folder, as_of=Position(None, position))

    assert content(past) == content(then)


@pytest.mark.slow
@few
@given(histories(), st.integers(0, 200))
def test_whatever_position_an_archive_is_of_it_is_sound_and_restores_to_itself(
    fresh_account: OpenAccount, folder: Path, history: History, at: int
) -> None:
    books = Books(fresh_account())
    play(books.application, books.access, history)
    with books.application.database.transaction(books.access.account) as connection:
        head = connection.execute("SELECT head_position FROM streams").fetchall()[0][0]

    past = archived(books, folder, as_of=Position(None, min(at, head)))
    books.restore(past)

    assert inspect_archive(as_file(past)).is_sound
    assert is_sound(books)
    assert content(archived(books, folder)).keys() == content(past).keys()
    for name, lines in content(past).items():
        assert name == "said" or content(archived(books, folder))[name] == lines


def test_what_was_deleted_since_comes_back_and_what_was_made_since_is_left_out(books: Books, tmp_path: Path) -> None:
    kept, deleted = books.customer("Kept"), books.customer("Deleted")
    draft = books.make(Kind.INVOICE, customer=kept)
    then = books.clock.now
    books.run(lambda work: commands.delete(work, Kind.CUSTOMER, deleted))
    books.run(lambda work: commands.delete(work, Kind.INVOICE, draft))
    books.run(lambda work: commands.change(work, Kind.CUSTOMER, kept, {"party": {"name": "Changed"}}))
    books.issued(kept)

    past = content(archived(books, tmp_path, as_of=then + timedelta(seconds=1)))

    names = [json.loads(line)["party"]["name"] for line in past["customers.jsonl"].splitlines()]
    assert names == ["Kept", "Deleted"]
    assert [json.loads(line)["id"] for line in past["documents/invoices.jsonl"].splitlines()] == [draft]
    assert past["timeline.jsonl"].count(b"\n") == 3


def test_the_manifest_says_which_moment_was_asked_for(books: Books, tmp_path: Path) -> None:
    books.customer()
    books.customer()

    past = archived(books, tmp_path, as_of=Position(1, 1))

    manifest = json.loads(zipfile.ZipFile(io.BytesIO(past)).read("manifest.json"))
    assert manifest["as_of"] == {"asked": "1.1", "head": 2}
    assert manifest["counts"]["customer"] == 1


def test_whoever_opens_or_restores_an_archive_of_a_past_moment_is_told_so(books: Books, tmp_path: Path) -> None:
    books.customer()
    books.customer()

    past = archived(books, tmp_path, as_of=Position(1, 1))

    assert b"It shows the account as of 1.1." in zipfile.ZipFile(io.BytesIO(past)).read("README.txt")
    assert "It shows the account as of 1.1." in inspection.readable(inspect_archive(as_file(past)))
    assert "The archive is as of 1.1: of the account's 2 events 1 are not in it" in report.readable(books.restore(past))


def test_a_retired_stream_is_backed_up_as_it_was_left(books: Books, tmp_path: Path) -> None:
    books.customer("One")
    first = archived(books, tmp_path)
    books.customer("Two")
    second = archived(books, tmp_path)
    books.restore(first)

    assert content(archived(books, tmp_path, stream=1)) == content(second)
    assert content(archived(books, tmp_path, as_of=Position(1, 1))) == content(first)
    with pytest.raises(StreamUnknown, match="no stream 9"):
        archived(books, tmp_path, stream=9)


def test_a_moment_that_has_not_come_yet_is_refused(books: Books, tmp_path: Path) -> None:
    with pytest.raises(MomentAhead):
        archived(books, tmp_path, as_of=Position(None, 1))

    assert list(tmp_path.iterdir()) == []
