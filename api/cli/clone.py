"""``counterfoil clone``: an account into another, or into a new one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.output import Account, AccountAt, As, AsOf, Json, ask, progress, show

if TYPE_CHECKING:
    from snapshots.cloning.clone_report import CloneReport


def clone(
    account: Account,
    into: Annotated[str | None, typer.Option("--into", metavar="ACCOUNT", help="The account to clone over.")] = None,
    new: Annotated[str | None, typer.Option("--new", metavar="NAME", help="Make a new account of this name.")] = None,
    as_of: AsOf = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report what would happen, and change nothing.")] = False,
    change_closed_periods: Annotated[
        bool, typer.Option("--change-closed-periods", help="Also change documents in closed periods (owner only).")
    ] = False,
    account_at: AccountAt = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    email: As = None,
    as_json: Json = False,
) -> None:
    """Copy an account over another one, or into a new one: wholly, or not at all; it needs no file.

    Example: counterfoil clone acme-bv --new "Acme sandbox" --as an@example.com
    """
    from api.cli.session import session
    from projections.moments import read_moment
    from snapshots.cloning.clone_report import readable_clone
    from snapshots.cloning.cloning import CloneChoices, CloneRefused, NewAccount, clone_account

    if (into is None) == (new is None):
        raise typer.BadParameter("say one of the two, --into ACCOUNT or --new NAME", param_hint="--into / --new")
    choices = CloneChoices(None if as_of is None else read_moment(as_of), dry_run, change_closed_periods, account_at)
    with session(email) as who:
        source = who.access(account)
        target = NewAccount(new) if into is None else who.access(into)  # type: ignore[arg-type]  # one of them is given

        def run(chosen: CloneChoices) -> CloneReport:
            # Bars end with each run: they would draw over a question.
            with progress("rehearse" if chosen.dry_run else "clone") as report:
                application = who.installation.application
                return clone_account(application, source, who.actor, target, choices=chosen, progress=report)

        try:
            if into is not None and not dry_run and not yes:
                rehearsed = run(choices._replace(dry_run=True))
                ask(_warning(rehearsed), yes=yes)
                choices = choices._replace(account_at=rehearsed.account_at)
            found = run(choices)
        except CloneRefused as refused:
            show(readable_clone(refused.report), refused.report, as_json=as_json)
            raise typer.Exit(1) from None
    show(readable_clone(found), found, as_json=as_json)


def _warning(rehearsed: CloneReport) -> str:
    from snapshots.cloning.clone_report import readable_clone

    removed = sum(one.removed for one in rehearsed.changes)
    replaced = sum(one.replaced for one in rehearsed.changes)
    return (
        f"{readable_clone(rehearsed)}\nThis replaces everything in {rehearsed.account}: {removed:,} entities go,"
        f" {replaced:,} are replaced, {rehearsed.lost_documents_count:,} issued documents are lost from it. Go on?"
    )
