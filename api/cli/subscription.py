"""``counterfoil subscription``: going on with one that was held or paused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.output import Account, As, Json, show

if TYPE_CHECKING:
    from domain.subscriptions import Subscription

app = typer.Typer(help="Go on with subscriptions that were held or paused.", no_args_is_help=True)


@app.callback()
def subscriptions() -> None:
    """Go on with subscriptions that were held or paused."""


@app.command()
def resume(
    account: Account,
    subscription: Annotated[str, typer.Argument(metavar="SUBSCRIPTION", help="The subscription's id.")],
    next_date: Annotated[
        str | None, typer.Option(help="First day of the period to go on with (default: the one that was next).")
    ] = None,
    email: As = None,
    as_json: Json = False,
) -> None:
    """Go on invoicing a subscription; periods that any stream of the account invoiced are left out, and shown.

    Example: counterfoil subscription resume acme-bv 019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071 --as an@example.com
    """
    from datetime import date

    from api.cli.session import session
    from domain import commands
    from domain.entity import converted
    from domain.ids import EntityId, is_canonical
    from domain.kinds import Kind
    from domain.work import EntityUnknown, Work

    first = converted(next_date, date, within="next_date", expected="a day such as 2026-01-31") if next_date else None
    if not is_canonical(subscription):
        raise EntityUnknown(Kind.SUBSCRIPTION.value, subscription)
    id_ = EntityId(subscription)

    def command(work: Work) -> Subscription:
        commands.resume(work, id_, first)
        state: Subscription = work.get(Kind.SUBSCRIPTION, id_)
        return state

    with session(email) as who:
        access = who.access(account)
        state = who.installation.application.run(access.account, who.actor, command, reads=[id_])
    lines = [
        f"Left out: {one.start}, invoiced by {one.number or one.document} in stream {one.stream}."
        for one in state.left_out
    ]
    show("\n".join([*lines, f"Goes on with the period of {state.next_date}."]), state, as_json=as_json)
