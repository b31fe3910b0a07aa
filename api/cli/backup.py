"""``counterfoil backup``: an archive of an account."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.cli.groups import WithDefault
from api.cli.locks import EncryptTo, IdentityFile, PassphraseFrom, lock_of, unlock_of
from api.cli.output import Account, As, AsOf, Json, progress, show

HELP = "Archives of an account: take one, see how the daily ones stand, rehearse one. Without a command: take."
app = typer.Typer(cls=WithDefault, help=HELP, no_args_is_help=True)


@app.callback(help=HELP)
def _backup() -> None:
    """Keep `take` a command of its own, also while it is the only one."""


@app.command("take")
def take(
    account: Account,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The ZIP file (default: named by account and time, where archives are kept)."
        ),
    ] = None,
    as_of: AsOf = None,
    stream: Annotated[
        int | None, typer.Option(min=1, help="Back up this stream, live or retired (default: the live one).")
    ] = None,
    encrypt_to: EncryptTo = None,
    passphrase: PassphraseFrom = None,
    email: As = None,
    as_json: Json = False,
) -> None:
    """Take a full backup of an account, as it is or as it was at a past moment, while people go on working.

    Example: counterfoil backup acme-bv -o acme.zip --as an@example.com
    """
    from api.cli.session import session
    from api.storage import backup_place
    from projections.moments import read_moment
    from snapshots.backup import take_backup

    lock = lock_of(encrypt_to, passphrase)
    moment = None if as_of is None else read_moment(as_of)
    with session(email) as who, progress("backup") as report:
        access = who.access(account)
        settings, now = who.installation.settings, who.installation.application.clock()
        target = output or backup_place(settings, access, now, encrypted=lock is not None)
        taken = take_backup(
            who.installation.application,
            access,
            who.actor,
            target,
            who.installation.keys.signer(),
            lock=lock,
            stream=stream,
            as_of=moment,
            progress=report,
        )
    entities = sum(taken.counts.values())
    how = "\nencrypted" if taken.encrypted else ""
    text = (
        f"{taken.place.where}\n{taken.position:,} events, {entities:,} entities, {taken.size_bytes:,} bytes\n"
        f"tree root {taken.root}\nsha256 {taken.sha256}{how}"
    )
    data = {"path": taken.place.where, **{name: fact for name, fact in taken._asdict().items() if name != "place"}}
    show(text, data, as_json=as_json)


@app.command("status")
def status(account: Account, email: As = None, as_json: Json = False) -> None:
    """How an account's daily backups stand: the newest, whether it was proven restorable, what failed, what is next.

    Example: counterfoil backup status acme-bv --as an@example.com
    """
    from api.cli.session import session
    from snapshots.daily.status import backup_status, readable_status

    with session(email) as who:
        access = who.access(account)
        found = backup_status(who.installation.application, access.account, access.control.settings.backups_kept)
    show(readable_status(found), found, as_json=as_json)


@app.command("rehearse")
def rehearse_(
    account: Account,
    archive: Annotated[
        str | None,
        typer.Option(metavar="ID", help="This backup (default: the newest that is here and not encrypted)."),
    ] = None,
    identity: IdentityFile = None,
    passphrase: PassphraseFrom = None,
    email: As = None,
    as_json: Json = False,
) -> None:
    """Prove that a backup can be restored: build it beside the account, compare it to the byte, and drop it again.

    People go on working, and the account is as it was. Exit status 1: it could not be restored, and why.

    Example: counterfoil backup rehearse acme-bv --as an@example.com
    """
    from api.bootstrap import limits
    from api.cli.session import session
    from api.daily import to_rehearse
    from snapshots.daily.rehearsal import rehearse

    unlock = unlock_of(identity, passphrase)
    with session(email) as who, progress("rehearsal") as report:
        access = who.access(account)
        settings, application = who.installation.settings, who.installation.application
        with to_rehearse(application, settings, access.account, access.slug, archive) as file:
            found = rehearse(
                application,
                access,
                who.actor,
                file,
                limits=limits(settings),
                keys=who.installation.keys.ring(),
                unlock=unlock,
                progress=report,
            )
    text = (
        f"Archive {found.archive} was built and compared: {found.position:,} events and {found.entities:,} entities,"
        f" tree root {found.root}.\nIt can be restored; nothing was changed."
    )
    show(text, found, as_json=as_json)
