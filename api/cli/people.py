"""``counterfoil people``: whose the events are that came into an account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.output import Account, As, Json, show, table

if TYPE_CHECKING:
    from domain.people import Linked

app = typer.Typer(help="Link people whom the timeline names to members of the account.", no_args_is_help=True)
PersonOption = Annotated[str, typer.Argument(metavar="PERSON", help="The person's id, as people list shows it.")]


@app.command(name="list")
def list_people(account: Account, email: As = None, as_json: Json = False) -> None:
    """List whom the timeline names where events were brought in, and to whom they are linked.

    Example: counterfoil people list acme-bv --as an@example.com
    """
    from api.cli.session import session
    from domain.people import list_attributed

    with session(email) as who:
        found = list_attributed(who.installation.application, who.access(account))
    rows = [
        (one.person, one.name or "", one.linked_to_name or one.linked_to, "yes" if one.verified else "no")
        for one in found
    ]
    show(table(rows, ("person", "called", "linked to", "verified")), found, as_json=as_json)


@app.command()
def link(
    account: Account,
    person: PersonOption,
    to: Annotated[str, typer.Option("--to", metavar="EMAIL", help="The member whose events they are.")],
    email: As = None,
    as_json: Json = False,
) -> None:
    """Link what a person did, wherever it was brought in, to a member: with their consent, or on an owner's word.

    Example: counterfoil people link acme-bv 0192f3a0-0000-7000-8000-000000000001 --to bob@example.com
    """
    from api.cli.session import session
    from domain.people import link_person

    with session(email) as who:
        linked = link_person(who.installation.application, who.access(account), who.actor, person=person, email=to)
    show(f"{person} is linked to {to} ({linked.ground}), {_segments(linked)}.", linked._asdict(), as_json=as_json)


@app.command()
def unlink(account: Account, person: PersonOption, email: As = None, as_json: Json = False) -> None:
    """Take a link back: what the person did is with whoever brought it in again.

    Example: counterfoil people unlink acme-bv 0192f3a0-0000-7000-8000-000000000001 --as an@example.com
    """
    from api.cli.session import session
    from domain.people import unlink_person

    with session(email) as who:
        linked = unlink_person(who.installation.application, who.access(account), who.actor, person=person)
    show(f"{person} is linked to nobody else any more, {_segments(linked)}.", linked._asdict(), as_json=as_json)


@app.command()
def consent(account: Account, person: PersonOption, email: As = None, as_json: Json = False) -> None:
    """Agree that what a person did, where events were brought in, is yours; an administrator may link it then.

    Example: counterfoil people consent acme-bv 0192f3a0-0000-7000-8000-000000000001 --as bob@example.com
    """
    from api.cli.session import session
    from domain.people import consent_to_link

    with session(email) as who:
        consent_to_link(who.installation.application, who.access(account), who.actor, person=person)
    show(f"You agreed that what {person} did is yours.", {"person": person, "to": who.person.id}, as_json=as_json)


def _segments(linked: Linked) -> str:
    return f"in {linked.segments:,} segments of the account's streams"
