"""``counterfoil restore``: an archive into an account."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, get_args

import typer

from api.cli.inspect import File
from api.cli.locks import IdentityFile, PassphraseFrom, unlock_of
from api.cli.output import As, Json, ask, progress, show
from domain.errors import RestoreError

if TYPE_CHECKING:
    from snapshots.restoring.report import RestoreReport


def restore(
    file: File,
    into: Annotated[str, typer.Option("--into", metavar="ACCOUNT", help="The account to restore into.")],
    mode: Annotated[
        str, typer.Option(help="overwrite: replace everything; add: add what the account lacks.")
    ] = "overwrite",
    errors: Annotated[str, typer.Option(help="abort: a faulty record changes nothing; skip: leave it out.")] = "abort",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report what would happen, and change nothing.")] = False,
    change_closed_periods: Annotated[
        bool, typer.Option("--change-closed-periods", help="Also change documents in closed periods (owner only).")
    ] = False,
    from_other_account: Annotated[
        bool, typer.Option("--from-other-account", help="The archive is of another account, and that is meant.")
    ] = False,
    subscriptions: Annotated[
        str,
        typer.Option(help="hold: those whose date has passed wait to be resumed; moved: this account replaces theirs."),
    ] = "hold",
    accept_edits: Annotated[
        bool, typer.Option("--accept-edits", help="Also take files that were edited after the archive was signed.")
    ] = False,
    meanwhile: Annotated[
        str, typer.Option(help="If the account changes meanwhile. refuse: keep it; discard: overwrite it all the same.")
    ] = "refuse",
    numbers: Annotated[
        str, typer.Option(help="Of lost documents. keep-series: never give them out again; reuse-numbers: do.")
    ] = "keep-series",
    users: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Whose events are which member's: JSON or CSV, person to member."),
    ] = None,
    trust_attribution: Annotated[
        bool,
        typer.Option("--trust-attribution", help="Believe whom an archive names that nobody signed (owner only)."),
    ] = False,
    identity: IdentityFile = None,
    passphrase: PassphraseFrom = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND", help="Add only this kind, with what it needs; may be repeated. With --mode add."),
    ] = None,
    only_entity: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Add only this entity, with what it needs; bring it back if it was deleted."),
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option(metavar="MOMENT", help="As the archive was at a position or time, such as 2026-01-31T09:30:00Z."),
    ] = None,
    left_out: Annotated[
        Path | None,
        typer.Option(
            metavar="REPORT.json", help="Add only what the restore of this report (--json) left out, once mended."
        ),
    ] = None,
    custom_fields: Annotated[
        str, typer.Option(help="That the account lacks. report: list them; define: take the archive's definitions.")
    ] = "report",
    doubles: Annotated[
        str, typer.Option(help="Adding. match: items and so on become one; merge-customers: those of a VAT number too.")
    ] = "match",
    token: Annotated[
        str | None, typer.Option(metavar="TOKEN", help="Of a rehearsal: only if all is still as it was then.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    email: As = None,
    as_json: Json = False,
) -> None:
    """Restore an archive into an account: wholly, or not at all. Exit status 1: refused, and the report says why.

    Example: counterfoil restore acme.zip --into acme-bv --dry-run --as an@example.com
    """
    from api.bootstrap import limits
    from api.cli.session import session
    from domain.entity import converted
    from domain.kinds import Kind
    from projections.moments import read_moment
    from snapshots.fresh.swap import Subscriptions
    from snapshots.restoring.attribution import read_user_map
    from snapshots.restoring.report import CustomFields, Doubles, Mode, Numbers, OnErrors, OnMeanwhile, readable
    from snapshots.restoring.restore import Choices, Refused, restore_archive
    from snapshots.restoring.selecting import read_left_out
    from snapshots.restoring.token import TokenStale

    given = None if left_out is None else read_left_out(left_out.read_bytes())
    choices = Choices(
        mode=one_of(Mode, mode, "--mode"),
        errors=one_of(OnErrors, errors, "--errors"),
        dry_run=dry_run,
        change_closed_periods=change_closed_periods,
        from_other_account=from_other_account,
        accept_edits=accept_edits,
        subscriptions=one_of(Subscriptions, subscriptions, "--subscriptions"),
        meanwhile=one_of(OnMeanwhile, meanwhile, "--meanwhile"),
        numbers=one_of(Numbers, numbers, "--numbers"),
        user_map=None if users is None else read_user_map(users.read_text("utf-8", "replace"), users.name),
        trust_attribution=trust_attribution,
        only=tuple(converted(only or [], list[Kind], within="only", expected="kinds such as customer or credit_note")),
        only_entities=tuple(only_entity or ()),
        as_of=None if as_of is None else read_moment(as_of),
        left_out=given,
        custom_fields=one_of(CustomFields, custom_fields, "--custom-fields"),
        doubles=one_of(Doubles, doubles, "--doubles"),
        token=token,
    )
    unlock = unlock_of(identity, passphrase)
    with session(email) as who, file.open("rb") as opened:
        access = who.access(into)

        def run(chosen: Choices) -> RestoreReport:
            # Bars end with each run: they would draw over a question.
            with progress("rehearse" if chosen.dry_run else "restore") as report:
                return restore_archive(
                    who.installation.application,
                    access,
                    who.actor,
                    opened,
                    choices=chosen,
                    limits=limits(who.installation.settings),
                    keys=who.installation.keys.ring(),
                    unlock=unlock,
                    progress=report,
                )

        try:
            if not dry_run and mode == "overwrite" and not yes:
                rehearsed = run(choices._replace(dry_run=True))
                ask(_warning(access.slug, rehearsed), yes=yes)
                if choices.meanwhile == "refuse":
                    choices = choices._replace(token=rehearsed.token)
            try:
                found = run(choices)
            except TokenStale as stale:
                if token:
                    raise
                raise ChangedSinceAsked(access.slug) from stale
        except Refused as refused:
            show(readable(refused.report), refused.report, as_json=as_json)
            raise typer.Exit(1) from None
    show(readable(found), found, as_json=as_json)


@dataclass(eq=False)
class ChangedSinceAsked(RestoreError):
    """The account changed between the rehearsal and the answer: what was agreed to is not what would be lost."""

    code: ClassVar[str] = "restore.changed-since-asked"
    account: str

    def __post_init__(self) -> None:
        self.hint = "restore again, to see what would be lost now"

    def __str__(self) -> str:
        return f"{self.account} changed after it was rehearsed; nothing was restored"


def one_of(choices: Any, value: str, option: str) -> Any:
    """*value*, when it is one of a literal type's *choices*. Raises typer.BadParameter."""
    if value not in get_args(choices):
        raise typer.BadParameter(f"{value!r} is none of: {', '.join(get_args(choices))}", param_hint=option)
    return value


def _warning(account: str, rehearsed: RestoreReport) -> str:
    from snapshots.restoring.report import readable

    removed = sum(one.removed for one in rehearsed.changes)
    replaced = sum(one.replaced for one in rehearsed.changes)
    return (
        f"{readable(rehearsed)}\nThis replaces everything in {account}: {removed:,} entities go, {replaced:,} are"
        f" replaced, {rehearsed.lost_documents_count:,} issued documents are lost from it. Go on?"
    )
