"""``counterfoil streams``: the generations of an account's data; bring one back, or purge it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.groups import WithDefault
from api.cli.output import Account, AccountAt, As, Json, ask, clean_line, show, table
from api.cli.restore import one_of

if TYPE_CHECKING:
    from snapshots.generations.stream_report import ActivationReport, StreamListed


app = typer.Typer(
    cls=WithDefault,
    help="List the generations of an account's data, bring one back (undo), purge one. `streams ACCOUNT` lists them.",
    no_args_is_help=True,
)

Stream = Annotated[int, typer.Argument(metavar="N", min=1, max=2**31 - 1, help="The stream's number.")]


@app.command("list")
def list_(account: Account, email: As = None, as_json: Json = False) -> None:
    """The account's streams: what made each, when and by whom, and how it differs from the live one.

    Example: counterfoil streams list acme-bv --as an@example.com
    """
    from api.cli.session import session
    from snapshots.generations.streams import list_streams

    with session(email) as who:
        access = who.access(account)
        found = list_streams(who.installation.application, access.account)
    rows = [
        (
            str(one.stream),
            one.status,
            one.made_by,
            f"{one.created_at:%Y-%m-%d %H:%M}",
            one.created_by_name or one.created_by,
            f"{one.events:,}",
            f"{one.entities:,}",
            f"{one.kept_until:%Y-%m-%d}" if one.kept_until else "",
        )
        for one in found
    ]
    head = ("stream", "status", "made by", "at (UTC)", "by", "events", "entities", "kept until")
    lines = [table(rows, head), *(line for one in found for line in _differs(one))]
    show("\n".join(lines), found, as_json=as_json)


def _differs(one: StreamListed) -> list[str]:
    if one.archive:
        return [f"Stream {one.stream} was purged; archive {one.archive} has it."]
    if one.status != "retired":
        return []
    created, replaced, removed = (
        sum(getattr(kind, change) for kind in one.differences) for change in ("created", "replaced", "removed")
    )
    documents = f"{one.documents_only_here:,} issued documents only here, {one.documents_only_live:,} only there"
    entities = f"{created:,} entities only here, {replaced:,} otherwise, {removed:,} only there"
    return [f"Stream {one.stream} against the live one: {entities}; {documents}."]


@app.command("show")
def show_(account: Account, stream: Stream, email: As = None, as_json: Json = False) -> None:
    """A stream, and all that differs from the live one: kinds, documents, numbers, control totals.

    Example: counterfoil streams show acme-bv 1 --as an@example.com
    """
    from api.cli.session import session
    from snapshots.generations.stream_report import readable_difference
    from snapshots.generations.streams import show_stream

    with session(email) as who:
        access = who.access(account)
        found = show_stream(who.installation.application, access.account, stream)
    one = found.stream
    lines = [
        f"Stream {one.stream}, {one.status}: {one.events:,} events, {one.entities:,} entities, tree root {one.root}.",
        *(
            f"From position {part.first_position:,}: {part.came_by}, {part.at:%Y-%m-%d %H:%M} UTC, by"
            f" {part.by_name or part.by}{f', from {part.source}, {part.authenticity}' if part.source else ''}."
            for part in one.segments
        ),
        *(
            f"{'Live' if swap.live else 'Retired'} on {swap.at:%Y-%m-%d %H:%M} UTC by {swap.by_name or swap.by},"
            f" {'in the place of' if swap.live else 'for'} stream {swap.other}."
            for swap in one.swaps
        ),
    ]
    if one.kept_until:
        lines.append(f"Kept at least until {one.kept_until:%Y-%m-%d %H:%M} UTC, but for the limits of the settings.")
    if one.archive:
        lines.append(f"Archive {one.archive} has it.")
    text = "\n".join(map(clean_line, lines)) + "\n"
    if found.difference is not None:
        text += readable_difference(found.difference, one.stream)
    show(text, found, as_json=as_json)


@app.command("activate")
def activate(
    account: Account,
    stream: Stream,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report what would happen, and change nothing.")] = False,
    change_closed_periods: Annotated[
        bool, typer.Option("--change-closed-periods", help="Also change documents in closed periods (owner only).")
    ] = False,
    meanwhile: Annotated[
        str, typer.Option(help="If the account changes meanwhile. refuse: keep it; discard: replace it all the same.")
    ] = "refuse",
    account_at: AccountAt = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    email: As = None,
    as_json: Json = False,
) -> None:
    """Make a retired stream live again, wholly or not at all: undo a restore, or that undo.

    Exit status 1: refused, and the report says why. Example: counterfoil streams activate acme-bv 1 --as an@example.com
    """
    from api.cli.session import session
    from snapshots.generations.stream_report import readable_activation
    from snapshots.generations.undo import ActivationChoices, ActivationRefused
    from snapshots.generations.undo import activate as make_live
    from snapshots.restoring.report import OnMeanwhile

    choices = ActivationChoices(
        dry_run, change_closed_periods, one_of(OnMeanwhile, meanwhile, "--meanwhile"), account_at
    )
    with session(email) as who:
        access = who.access(account)

        def run(chosen: ActivationChoices) -> ActivationReport:
            return make_live(who.installation.application, access, who.actor, stream, choices=chosen)

        try:
            if not dry_run and not yes:
                rehearsed = run(choices._replace(dry_run=True))
                ask(_warning(access.slug, rehearsed), yes=yes)
                if choices.meanwhile == "refuse":
                    choices = choices._replace(account_at=rehearsed.account_at)
            found = run(choices)
        except ActivationRefused as refused:
            show(readable_activation(refused.report), refused.report, as_json=as_json)
            raise typer.Exit(1) from None
    show(readable_activation(found), found, as_json=as_json)


def _warning(account: str, rehearsed: ActivationReport) -> str:
    from snapshots.generations.stream_report import readable_activation

    found = rehearsed.difference
    return (
        f"{readable_activation(rehearsed)}\nThis replaces everything in {account} by stream {rehearsed.stream};"
        f" {found.lost_documents_count:,} issued documents are lost from it. Go on?"
    )


@app.command("purge")
def purge(
    account: Account,
    stream: Annotated[
        int | None,
        typer.Argument(
            metavar="[N]", min=1, max=2**31 - 1, help="The stream (default: all whose time is up, or too many)."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report what would go, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    email: As = None,
    as_json: Json = False,
) -> None:
    """Purge retired streams for good: one, or those past their retention or beyond the limits of the settings.

    Issued documents that the live stream lacks are written to an archive, among the backups, before.

    Example: counterfoil streams purge acme-bv --dry-run --as an@example.com
    """
    from api.cli.session import session
    from api.purging import archiver, quota
    from domain.accounts import require_administrator
    from snapshots.generations.purging import PurgeReport, purge_due, readable_purge
    from snapshots.generations.purging import purge as purge_one

    with session(email) as who:
        access = who.access(account)
        require_administrator(access, "purging streams")
        settings, application = who.installation.settings, who.installation.application
        archive = archiver(application, settings, who.actor)

        def run(*, rehearse: bool) -> PurgeReport:
            if stream is None:
                return purge_due(application, access, who.actor, quota(settings), archive, dry_run=rehearse)
            return purge_one(application, access, who.actor, stream, archive, dry_run=rehearse)

        if not dry_run and not yes:
            rehearsed = run(rehearse=True)
            if rehearsed.streams:
                ask(f"{readable_purge(rehearsed)}This cannot be undone. Go on?", yes=yes)
        found = run(rehearse=dry_run)
    show(readable_purge(found), found, as_json=as_json)
