"""Archives of every format, and events of every version, that were ever written go on restoring."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from domain.documents.events import Sent
from domain.events import TYPE_VERSIONS, LineRefused, decode_lines, line, read_line, read_lines
from domain.kinds import DOCUMENT_KINDS
from projections.rebuild import rebuild
from projections.timeline import Filter, read_timeline
from snapshots.format.manifest import SNAPSHOT_FILES, TIMELINE
from snapshots.format.schemas import schemas
from snapshots.reading.inspection import inspect_archive
from tests.fixtures.accounts import OpenAccount
from tests.fixtures.archives import KEYS, Edited
from tests.integration.restoring import Books

CORPUS = sorted((Path(__file__).parents[1] / "corpus").glob("*.zip"))
SENT = {
    "entity": "0192f3a0-0000-7000-8000-000000000001",
    "version": 3,
    "at": "2026-03-02T09:00:00.000000Z",
    "actor": "system:test",
    "via": "system",
}


@pytest.mark.parametrize("path", CORPUS, ids=[path.stem for path in CORPUS])
def test_an_archive_that_was_ever_written_is_authentic_and_sound(path: Path) -> None:
    with path.open("rb") as file:
        found = inspect_archive(file, keys=KEYS)
    assert (found.authenticity.verdict, found.faults, found.is_sound) == ("authentic", (), True)


@pytest.mark.slow
@pytest.mark.parametrize("path", CORPUS, ids=[path.stem for path in CORPUS])
def test_an_archive_that_was_ever_written_restores_to_what_it_was(
    fresh_account: OpenAccount, path: Path, tmp_path: Path
) -> None:
    books = Books(fresh_account())
    archive = Edited(path.read_bytes())

    report = books.restore(path.read_bytes())

    assert (report.outcome, report.root) == ("restored", archive.manifest["tree_head"]["root"])
    assert rebuild(books.application.database, books.access.account, check=True).differences == ()
    again = Edited(books.backup(tmp_path))
    for name in (TIMELINE, *SNAPSHOT_FILES.values()):
        assert again.files[name] == archive.files[name], name
    assert again.manifest["control_totals"] == archive.manifest["control_totals"]


@pytest.mark.slow
def test_an_event_of_an_older_version_is_shown_and_goes_on(fresh_account: OpenAccount) -> None:
    books = Books(fresh_account())
    books.restore(CORPUS[0].read_bytes())
    page = read_timeline(books.application.database, books.access.account, Filter(type="invoice.sent"), limit=5)
    assert [(change.field, change.after - (change.before or 0)) for change in page.entries[0].changes] == [("sent", 1)]


def sent(data: bytes, type_version: int, kind: str = "invoice") -> bytes:
    return line(type_name=f"{kind}.sent", data=data, type_version=type_version, **SENT)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [kind.value for kind in DOCUMENT_KINDS])
def test_a_changed_event_is_read_in_both_versions_as_the_same(kind: str) -> None:
    older = read_line(sent(b'{"how":"email","to":"klant@example.com"}', 1, kind))
    today = read_line(sent(b'{"how":"email","recipients":["klant@example.com"]}', 2, kind))
    assert older == today
    assert older.data == Sent(how="email", recipients=("klant@example.com",))
    assert read_line(sent(b'{"how":"post"}', 1, kind)).data == Sent(how="post")


def test_a_block_of_both_versions_is_read_in_its_order() -> None:
    lines = [
        sent(b'{"how":"email","recipients":["a@example.com"]}', 2),
        sent(b'{"how":"email","to":"b@example.com"}', 1),
        sent(b'{"how":"post"}', 2),
        sent(b'{"how":"hand"}', 1),
    ]
    block = b"".join(raw + b"\n" for raw in lines)
    assert read_lines(block) == decode_lines(block) == [read_line(raw) for raw in lines]
    assert read_lines(lines[1] + b"\n") == [read_line(lines[1])]
    assert read_lines(block.removesuffix(b"\n")) is None, "a line that does not end"


@pytest.mark.parametrize(
    "broken",
    [
        b'{"how":"email", "to":"b@example.com"}',
        b'{"how":"email","to":"b@example.com","to":"c@example.com"}',
        b'{"how":"email","to":"\\u0000"}',
        b'{"how":"email","to":null}',
    ],
)
def test_a_line_of_an_older_version_is_read_as_strictly_among_others(broken: bytes) -> None:
    lines = [sent(b'{"how":"post"}', 2), sent(b'{"how":"hand"}', 1), sent(broken, 1), sent(b'{"how":"post"}', 1)]
    with pytest.raises(LineRefused):
        read_line(lines[2])
    assert read_lines(b"".join(raw + b"\n" for raw in lines)) is None


@pytest.mark.parametrize("part", [{"at": "2026-13-02T09:00:00.000000Z"}, {"actor": "nobody"}, {"version": 0}])
def test_the_envelope_of_an_older_line_is_read_as_strictly(part: dict[str, Any]) -> None:
    raw = line(type_name="invoice.sent", data=b'{"how":"post"}', type_version=1, **{**SENT, **part})
    with pytest.raises(LineRefused):
        read_line(raw)
    assert read_lines(raw + b"\n") is None


@pytest.mark.parametrize(
    ("data", "type_version"),
    [
        (b'{"how":"email","recipients":["a@example.com"]}', 1),
        (b'{"how":"email","to":"a@example.com"}', 2),
        (b'{"how":"email"}', 3),
        (b'{"how":"email"}', 0),
        (b'{"to":"a@example.com","how":"email"}', 1),
        (b'{"how":"email","to":""}', 1),
    ],
)
def test_an_event_is_refused_in_a_version_that_does_not_have_it_so(data: bytes, type_version: int) -> None:
    raw = sent(data, type_version)
    with pytest.raises(LineRefused):
        read_line(raw)
    assert read_lines(raw + b"\n") is None


def test_the_mark_of_an_older_version_inside_a_text_is_only_text() -> None:
    mark = '{"type":"invoice.sent","type_version":1,'
    raw = sent(json.dumps({"how": "email", "recipients": [mark]}, separators=(",", ":")).encode(), 2)
    assert read_line(raw).data.recipients == (mark,)
    assert read_lines(raw + b"\n") == [read_line(raw)]


def test_every_type_says_which_version_it_has_today() -> None:
    assert {name: version for name, version in TYPE_VERSIONS.items() if version > 1} == {
        f"{kind.value}.sent": 2 for kind in DOCUMENT_KINDS
    }


def test_the_schema_of_lines_has_each_type_in_each_of_its_versions() -> None:
    schema = json.loads(schemas()["timeline.schema.json"])
    lines = [schema["$defs"][one["$ref"].removeprefix("#/$defs/")]["properties"] for one in schema["oneOf"]]

    described = sorted((one["type"]["enum"][0], one["type_version"]["enum"][0]) for one in lines)

    versions = [(name, version) for name, today in TYPE_VERSIONS.items() for version in range(1, today + 1)]
    assert described == sorted(versions)
