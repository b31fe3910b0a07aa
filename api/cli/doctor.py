"""``counterfoil doctor``: whether this installation is sound."""

from __future__ import annotations

import typer

from api.cli.output import Json, show, table


def doctor(as_json: Json = False) -> None:
    """Check this installation: settings, folders, keys, database, roles, clock, what is left unfinished.

    Each line is ok, warn or fail, with what to do. Nothing is changed. Exit status 1: something fails.

    Example: counterfoil doctor
    """
    from api.cli.session import settings
    from api.doctor import examine

    found = examine(settings())
    lines = table(
        [(one.state, one.check, one.found) for one in found.findings],
        ("state", "check", "found"),
    )
    advice = [f"{one.check}: {one.advice}" for one in found.findings if one.advice and one.state != "ok"]
    show("\n".join([lines, *(["", "What to do:", *advice] if advice else [])]), found, as_json=as_json)
    if found.state == "fail":
        raise typer.Exit(1)
