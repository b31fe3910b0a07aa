"""Keeping what opens an archive from lying in the database as it was given: sealed until its job has been done.

The key is a file of the installation's; workers on another machine need it there, as they need the signing key.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import msgspec
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from api.settings import Settings
from domain.errors import SetupError


@dataclass(eq=False)
class SecretUnreadable(SetupError):
    """What was given to open or lock an archive with cannot be read here."""

    code: ClassVar[str] = "job.secret-unreadable"
    path: str

    def __str__(self) -> str:
        return f"{self.path}: this is not the key that the job's secrets were sealed with; ask for the job anew"


def seal(settings: Settings, secrets: dict[str, str]) -> bytes:
    """*secrets* as they may lie in the database. The first time, the key is made."""
    return bytes(_box(settings).encrypt(msgspec.json.encode(secrets)))


def unseal(settings: Settings, sealed: bytes) -> dict[str, str]:
    """What was sealed. Raises SecretUnreadable."""
    try:
        return msgspec.json.decode(_box(settings).decrypt(sealed), type=dict[str, str])
    except CryptoError:
        raise SecretUnreadable(str(_path(settings))) from None


def _path(settings: Settings) -> Path:
    return settings.home / "keys" / "jobs.key"


def _box(settings: Settings) -> SecretBox:
    path = _path(settings)
    if not path.exists():
        _make(path)
    key = path.read_bytes()
    if len(key) != SecretBox.KEY_SIZE:
        raise SecretUnreadable(str(path))
    return SecretBox(key)


def _make(path: Path) -> None:
    """Make the key; of several processes at once, one does."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    opened = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(opened, "wb") as file:
            file.write(os.urandom(SecretBox.KEY_SIZE))
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(fresh)
        except FileExistsError:
            return
    finally:
        fresh.unlink(missing_ok=True)
