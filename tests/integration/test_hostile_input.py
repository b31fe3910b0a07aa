"""Hostile lines, manifests and ZIPs in archives that are signed all the same (M10): a signature says who, not harmless.

Each is refused by name through inspection and restore alike, and the account is as it was.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from domain.errors import CounterfoilError
from snapshots.container import Limits
from snapshots.format.manifest import MANIFEST, SIGNATURE, TIMELINE
from snapshots.reading.inspection import inspect_archive
from snapshots.restoring.restore import Refused
from tests import hostile
from tests.fixtures.accounts import OpenAccount
from tests.fixtures.archives import KEYS, SIGNER, Edited, zip_of
from tests.forged_zip import Member, forge
from tests.integration.restoring import Books, as_file
from tests.small_archive import small_archive

FIRST = b'"type":"customer.created"'


def code_of(archive: bytes, limits: Limits | None = None) -> str:
    """How an inspection refuses: the error's code, or the first fault's."""
    try:
        found = inspect_archive(as_file(archive), limits or Limits(), KEYS)
    except CounterfoilError as refused:
        return refused.code
    if found.authenticity.differing:
        return "archive.edited"
    return found.faults[0].code if found.faults else "sound"


def with_line(old: bytes, new: bytes) -> bytes:
    """A signed archive of which one line of the timeline has *new* for *old*."""
    edited = Edited(small_archive())
    edited.change_line(TIMELINE, old, lambda line: line.replace(old, new, 1))
    return edited.zipped().getvalue()


LINES = {
    "J01": (b'"version":1', b'"version":1,"\\u0076ersion":1'),
    "J02": (b'"version":1', b'"version":1e999'),
    "J03": (b'"amount":"0.10"', b'"amount":"-0"'),
    "J04": (b'"version":1', b'"version":18446744073709551616'),
    "J05": (b'"amount":"0.10"', b'"amount":"1e999999999"'),
    "J06": (b'"amount":"0.10"', b'"amount":1e200000'),
    "J07": (b'"name":"', b'"name":"\\u0000'),
    "J08": (b'"name":"', b'"name":"\\ud800'),
    "J09": (b'"data":{', b'"data":{"x":' + b"[" * 40 + b"]" * 40 + b","),
    "J12": (b'"version":1', b'"version":1\r'),
    "J13": (b'"version":1', b'"version":1.0'),
    "J14": (b'.000000Z"', b'.000000"'),
    "J15": (b'"entity":"0', b'"entity":"{0'),
}


@pytest.mark.parametrize("case", LINES)
def test_m10_a_signed_archive_with_a_hostile_line_is_refused_by_file_and_line(case: str) -> None:
    found = inspect_archive(as_file(with_line(*LINES[case])), keys=KEYS)

    assert found.authenticity.verdict == "authentic"
    assert not found.is_sound
    assert (found.faults[0].code, found.faults[0].file) == ("line.refused", TIMELINE)
    assert found.faults[0].line


@pytest.mark.parametrize("text", [b"\\ud800", b"\\udc00\\ud800"])
def test_j08_half_a_surrogate_pair_is_refused_in_a_snapshot_and_in_the_manifest_too(text: bytes) -> None:
    edited = Edited(small_archive())
    name = next(name for name in edited.files if name.endswith("customers.jsonl"))
    edited.put_lines(name, [line.replace(b'"name":"', b'"name":"' + text) for line in edited.lines(name)])
    raw = json.dumps(Edited(small_archive()).manifest).encode().replace(b'"name": "', b'"name": "' + text, 1)

    assert code_of(edited.zipped().getvalue()) == "line.refused"
    assert code_of(hostile.with_manifest(raw)) == "archive.manifest"


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_j10_a_line_at_the_limit_is_a_line_and_one_over_it_ends_the_reading(more: int) -> None:
    archive = hostile.with_last_line(b"x" * (1024 * 1024 + more))

    assert code_of(archive) == ("archive.lines-broken" if more > 0 else "line.refused")


def test_j10_a_line_over_the_limit_is_named_wherever_it_lies() -> None:
    edited = Edited(small_archive())
    good = edited.lines(TIMELINE)
    for before in (0, 1, 700_000):
        edited.put_lines(TIMELINE, [*good, b"y" * before, b"x" * 1_100_000, *good])
        with pytest.raises(CounterfoilError) as refused:
            inspect_archive(as_file(hostile.signed(edited)), keys=KEYS)
        assert (refused.value.code, getattr(refused.value, "line", 0)) == ("archive.lines-broken", len(good) + 2)


def test_t11_t12_what_archives_never_bring_is_refused_where_it_stands() -> None:
    for field in ("members", "tokens", "roles", "webhooks", "secrets", "control"):
        assert code_of(hostile.with_manifest({field: []})) == "archive.manifest"
    for type_name in (b"account.closed", b"account.member_added", b"stream.swapped", b"restore.finished"):
        assert code_of(with_line(FIRST, b'"type":"%b"' % type_name)) == "line.refused"
    for key in (b"recorded_at", b"ip", b"tenant", b"account"):
        assert code_of(with_line(b'"version":1', b'"version":1,"%b":"x"' % key)) == "line.refused"


# Manifests


def test_z06_a_zip_within_that_the_manifest_does_not_list_is_refused_unopened() -> None:
    edited = Edited(small_archive())
    edited.files["attachments/more.zip"] = small_archive()

    assert code_of(edited.zipped().getvalue()) == "archive.manifest"


def changed_file(archive: Edited, **changes: Any) -> dict[str, Any]:
    files = [{**one, **changes} if one["name"] == TIMELINE else one for one in archive.manifest["files"]]
    return {"files": files}


def test_m01_a_manifest_that_lists_other_than_what_is_there_is_refused() -> None:
    edited = Edited(small_archive())
    size = edited.files[TIMELINE]
    nothing = {"name": "schemas/x.json", "bytes": 0, "sha256": "0" * 64}

    assert code_of(zip_of(edited.files)) == "archive.manifest"
    assert code_of(hostile.with_manifest(b"")) == "archive.manifest"
    assert code_of(forge(*[Member(content=edited.raw_manifest)] * 2)) == "archive.entry-twice"
    for files in (edited.manifest["files"][1:], [*edited.manifest["files"], nothing], edited.manifest["files"] * 2):
        assert code_of(hostile.with_manifest({"files": files})) == "archive.manifest"
    differing: list[dict[str, Any]] = [{"bytes": len(size) + 1}, {"sha256": "0" * 64}]
    for changes in differing:
        assert code_of(hostile.with_manifest(changed_file(edited, **changes))) == "archive.edited"
    impossible: list[dict[str, Any]] = [{"rows": 1}, {"rows": -1}, {"rows": None}, {"bytes": 2**70}, {"name": "../x"}]
    for changes in impossible:
        assert code_of(hostile.with_manifest(changed_file(edited, **changes))) == "archive.manifest"


def test_z17_content_with_the_right_checksum_and_another_hash_is_refused() -> None:
    edited = Edited(small_archive())
    edited.files[TIMELINE] = edited.files[TIMELINE].replace(b"Bel", b"Bol")

    assert code_of(edited.as_signed()) == "archive.edited"


def test_m07_files_of_two_archives_mixed_and_lines_moved_are_refused() -> None:
    mine, theirs = Edited(small_archive()), Edited(small_archive())
    theirs.put_lines(TIMELINE, theirs.lines(TIMELINE)[:-1])
    mixed = {**mine.files, TIMELINE: theirs.files[TIMELINE], MANIFEST: mine.raw_manifest, SIGNATURE: mine.signature}
    moved = Edited(small_archive())
    moved.files[TIMELINE] = b"".join(reversed(moved.files[TIMELINE].splitlines(keepends=True)))

    assert code_of(zip_of(mixed)) == "archive.edited"
    assert code_of(moved.as_signed()) == "archive.edited"


@pytest.mark.parametrize("version", [0, -1, 1.0, "1", None, True, [], 10**30])
def test_m08_a_format_version_that_never_was_is_refused(version: Any) -> None:
    assert code_of(hostile.with_manifest({"format_version": version})) in ("archive.manifest", "archive.format-newer")


def test_m08_a_newer_format_an_unknown_key_and_another_algorithm_are_refused() -> None:
    edited = Edited(small_archive())
    raw = json.dumps(edited.manifest).encode()

    assert code_of(hostile.with_manifest({"format_version": 2})) == "archive.format-newer"
    assert code_of(hostile.with_manifest({"algorithm": "none"})) == "archive.manifest"
    for instead in (b"none", b"md5", b"ed25519"):
        signature = SIGNER.sign(raw).replace(b"Ed25519", instead)
        assert code_of(zip_of({**edited.files, MANIFEST: raw, SIGNATURE: signature})) == "archive.signature"


# The file


def test_z28_a_large_archive_cut_at_every_64_kib_is_refused() -> None:
    edited = Edited(small_archive())
    edited.files["attachments/x"] = Random(1).randbytes(3 * 1024 * 1024)
    whole = edited.zipped().getvalue()

    for size in range(0, len(whole), 64 * 1024):
        assert code_of(whole[:size]).startswith("archive.")


def repacked(method: int, order: Callable[[list[str]], list[str]]) -> bytes:
    """The small archive as Python's zipfile packs it again."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(small_archive())) as given, zipfile.ZipFile(out, "w", method) as again:
        again.mkdir("documents")
        for name in order(given.namelist()):
            with again.open(name, "w", force_zip64=True) as entry:
                entry.write(given.read(name))
    return out.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("order", [sorted, list, lambda names: names[::-1]])
def test_z31_an_archive_packed_again_is_authentic_and_its_report_the_same(
    method: int, order: Callable[[list[str]], list[str]]
) -> None:
    found = inspect_archive(as_file(repacked(method, order)), keys=KEYS)

    assert found == inspect_archive(as_file(small_archive()), keys=KEYS)
    assert found.authenticity.verdict == "authentic"


# Through the doors: a sample of each family

SAMPLE: dict[str, tuple[Callable[[], bytes], str]] = {
    "Z03": (lambda: forge(Member(content=b"\0" * 1_000_000)), "archive.ratio-too-high"),
    "Z07": (hostile.directory_of_many, "archive.too-many-entries"),
    "Z08": (lambda: forge(Member(), Member()), "archive.entry-twice"),
    "Z10": (lambda: forge(Member(name=b"../x")), "archive.entry-name"),
    "Z19": (lambda: small_archive() + b"x", "archive.trailing-bytes"),
    "Z27": (lambda: b"no zip at all", "archive.not-a-zip"),
    "Z28": (lambda: small_archive()[:-100], "archive.end-record-missing"),
    "M01": (lambda: hostile.with_manifest({"files": []}), "archive.manifest"),
    "M08": (lambda: hostile.with_manifest({"format_version": 9}), "archive.format-newer"),
    "J08": (lambda: hostile.with_manifest(b'{"format_version":"\\ud800"}'), "archive.manifest"),
    "J10": (lambda: hostile.with_last_line(b"x" * 1_100_000), "archive.lines-broken"),
}


@pytest.mark.parametrize("case", SAMPLE)
def test_what_is_hostile_is_refused_by_a_restore_and_nothing_is_written(
    case: str, fresh_account: OpenAccount, tmp_path: Path
) -> None:
    build, code = SAMPLE[case]
    books = Books(fresh_account())
    books.customer()
    before = books.rows()

    with pytest.raises(CounterfoilError) as refused:
        books.restore(build())

    assert refused.value.code == code
    assert books.rows() == before


@pytest.mark.parametrize("case", LINES)
def test_m10_what_is_hostile_in_a_signed_line_is_refused_by_a_restore(case: str, fresh_account: OpenAccount) -> None:
    books = Books(fresh_account())
    before = books.rows()

    with pytest.raises(Refused) as refused:
        books.restore(with_line(*LINES[case]))

    assert refused.value.report.faults[0].code == "line.refused"
    assert books.rows() == before


def test_m06_an_older_backup_is_shown_as_old_with_what_would_be_lost_and_what_it_replaces_is_kept(
    fresh_account: OpenAccount, tmp_path: Path
) -> None:
    books = Books(fresh_account())
    customer = books.customer()
    archive = books.backup(tmp_path)
    books.issued(customer)

    rehearsed = books.restore(archive, dry_run=True)
    restored = books.restore(archive)

    assert rehearsed.taken_at == restored.taken_at == Edited(archive).manifest["taken_at"].replace("Z", "+00:00")
    assert rehearsed.lost_documents_count == restored.lost_documents_count == 1
    assert (restored.retired_stream, restored.live_stream) == (1, 2)
    assert {row["stream_id"] for row in books.rows()["events"]} == {1, 2}


def test_t09_whatever_account_an_archive_names_its_rows_are_of_the_account_that_restores(
    fresh_account: OpenAccount, tmp_path: Path
) -> None:
    victim, attacker = Books(fresh_account()), Books(fresh_account())
    victim.issued(victim.customer())
    edited = Edited(victim.backup(tmp_path))
    edited.manifest["stream"] = 1
    before = victim.rows()

    attacker.restore(edited.zipped().getvalue())

    assert victim.rows() == before
    held = {str(row["account_id"]) for rows in attacker.rows().values() for row in rows}
    assert held == {attacker.access.account}
