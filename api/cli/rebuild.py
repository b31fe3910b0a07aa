"""``counterfoil rebuild``: an account derived anew from its events."""

from __future__ import annotations

from typing import Annotated

import typer

from api.cli.output import Account, As, Json, show


def rebuild(
    account: Account,
    check: Annotated[bool, typer.Option("--check", help="Only report differences, and change nothing.")] = False,
    email: As = None,
    as_json: Json = False,
) -> None:
    """Derive an account's snapshots and log from its events alone, compare, and put snapshots right.

    Exit status 1: there were differences, and not all of them were put right.

    Example: counterfoil rebuild acme-bv --check --as an@example.com
    """
    from api.cli.session import session
    from domain.accounts import require_administrator
    from projections.rebuild import rebuild as derive

    with session(email) as who:
        access = who.access(account)
        require_administrator(access, "rebuilding")
        found = derive(who.installation.database, access.account, check=check)
    lines = [f"Stream {found.stream}: {found.events:,} events, {found.entities:,} entities, tree root {found.root}."]
    lines += [str(one) for one in found.differences[:40]]
    if found.differences_count > 40:
        lines.append(f"… and {found.differences_count - 40:,} more (all with --json)")
    lines.append(f"{found.differences_count:,} differences, {found.repaired:,} snapshots put right.")
    show("\n".join(lines), found, as_json=as_json)
    if found.remaining:
        raise typer.Exit(1)
