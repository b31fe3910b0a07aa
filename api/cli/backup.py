"""``counterfoil backup``: an archive of an account."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.cli.groups import WithDefault
from api.cli.locks import EncryptTo, IdentityFile, PassphraseFrom, lock_of, unlock_of
from api.cli.output import Account, As, AsOf, Json, progress, show

HELP = (
    "Archives of an account: take one, see how the daily ones stand, rehearse or verify them. Without a command: take."
)
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
    from domain.control import check_writes
    from projections.moments import read_moment
    from snapshots.backup import take_backup

    lock = lock_of(encrypt_to, passphrase)
    moment = None if as_of is None else read_moment(as_of)
    with session(email) as who, progress("backup") as report:
        access = who.access(account)
        check_writes(access.role, "taking a backup")
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


@app.command("verify")
def verify(
    account: Annotated[
        str | None, typer.Argument(metavar="[ACCOUNT]", help="The account's short name, or its id.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Of all accounts of the installation.")] = False,
    email: As = None,
    as_json: Json = False,
) -> None:
    """Read what is kept again, to its end: each archive that a history tells of must be there, and as it was taken.

    A file that no history tells of is put on record where it is a sound archive of the account, and named where it is
    not. With --all it acts for the installation and needs nobody's name; workers do that each week. Exit status 1: an
    archive is damaged or gone, and which; or could not be read.

    Example: counterfoil backup verify --all
    """
    from api.bootstrap import installation
    from api.cli.session import session, settings
    from api.daily import READER
    from api.kept import read_again, read_all_again

    if everything == (account is not None):
        raise typer.BadParameter("say an account, or --all", param_hint="ACCOUNT")
    with progress("verify") as report:
        if account is None:
            with installation(settings()) as opened:
                found = read_all_again(opened, READER, progress=report)
        else:
            with session(email) as who:
                found = read_again(who.installation, who.access(account), who.actor, progress=report)
    lines = [f"{one.account}: {one.file}: found {one.found}; expected {one.expected}" for one in found.damaged]
    lines += [f"{one.account}: {one.file}: was not on record, and is now" for one in found.found_again]
    lines += [f"{one.account}: {one.file}: nothing tells of it, and it is left: {one.reason}" for one in found.unknown]
    lines += [f"{one.account}: could not be read: {one.reason}" for one in found.not_read]
    lines.append(f"{found.archives:,} archives of {found.accounts:,} accounts, {found.size_bytes:,} bytes read again.")
    show("\n".join(lines), found, as_json=as_json)
    if not found.is_sound:
        raise typer.Exit(1)
