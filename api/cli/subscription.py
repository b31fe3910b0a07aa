"""``counterfoil subscription``: what has fallen due, and going on with one that was held or paused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.output import Account, As, Json, progress, show

if TYPE_CHECKING:
    from domain.subscriptions import Subscription

app = typer.Typer(help="Invoice what has fallen due, and go on with what was held or paused.", no_args_is_help=True)


@app.callback()
def subscriptions() -> None:
    """Invoice what has fallen due, and go on with what was held or paused."""


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


@app.command("invoice-due")
def invoice_due(account: Account, email: As = None, as_json: Json = False) -> None:
    """Make the invoices of all periods of the account's subscriptions that have begun; each period gets one, once.

    What cannot be invoiced is told with its reason. Exit status 1: there was some of that.

    Example: counterfoil subscription invoice-due acme-bv --as an@example.com
    """
    from api.cli.session import session
    from domain import due

    with session(email) as who, progress("invoices") as update:
        access = who.access(account)
        found = due.invoice_due(who.installation.application, access.account, who.actor, progress=update)
    lines = [f"{one.start}  {one.subscription}  invoice {one.number or one.document}" for one in found.made]
    lines += [f"{one.start}  {one.subscription}  waits: {one.reason}" for one in found.waiting]
    more = "; there are more: do it again" if found.more else ""
    lines.append(f"{len(found.made):,} invoices made, {len(found.waiting):,} subscriptions wait{more}.")
    show("\n".join(lines), found, as_json=as_json)
    if found.waiting:
        raise typer.Exit(1)


@app.command()
def periods(
    account: Account,
    subscription: Annotated[str, typer.Argument(metavar="SUBSCRIPTION", help="The subscription's id.")],
    email: As = None,
    as_json: Json = False,
) -> None:
    """A subscription's periods: those that were invoiced, those that are due, and the next to come.

    Example: counterfoil subscription periods acme-bv 019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071 --as an@example.com
    """
    from api.cli.session import session
    from domain.due import periods_of
    from domain.ids import EntityId, is_canonical
    from domain.kinds import Kind
    from domain.work import EntityUnknown

    if not is_canonical(subscription):
        raise EntityUnknown(Kind.SUBSCRIPTION.value, subscription)
    id_ = EntityId(subscription)
    with session(email) as who:
        access = who.access(account)
        found = who.installation.application.run(
            access.account, who.actor, lambda work: periods_of(work, id_), reads=[id_]
        )
    lines = [
        f"{one.start} to {one.end}  invoiced by {one.number or one.document} in stream {one.stream}"
        for one in found.invoiced
    ]
    lines += [f"{one.start} to {one.end}  due" for one in found.due]
    lines += [f"Waits: {found.waits}."] if found.waits else []
    lines.append(f"Next: {found.next.start} to {found.next.end}." if found.next else "No period comes after these.")
    show("\n".join(lines), found, as_json=as_json)
