"""Signatures of manifests: Ed25519 over a domain prefix and the manifest's exact bytes, by a key that has an id.

Keys are PEM, as ``openssl genpkey -algorithm ed25519`` writes them. Whom to believe is the reader's business: a
signature names its key by an id, which is a hash, so that no key can come out of an archive.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import ClassVar, NamedTuple

import msgspec
from nacl.bindings import crypto_core_ed25519_is_valid_point
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from domain.errors import ArchiveError, SetupError
from domain.events import LineLimits, LineRefused, check_json
from domain.parties import Value
from snapshots.format.authenticity import Authenticity, Differing
from snapshots.format.manifest import MANIFEST, SIGNATURE

# What is signed begins with this, so that a signature made for anything else never fits a manifest.
DOMAIN_PREFIX = b"counterfoil archive manifest 1\n"
ALGORITHM = "Ed25519"
MAX_SIGNATURE_BYTES = 1024

_SIGNATURE_BYTES = 64
# The order of the group: the second half of a signature counts modulo it, so that one not reduced would be another
# spelling of the same signature.
_ORDER = 2**252 + 27742317777372353535851937790883648493
# The DER of a key is these bytes (RFC 8410) and then the 32 of the key.
_PRIVATE_DER = bytes.fromhex("302e020100300506032b657004220420")
_PUBLIC_DER = bytes.fromhex("302a300506032b6570032100")
_PEM = re.compile(r"\s*-----BEGIN ([A-Z ]+)-----\s+([A-Za-z0-9+/=\s]+)-----END \1-----\s*")
_MAX_PEM_CHARACTERS = 1024


@dataclass(eq=False)
class SignatureRefused(ArchiveError):
    """The signature file is not one that this format has."""

    code: ClassVar[str] = "archive.signature"
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{SIGNATURE}: found {self.found}; expected {self.expected}"


@dataclass(eq=False)
class KeyUnusable(SetupError):
    """A key cannot be read, or is none that may be used."""

    code: ClassVar[str] = "key.unusable"
    where: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.where}: found {self.found}; expected {self.expected}"


class Signature(Value, frozen=True, kw_only=True, omit_defaults=False):
    """``manifest.sig``: one line of JSON. ``signature`` is Base64 of 64 bytes, ``key`` the id of the key."""

    algorithm: str
    key: str
    signature: str


class TrustedKey(NamedTuple):
    """A public key that is believed, from *distrusted_from* on no longer. ``is_ours``: it signs or signed here."""

    id: str
    name: str
    public: bytes
    is_ours: bool = False
    distrusted_from: datetime | None = None

    def is_believed(self, at: datetime) -> bool:
        """Whether an archive taken *at* that moment is believed by this key."""
        return self.distrusted_from is None or at < self.distrusted_from


class Signer:
    """A private key that signs manifests."""

    def __init__(self, seed: bytes) -> None:
        self._key = SigningKey(seed)
        self.public = bytes(self._key.verify_key)
        self.key = key_id(self.public)

    def __repr__(self) -> str:
        return f"Signer({self.key})"

    def sign(self, manifest: bytes) -> bytes:
        """The bytes of ``manifest.sig`` for the exact bytes of a manifest."""
        raw = self._key.sign(DOMAIN_PREFIX + manifest).signature
        return _encode(Signature(algorithm=ALGORITHM, key=self.key, signature=base64.b64encode(raw).decode()))


class KeyRing:
    """The keys that are believed, to judge archives by."""

    def __init__(self, keys: tuple[TrustedKey, ...] = ()) -> None:
        self._keys = {key.id: key for key in keys}

    def judge(self, manifest: bytes, signature: bytes | None, taken_at: datetime) -> Authenticity:
        """Who vouches for *manifest*, which says that it was taken at *taken_at*. Raises SignatureRefused.

        Whether the other files are those that it lists is not known yet.
        """
        if signature is None:
            return Authenticity(verdict="unsigned", reason=f"it has no {SIGNATURE}")
        stated, raw = read_signature(signature)
        key = self._keys.get(stated.key)
        if key is None:
            reason = f"it is signed by a key that is not trusted here, {stated.key}"
            return Authenticity(verdict="unsigned", key=stated.key, reason=reason)
        if not key.is_believed(taken_at if taken_at.tzinfo else taken_at.replace(tzinfo=UTC)):
            reason = f"it is signed by {key.name}, key {key.id}, which is not believed at {taken_at.isoformat()}"
            return Authenticity(verdict="unsigned", key=key.id, key_name=key.name, reason=reason)
        if not verifies(key.public, manifest, raw):
            reason = f"{MANIFEST} is not the one that was signed"
            differs = Differing(file=MANIFEST, what="signature", found="of other bytes", expected=f"one by {key.name}")
            return Authenticity(
                verdict="edited",
                key=key.id,
                key_name=key.name,
                is_ours=key.is_ours,
                reason=reason,
                differing=(differs,),
            )
        return Authenticity(verdict="authentic", key=key.id, key_name=key.name, is_ours=key.is_ours)


NO_KEYS = KeyRing()


def key_id(public: bytes) -> str:
    """The id of a public key: the first 32 hexadecimal digits of its SHA-256."""
    return sha256(public).hexdigest()[:32]


def verifies(public: bytes, manifest: bytes, signature: bytes) -> bool:
    """Whether *signature* is one of *manifest* by the key."""
    try:
        VerifyKey(public).verify(DOMAIN_PREFIX + manifest, signature)
    except BadSignatureError:
        return False
    return True


def read_signature(raw: bytes) -> tuple[Signature, bytes]:
    """What a ``manifest.sig`` states, and the signature's bytes. Raises SignatureRefused for any other spelling."""
    try:
        check_json(raw.removesuffix(b"\n"), LineLimits(max_bytes=MAX_SIGNATURE_BYTES))
        stated = msgspec.json.decode(raw, type=Signature)
        signature = base64.b64decode(stated.signature, validate=True)
    except LineRefused as wrong:
        raise SignatureRefused(wrong.found, wrong.expected) from None
    except (msgspec.DecodeError, binascii.Error) as wrong:
        raise SignatureRefused(str(wrong), "algorithm, key and signature, as docs/archive-format.md says") from None
    if stated.algorithm != ALGORITHM:
        raise SignatureRefused(f"the algorithm {stated.algorithm[:40]!r}", ALGORITHM)
    if not re.fullmatch("[0-9a-f]{32}", stated.key):
        raise SignatureRefused(f"the key {stated.key[:40]!r}", "an id of 32 hexadecimal digits")
    if len(signature) != _SIGNATURE_BYTES:
        raise SignatureRefused(f"a signature of {len(signature)} bytes", f"{_SIGNATURE_BYTES}")
    if int.from_bytes(signature[32:], "little") >= _ORDER:
        raise SignatureRefused("a signature whose second half is not reduced", "the one spelling of it")
    if raw != _encode(stated):
        raise SignatureRefused("another spelling", "one line of JSON without spaces, its keys in order")
    return stated, signature


def _encode(signature: Signature) -> bytes:
    return msgspec.json.encode(signature) + b"\n"


def private_pem(seed: bytes) -> str:
    """A private key as PEM (PKCS #8)."""
    return _pem("PRIVATE KEY", _PRIVATE_DER + seed)


def public_pem(public: bytes) -> str:
    """A public key as PEM (SubjectPublicKeyInfo)."""
    return _pem("PUBLIC KEY", _PUBLIC_DER + public)


def read_private_pem(text: str, *, where: str) -> Signer:
    """The signer of a private key in PEM. Raises KeyUnusable, which never quotes it."""
    seed = _read_pem(text, "PRIVATE KEY", _PRIVATE_DER)
    if seed is None:
        raise KeyUnusable(where, "something else", "an Ed25519 private key in PEM, not encrypted")
    return Signer(seed)


def read_public_pem(text: str, *, where: str) -> bytes:
    """The public key in PEM. Raises KeyUnusable, for one of small order too: under it others can make signatures."""
    public = _read_pem(text, "PUBLIC KEY", _PUBLIC_DER)
    if public is None:
        raise KeyUnusable(where, "something else", "an Ed25519 public key in PEM")
    check_public(public, where=where)
    return public


def check_public(public: bytes, *, where: str) -> None:
    """That a public key is a point of the main group. Raises KeyUnusable."""
    if len(public) != 32 or not crypto_core_ed25519_is_valid_point(public):
        raise KeyUnusable(where, "a point that is no public key, or one of small order", "an Ed25519 public key")


def _pem(label: str, der: bytes) -> str:
    return f"-----BEGIN {label}-----\n{base64.b64encode(der).decode()}\n-----END {label}-----\n"


def _read_pem(text: str, label: str, prefix: bytes) -> bytes | None:
    match = _PEM.fullmatch(text) if len(text) <= _MAX_PEM_CHARACTERS else None
    if match is None or match[1] != label:
        return None
    try:
        der = base64.b64decode("".join(match[2].split()), validate=True)
    except binascii.Error:
        return None
    return der[len(prefix) :] if der.startswith(prefix) and len(der) == len(prefix) + 32 else None
