"""Signatures of manifests: which are taken, under which keys."""

from __future__ import annotations

import base64
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from snapshots.trust.signing import (
    DOMAIN_PREFIX,
    KeyRing,
    KeyUnusable,
    SignatureRefused,
    Signer,
    TrustedKey,
    key_id,
    private_pem,
    public_pem,
    read_private_pem,
    read_public_pem,
)
from tests.fixtures.archives import KEYS, SIGNER

MANIFEST = b'{"format_version": 1}\n'
AT = datetime(2026, 3, 1, tzinfo=UTC)
ORDER = 2**252 + 27742317777372353535851937790883648493
# The points of small order, as libsodium lists them: under one of these anybody can sign.
SMALL_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


def signature(raw: bytes, **changes: str) -> bytes:
    """A signature file for the bytes of a signature."""
    fields = {"algorithm": "Ed25519", "key": SIGNER.key, "signature": base64.b64encode(raw).decode(), **changes}
    return msgspec.json.encode(fields) + b"\n"


def raw_of(file: bytes) -> bytes:
    """The bytes of the signature in a signature file."""
    return base64.b64decode(msgspec.json.decode(file)["signature"])


@given(st.binary(max_size=200))
def test_what_is_signed_is_authentic_and_says_whose_it_is(manifest: bytes) -> None:
    found = KEYS.judge(manifest, SIGNER.sign(manifest), AT)

    assert (found.verdict, found.key, found.key_name) == ("authentic", SIGNER.key, "tests")


@given(st.binary(min_size=1, max_size=60), st.data())
def test_one_bit_that_differs_makes_it_edited(manifest: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(manifest) * 8 - 1))
    changed = bytearray(manifest)
    changed[at // 8] ^= 1 << at % 8

    found = KEYS.judge(bytes(changed), SIGNER.sign(manifest), AT)

    assert found.verdict == "edited"
    assert found.differs("manifest.json")


def test_m02_a_signature_that_is_missing_is_said_to_be() -> None:
    found = KEYS.judge(MANIFEST, None, AT)

    assert (found.verdict, found.key) == ("unsigned", None)
    assert "no manifest.sig" in str(found)


def test_m02_a_signature_by_another_key_is_unsigned_and_names_the_key() -> None:
    stranger = Signer(bytes(32))

    found = KEYS.judge(MANIFEST, stranger.sign(MANIFEST), AT)

    assert (found.verdict, found.key, found.key_name) == ("unsigned", stranger.key, None)


def test_m02_a_signature_that_says_it_is_by_a_key_that_did_not_make_it_is_edited() -> None:
    forged = signature(raw_of(Signer(bytes(32)).sign(MANIFEST)))

    assert KEYS.judge(MANIFEST, forged, AT).verdict == "edited"


@pytest.mark.parametrize("size", [0, 63, 65, 128])
def test_m02_a_signature_of_another_length_is_refused(size: int) -> None:
    raw = (raw_of(SIGNER.sign(MANIFEST)) * 2)[:size]

    with pytest.raises(SignatureRefused):
        KEYS.judge(MANIFEST, signature(raw), AT)


def test_m02_a_signature_with_the_order_added_to_its_second_half_is_refused() -> None:
    raw = raw_of(SIGNER.sign(MANIFEST))
    other = raw[:32] + (int.from_bytes(raw[32:], "little") + ORDER).to_bytes(32, "little")

    with pytest.raises(SignatureRefused):
        KEYS.judge(MANIFEST, signature(other), AT)


def test_m02_a_manifest_that_was_serialised_again_is_not_the_one_that_was_signed() -> None:
    again = msgspec.json.encode(msgspec.json.decode(MANIFEST))

    assert KEYS.judge(again, SIGNER.sign(MANIFEST), AT).verdict == "edited"


@pytest.mark.parametrize(
    "spelled",
    [
        b"",
        b"{}\n",
        b"[]\n",
        b"null\n",
        SIGNER.sign(MANIFEST).rstrip(b"\n"),
        SIGNER.sign(MANIFEST) + b"\n",
        b" " + SIGNER.sign(MANIFEST),
        SIGNER.sign(MANIFEST).replace(b'"key"', b'"key":"","key"'),
        SIGNER.sign(MANIFEST).replace(b'"algorithm"', b'"more":1,"algorithm"'),
        SIGNER.sign(MANIFEST).replace(b"==", b"="),
        b"\xff" * 10,
        b"[" * 1000,
    ],
)
def test_m02_a_signature_file_in_another_spelling_is_refused(spelled: bytes) -> None:
    with pytest.raises(SignatureRefused):
        KEYS.judge(MANIFEST, spelled, AT)


@pytest.mark.parametrize("algorithm", ["none", "", "md5", "ed25519", "HS256", "RS256"])
def test_m08_another_algorithm_is_refused(algorithm: str) -> None:
    with pytest.raises(SignatureRefused):
        KEYS.judge(MANIFEST, signature(raw_of(SIGNER.sign(MANIFEST)), algorithm=algorithm), AT)


@pytest.mark.parametrize("point", SMALL_ORDER)
@pytest.mark.parametrize("sign_bit", [0, 0x80])
def test_m03_a_key_of_small_order_is_refused_when_it_is_enrolled(point: str, sign_bit: int) -> None:
    public = bytearray.fromhex(point)
    public[31] |= sign_bit

    with pytest.raises(KeyUnusable):
        read_public_pem(public_pem(bytes(public)), where="key.pem")


@pytest.mark.parametrize("point", SMALL_ORDER)
def test_m03_under_a_key_of_small_order_nothing_verifies_even_if_it_were_trusted(point: str) -> None:
    public = bytes.fromhex(point)
    ring = KeyRing((TrustedKey(key_id(public), "small", public),))

    for raw in (bytes(64), public + bytes(32)):
        assert ring.judge(MANIFEST, signature(raw, key=key_id(public)), AT).verdict == "edited"


@pytest.mark.parametrize("prefix", [b"", b"counterfoil token 1\n", DOMAIN_PREFIX.rstrip(), DOMAIN_PREFIX * 2])
def test_m04_a_signature_made_for_another_purpose_is_none_of_a_manifest(prefix: bytes) -> None:
    raw = SigningKey(b"the signing key of all our tests").sign(prefix + MANIFEST).signature

    assert KEYS.judge(MANIFEST, signature(raw), AT).verdict == "edited"


@pytest.mark.parametrize(
    ("from_", "verdict"),
    [
        (datetime(2026, 2, 1, tzinfo=UTC), "unsigned"),
        (AT, "unsigned"),
        (datetime(2026, 3, 2, tzinfo=UTC), "authentic"),
        (None, "authentic"),
    ],
)
def test_m09_a_key_is_distrusted_from_a_moment_on_and_believed_before(from_: datetime | None, verdict: str) -> None:
    ring = KeyRing((TrustedKey(SIGNER.key, "tests", SIGNER.public, distrusted_from=from_),))

    assert ring.judge(MANIFEST, SIGNER.sign(MANIFEST), AT).verdict == verdict
    assert ring.judge(MANIFEST, SIGNER.sign(MANIFEST), AT.replace(tzinfo=None)).verdict == verdict


@pytest.mark.parametrize(
    "text",
    [
        "",
        "key",
        private_pem(bytes(32)),
        public_pem(SIGNER.public).replace("PUBLIC", "PRIVATE"),
        public_pem(SIGNER.public[:31]),
        public_pem(SIGNER.public + b"\0"),
        public_pem(SIGNER.public) * 2,
        public_pem(SIGNER.public).replace("M", "?"),
        "\n" * 5000 + public_pem(SIGNER.public),
    ],
)
def test_what_is_no_public_key_is_not_taken_for_one(text: str) -> None:
    with pytest.raises(KeyUnusable):
        read_public_pem(text, where="key.pem")


def test_an_error_about_a_private_key_does_not_quote_it() -> None:
    pem = private_pem(b"a secret of thirty-two bytes, yes")[:-3]

    with pytest.raises(KeyUnusable) as refused:
        read_private_pem(pem, where="key.pem")

    assert pem.splitlines()[1] not in str(refused.value)


def test_openssl_reads_our_keys_and_verifies_our_signatures(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    (tmp_path / "key.pem").write_text(public_pem(SIGNER.public))
    (tmp_path / "signed").write_bytes(DOMAIN_PREFIX + MANIFEST)
    (tmp_path / "signature").write_bytes(raw_of(SIGNER.sign(MANIFEST)))

    command = "openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in signed -sigfile signature"
    done = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True, check=False)

    assert "Signature Verified Successfully" in done.stdout


def test_a_key_that_openssl_makes_signs(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    made = subprocess.run(
        ["openssl", "genpkey", "-algorithm", "ed25519"], capture_output=True, text=True, check=True
    ).stdout
    public = subprocess.run(
        ["openssl", "pkey", "-pubout"], input=made, capture_output=True, text=True, check=True
    ).stdout

    assert read_private_pem(made, where="key.pem").public == read_public_pem(public, where="key.pem")
