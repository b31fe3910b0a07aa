"""``counterfoil inspect``: what is in an archive, and whether it is sound."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.cli.locks import IdentityFile, PassphraseFrom, unlock_of
from api.cli.output import Json, progress, show

File = Annotated[Path, typer.Argument(metavar="FILE", help="The archive: a ZIP file, or one that is encrypted.")]


def inspect(
    file: File, identity: IdentityFile = None, passphrase: PassphraseFrom = None, as_json: Json = False
) -> None:
    """Print what is in an archive, and check all of it. Needs no account and no database. Exit status 1: faulty.

    Example: counterfoil inspect acme.zip
    """
    from api.bootstrap import keys, limits
    from api.cli.session import settings
    from snapshots.reading.inspection import inspect_archive, readable

    unlock = unlock_of(identity, passphrase)
    in_force = settings()
    with file.open("rb") as opened, progress("inspect") as report:
        found = inspect_archive(opened, limits(in_force), keys(in_force).ring(), unlock=unlock, progress=report)
    show(readable(found), found, as_json=as_json)
    if not found.is_sound:
        raise typer.Exit(1)
