"""Proofs as files, and checking them with nothing but the manifest of an archive: no database, no account.

A proof is small JSON. It is what anybody may have written: it is read within limits, and believed only as far as its
path leads to the root that the manifest states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, BinaryIO, ClassVar, Literal

import msgspec
from msgspec import Meta

from domain.entity import where_and_why
from domain.errors import ArchiveError
from domain.events import LineLimits, LineRefused, check_json
from domain.ids import AccountId
from domain.parties import Value
from domain.tree import leaf_hash, verify_consistency, verify_inclusion
from snapshots.container import Limits, open_container
from snapshots.format.authenticity import Authenticity
from snapshots.format.manifest import MANIFEST, SIGNATURE, Count, Hash, TreeHead
from snapshots.reading.archive import read_manifest
from snapshots.trust.signing import MAX_SIGNATURE_BYTES, NO_KEYS, KeyRing

MAX_PROOF_BYTES = 8 * 1024 * 1024  # a line is 1 MiB at most, and as JSON text a few times that
# Within them a hostile file is refused before it is parsed; no path is longer than twice the 64 levels of a tree.
_LIMITS = LineLimits(
    max_bytes=MAX_PROOF_BYTES, max_nesting=4, max_values=400, max_string_bytes=MAX_PROOF_BYTES, max_digits=16
)
_ZIP = b"PK\x03\x04"


@dataclass(eq=False)
class ProofRefused(ArchiveError):
    """What is given as a proof is none."""

    code: ClassVar[str] = "proof.refused"
    field: str
    found: str
    expected: str

    def __str__(self) -> str:
        where = f"the proof, {self.field}" if self.field else "the proof"
        return f"{where}: found {self.found}; expected {self.expected}"


@dataclass(eq=False)
class ManifestUnfit(ArchiveError):
    """The manifest says nothing of the proof: it states another tree head, or was edited since it was signed."""

    code: ClassVar[str] = "proof.manifest-unfit"
    file: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.file}: found {self.found}; expected {self.expected}"


_SHOWN = 300  # characters of a line: who did what to which entity, and the first of its data


class Inclusion(Value, frozen=True, kw_only=True, tag_field="proof", tag="inclusion"):
    """That ``line`` is the log's line at ``position``, counted from 1, under ``tree_head``.

    ``archive`` is the backup whose head it is, where it is one's.
    """

    version: Literal[1]
    account: AccountId
    stream: Count
    archive: str | None = None
    tree_head: TreeHead
    position: Annotated[int, Meta(ge=1, le=2**53)]
    line: str
    path: Annotated[tuple[Hash, ...], Meta(max_length=128)]

    def holds(self) -> bool:
        """Whether the line is in the log of that head."""
        leaf, root = leaf_hash(self.line.encode()), bytes.fromhex(self.tree_head.root)
        return verify_inclusion(leaf, self.position - 1, self.tree_head.size, _unhexed(self.path), root)

    def shows(self) -> str:
        """What it says, for a person; a long line is cut, for the proof itself has it whole."""
        line = self.line if len(self.line) <= _SHOWN else f"{self.line[:_SHOWN]}…"
        return f"position {self.position:,} of {self.tree_head.size:,} events, root {self.tree_head.root}, is {line}"


class Consistency(Value, frozen=True, kw_only=True, tag_field="proof", tag="consistency"):
    """That the log of ``later`` begins with the lines of ``earlier``, each as it was."""

    version: Literal[1]
    account: AccountId
    stream: Count
    earlier: TreeHead
    later: TreeHead
    path: Annotated[tuple[Hash, ...], Meta(max_length=128)]

    def holds(self) -> bool:
        """Whether the later log continues the earlier one."""
        earlier, later = bytes.fromhex(self.earlier.root), bytes.fromhex(self.later.root)
        return verify_consistency(self.earlier.size, earlier, self.later.size, later, _unhexed(self.path))

    def shows(self) -> str:
        """What it says, for a person."""
        return (
            f"the log of {self.later.size:,} events, root {self.later.root}, begins with the"
            f" {self.earlier.size:,} events, root {self.earlier.root}"
        )


Proof = Inclusion | Consistency
_DECODER: msgspec.json.Decoder[Proof] = msgspec.json.Decoder(Proof)


class Stated(Value, frozen=True, kw_only=True):
    """What a manifest states: of which archive, which account and stream, and the head of its log."""

    file: str
    archive: str
    account: AccountId
    account_name: str
    stream: int
    taken_at: datetime
    tree_head: TreeHead
    authenticity: Authenticity


class Checked(Value, frozen=True, kw_only=True):
    """Whether a proof holds, what it shows then, and which manifests state the heads that it is about.

    Of an ``unstated`` head, which none of them does, nothing is known but what the proof says.
    """

    holds: bool
    shows: str
    proof: Proof
    manifests: tuple[Stated, ...]
    unstated: tuple[TreeHead, ...] = ()


def encode_proof(proof: Proof) -> bytes:
    """A proof as a file: JSON, indented for the person who opens it."""
    return msgspec.json.format(msgspec.json.encode(proof), indent=2) + b"\n"


def read_proof(file: BinaryIO) -> Proof:
    """The proof in *file*, of which no more than a proof can be is read. Raises ProofRefused."""
    raw = file.read(MAX_PROOF_BYTES + 1)
    try:
        check_json(raw, _LIMITS)
        proof: Proof = _DECODER.decode(raw)
    except LineRefused as wrong:
        raise ProofRefused(wrong.field, wrong.found, wrong.expected) from None
    except msgspec.ValidationError as wrong:
        path, reason = where_and_why(wrong)
        raise ProofRefused(path.removeprefix("."), reason, "a value as docs/how-to/prove-an-event.md says") from None
    except msgspec.DecodeError as wrong:  # half of a pair of surrogates, which no line of ours has
        raise ProofRefused("", str(wrong), "one JSON object") from None
    return proof


def read_stated(
    file: BinaryIO,
    name: str,
    limits: Limits = Limits(),  # noqa: B008 - immutable
    keys: KeyRing = NO_KEYS,
    *,
    signature: bytes | None = None,
) -> Stated:
    """What the manifest in *file* states: a manifest.json with its *signature*, or an archive that holds both.

    *keys* judge whose it is. Raises ArchiveError leaves, among them ManifestUnfit for one that was edited since it was
    signed: it states nothing.
    """
    is_archive = file.read(len(_ZIP)) == _ZIP
    file.seek(0)
    if is_archive:
        container = open_container(file, limits)
        raw = container.read(MANIFEST, limits.max_manifest_bytes)
        signature = container.read(SIGNATURE, MAX_SIGNATURE_BYTES) if SIGNATURE in container.names() else None
    else:
        raw = file.read(limits.max_manifest_bytes + 1)
    manifest = read_manifest(raw, limits)
    authenticity = keys.judge(raw, signature, manifest.taken_at)
    if authenticity.verdict == "edited":
        raise ManifestUnfit(name, f"a manifest that is {authenticity}", "one as it was signed, or unsigned")
    return Stated(
        file=name,
        archive=manifest.archive,
        account=manifest.account.id,
        account_name=manifest.account.name,
        stream=manifest.stream,
        taken_at=manifest.taken_at,
        tree_head=manifest.tree_head,
        authenticity=authenticity,
    )


def check_proof(proof: Proof, manifests: Sequence[Stated]) -> Checked:
    """Whether *proof* holds under the heads that the *manifests*, one or two, state.

    Raises ManifestUnfit when one states none of the heads that the proof is about, or none is given.
    """
    heads = [proof.tree_head] if isinstance(proof, Inclusion) else [proof.earlier, proof.later]
    about = " or ".join(f"{head.size:,} events, root {head.root}" for head in heads)
    if not manifests:
        raise ManifestUnfit("the manifest", "none", f"one that states what the proof is about: {about}")
    for one in manifests:
        if one.tree_head not in heads:
            found = f"a head of {one.tree_head.size:,} events, root {one.tree_head.root}"
            raise ManifestUnfit(one.file, found, f"what the proof is about: {about}")
    stated = [one.tree_head for one in manifests]
    return Checked(
        holds=proof.holds(),
        shows=proof.shows(),
        proof=proof,
        manifests=tuple(manifests),
        unstated=tuple(head for head in heads if head not in stated),
    )


def _unhexed(path: Sequence[str]) -> list[bytes]:
    return [bytes.fromhex(node) for node in path]
