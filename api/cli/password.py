"""``counterfoil password``: what people sign in with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from api.cli.output import As, Json, show

app = typer.Typer(help="Set passwords, and make codes to set one by.", no_args_is_help=True)
_MOST_BYTES = 4_096


@app.command("set")
def set_(
    source: Annotated[
        str, typer.Option("--from", metavar="FROM", help="Where it comes from: prompt, or file:PATH.")
    ] = "prompt",
    email: As = None,
    as_json: Json = False,
) -> None:
    """Set the password of the person that is acted for. It ends their sessions; their API tokens stay.

    It has at least 15 characters, any of them. It is asked for, or read from a file, and is never an argument.

    Example: counterfoil password set --as an@example.com
    """
    from api.cli.session import session
    from domain.sign_in import set_password

    password = _password(source)
    with session(email) as who:
        set_password(who.installation.database, who.person, password, at=who.installation.application.clock())
    show(f"{who.person.email} signs in with that password from now on.", {"email": who.person.email}, as_json=as_json)


@app.command()
def code(email: As = None, as_json: Json = False) -> None:
    """Make a code by which the person that is acted for sets a password, once, within three days. It is shown once.

    Hand it over where nobody else reads it: whoever has it, and knows the e-mail address, sets the password.

    Example: counterfoil password code --as bob@example.com
    """
    from api.cli.session import session
    from domain.sign_in import make_code

    with session(email) as who:
        at = who.installation.application.clock()
        made = make_code(who.installation.database, who.person.id, at=at, about="by the operator")
    data = {"code": made.secret, "email": who.person.email, "expires_at": made.expires_at}
    show(made.secret, data, as_json=as_json)


def _password(source: str) -> str:
    """The password from where *source* says, which is not quoted: somebody may have given the password itself."""
    from domain.entity import FieldRefused

    how, _, where = source.partition(":")
    if source == "prompt":
        if not sys.stdin.isatty():
            raise FieldRefused("from", "no terminal to ask at", "file:PATH")
        asked: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return asked
    if how == "file" and where:
        with Path(where).open("rb") as file:
            return file.read(_MOST_BYTES).decode("utf-8", "replace").removesuffix("\n").removesuffix("\r")
    raise typer.BadParameter("found something else; expected prompt or file:PATH", param_hint="--from")
