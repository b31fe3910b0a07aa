"""The verifiable log: the Merkle tree of RFC 9162 over the lines of a stream.

A leaf is SHA-256 of ``0x00`` and the line, a node SHA-256 of ``0x01`` and its two children, so that no line can pass
for a node. A tree is kept as its `Frontier`, the roots of the complete subtrees that its size is the sum of: at most 64
hashes, whatever the number of lines. Appending needs nothing else; proofs need the leaf hashes they are about.

Everything here is a pure function of its arguments and knows only ``hashlib``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar, Final

from domain.errors import StoreError

HASH_BYTES: Final = 32
# A position is a PostgreSQL bigint at most, so 64 subtrees always suffice.
MAX_SIZE: Final = 2**64 - 1
EMPTY_ROOT: Final = sha256(b"").digest()


@dataclass(eq=False)
class FrontierDamaged(StoreError):
    """A stored frontier does not hold the hashes that a tree of its size has."""

    code: ClassVar[str] = "store.frontier-damaged"
    size: int
    found_bytes: int
    expected_bytes: int

    def __str__(self) -> str:
        return (
            f"the frontier of a tree of {self.size:,} leaves: found {self.found_bytes:,} bytes of hashes; "
            f"expected {self.expected_bytes:,}"
        )


@dataclass(eq=False)
class OutsideTree(StoreError):
    """A proof was asked for a leaf or an earlier size that the tree does not have."""

    code: ClassVar[str] = "store.outside-tree"
    what: str
    found: int
    size: int

    def __str__(self) -> str:
        return f"{self.what} {self.found:,} is outside a tree of {self.size:,} leaves"


@dataclass(frozen=True, slots=True)
class Frontier:
    """The right edge of a tree: its size, and the roots of its complete subtrees, the largest first."""

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def to_bytes(self) -> bytes:
        """The hashes, one after another; stored beside the size, from which their number follows."""
        return b"".join(self.hashes)

    @classmethod
    def from_bytes(cls, size: int, raw: bytes) -> Frontier:
        """The frontier that `to_bytes` wrote for a tree of *size* leaves. Raises FrontierDamaged."""
        expected_bytes = size.bit_count() * HASH_BYTES
        if not 0 <= size <= MAX_SIZE or len(raw) != expected_bytes:
            raise FrontierDamaged(size=size, found_bytes=len(raw), expected_bytes=expected_bytes)
        return cls(size, tuple(raw[at : at + HASH_BYTES] for at in range(0, expected_bytes, HASH_BYTES)))

    def root(self) -> bytes:
        """The root hash of the tree: what a tree head states. An empty tree's is SHA-256 of nothing."""
        if not self.hashes:
            return EMPTY_ROOT
        root = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            root = node_hash(left, root)
        return root


EMPTY: Final = Frontier()


def leaf_hash(line: bytes) -> bytes:
    """The leaf of one line, given without its line end."""
    return sha256(b"\x00" + line).digest()


def leaf_hashes(lines: Iterable[bytes]) -> list[bytes]:
    """The leaves of many lines, in order: `leaf_hash` without a call for each, a third faster."""
    hash_, prefix = sha256, b"\x00"
    return [hash_(prefix + line).digest() for line in lines]


def node_hash(left: bytes, right: bytes) -> bytes:
    """The node above two hashes."""
    return sha256(b"\x01" + left + right).digest()


def append(frontier: Frontier, leaves: Sequence[bytes]) -> Frontier:
    """The frontier after *leaves* (leaf hashes, in order). The same however the leaves are split into calls.

    Cheapest in batches of some thousands: the tree is built level by level, one comprehension each, which costs half of
    what adding leaf by leaf does. Memory is that of one batch.
    """
    hash_, prefix = sha256, b"\x01"
    size = frontier.size
    waiting = list(frontier.hashes)  # complete subtrees to the left, the smallest last
    edge: list[bytes] = []  # the new frontier, the smallest first
    level = list(leaves)
    while level:
        if size & 1:
            level.insert(0, waiting.pop())
        if len(level) & 1:
            edge.append(level.pop())
        rest = iter(level)
        level = [hash_(prefix + left + right).digest() for left, right in zip(rest, rest, strict=True)]
        size >>= 1
    # What is left of *waiting* are subtrees too large for this batch to reach: they stay as they are.
    return Frontier(frontier.size + len(leaves), (*waiting, *reversed(edge)))


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root hash of a tree of just these leaf hashes."""
    return append(EMPTY, leaves).root()


def inclusion_path(index: int, size: int) -> list[range]:
    """The leaves, counted from 0, below each sibling on the way from leaf *index* up, the lowest first.

    The roots over them are the proof that the leaf is in the tree of *size* leaves (RFC 9162, 2.1.3.1). Raises
    OutsideTree.
    """
    if not 0 <= index < size:
        raise OutsideTree(what="leaf", found=index, size=size)
    path = []
    first, after = 0, size
    while after - first > 1:
        middle = first + _left_size(after - first)
        if index < middle:
            path.append(range(middle, after))
            after = middle
        else:
            path.append(range(first, middle))
            first = middle
    path.reverse()
    return path


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The roots over `inclusion_path`, of a tree whose leaf hashes are at hand. Raises OutsideTree."""
    return [root_of(leaves[part.start : part.stop]) for part in inclusion_path(index, len(leaves))]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether *proof* shows that the tree of *size* leaves under *root* has *leaf* at *index* (RFC 9162, 2.1.3.2).

    *leaf* is a leaf hash. Any malformed argument is an answer of no.
    """
    if not 0 <= index < size or not _are_hashes(leaf, root, *proof):
        return False
    # The place of the node climbed to so far, and of the last node, on their level.
    at, last = index, size - 1
    node = leaf
    for sibling in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            node = node_hash(sibling, node)
            # The right edge has no sibling on the levels where it is a left child alone: they are passed over.
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and node == root


def consistency_path(old_size: int, size: int) -> list[range]:
    """The leaves, counted from 0, below each node that shows a tree of *size* leaves to begin with one of *old_size*.

    The roots over them are the proof (RFC 9162, 2.1.4.1); none for an old tree of no leaves, or of all of them. Raises
    OutsideTree.
    """
    if not 0 <= old_size <= size:
        raise OutsideTree(what="earlier size", found=old_size, size=size)
    if old_size == 0:
        return []
    path = []
    first, after = 0, size
    while after != old_size:
        middle = first + _left_size(after - first)
        if old_size <= middle:
            path.append(range(middle, after))
            after = middle
        else:
            path.append(range(first, middle))
            first = middle
    if first > 0:  # otherwise the subtree reached is the whole old tree, whose root the verifier has
        path.append(range(first, after))
    path.reverse()
    return path


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> list[bytes]:
    """The roots over `consistency_path`, of a tree whose leaf hashes are at hand. Raises OutsideTree."""
    return [root_of(leaves[part.start : part.stop]) for part in consistency_path(old_size, len(leaves))]


def verify_consistency(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether *proof* shows that the new tree begins with the old one (RFC 9162, 2.1.4.2).

    Any malformed argument is an answer of no. A tree of no leaves is the beginning of every tree.
    """
    if not 0 <= old_size <= new_size or not _are_hashes(old_root, new_root, *proof):
        return False
    if old_size == 0:
        return not proof and old_root == EMPTY_ROOT and (new_size > 0 or new_root == EMPTY_ROOT)
    if old_size == new_size:
        return not proof and old_root == new_root
    # A complete old tree is a node of the new one, and its root is left out of the proof.
    path = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    if not path:
        return False
    at, last = old_size - 1, new_size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and old == old_root and new == new_root


def _left_size(size: int) -> int:
    """The largest power of two below *size*: how many leaves the left half of a tree has."""
    return int(1 << ((size - 1).bit_length() - 1))


def _are_hashes(*values: bytes) -> bool:
    return all(len(value) == HASH_BYTES for value in values)
