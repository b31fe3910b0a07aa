"""An installation's keys on disk: the one that it signs with, and those that it believes.

::

    keys/signing.pem           the private key, which only its owner may read; not there when it is given by path
    keys/trusted/<id>.json     a public key that is believed: the installation's own, also earlier ones, and others'

Files are read at each use, so that what an operator changes holds at once, in a server that runs too.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from domain.errors import SetupError
from domain.parties import Value
from snapshots.trust.signing import (
    KeyRing,
    KeyUnusable,
    Signer,
    TrustedKey,
    check_public,
    key_id,
    private_pem,
    read_private_pem,
    read_public_pem,
)

OUR_NAME = "this installation"
NEVER_BELIEVED = datetime.min.replace(tzinfo=UTC)  # distrusted from then on
_SEED_BYTES = 32


@dataclass(eq=False)
class KeyMissing(SetupError):
    """The private key that archives are signed with is gone: without it no backup can be taken."""

    code: ClassVar[str] = "key.missing"
    path: str

    def __post_init__(self) -> None:
        self.hint = "put it back from your copy of the data folder, or make another with: counterfoil keys rotate"

    def __str__(self) -> str:
        return f"{self.path}: the signing key is not there; expected the key that archives were signed with so far"


@dataclass(eq=False)
class KeyUnknown(SetupError):
    """No trusted key has that id or name."""

    code: ClassVar[str] = "key.unknown"
    found: str

    def __str__(self) -> str:
        return f"no trusted key has the id or the name {self.found!r}; counterfoil keys list shows them"


@dataclass(eq=False)
class KeyThere(SetupError):
    """The key, or its name, is taken."""

    code: ClassVar[str] = "key.there"
    found: str
    expected: str

    def __str__(self) -> str:
        return f"found {self.found}; expected {self.expected}"


class Pinned(Value, frozen=True, kw_only=True):
    """A file of ``keys/trusted``. ``public`` is Base64 of the 32 bytes."""

    key: str
    name: Annotated[str, Meta(min_length=1, max_length=100)]
    public: str
    is_ours: bool = False
    distrusted_from: Annotated[datetime, Meta(tz=True)] | None = None


class Keys:
    """The keys in *folder*, and the private one in the file *given* where the operator keeps it elsewhere."""

    def __init__(self, folder: Path, given: Path | None = None) -> None:
        self._given = given
        self._trusted = folder / "trusted"
        self.path = given or folder / "signing.pem"

    def make_first(self) -> None:
        """Make the private key of a fresh installation. Of several processes at once, one makes it; twice is safe.

        An installation that had a key does not get another in silence. Raises KeyUnusable.
        """
        if self._given is None and not self.path.exists() and not any(key.is_ours for key in self.trusted()):
            self._write(self.path, private_pem(os.urandom(_SEED_BYTES)).encode(), self._link)
            self.signer()

    def signer(self) -> Signer:
        """What signs archives here; its public key is believed from now on. Raises KeyMissing, KeyUnusable."""
        self.make_first()
        signer = self._read_private()
        if self._pin_ours(signer).distrusted_from is not None:
            raise KeyUnusable(str(self.path), f"key {signer.key}, which is distrusted here", "one made by keys rotate")
        return signer

    def rotate(self) -> Signer:
        """Sign with a fresh key from now on; the old one's public key stays believed. Raises KeyUnusable.

        Where the key is given by path, the operator puts another there instead: this refuses.
        """
        if self._given is not None:
            raise KeyUnusable(
                str(self._given), "a key that is kept by you", "another file there, put by you: the old stays believed"
            )
        if self.path.exists():
            self._pin_ours(self._read_private())
        seed = os.urandom(_SEED_BYTES)
        made = Signer(seed)
        self._pin_ours(made)
        self._write(self.path, private_pem(seed).encode(), self._replace)
        return made

    def ring(self) -> KeyRing:
        """All believed keys, to judge archives by. Raises KeyUnusable."""
        return KeyRing(self.trusted())

    def trusted(self) -> tuple[TrustedKey, ...]:
        """The keys that are believed, ours first, then by name. Raises KeyUnusable for a file that is none."""
        try:
            files = sorted(self._trusted.glob("*.json"))
            found = [_read_pinned(file) for file in files]
        except OSError as wrong:
            raise _unreadable(self._trusted, wrong) from wrong
        return tuple(sorted(found, key=lambda key: (not key.is_ours, key.name, key.id)))

    def trust(self, name: str, pem: str, *, where: str) -> TrustedKey:
        """Believe the public key in *pem* under the operator's *name* for it. Raises KeyUnusable, KeyThere."""
        public = read_public_pem(pem, where=where)
        id_ = key_id(public)
        for key in self.trusted():
            if key.id == id_:
                raise KeyThere(f"key {id_}, which is there as {key.name!r}", "a key that is not there yet")
            if key.name == name:
                raise KeyThere(f"the name {name!r}, which key {key.id} has", "a name of its own")
        trusted = TrustedKey(id_, name, public)
        self._pin(trusted)
        return trusted

    def distrust(self, key: str, from_: datetime | None) -> TrustedKey:
        """Believe no archive by *key* (its id or name) that was taken *from_* that moment on; None believes all again.

        Raises KeyUnknown.
        """
        # Several of ours have one name; each has its id.
        found = [one for one in self.trusted() if key in (one.id, one.name)]
        if len(found) != 1:
            raise KeyUnknown(key)
        changed = found[0]._replace(distrusted_from=from_)
        self._pin(changed)
        return changed

    def _read_private(self) -> Signer:
        try:
            with self.path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                content = file.read()
        except FileNotFoundError:
            raise KeyMissing(str(self.path)) from None
        except OSError as wrong:
            raise _unreadable(self.path, wrong) from wrong
        if mode & 0o077:
            found = f"a private key that others may read (mode {mode & 0o777:o})"
            raise KeyUnusable(str(self.path), found, "mode 600; and another key, if somebody may have read this one")
        return read_private_pem(content.decode("ascii", "replace"), where=str(self.path))

    def _pin_ours(self, signer: Signer) -> TrustedKey:
        """The public key of our *signer*, which is believed from now on unless it was before."""
        for key in self.trusted():
            if key.id == signer.key and key.is_ours:
                return key
        ours = TrustedKey(signer.key, OUR_NAME, signer.public, is_ours=True)
        self._pin(ours)
        return ours

    def _pin(self, key: TrustedKey) -> None:
        pinned = Pinned(
            key=key.id,
            name=key.name,
            public=base64.b64encode(key.public).decode(),
            is_ours=key.is_ours,
            distrusted_from=key.distrusted_from,
        )
        content = msgspec.json.format(msgspec.json.encode(pinned), indent=2) + b"\n"
        self._write(self._trusted / f"{key.id}.json", content, self._replace)

    @staticmethod
    def _link(made: Path, path: Path) -> None:
        """Give the file its name unless another process was first: then that one's stays."""
        with suppress(FileExistsError):
            os.link(made, path)

    @staticmethod
    def _replace(made: Path, path: Path) -> None:
        made.replace(path)

    def _write(self, path: Path, content: bytes, give_name: Callable[[Path, Path], None]) -> None:
        """Write a file that its owner alone may read; it has its name only once it is whole and on disk."""
        made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                give_name(made, path)
            finally:
                made.unlink(missing_ok=True)
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as wrong:
            raise KeyUnusable(
                str(path), f"that it cannot be written ({wrong.strerror})", "a folder to write in"
            ) from wrong


def _read_pinned(file: Path) -> TrustedKey:
    expected = "a key as `counterfoil keys trust` writes it"
    try:
        pinned = msgspec.json.decode(file.read_bytes(), type=Pinned)
        public = base64.b64decode(pinned.public, validate=True)
    except (msgspec.DecodeError, ValueError) as wrong:
        raise KeyUnusable(str(file), str(wrong), expected) from None
    if key_id(public) != pinned.key or file.stem != pinned.key:
        raise KeyUnusable(str(file), f"the key {key_id(public)}", f"the key {file.stem}")
    check_public(public, where=str(file))
    return TrustedKey(pinned.key, pinned.name, public, pinned.is_ours, pinned.distrusted_from)


def _unreadable(path: Path, wrong: OSError) -> KeyUnusable:
    return KeyUnusable(str(path), f"that it cannot be read ({wrong.strerror})", "a file that this process may read")
