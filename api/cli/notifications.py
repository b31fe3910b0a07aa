"""``counterfoil notifications``: what you were told of an account, and what you want to be told of."""

from __future__ import annotations

from typing import Annotated

import typer

from api.cli.groups import WithDefault
from api.cli.output import Account, As, Json, show

app = typer.Typer(
    cls=WithDefault,
    help="What you were told of an account. Without a command: list.",
    no_args_is_help=True,
)


@app.callback()
def _notifications() -> None:
    """What you were told of an account. Without a command: list."""


@app.command("list")
def list_(
    account: Account,
    unread: Annotated[bool, typer.Option("--unread", help="Only what you have not marked as read.")] = False,
    before: Annotated[int | None, typer.Option(metavar="ID", min=1, help="Only what is older than this one.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="At most so many.")] = 50,
    email: As = None,
    as_json: Json = False,
) -> None:
    """What you were told of an account, newest first; what is not read yet is marked with a star.

    Example: counterfoil notifications acme-bv --unread --as an@example.com
    """
    from api.cli.session import session
    from projections.notices import read_notices

    with session(email) as who:
        access = who.access(account)
        database = who.installation.database
        page = read_notices(database, access.account, who.person.id, before=before, unread=unread, limit=limit)
    lines = [
        f"{' ' if one.read else '*'} {one.id}  {one.at:%Y-%m-%d %H:%M}  {one.text}"
        + (f"\n    not mailed: {one.mail_problem}" if one.mail == "failed" else "")
        for one in page.items
    ]
    if page.following:
        lines.append(f"More: --before {page.following}")
    show("\n".join([*lines, f"{page.unread:,} not read yet."]), page, as_json=as_json)


@app.command()
def read(
    account: Account,
    up_to: Annotated[
        int | None, typer.Option(metavar="ID", min=1, help="Up to this one, itself included (default: all).")
    ] = None,
    email: As = None,
    as_json: Json = False,
) -> None:
    """Mark what you were told as read.

    Example: counterfoil notifications read acme-bv --as an@example.com
    """
    from api.cli.session import session
    from projections.notices import mark_read

    with session(email) as who:
        access = who.access(account)
        application = who.installation.application
        left = mark_read(application.database, access.account, who.person.id, up_to=up_to, at=application.clock())
    show(f"{left:,} not read yet.", {"unread": left}, as_json=as_json)


@app.command()
def topics(
    account: Account,
    topic: Annotated[
        list[str] | None,
        typer.Argument(
            help="restores, undos, clones, downloads, failed-backups, alarms or closing; none: nothing more."
        ),
    ] = None,
    email: As = None,
    as_json: Json = False,
) -> None:
    """Choose what you are told of; owners and administrators are told of everything, whatever they choose.

    Example: counterfoil notifications topics acme-bv restores undos --as an@example.com
    """
    from api.cli.session import session
    from domain.accounts import choose_topics
    from domain.entity import FieldRefused
    from domain.notices import Topic

    if unknown := [one for one in topic or () if one not in list(Topic)]:
        raise FieldRefused("topic", repr(unknown[0]), f"one of {', '.join(Topic)}")
    with session(email) as who:
        access = who.access(account)
        application = who.installation.application
        chosen = choose_topics(application, access, who.actor, who.person.id, map(Topic, topic or ())).topics
    show(f"You are told of: {', '.join(chosen) or 'what your role asks for'}.", {"topics": chosen}, as_json=as_json)
