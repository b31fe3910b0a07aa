"""Inspecting archives: what is in one, whether it is sound, and all that is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from domain.errors import ArchiveError
from domain.kinds import Kind
from snapshots.container import Limits
from snapshots.format.manifest import TIMELINE
from snapshots.reading.inspection import Inspection, inspect_archive, readable
from snapshots.restoring.restore import Refused
from tests.fixtures.accounts import OpenAccount
from tests.fixtures.archives import KEYS, Edited
from tests.forged_zip import Member, forge
from tests.integration.restoring import Books, as_file

CUSTOMERS = "customers.jsonl"


@pytest.fixture
def books(fresh_account: OpenAccount) -> Books:
    return Books(fresh_account())


def inspected(archive: Edited) -> Inspection:
    return inspect_archive(as_file(archive.zipped().read()), keys=KEYS)


def test_a_sound_archive_says_what_is_in_it(books: Books, tmp_path: Path) -> None:
    books.issued(books.customer())
    archive = Edited(books.backup(tmp_path))

    found = inspected(archive)

    assert found.is_sound
    assert (found.counts["customer"], found.counts["invoice"], found.counts["item"]) == (1, 1, 0)
    assert found.tree_head.size == 3
    assert found.events_by == {books.actor.name: 3}
    assert [str(total.amount) for total in found.control_totals.receivables] == ["24.20"]
    text = readable(found)
    assert "Sound" in text
    assert "Events of An: 3" in text
    assert found.tree_head.root in text


def test_all_faults_are_found_in_one_look_and_counted_beyond_those_listed(books: Books, tmp_path: Path) -> None:
    for number in range(3):
        books.customer(f"Jan {number}")
    archive = Edited(books.backup(tmp_path))
    for number in range(3):
        name = f'"name":"Jan {number}"'.encode()
        archive.change_line(CUSTOMERS, name, lambda line: line.replace(b"Jan", b"Jon"))
    archive.put_lines(TIMELINE, [*archive.lines(TIMELINE), *(f"junk {n}".encode() for n in range(1_200))])

    found = inspected(archive)

    assert (found.is_sound, found.faults_count, len(found.faults)) == (False, 1_203, 1_000)
    assert found.faults[0].line == 4
    assert "1,203 faults" in readable(found)


def test_an_inspection_and_a_restore_find_the_same(books: Books, tmp_path: Path) -> None:
    books.issued(books.customer("Jan"))
    archive = Edited(books.backup(tmp_path))
    archive.change_line(CUSTOMERS, b"Jan", lambda line: line.replace(b"Jan", b"Jon"))

    found = inspected(archive)

    with pytest.raises(Refused) as refused:
        books.restore(archive.zipped())
    assert found.faults == refused.value.report.faults


def test_an_archive_inspects_alike_in_partitions(books: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        books.issued(books.customer(f"Jan {number}"), Kind.QUOTE)
    archive = Edited(books.backup(tmp_path))
    archive.change_line(CUSTOMERS, b"Jan 2", lambda line: line.replace(b"Jan", b"Jon"))
    whole = inspected(archive)
    monkeypatch.setattr("snapshots.reading.examination._PARTITION_BYTES", 100)

    parts = inspected(archive)

    assert sorted(map(str, parts.faults)) == sorted(map(str, whole.faults))
    assert parts.control_totals == whole.control_totals


HOSTILE = [
    ("archive.entry-name", [Member(name=b"../../evil", content=b"x")]),
    ("archive.entry-name", [Member(name=b"/etc/passwd", content=b"x")]),
    (
        "archive.entry-twice",
        [Member(name=b"manifest.json", content=b"{}"), Member(name=b"manifest.json", content=b"{}")],
    ),
    ("archive.ratio-too-high", [Member(name=b"manifest.json", content=b" " * 50_000_000)]),
    ("archive.manifest", [Member(name=b"holiday.txt", content=b"x")]),
    ("archive.manifest", [Member(name=b"manifest.json", content=b"[]")]),
    ("archive.manifest", [Member(name=b"manifest.json", content=b"{" * 20)]),
]


@pytest.mark.parametrize(("code", "entries"), HOSTILE)
def test_a_hostile_zip_is_refused_by_inspection_and_restore_alike_and_nothing_changes(
    books: Books, code: str, entries: list[Member]
) -> None:
    made = forge(*entries)
    books.customer()
    before = books.rows()

    with pytest.raises(ArchiveError) as seen:
        inspect_archive(as_file(made))
    with pytest.raises(ArchiveError) as refused:
        books.restore(made)

    assert (seen.value.code, str(seen.value)) == (refused.value.code, str(refused.value))
    assert seen.value.code == code
    assert books.rows() == before


def test_limits_are_those_of_the_caller(books: Books, tmp_path: Path) -> None:
    archive = books.backup(tmp_path)

    with pytest.raises(ArchiveError) as refused:
        inspect_archive(as_file(archive), Limits(max_archive_bytes=len(archive) - 1))

    assert refused.value.code == "archive.too-large"
