"""Archives as age files: what is encrypted comes back, others read it, and what is not as it was written is refused."""

from __future__ import annotations

import io
import os
import pty
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyrage
import pytest

from domain.errors import ArchiveError
from snapshots.container import Limits
from snapshots.trust import encryption
from snapshots.trust.encryption import (
    CHUNK_BYTES,
    Identities,
    KeyMaterialRefused,
    Lock,
    Passphrase,
    Recipients,
    Unlock,
    decrypted,
    encrypted,
    read_passphrase,
    read_recipients,
)

IDENTITY = pyrage.x25519.Identity.generate()
TO_KEY = Recipients([str(IDENTITY.to_public())])
BY_KEY = Identities([("test", f"# made for a test\n{IDENTITY}\n")])
PASSPHRASE = Passphrase("correct horse")
SIZES = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 1_000_000]
WRITTEN_FACTOR = encryption.WORK_FACTOR
WAYS = [pytest.param(PASSPHRASE, PASSPHRASE, id="passphrase"), pytest.param(TO_KEY, BY_KEY, id="key")]


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """A try costs a millisecond; that the usual work factor is the age program's, a test of its own shows."""
    monkeypatch.setattr(encryption, "WORK_FACTOR", 5)


def sealed(plain: bytes, lock: Lock) -> bytes:
    """*plain*, encrypted in pieces of odd sizes."""
    out = io.BytesIO()
    with encrypted(out, lock) as sink:
        for start in range(0, len(plain), 50_001):
            sink.write(plain[start : start + 50_001])
    return out.getvalue()


@contextmanager
def file_of(content: bytes) -> Iterator[BinaryIO]:
    """A file with *content*."""
    with tempfile.TemporaryFile() as file:
        file.write(content)
        yield file


def opened(content: bytes, unlock: Unlock | None, limits: Limits = Limits()) -> bytes:  # noqa: B008 - immutable
    """What an encrypted file holds."""
    with file_of(content) as file, closing(decrypted(file, unlock, limits)) as plain:
        plain.seek(0)
        return plain.read()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("lock", "unlock"), WAYS)
def test_what_is_encrypted_comes_back(size: int, lock: Lock, unlock: Unlock) -> None:
    plain = os.urandom(size)

    content = sealed(plain, lock)

    assert content.startswith(b"age-encryption.org/v1\n")
    assert opened(content, unlock) == plain


@pytest.mark.parametrize("size", SIZES)
def test_another_program_opens_what_a_passphrase_protects_and_its_files_are_opened(size: int) -> None:
    plain = os.urandom(size)

    assert pyrage.passphrase.decrypt(sealed(plain, PASSPHRASE), "correct horse") == plain


def test_the_work_factor_is_the_age_programs_and_within_the_limit() -> None:
    assert WRITTEN_FACTOR == Limits().max_work_factor == 18


def test_what_is_not_encrypted_is_read_as_it_is_whatever_is_given() -> None:
    for unlock in (None, PASSPHRASE, BY_KEY):
        with file_of(b"PK as it is") as file:
            assert decrypted(file, unlock, Limits()) is file


def test_one_of_several_recipients_and_one_of_several_identities_are_enough() -> None:
    other = pyrage.x25519.Identity.generate()
    content = sealed(b"plain", Recipients([str(other.to_public()), str(IDENTITY.to_public())]))

    stranger = pyrage.x25519.Identity.generate()
    assert opened(content, Identities([("a", str(stranger)), ("b", str(IDENTITY))])) == b"plain"
    assert opened(content, Identities([("a", str(other))])) == b"plain"


WRONG: list[tuple[Lock, Unlock | None, str]] = [
    (PASSPHRASE, None, "archive.locked"),
    (PASSPHRASE, BY_KEY, "archive.locked"),
    (PASSPHRASE, Passphrase("correct house"), "archive.passphrase-wrong"),
    (TO_KEY, None, "archive.locked"),
    (TO_KEY, PASSPHRASE, "archive.locked"),
    (TO_KEY, Identities([("x", str(pyrage.x25519.Identity.generate()))]), "archive.identity-wrong"),
]


@pytest.mark.parametrize(("lock", "unlock", "code"), WRONG)
def test_what_does_not_open_it_is_told_apart(lock: Lock, unlock: Unlock | None, code: str) -> None:
    with pytest.raises(ArchiveError) as refused:
        opened(sealed(b"plain", lock), unlock)

    assert refused.value.code == code


@pytest.mark.slow
@pytest.mark.parametrize(("lock", "unlock"), WAYS)
def test_every_truncation_and_every_bit_flip_of_the_content_is_refused(lock: Lock, unlock: Unlock) -> None:
    content = sealed(b"plain text", lock)
    start = content.index(b"\n---")

    for length in range(len(content)):
        if content[:length].startswith(b"age-encryption.org/v1\n"):
            with pytest.raises(ArchiveError):
                opened(content[:length], unlock)
    for at in range(start * 8, len(content) * 8):
        changed = bytearray(content)
        changed[at // 8] ^= 1 << at % 8
        with pytest.raises(ArchiveError):
            opened(bytes(changed), unlock)


@pytest.mark.parametrize(("lock", "unlock"), WAYS)
def test_chunks_that_are_cut_off_swapped_or_added_are_refused(lock: Lock, unlock: Unlock) -> None:
    content = sealed(os.urandom(3 * CHUNK_BYTES), lock)
    step = CHUNK_BYTES + 16
    header, chunks = content[: -3 * step], [content[-3 * step :][at * step : at * step + step] for at in range(3)]
    assert opened(header + b"".join(chunks), unlock)

    for wrong in (chunks[:2], [chunks[1], chunks[0], chunks[2]], [*chunks, chunks[2]], [*chunks, b"x"], []):
        with pytest.raises(ArchiveError) as refused:
            opened(header + b"".join(wrong), unlock)
        assert refused.value.code == "archive.encryption-damaged"


def test_an_empty_chunk_after_others_is_refused() -> None:
    out = io.BytesIO()
    with encrypted(out, PASSPHRASE) as sink:
        cast(Any, sink)._seal(bytes(CHUNK_BYTES), is_last=False)

    with pytest.raises(ArchiveError) as refused:
        opened(out.getvalue(), PASSPHRASE)

    assert refused.value.code == "archive.encryption-damaged"


@pytest.mark.parametrize("factor", [b"19", b"31", b"63", b"99"])
def test_a_work_factor_beyond_the_limit_is_refused_before_it_costs_anything(factor: bytes) -> None:
    content = sealed(b"plain", PASSPHRASE).replace(b" 5\n", b" %b\n" % factor, 1)

    with pytest.raises(ArchiveError, match="work_factor_limit") as refused:
        opened(content, PASSPHRASE)

    assert refused.value.code == "archive.work-factor"


def spelled_otherwise(content: bytes) -> bytes:
    """The same salt in Base64 whose last bits, which say nothing, are others."""
    salt = content.split(b" ")[2]
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = letters[letters.index(salt[-1]) + 1]
    return content.replace(salt, salt[:-1] + bytes([last]), 1)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.replace(b" 5\n", b" 05\n", 1),
        lambda content: content.replace(b" 5\n", b" 0\n", 1),
        lambda content: content.replace(b" 5\n", b" 100000000000\n", 1),
        lambda content: content.replace(b"-> scrypt", b"-> scrypt x", 1),
        spelled_otherwise,
        lambda content: content.replace(b"\n---", b"\n-> scrypt a 1\n\n---", 1),
        lambda content: b"age-encryption.org/v1\n" + b"-> x\n\n" * 100_000,
        lambda content: b"age-encryption.org/v1\n--- \n",
        lambda content: b"-----BEGIN AGE ENCRYPTED FILE-----\n",
    ],
)
def test_a_header_that_is_none_is_refused(change: object) -> None:
    content = change(sealed(b"plain", PASSPHRASE))  # type: ignore[operator]

    for unlock in (PASSPHRASE, BY_KEY):
        with pytest.raises(ArchiveError) as refused:
            opened(content, unlock)
        assert refused.value.code in {"archive.encryption-damaged", "archive.locked"}


@pytest.mark.parametrize(("lock", "unlock"), WAYS)
def test_more_than_an_archive_may_be_is_not_written_out(lock: Lock, unlock: Unlock) -> None:
    content = sealed(bytes(200_000), lock)

    assert len(opened(content, unlock, Limits(max_archive_bytes=200_000))) == 200_000
    with pytest.raises(ArchiveError) as refused:
        opened(content, unlock, Limits(max_archive_bytes=199_999))

    assert refused.value.code == "archive.too-large"


class Full:
    """A disk that takes so many bytes."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, data: bytes) -> None:
        self.room -= len(data)
        if self.room < 0:
            raise OSError(28, "planted: no space left on device")


@pytest.mark.parametrize("room", [0, 100, 300, 100_000, 190_000])
@pytest.mark.parametrize("lock", [PASSPHRASE, TO_KEY])
def test_a_full_disk_is_told_as_what_it_is(room: int, lock: Lock) -> None:
    def write() -> None:
        with encrypted(Full(room), lock) as sink:
            for _ in range(200):
                sink.write(os.urandom(1_000))

    with pytest.raises(OSError, match="planted"):
        write()


@pytest.mark.parametrize("lock", [PASSPHRASE, TO_KEY])
def test_what_fails_while_it_is_encrypted_ends_it_and_is_what_is_told(lock: Lock) -> None:
    def write() -> None:
        with encrypted(io.BytesIO(), lock) as sink:
            sink.write(b"x" * 100_000)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()


@pytest.mark.parametrize(
    "text", ["", "age1", "AGE-SECRET-KEY-1QQQQ", "ssh-ed25519 AAAA", str(IDENTITY), "x" * 10_000], ids=range(6)
)
def test_what_is_no_public_key_is_refused_and_no_secret_is_quoted(text: str) -> None:
    with pytest.raises(KeyMaterialRefused) as refused:
        Recipients([text])

    assert "SECRET" not in str(refused.value)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    "text", ["", "# only a comment", "junk", str(IDENTITY)[:-1], str(IDENTITY) * 2, "\udcff"], ids=range(6)
)
def test_what_is_no_identity_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(KeyMaterialRefused) as refused:
        Identities([("identity.txt", text)])

    assert "AGE-SECRET-KEY-1" not in str(refused.value).replace("AGE-SECRET-KEY-1…", "")


def test_a_passphrase_is_not_shown_and_not_empty() -> None:
    assert "horse" not in repr(PASSPHRASE)
    assert read_passphrase("correct horse\r\nmore\n").raw == b"correct horse"
    with pytest.raises(KeyMaterialRefused):
        Passphrase("")


def test_a_file_of_public_keys_has_one_a_line() -> None:
    assert read_recipients("# ours\nage1a\n\n  age1b  \n") == ["age1a", "age1b"]


def test_ssh_keys_do_as_well(tmp_path: Path) -> None:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed")
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)

    content = sealed(b"plain", Recipients([key.with_suffix(".pub").read_text()]))

    assert opened(content, Identities([("key", key.read_text())])) == b"plain"


@pytest.fixture
def age() -> str:
    """The age program."""
    found = shutil.which("age")
    if found is None:
        pytest.skip("age is not installed")
    return found


def test_the_age_program_opens_what_is_encrypted_to_a_key_and_the_other_way(age: str, tmp_path: Path) -> None:
    plain = os.urandom(200_000)
    (tmp_path / "identity").write_text(str(IDENTITY))

    there = subprocess.run(
        [age, "-d", "-i", str(tmp_path / "identity")], input=sealed(plain, TO_KEY), capture_output=True, check=True
    ).stdout
    here = subprocess.run([age, "-r", str(IDENTITY.to_public())], input=plain, capture_output=True, check=True).stdout

    assert there == plain
    assert opened(here, BY_KEY) == plain


@pytest.mark.slow
def test_the_age_program_opens_what_a_passphrase_protects_and_the_other_way(age: str, tmp_path: Path) -> None:
    plain = os.urandom(200_000)
    (tmp_path / "ours.age").write_bytes(sealed(plain, PASSPHRASE))
    (tmp_path / "plain").write_bytes(plain)

    at_a_terminal([age, "-d", "-o", str(tmp_path / "out"), str(tmp_path / "ours.age")], b"correct horse\n")
    at_a_terminal(
        [age, "-p", "-o", str(tmp_path / "theirs.age"), str(tmp_path / "plain")], b"correct horse\ncorrect horse\n"
    )

    assert (tmp_path / "out").read_bytes() == plain
    assert opened((tmp_path / "theirs.age").read_bytes(), PASSPHRASE) == plain


def at_a_terminal(command: list[str], typed: bytes) -> None:
    """Run a program that asks at a terminal, which gets *typed*."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, typed)
        ran = subprocess.run(
            ["setsid", "--ctty", "--wait", *command],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            timeout=60,
            check=False,
        )
        assert ran.returncode == 0
    finally:
        os.close(ours)
        os.close(theirs)
