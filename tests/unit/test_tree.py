"""The verifiable log against RFC 9162's own definitions, written here as the RFC states them: recursively."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.tree import (
    EMPTY,
    Frontier,
    FrontierDamaged,
    OutsideTree,
    append,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    leaf_hashes,
    root_of,
    verify_consistency,
    verify_inclusion,
)

trees = st.lists(st.binary(max_size=4), min_size=1, max_size=70)


def largest_power_below(size: int) -> int:
    power = 1
    while power * 2 < size:
        power *= 2
    return power


def mth(lines: list[bytes]) -> bytes:
    """MTH(D[n]) of RFC 9162, 2.1.1."""
    if not lines:
        return sha256(b"").digest()
    if len(lines) == 1:
        return sha256(b"\x00" + lines[0]).digest()
    k = largest_power_below(len(lines))
    return sha256(b"\x01" + mth(lines[:k]) + mth(lines[k:])).digest()


def path(m: int, lines: list[bytes]) -> list[bytes]:
    """PATH(m, D[n]) of RFC 9162, 2.1.3.1."""
    if len(lines) == 1:
        return []
    k = largest_power_below(len(lines))
    if m < k:
        return [*path(m, lines[:k]), mth(lines[k:])]
    return [*path(m - k, lines[k:]), mth(lines[:k])]


def subproof(m: int, lines: list[bytes], known: bool) -> list[bytes]:
    """SUBPROOF(m, D[n], b) of RFC 9162, 2.1.4.1; PROOF(m, D[n]) is SUBPROOF(m, D[n], true)."""
    if m == len(lines):
        return [] if known else [mth(lines)]
    k = largest_power_below(len(lines))
    if m <= k:
        return [*subproof(m, lines[:k], known), mth(lines[k:])]
    return [*subproof(m - k, lines[k:], False), mth(lines[:k])]


def leaves_of(lines: list[bytes]) -> list[bytes]:
    return [sha256(b"\x00" + line).digest() for line in lines]


def flipped(value: bytes, bit: int) -> bytes:
    """*value* with one bit changed."""
    changed = bytearray(value)
    changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)


def test_the_root_of_no_lines_is_the_hash_of_nothing() -> None:
    assert EMPTY.root().hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_the_leaf_of_an_empty_line_is_the_hash_of_one_zero_byte() -> None:
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"


@given(trees)
def test_many_leaves_are_the_leaves_of_each(lines: list[bytes]) -> None:
    assert leaf_hashes(lines) == [leaf_hash(line) for line in lines] == leaves_of(lines)


def test_three_lines_hash_as_worked_out_by_hand() -> None:
    a, b, c = (sha256(b"\x00" + line).digest() for line in (b"a", b"b", b"c"))
    expected = sha256(b"\x01" + sha256(b"\x01" + a + b).digest() + c).digest()

    assert root_of(leaves_of([b"a", b"b", b"c"])) == expected


def test_a_line_cannot_pass_for_a_node() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")

    assert root_of([left, right]) != leaf_hash(left + right)


@given(trees)
def test_the_root_is_the_merkle_tree_hash_of_the_rfc(lines: list[bytes]) -> None:
    assert root_of(leaves_of(lines)) == mth(lines)


@given(trees, st.data())
def test_the_frontier_is_the_same_however_the_leaves_are_split(lines: list[bytes], data: st.DataObject) -> None:
    leaves = leaves_of(lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(leaves)), max_size=8)))

    frontier = EMPTY
    for first, after in zip([0, *cuts], [*cuts, len(leaves)], strict=True):
        frontier = append(frontier, leaves[first:after])

    assert frontier == append(EMPTY, leaves)
    assert frontier.size == len(leaves)
    assert len(frontier.hashes) == len(leaves).bit_count()


def test_an_append_leaves_the_frontier_it_started_from_as_it_was() -> None:
    before = append(EMPTY, leaves_of([b"a", b"b", b"c"]))
    root = before.root()

    append(before, leaves_of([b"d"]))

    assert (before.size, before.root()) == (3, root)


@given(trees)
def test_a_stored_frontier_comes_back_and_goes_on(lines: list[bytes]) -> None:
    frontier = append(EMPTY, leaves_of(lines))

    again = Frontier.from_bytes(frontier.size, frontier.to_bytes())

    assert again == frontier
    assert append(again, leaves_of([b"next"])).root() == mth([*lines, b"next"])


@pytest.mark.parametrize(
    ("size", "raw"),
    [(0, b"x" * 32), (1, b""), (3, b"x" * 32), (3, b"x" * 63), (4, b"x" * 64), (-1, b"x" * 32), (2**64, b"x" * 32)],
)
def test_a_stored_frontier_of_the_wrong_length_is_refused(size: int, raw: bytes) -> None:
    with pytest.raises(FrontierDamaged) as refused:
        Frontier.from_bytes(size, raw)

    assert refused.value.code == "store.frontier-damaged"
    assert f"{len(raw):,} bytes" in str(refused.value)


@given(trees, st.data())
def test_an_inclusion_proof_is_the_path_of_the_rfc_and_verifies(lines: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(lines) - 1))
    leaves = leaves_of(lines)

    proof = inclusion_proof(leaves, index)

    assert proof == path(index, lines)
    assert verify_inclusion(leaves[index], index, len(lines), proof, mth(lines))


@given(trees, st.data())
def test_an_inclusion_proof_holds_for_nothing_else(lines: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(lines) - 1))
    leaves, root, size = leaves_of(lines), mth(lines), len(lines)
    proof = inclusion_proof(leaves, index)
    bit = data.draw(st.integers(0, 255))

    assert not verify_inclusion(flipped(leaves[index], bit), index, size, proof, root)
    assert not verify_inclusion(leaves[index], index, size, proof, flipped(root, bit))
    assert not verify_inclusion(leaves[index], index, size, [*proof, root], root)
    assert not verify_inclusion(leaves[index], size, size, proof, root)
    assert not verify_inclusion(leaves[index], -1, size, proof, root)
    for place, node in enumerate(proof):
        assert not verify_inclusion(leaves[index], index, size, proof[:place] + proof[place + 1 :], root)
        tampered = [*proof[:place], flipped(node, bit), *proof[place + 1 :]]
        assert not verify_inclusion(leaves[index], index, size, tampered, root)
        assert not verify_inclusion(leaves[index], index, size, [*proof[:place], node[:31], *proof[place + 1 :]], root)


def test_a_leaf_proven_at_one_index_is_not_proven_at_another() -> None:
    leaves = leaves_of([bytes([number]) for number in range(13)])
    root = root_of(leaves)

    for index in range(13):
        proof = inclusion_proof(leaves, index)
        places = [place for place in range(13) if verify_inclusion(leaves[index], place, 13, proof, root)]
        assert places == [index]


@given(trees, st.data())
def test_a_consistency_proof_is_the_proof_of_the_rfc_and_verifies(lines: list[bytes], data: st.DataObject) -> None:
    old_size = data.draw(st.integers(1, len(lines)))

    proof = consistency_proof(leaves_of(lines), old_size)

    assert proof == subproof(old_size, lines, True)
    assert verify_consistency(old_size, mth(lines[:old_size]), len(lines), mth(lines), proof)


@given(trees, st.data())
def test_a_consistency_proof_holds_for_nothing_else(lines: list[bytes], data: st.DataObject) -> None:
    old_size = data.draw(st.integers(1, len(lines)))
    old_root, root, size = mth(lines[:old_size]), mth(lines), len(lines)
    proof = consistency_proof(leaves_of(lines), old_size)
    bit = data.draw(st.integers(0, 255))

    assert not verify_consistency(old_size, flipped(old_root, bit), size, root, proof)
    assert not verify_consistency(old_size, old_root, size, flipped(root, bit), proof)
    assert not verify_consistency(old_size, old_root, size, root, [*proof, root])
    assert not verify_consistency(size + 1, old_root, size, root, proof)
    for place, node in enumerate(proof):
        tampered = [*proof[:place], flipped(node, bit), *proof[place + 1 :]]
        assert not verify_consistency(old_size, old_root, size, root, tampered)
        assert not verify_consistency(old_size, old_root, size, root, proof[:place] + proof[place + 1 :])


def test_a_tree_whose_past_was_rewritten_is_not_consistent_with_it() -> None:
    lines = [bytes([number]) for number in range(20)]
    for old_size in range(1, 20):
        rewritten = [*lines[: old_size - 1], b"other", *lines[old_size:]]
        proof = consistency_proof(leaves_of(rewritten), old_size)

        assert not verify_consistency(old_size, mth(lines[:old_size]), 20, mth(rewritten), proof)


def test_every_tree_continues_the_empty_one() -> None:
    root = mth([b"a", b"b"])

    assert consistency_proof(leaves_of([b"a", b"b"]), 0) == []
    assert verify_consistency(0, EMPTY.root(), 2, root, [])
    assert verify_consistency(0, EMPTY.root(), 0, EMPTY.root(), [])
    assert not verify_consistency(0, root, 2, root, [])
    assert not verify_consistency(0, EMPTY.root(), 0, root, [])
    assert not verify_consistency(0, EMPTY.root(), 2, root, [root])


@pytest.mark.parametrize("index", [-1, 2, 100])
def test_a_proof_of_a_leaf_that_the_tree_lacks_is_refused(index: int) -> None:
    with pytest.raises(OutsideTree):
        inclusion_proof(leaves_of([b"a", b"b"]), index)


@pytest.mark.parametrize("old_size", [-1, 3])
def test_a_proof_of_a_size_that_the_tree_never_had_is_refused(old_size: int) -> None:
    with pytest.raises(OutsideTree):
        consistency_proof(leaves_of([b"a", b"b"]), old_size)
