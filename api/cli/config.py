"""``counterfoil config``: the settings in force."""

from __future__ import annotations

import typer

from api.cli.output import Json, show, table

app = typer.Typer(help="Show the settings in force.", no_args_is_help=True)


@app.callback()
def _config() -> None:
    """Show the settings in force."""


@app.command("show")
def show_(as_json: Json = False) -> None:
    """The settings in force, and where each comes from; no password is shown.

    Example: counterfoil config show
    """
    from msgspec.structs import replace

    from api.cli.session import settings
    from api.postgres import address
    from api.settings import settings_in_force

    in_force = settings()
    found = [
        replace(one, value=address(in_force)) if one.name == "database_url" else one
        for one in settings_in_force(in_force)
    ]
    text = table([(one.name, one.value, one.source) for one in found], ("setting", "value", "from"))
    show(text, found, as_json=as_json)
