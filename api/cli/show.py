"""``counterfoil show``: an entity, as it is or as it was."""

from __future__ import annotations

from typing import Annotated

import typer

from api.cli.kinds import kind_named
from api.cli.output import Account, As, AsOf, Json
from api.cli.output import show as print_out


def show(
    account: Account,
    kind: Annotated[str, typer.Argument(metavar="KIND", help="customer, item, invoice, credit_note, …")],
    entity: Annotated[str, typer.Argument(metavar="ID|NUMBER", help="The entity's id, or the number that it bears.")],
    as_of: AsOf = None,
    email: As = None,
    as_json: Json = False,
) -> None:
    """Print an entity as it is, or as it was at a past moment, also one that was deleted since.

    Example: counterfoil show acme-bv invoice 2026-00001 --as-of 2026-01-31T23:59:59Z --as an@example.com
    """
    import msgspec

    from api.cli.session import session
    from domain.ids import is_canonical
    from projections.listing import find_numbered
    from projections.moments import read_moment
    from projections.past import entity_at

    of = kind_named(kind)
    moment = None if as_of is None else read_moment(as_of)
    with session(email) as who:
        access = who.access(account)
        application = who.installation.application
        id_ = entity
        if not is_canonical(entity):
            numbered = find_numbered(application.database, access.account, of, entity).states
            id_ = msgspec.json.decode(numbered[0])["id"] if numbered else entity
        found = entity_at(application.database, access.account, of, id_, moment, now=application.clock())
    text = f"{of.value} {found.state.id}, version {found.state.version}, at position {found.stream}.{found.position}\n"
    text += msgspec.json.format(msgspec.json.encode(found.state), indent=2).decode()
    print_out(text, found._asdict(), as_json=as_json)
