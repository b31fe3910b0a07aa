"""``counterfoil token``: API tokens of a person."""

from __future__ import annotations

from typing import Annotated

import typer

from api.cli.output import As, Json, show, table

app = typer.Typer(help="Make, list and revoke API tokens.", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str, typer.Option(help="What the token is for.")] = "command line",
    scope: Annotated[
        list[str] | None,
        typer.Option(help="read, write, backup, restore or administer; may be repeated (default: all of them)."),
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="For how many days.")] = 365,
    account: Annotated[
        str | None, typer.Option(metavar="ACCOUNT", help="The one account that it is for (default: all of yours).")
    ] = None,
    email: As = None,
    as_json: Json = False,
) -> None:
    """Make an API token beside those you have. It is shown once, and kept only as a hash.

    Example: counterfoil token create --name nightly --scope backup --days 90 --as an@example.com
    """
    from api.cli.session import session
    from domain.credentials import ALL_SCOPES, Scope, create_token
    from domain.entity import FieldRefused

    if wrong := [one for one in scope or () if one not in list(Scope)]:
        raise FieldRefused("scope", repr(wrong[0]), f"one of {', '.join(Scope)}")
    with session(email) as who:
        only = None if account is None else who.access(account).account
        made = create_token(
            who.installation.database,
            who.person.id,
            at=who.installation.application.clock(),
            name=name,
            scopes=[Scope(one) for one in scope] if scope else ALL_SCOPES,
            account=only,
            days=days,
        )
    data = {"token": made.secret, "id": made.id, "email": who.person.email, "expires_at": made.expires_at}
    show(made.secret, data, as_json=as_json)


@app.command("list")
def list_(email: As = None, as_json: Json = False) -> None:
    """Your API tokens: what each is for, until when, and when it was used last.

    Example: counterfoil token list --as an@example.com
    """
    from api.cli.session import session
    from domain.credentials import list_tokens

    with session(email) as who:
        found = list_tokens(who.installation.database, who.person.id)
    rows = [
        (
            one.id,
            one.name,
            ", ".join(one.scopes),
            one.account or "all",
            f"{one.expires_at:%Y-%m-%d}",
            f"{one.last_used_at:%Y-%m-%d %H:%M}" if one.last_used_at else "never",
        )
        for one in found
    ]
    head = ("token", "name", "scopes", "account", "until", "last used")
    show(table(rows, head) if rows else "You have no API token.", found, as_json=as_json)


@app.command()
def revoke(
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="The token's id, as token list shows it.")],
    email: As = None,
    as_json: Json = False,
) -> None:
    """Revoke an API token: it opens nothing from then on.

    Example: counterfoil token revoke 0192f3a0-0000-7000-8000-000000000001 --as an@example.com
    """
    from api.cli.session import session
    from domain.credentials import revoke_token

    with session(email) as who:
        at = who.installation.application.clock()
        revoke_token(who.installation.database, who.person.id, token, at=at)
    show(f"Revoked {token}.", {"id": token}, as_json=as_json)
