"""``counterfoil token``: the API token of a person."""

from __future__ import annotations

import typer

from api.cli.output import As, Json, show

app = typer.Typer(help="Make API tokens.", no_args_is_help=True)


@app.callback()
def _token() -> None:
    """Make API tokens."""


@app.command()
def create(email: As = None, as_json: Json = False) -> None:
    """Make your API token, in place of the one you had. It is shown once, and kept only as a hash.

    Example: counterfoil token create --as an@example.com
    """
    from api.cli.session import session
    from domain.accounts import make_token

    with session(email) as who:
        token = make_token(who.installation.database, who.person.id, at=who.installation.application.clock())
    show(token, {"token": token, "email": who.person.email}, as_json=as_json)
