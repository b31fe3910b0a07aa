"""Proofs: made from an account's log, checked with nothing but a manifest, and refused when they are anything else."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from typing import Any, BinaryIO

import msgspec
import pytest

from domain.store.streams import StreamUnknown
from domain.tree import OutsideTree
from snapshots.container import Limits
from snapshots.format.errors import ManifestRefused
from snapshots.format.manifest import TreeHead
from snapshots.proving.proofs import (
    MAX_PROOF_BYTES,
    Checked,
    ManifestUnfit,
    Proof,
    ProofRefused,
    Stated,
    check_proof,
    encode_proof,
    read_proof,
    read_stated,
)
from snapshots.proving.proving import NothingProven, prove_consistency, prove_inclusion
from tests.fixtures import tampering
from tests.fixtures.accounts import OpenAccount
from tests.fixtures.archives import KEYS, Edited
from tests.integration.restoring import Books, as_file


@dataclass(repr=False)
class Kept:
    """An account of seven events, and its archives at the third and the last."""

    books: Books
    early: bytes
    late: bytes

    def include(self, **asked: Any) -> Any:
        return prove_inclusion(self.books.application.database, self.books.access.account, **asked)

    def connect(self, **asked: Any) -> Any:
        return prove_consistency(self.books.application.database, self.books.access.account, **asked)


@pytest.fixture(scope="module")
def kept(fresh_account: OpenAccount, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    books = Books(fresh_account())
    folder = tmp_path_factory.mktemp("archives")
    books.issued(books.customer())
    early = books.backup(folder)
    for name in ("Jan", "Piet", "Joris", "Korneel"):
        books.customer(name)
    return Kept(books, early, books.backup(folder))


def stated(archive: bytes) -> Stated:
    return read_stated(as_file(archive), "a.zip", keys=KEYS)


def checked(proof: Proof, *archives: bytes) -> Checked:
    return check_proof(read_proof(io.BytesIO(encode_proof(proof))), [stated(archive) for archive in archives])


def lines_of(archive: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return opened.read("timeline.jsonl").decode().splitlines()


def test_every_event_is_proven_to_be_in_the_archive_it_is_in(kept: Kept) -> None:
    lines = lines_of(kept.late)

    for position, line in enumerate(lines, 1):
        proof = kept.include(position=position)

        assert (proof.line, proof.tree_head.size, proof.archive) == (line, 7, stated(kept.late).archive)
        assert checked(proof, kept.late).holds


def test_an_event_is_proven_under_the_head_that_is_named(kept: Kept) -> None:
    by_archive = kept.include(position=2, head=stated(kept.early).tree_head)
    by_size = kept.include(position=2, head=3)

    assert by_archive == by_size
    assert checked(by_size, kept.early).holds
    with pytest.raises(
        ManifestUnfit, match=r"found a head of 7 events, .*; expected what the proof is about: 3 events"
    ):
        checked(by_size, kept.late)


def test_a_later_archive_is_proven_to_continue_an_earlier_one(kept: Kept) -> None:
    proof = kept.connect(earlier=stated(kept.early).tree_head, later=stated(kept.late).tree_head)

    both, one = checked(proof, kept.early, kept.late), checked(proof, kept.late)

    assert (both.holds, both.unstated) == (True, ())
    assert (one.holds, one.unstated) == (True, (stated(kept.early).tree_head,))
    assert proof == kept.connect(earlier=3)
    assert all(checked(kept.connect(earlier=size), kept.late).holds for size in range(8))


def test_a_proof_that_was_changed_in_any_field_does_not_hold(kept: Kept) -> None:
    proof, head = kept.include(position=2), stated(kept.late)
    grown = kept.connect(earlier=3)
    replace = msgspec.structs.replace
    other = "00" * 32

    changed = [
        replace(proof, line=proof.line.replace("invoice", "Invoice")),
        replace(proof, position=3),
        replace(proof, position=2**53),
        replace(proof, path=proof.path[::-1]),
        replace(proof, path=()),
        replace(proof, path=(*proof.path, other)),
        replace(grown, path=(other, *grown.path[1:])),
        replace(grown, earlier=TreeHead(size=3, root=other)),
        replace(grown, earlier=TreeHead(size=2, root=grown.earlier.root)),
        replace(grown, earlier=TreeHead(size=9, root=grown.earlier.root)),
    ]

    assert [check_proof(one, [head]).holds for one in changed] == [False] * len(changed)


def test_a_proof_of_another_root_is_not_believed_whatever_it_says(kept: Kept) -> None:
    alone = msgspec.structs.replace(
        kept.include(position=1, head=1), line="forged", tree_head=TreeHead(size=1, root="00" * 32)
    )

    for archives in ((), (kept.early,)):
        with pytest.raises(ManifestUnfit):
            checked(alone, *archives)


def test_what_is_not_in_the_log_cannot_be_proven(kept: Kept) -> None:
    with pytest.raises(OutsideTree, match="position 8 is outside a tree of 7 leaves"):
        kept.include(position=8)
    with pytest.raises(OutsideTree, match="position 4 is outside a tree of 3 leaves"):
        kept.include(position=4, head=3)
    with pytest.raises(OutsideTree, match="size 8 is outside a tree of 7 leaves"):
        kept.connect(earlier=2, later=8)
    with pytest.raises(OutsideTree):
        kept.connect(earlier=5, later=4)
    with pytest.raises(NothingProven):
        kept.include(position=1, head=TreeHead(size=3, root="00" * 32))
    with pytest.raises(StreamUnknown):
        kept.include(position=1, stream=9)


def test_a_restored_account_proves_against_the_archive_it_came_from(kept: Kept, fresh_account: OpenAccount) -> None:
    other = Books(fresh_account())
    other.restore(kept.early, from_other_account=True)
    other.customer()

    proof = prove_inclusion(other.application.database, other.access.account, position=2, head=3)

    assert (proof.stream, checked(proof, kept.early).holds) == (2, True)


def test_nothing_is_proven_from_a_row_that_was_changed(fresh_account: OpenAccount) -> None:
    books = Books(fresh_account())
    books.customer("Jan")
    books.customer("Piet")
    database, account = books.application.database, books.access.account
    tampering.execute(books, "UPDATE events SET data = replace(data, 'Jan', 'Jon') WHERE {account}")

    with pytest.raises(NothingProven, match="timeline verify says what is wrong"):
        prove_inclusion(database, account, position=1)
    tampering.execute(books, "DELETE FROM events WHERE {account} AND position = 1")
    with pytest.raises(NothingProven):
        prove_inclusion(database, account, position=1)


def test_a_bare_manifest_with_its_signature_is_as_good_as_its_archive(kept: Kept) -> None:
    archive = Edited(kept.late)

    alone = read_stated(as_file(archive.raw_manifest), "a.zip", keys=KEYS)
    signed = read_stated(as_file(archive.raw_manifest), "a.zip", keys=KEYS, signature=archive.signature)

    assert signed == stated(kept.late)
    assert [one.authenticity.verdict for one in (signed, alone)] == ["authentic", "unsigned"]
    assert alone.tree_head == signed.tree_head


def test_a_manifest_that_was_edited_since_it_was_signed_states_nothing(kept: Kept) -> None:
    archive = Edited(kept.late)
    archive.raw_manifest = archive.raw_manifest.replace(b'"Trapgevel"', b'"Zadeldak"')

    with pytest.raises(ManifestUnfit, match=r"^a\.zip: found a manifest that is edited \(signed by tests"):
        stated(archive.as_signed())
    assert stated(archive.unsigned()).authenticity.verdict == "unsigned"


SOUND = {
    "proof": "inclusion",
    "version": 1,
    "account": "a",
    "stream": 1,
    "tree_head": {"size": 1, "root": "0" * 64},
    "position": 1,
    "line": "{}",
    "path": [],
}


def written(**changes: Any) -> bytes:
    return json.dumps({**SOUND, **changes}).encode()


HOSTILE = {
    "nothing": b"",
    "no JSON": b"\x00\xff",
    "no UTF-8": b'{"proof":"\xff"}',
    "a list": b"[]",
    "a number": b"7",
    "a key twice": b'{"proof":"inclusion","proof":"inclusion"}',
    "no such proof": written(proof="absence"),
    "a version to come": written(version=2),
    "a field too many": written(extra=1),
    "a field too few": json.dumps({key: value for key, value in SOUND.items() if key != "line"}).encode(),
    "a position of text": written(position="1"),
    "a position of a fraction": written(position=1.5),
    "a position below": written(position=0),
    "a position beyond": written(position=2**64),
    "a number without end": b'{"position":' + b"9" * 1_000_000 + b"}",
    "a root of other letters": written(tree_head={"size": 1, "root": "g" * 64}),
    "a size below": written(tree_head={"size": -1, "root": "0" * 64}),
    "a hash too short": written(path=["00"]),
    "a path without end": written(path=["0" * 64] * 100_000),
    "a path too long": written(path=["0" * 64] * 129),
    "nested without end": b'{"path":' + b"[" * 1_000_000,
    "half a pair": written(line="\ud800"),
    "larger than a proof can be": written(line="a" * MAX_PROOF_BYTES),
    "an archive": b"PK\x03\x04" + b"\x00" * 1_000,
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_proof_is_refused_by_name(raw: bytes) -> None:
    with pytest.raises(ProofRefused, match=r"^the proof.*: found .*; expected ") as refused:
        read_proof(io.BytesIO(raw))

    assert len(str(refused.value)) < 400


def test_no_more_of_a_file_is_read_than_a_proof_can_be() -> None:
    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            assert 0 < size <= MAX_PROOF_BYTES + 1
            return b"[" * size

    endless: BinaryIO = Endless()  # type: ignore[assignment]  # as much of a file as is needed here

    with pytest.raises(ProofRefused):
        read_proof(endless)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"format_version":1}', b"[" * 1_000_000, b" " * 2_000_000])
def test_what_is_no_manifest_is_refused_by_name(raw: bytes) -> None:
    with pytest.raises(ManifestRefused):
        read_stated(as_file(raw), "manifest.json", Limits(max_manifest_bytes=1024 * 1024))
