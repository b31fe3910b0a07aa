"""``counterfoil member``: who has access to an account."""

from __future__ import annotations

from typing import Annotated

import typer

from api.cli.output import Account, As, Json, show, table

app = typer.Typer(help="Add, remove and list an account's members.", no_args_is_help=True)
Member = Annotated[str, typer.Argument(metavar="EMAIL", help="The member's e-mail address.")]


@app.command()
def add(
    account: Account,
    member: Member,
    name: Annotated[str | None, typer.Option(help="The person's name (default: from the address).")] = None,
    role: Annotated[str, typer.Option(help="owner, administrator, editor, viewer or auditor.")] = "editor",
    email: As = None,
    as_json: Json = False,
) -> None:
    """Give a person access to an account.

    Example: counterfoil member add acme-bv bob@example.com --name "Bob" --role editor --as an@example.com
    """
    from api.cli.session import session
    from domain.accounts import add_member
    from domain.control import Role
    from domain.entity import FieldRefused

    if role not in list(Role):
        raise FieldRefused("role", repr(role), f"one of {', '.join(Role)}")
    with session(email) as who:
        access = who.access(account)
        added = add_member(who.installation.application, access, who.actor, email=member, name=name, role=Role(role))
    show(
        f"{added.name} <{added.email}> has access to {access.slug} as {role}.",
        {"person": added.id, "email": added.email, "role": role},
        as_json=as_json,
    )


@app.command()
def remove(account: Account, member: Member, email: As = None, as_json: Json = False) -> None:
    """Take a person's access to an account away; what they did stays theirs on the timeline.

    Example: counterfoil member remove acme-bv bob@example.com --as an@example.com
    """
    from api.cli.session import session
    from domain.accounts import remove_member

    with session(email) as who:
        access = who.access(account)
        removed = remove_member(who.installation.application, access, who.actor, email=member)
    text = f"{removed.name} <{removed.email}> has no access to {access.slug} any more."
    show(text, {"person": removed.id, "email": removed.email}, as_json=as_json)


@app.command("list")
def list_(account: Account, email: As = None, as_json: Json = False) -> None:
    """Who has access to an account.

    Example: counterfoil member list acme-bv --as an@example.com
    """
    from api.cli.session import session

    with session(email) as who:
        members = who.access(account).control.members
    rows = [(member.name, member.email, member.role.value) for member in members]
    show(table(rows, ("name", "e-mail", "role")), members, as_json=as_json)
