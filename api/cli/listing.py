"""``counterfoil list``: what an account holds of a kind, filtered, sorted and searched."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.kinds import kind_named
from api.cli.output import Account, As, Json, show, table

if TYPE_CHECKING:
    from domain.kinds import Kind

MOST = 100_000
_A_PAGE = 1_000


def list_(
    account: Account,
    kind: Annotated[str, typer.Argument(metavar="KIND", help="customer, item, invoice, credit_note, …")],
    q: Annotated[str | None, typer.Option("-q", "--search", metavar="WORDS", help="Words that are all in it.")] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="A filter of the HTTP API, such as state=issued,paid or total_from=1000; again for more.",
        ),
    ] = None,
    sort: Annotated[
        str | None, typer.Option(metavar="NAME", help="number, name, issue_date, total, …; -total: descending.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="How many at most.")] = 100,
    email: As = None,
    as_json: Json = False,
) -> None:
    """What an account holds of a kind: all of it, or what is looked for, oldest first unless --sort says otherwise.

    Example: counterfoil list acme-bv invoice --where state=issued,partly_paid --sort due_date --as an@example.com
    """
    import msgspec

    from api.cli.session import session
    from api.filters import read_query
    from projections.finding import find_entities

    of = kind_named(kind)
    given = dict(map(_pair, where or ())) | ({} if q is None else {"q": q})
    found: list[dict[str, Any]] = []
    with session(email) as who:
        access = who.access(account)
        application = who.installation.application
        query = read_query(of, given, sort, today=access.control.local_day(application.clock()))
        after = None
        while True:
            most = min(limit - len(found), _A_PAGE)
            page = find_entities(
                application.database, access.account, of, query.wanted, query.sort, after=after, limit=most
            )
            found += [msgspec.json.decode(state) for state in page.states]
            after = page.following
            if after is None or len(found) == limit:
                break
    more = [] if after is None else [f"… and more: --limit says how many, up to {MOST:,}."]
    show("\n".join([_written(of, found), *more]), {"items": found, "more": after is not None}, as_json=as_json)


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not value:
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--where")
    return name, value


def _written(kind: Kind, found: list[dict[str, Any]]) -> str:
    if not found:
        return "Nothing is there."
    columns = _COLUMNS["document" if kind.is_document else kind.value]
    return table([tuple(column(one) for column in columns.values()) for one in found], tuple(columns))


def _at(*path: str) -> Callable[[dict[str, Any]], str]:
    """What an entity holds there, as text."""

    def read(entity: dict[str, Any]) -> str:
        found: Any = entity
        for step in path:
            found = found.get(step) if isinstance(found, dict) else None
        return "" if found is None else str(found)

    return read


def _condition(entity: dict[str, Any]) -> str:
    return "merged" if entity.get("merged_into") else "archived" if entity.get("archived") else "active"


_COLUMNS: dict[str, dict[str, Callable[[dict[str, Any]], str]]] = {
    "document": {
        "id": _at("id"),
        "number": _at("number"),
        "state": lambda entity: entity.get("state", "draft"),
        "issued": _at("issue_date"),
        "due": _at("due_date"),
        "buyer": _at("buyer", "name"),
        "": _at("currency"),
        "total": _at("totals", "with_vat"),
        "open": _at("totals", "due"),
    },
    "customer": {
        "id": _at("id"),
        "number": _at("number"),
        "name": _at("party", "name"),
        "vat": _at("party", "vat_identifier"),
        "city": _at("party", "address", "city"),
        "state": _condition,
    },
    "item": {
        "id": _at("id"),
        "number": _at("number"),
        "name": _at("name"),
        "price": _at("net_price"),
        "state": _condition,
    },
    "layout": {"id": _at("id"), "name": _at("name"), "language": _at("language"), "state": _condition},
    "ledger_account": {
        "id": _at("id"),
        "number": _at("number"),
        "name": _at("name"),
        "type": _at("type"),
        "state": _condition,
    },
    "subscription": {
        "id": _at("id"),
        "customer": _at("customer"),
        "state": lambda entity: entity.get("state", "active"),
        "next": _at("next_date"),
        "until": _at("until"),
    },
}
