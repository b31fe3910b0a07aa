"""Encrypted archives: the whole ZIP as an age file (age-encryption.org/v1), with a passphrase or to public keys.

Public keys are the business of pyrage. It takes a passphrase only for what is in memory, so what a passphrase protects
is read and written here, a chunk at a time: scrypt gives the key of the file's key, and the content is chunks of 64 KiB
under ChaCha20-Poly1305. Memory is a chunk, and what scrypt needs: 256 MiB at the work factor that we write.

The plain text is only ever in memory or in a file without a name: a crash leaves nothing that can be opened.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar

import pyrage
from nacl.bindings import crypto_aead_chacha20poly1305_ietf_ABYTES as TAG_BYTES
from nacl.bindings import crypto_aead_chacha20poly1305_ietf_decrypt as open_box
from nacl.bindings import crypto_aead_chacha20poly1305_ietf_encrypt as seal_box
from nacl.exceptions import CryptoError

from domain.errors import ArchiveError
from snapshots.container import Limits
from snapshots.container.writer import ByteSink
from snapshots.format.errors import ArchiveTooLarge

MAGIC = b"age-encryption.org/v1\n"
ARMOR = b"-----BEGIN AGE ENCRYPTED FILE-----"
CHUNK_BYTES = 64 * 1024
WORK_FACTOR = 18  # of scrypt, as the age program writes it: 256 MiB and about a second
_MAX_HEADER_BYTES = 64 * 1024  # some hundred recipients
_NONCE_BYTES = 16
_FILE_KEY_BYTES = 16
_SCRYPT_LABEL = b"age-encryption.org/v1/scrypt"
_STANZA = re.compile(rb"^-> ([!-~]+)", re.MULTILINE)
_SCRYPT_HEADER = re.compile(
    rb"age-encryption\.org/v1\n-> scrypt ([A-Za-z0-9+/]{22}) ([1-9][0-9]?)\n([A-Za-z0-9+/]{43})\n"
    rb"---(?P<mac> [A-Za-z0-9+/]{43})\n"
)
_deriving = threading.Lock()  # one at a time: what scrypt needs is not bounded by how many ask


@dataclass(eq=False)
class ArchiveLocked(ArchiveError):
    """The archive is encrypted, and what opens it was not given."""

    code: ClassVar[str] = "archive.locked"
    found: str
    expected: str

    def __post_init__(self) -> None:
        self.hint = "give --identity FILE (identity), or --passphrase (passphrase)"

    def __str__(self) -> str:
        return f"the archive is encrypted: found {self.found}; expected {self.expected}"


class PassphraseWrong(ArchiveError):
    """The passphrase does not open the archive."""

    code: ClassVar[str] = "archive.passphrase-wrong"

    def __str__(self) -> str:
        return "the passphrase does not open the archive; expected the one that it was encrypted with"


class IdentityWrong(ArchiveError):
    """No identity that was given opens the archive."""

    code: ClassVar[str] = "archive.identity-wrong"

    def __str__(self) -> str:
        return "no identity that was given opens the archive; expected that of one of its recipients"


@dataclass(eq=False)
class EncryptionDamaged(ArchiveError):
    """The encrypted file is damaged, cut short or goes on after its end."""

    code: ClassVar[str] = "archive.encryption-damaged"
    found: str
    expected: str = "an age file, whole and in binary"

    def __str__(self) -> str:
        return f"the encrypted archive: found {self.found}; expected {self.expected}"


@dataclass(eq=False)
class WorkFactorTooHigh(ArchiveError):
    """To try the passphrase would take more memory than is allowed."""

    code: ClassVar[str] = "archive.work-factor"
    found: int
    most: int

    def __str__(self) -> str:
        return (
            f"the encrypted archive: found the work factor {self.found}, for which a try takes"
            f" {1 << self.found:,} KiB of memory; expected at most {self.most} (the setting work_factor_limit)"
        )


@dataclass(eq=False)
class KeyMaterialRefused(ArchiveError):
    """What should encrypt or open an archive is no public key, identity or passphrase. Never quotes a secret."""

    code: ClassVar[str] = "encryption.refused"
    where: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.where}: found {self.found}; expected {self.expected}"


class Passphrase:
    """A passphrase. Its ``repr`` does not show it."""

    def __init__(self, text: str) -> None:
        """Raises KeyMaterialRefused for an empty one."""
        if not text:
            raise KeyMaterialRefused("passphrase", "an empty one", "one that is hard to guess")
        self.raw = text.encode("utf-8", "surrogateescape")


class Recipients:
    """The public keys that an archive is encrypted to: ``age1…``, ``ssh-ed25519 …`` or ``ssh-rsa …``."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Raises KeyMaterialRefused for what is none, and for none at all."""
        self.keys = [_recipient(text.strip()) for text in texts]
        if not self.keys:
            raise KeyMaterialRefused("recipients", "none", "at least one public key")


class Identities:
    """Private keys that may open an archive: texts as ``age-keygen`` writes them, or OpenSSH private keys."""

    def __init__(self, texts: Iterable[tuple[str, str]]) -> None:
        """*texts*: each with where it comes from. Raises KeyMaterialRefused, which quotes nothing of them."""
        self.keys = [key for where, text in texts for key in _identities(text, where)]


Lock = Passphrase | Recipients
Unlock = Passphrase | Identities


def _recipient(text: str) -> Any:
    try:
        if text.startswith("ssh-"):
            return pyrage.ssh.Recipient.from_str(text)
        return pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError:
        expected = "a public key: age1…, ssh-ed25519 … or ssh-rsa …"
        # A private key that is given by mistake begins otherwise, and is not quoted.
        found = repr(text[:80]) if text.startswith(("age1", "ssh-")) else "something else"
        raise KeyMaterialRefused("recipients", found, expected) from None


def _identities(text: str, where: str) -> list[Any]:
    expected = "lines AGE-SECRET-KEY-1…, or an OpenSSH private key without a passphrase"
    try:
        if "PRIVATE KEY-----" in text:
            return [pyrage.ssh.Identity.from_buffer(text.encode())]
        lines = [line.strip() for line in text.splitlines()]
        found = [pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    except (pyrage.IdentityError, UnicodeEncodeError):
        raise KeyMaterialRefused(where, "something else", expected) from None
    if not found:
        raise KeyMaterialRefused(where, "no identity", expected)
    return found


# Writing


@contextmanager
def encrypted(out: ByteSink, lock: Lock | None) -> Iterator[ByteSink]:
    """What is written to the sink goes to *out* encrypted by *lock*, or as it is without one.

    Only once the ``with`` ended well is what *out* got whole. Raises what *out* raises.
    """
    if lock is None:
        yield out
    elif isinstance(lock, Passphrase):
        sealing = _Sealing(out, lock)
        yield sealing
        sealing.finish()
    else:
        with _piped(out, lock) as sink:
            yield sink


class _Sealing:
    """A sink that seals chunk by chunk, behind a header that a passphrase opens."""

    def __init__(self, out: ByteSink, passphrase: Passphrase) -> None:
        file_key, salt, nonce = os.urandom(_FILE_KEY_BYTES), os.urandom(16), os.urandom(_NONCE_BYTES)
        wrapped = seal_box(file_key, None, bytes(12), _stretched(passphrase, salt, WORK_FACTOR))
        header = MAGIC + b"-> scrypt %b %d\n%b\n---" % (_unpadded(salt), WORK_FACTOR, _unpadded(wrapped))
        out.write(header + b" " + _unpadded(_mac(file_key, header)) + b"\n" + nonce)
        self._out = out
        self._key = _derived(file_key, nonce, b"payload")
        self._waiting = bytearray()
        self._count = 0

    def write(self, data: bytes) -> None:
        self._waiting += data
        while len(self._waiting) > CHUNK_BYTES:  # the last chunk is marked, so one is held back
            self._seal(bytes(self._waiting[:CHUNK_BYTES]), is_last=False)
            del self._waiting[:CHUNK_BYTES]

    def finish(self) -> None:
        self._seal(bytes(self._waiting), is_last=True)

    def _seal(self, chunk: bytes, *, is_last: bool) -> None:
        self._out.write(seal_box(chunk, None, _chunk_nonce(self._count, is_last=is_last), self._key))
        self._count += 1


@contextmanager
def _piped(out: ByteSink, recipients: Recipients) -> Iterator[ByteSink]:
    """A sink whose content a thread encrypts: pyrage pulls what is encrypted, and a backup pushes it."""
    reading, writing = os.pipe()
    failed: list[BaseException] = []

    def encrypt() -> None:
        try:
            with os.fdopen(reading, "rb") as source:
                pyrage.encrypt_io(source, _Guarded(out, failed), recipients.keys)
        except BaseException as wrong:  # noqa: BLE001 - raised where the sink is written to
            failed.append(wrong)

    thread = threading.Thread(target=encrypt, name="encrypt")
    thread.start()
    try:
        try:
            with os.fdopen(writing, "wb") as sink:
                yield sink
        finally:
            thread.join()
    except BrokenPipeError:
        if not failed:
            raise
    if failed:
        raise failed[0]


class _Guarded:
    """A sink for pyrage, which puts errors of a sink into words: it keeps the error itself."""

    def __init__(self, out: ByteSink, failed: list[BaseException]) -> None:
        self._out = out
        self._failed = failed

    def write(self, data: bytes) -> int:
        try:
            self._out.write(bytes(data))
        except BaseException as wrong:
            self._failed.append(wrong)
            raise
        return len(data)

    def flush(self) -> None:
        """Nothing waits here."""


# Reading


def decrypted(file: BinaryIO, unlock: Unlock | None, limits: Limits) -> BinaryIO:
    """The archive in *file* as it is before encryption: *file* itself when it is not encrypted.

    What is decrypted is in a file without a name, for the caller to close. Raises ArchiveLocked, PassphraseWrong,
    IdentityWrong, WorkFactorTooHigh, EncryptionDamaged, ArchiveTooLarge.
    """
    file.seek(0)
    start = file.read(_MAX_HEADER_BYTES)
    if start.startswith(ARMOR):
        raise EncryptionDamaged("an age file in ASCII armor", "one in binary")
    if not start.startswith(MAGIC):
        return file
    header, end, _ = start.partition(b"\n---")
    if not end:
        raise EncryptionDamaged("no end of its header")
    by_passphrase = b"scrypt" in _STANZA.findall(header)
    plain = tempfile.TemporaryFile(prefix="counterfoil-")  # noqa: SIM115 - the caller's, when all goes well
    try:
        sink = _Bounded(plain, limits.max_archive_bytes)
        if by_passphrase and isinstance(unlock, Passphrase):
            _decrypt_by_passphrase(file, start, unlock, sink, limits.max_work_factor)
        elif not by_passphrase and isinstance(unlock, Identities):
            _decrypt_by_identity(file, unlock, sink)
        else:
            given = {Passphrase: "a passphrase", Identities: "an identity"}.get(type(unlock), "nothing to open it with")
            raise ArchiveLocked(given, "its passphrase" if by_passphrase else "an identity")
        plain.flush()
    except BaseException:
        plain.close()
        raise
    return plain


class _Bounded:
    """Takes what is decrypted, up to the limit for archives."""

    def __init__(self, out: BinaryIO, limit_bytes: int) -> None:
        self._out = out
        self._limit_bytes = limit_bytes
        self._size_bytes = 0
        self.failed: Exception | None = None

    def write(self, data: bytes) -> int:
        self._size_bytes += len(data)
        try:
            if self._size_bytes > self._limit_bytes:
                found = f"more than {self._limit_bytes:,} bytes once decrypted"
                raise ArchiveTooLarge(offset=0, found=found, expected=f"{self._limit_bytes:,} at most")
            self._out.write(data)
        except Exception as wrong:
            self.failed = wrong
            raise
        return len(data)

    def flush(self) -> None:
        """The file is flushed when it is whole."""


def _decrypt_by_identity(file: BinaryIO, identities: Identities, sink: _Bounded) -> None:
    file.seek(0)
    try:
        pyrage.decrypt_io(file, sink, identities.keys)
    except (pyrage.DecryptError, OSError, ArchiveTooLarge) as wrong:
        if sink.failed is not None:
            raise sink.failed from None
        if isinstance(wrong, OSError) and wrong.errno is not None:
            raise
        if "No matching keys" in str(wrong):
            raise IdentityWrong from None
        raise EncryptionDamaged("content that was changed or cut short") from None


def _decrypt_by_passphrase(
    file: BinaryIO, start: bytes, passphrase: Passphrase, sink: _Bounded, max_work_factor: int
) -> None:
    match = _SCRYPT_HEADER.match(start)
    if match is None:
        raise EncryptionDamaged("a header with a passphrase that is not as the format says")
    salt, factor, wrapped = _padded(match[1]), int(match[2]), _padded(match[3])
    if factor > max_work_factor:
        raise WorkFactorTooHigh(factor, max_work_factor)
    try:
        file_key = open_box(wrapped, None, bytes(12), _stretched(passphrase, salt, factor))
    except CryptoError:
        raise PassphraseWrong from None
    mac = _mac(file_key, start[: match.start("mac")])
    if len(file_key) != _FILE_KEY_BYTES or not hmac.compare_digest(b" " + _unpadded(mac), match["mac"]):
        raise EncryptionDamaged("a header that was changed")
    file.seek(match.end())
    key = _derived(file_key, file.read(_NONCE_BYTES), b"payload")
    try:
        for chunk in _opened(file, key):
            sink.write(chunk)
    except CryptoError:
        raise EncryptionDamaged("content that was changed or cut short") from None


def _opened(file: BinaryIO, key: bytes) -> Iterator[bytes]:
    """The chunks from where *file* stands. Raises CryptoError for one that is not so, and a last that is not."""
    count = 0
    sealed = file.read(CHUNK_BYTES + TAG_BYTES)
    while True:
        if len(sealed) < TAG_BYTES:
            raise CryptoError("less than a chunk")
        following = file.read(CHUNK_BYTES + TAG_BYTES)
        chunk = open_box(sealed, None, _chunk_nonce(count, is_last=not following), key)
        if count and not chunk:
            raise CryptoError("an empty chunk after others")
        yield chunk
        if not following:
            return
        sealed, count = following, count + 1


# What the format is made of


def _stretched(passphrase: Passphrase, salt: bytes, factor: int) -> bytes:
    size = 1 << factor
    with _deriving:
        return hashlib.scrypt(
            passphrase.raw, salt=_SCRYPT_LABEL + salt, n=size, r=8, p=1, maxmem=size * 1024 + (1 << 20), dklen=32
        )


def _derived(key: bytes, salt: bytes, info: bytes) -> bytes:
    """HKDF with SHA-256 (RFC 5869), for 32 bytes."""
    extracted = hmac.digest(salt or bytes(32), key, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def _mac(file_key: bytes, header: bytes) -> bytes:
    return hmac.digest(_derived(file_key, b"", b"header"), header, "sha256")


def _chunk_nonce(count: int, *, is_last: bool) -> bytes:
    return count.to_bytes(11, "big") + bytes([is_last])


def _unpadded(raw: bytes) -> bytes:
    return base64.b64encode(raw).rstrip(b"=")


def _padded(text: bytes) -> bytes:
    """The bytes of Base64 without padding. Another spelling of them is another header, which has another MAC."""
    return base64.b64decode(text + b"=" * (-len(text) % 4))


def read_passphrase(text: str) -> Passphrase:
    """The passphrase in a file: its first line. Raises KeyMaterialRefused for an empty one."""
    return Passphrase(text.partition("\n")[0].rstrip("\r"))


def read_recipients(text: str) -> list[str]:
    """The public keys in a file: a line each, beside comments."""
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]
