"""What is asked of a job, as bodies give it. Passphrases and private keys are no part of what is kept."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from api.http.locks import UnlockFields
from domain.entity import FieldRefused
from domain.parties import Value
from snapshots.trust.encryption import Lock, Passphrase, Recipients


class BackupFields(Value, frozen=True, kw_only=True):
    """What to back up: a *stream*, live or retired (the live one), and *as_of* which position or time (its head).

    The archive is encrypted to the public keys *encrypt_to*, or with a *passphrase*.
    """

    stream: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    as_of: str | None = None
    encrypt_to: Annotated[tuple[str, ...], Meta(min_length=1, max_length=100)] | None = None
    passphrase: str | None = None


class RehearsalFields(UnlockFields, frozen=True, kw_only=True):
    """Which backup to rehearse: the *archive* (default: the newest that is here and not encrypted).

    An encrypted one is opened by its *passphrase*, or by the *identity* (a private key) of one of its recipients.
    """

    archive: str | None = None


def lock_of(given: BackupFields) -> Lock | None:
    """What the backup is encrypted with, if with anything. Raises FieldRefused, KeyMaterialRefused."""
    if given.encrypt_to is not None and given.passphrase is not None:
        raise FieldRefused("passphrase", "it beside encrypt_to", "one of the two")
    if given.encrypt_to is not None:
        return Recipients(given.encrypt_to)
    return None if given.passphrase is None else Passphrase(given.passphrase)
