"""What the command line encrypts archives with, and opens them with. No secret is ever an argument."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from snapshots.trust.encryption import Lock, Passphrase, Unlock

_MAX_FILE_BYTES = 64 * 1024
_FROM = "prompt, file:PATH or env:NAME"

EncryptTo = Annotated[
    list[str] | None,
    typer.Option(
        "--encrypt-to", metavar="KEY", help="A public key (age1…, ssh-…), or a file of some; may be repeated."
    ),
]
PassphraseFrom = Annotated[
    str | None,
    typer.Option("--passphrase", metavar="FROM", help=f"Where a passphrase comes from: {_FROM}."),
]
IdentityFile = Annotated[
    list[Path] | None,
    typer.Option("--identity", "-i", metavar="FILE", help="A private key that opens the archive; may be repeated."),
]


def lock_of(encrypt_to: list[str] | None, passphrase: str | None) -> Lock | None:
    """What a backup is encrypted with, if with anything. Raises KeyMaterialRefused."""
    if not encrypt_to:
        return None if passphrase is None else _passphrase(passphrase, twice=True)
    from snapshots.trust.encryption import Recipients, read_recipients

    _one_way(passphrase, "--encrypt-to")
    keys: list[str] = []
    for given in encrypt_to:
        keys += [given] if given.startswith(("age1", "ssh-")) else read_recipients(_text(Path(given)))
    return Recipients(keys)


def unlock_of(identity: list[Path] | None, passphrase: str | None) -> Unlock | None:
    """What an archive is opened with, if with anything. Raises KeyMaterialRefused."""
    if not identity:
        return None if passphrase is None else _passphrase(passphrase, twice=False)
    from snapshots.trust.encryption import Identities

    _one_way(passphrase, "--identity")
    return Identities([(str(file), _text(file)) for file in identity])


def _one_way(passphrase: str | None, other: str) -> None:
    if passphrase is not None:
        raise typer.BadParameter(f"found it beside {other}; expected one of the two", param_hint="--passphrase")


def _passphrase(source: str, *, twice: bool) -> Passphrase:
    """The passphrase from where *source* says, which is not quoted: somebody may have given the passphrase itself."""
    from snapshots.trust.encryption import KeyMaterialRefused, Passphrase, read_passphrase

    how, _, where = source.partition(":")
    if source == "prompt":
        if not sys.stdin.isatty():
            raise KeyMaterialRefused("passphrase", "no terminal to ask at", "file:PATH or env:NAME")
        return Passphrase(typer.prompt("Passphrase", hide_input=True, confirmation_prompt=twice, err=True))
    if how == "file" and where:
        return read_passphrase(_text(Path(where)))
    if how == "env" and where:
        if where not in os.environ:
            raise KeyMaterialRefused("passphrase", f"no variable {where}", "one that is set")
        return Passphrase(os.environ[where])
    raise typer.BadParameter(f"found something else; expected {_FROM}", param_hint="--passphrase")


def _text(file: Path) -> str:
    with file.open("rb") as opened:
        return opened.read(_MAX_FILE_BYTES).decode("utf-8", "surrogateescape")
