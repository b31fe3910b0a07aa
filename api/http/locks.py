"""What opens an encrypted archive, as a body gives it: never in an address, and kept nowhere."""

from __future__ import annotations

from domain.entity import FieldRefused
from domain.parties import Value
from snapshots.trust.encryption import Identities, Passphrase, Unlock


class UnlockFields(Value, frozen=True, kw_only=True):
    """What opens an encrypted archive: its *passphrase*, or the *identity* (a private key) of one of its recipients."""

    passphrase: str | None = None
    identity: str | None = None


def unlock_of(given: UnlockFields) -> Unlock | None:
    """What opens the archive, if anything was given. Raises FieldRefused for both, KeyMaterialRefused."""
    if given.identity is not None and given.passphrase is not None:
        raise FieldRefused("passphrase", "it beside identity", "one of the two")
    if given.identity is not None:
        return Identities([("identity", given.identity)])
    return None if given.passphrase is None else Passphrase(given.passphrase)
