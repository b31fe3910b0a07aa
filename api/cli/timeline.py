"""``counterfoil timeline``: who did what in an account."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from api.cli.output import Account, As, Json, clean_line, show


def timeline(
    account: Account,
    person: Annotated[str | None, typer.Option(metavar="EMAIL|ID", help="Only what is linked to this person.")] = None,
    kind: Annotated[
        str | None, typer.Option(help="Only this kind: customer, invoice, …; account: its own history.")
    ] = None,
    entity: Annotated[str | None, typer.Option(metavar="ID", help="Only this entity.")] = None,
    type_: Annotated[
        str | None, typer.Option("--type", help="Only this type of event, such as invoice.issued.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="Only from this day or time on (UTC).")] = None,
    until: Annotated[str | None, typer.Option(help="Only before this day or time (UTC).")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="At most so many entries.")] = 50,
    cursor: Annotated[str | None, typer.Option(help="Go on where an earlier page ended.")] = None,
    email: As = None,
    as_json: Json = False,
) -> None:
    """What happened in an account, newest first, with what each change was before and after.

    Example: counterfoil timeline acme-bv --kind invoice --since 2026-01-01 --as an@example.com
    """
    from api.cli.session import session
    from domain.accounts import find_person
    from projections.timeline import Filter, read_timeline

    with session(email) as who:
        access = who.access(account)
        database = who.installation.database
        of: Any = find_person(database, person).id if person and "@" in person else person
        which = Filter(of, kind, entity, type_, _time("since", since), _time("until", until))  # type: ignore[arg-type]
        page = read_timeline(database, access.account, which, cursor=cursor, limit=limit)
    lines = [line for entry in page.entries for line in _lines(entry)] or ["Nothing happened that this lets through."]
    if page.cursor:
        lines.append(f"More: --cursor {page.cursor}")
    show("\n".join(lines), page, as_json=as_json)


def _time(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no day or time such as 2026-01-31", param_hint=f"--{option}") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _lines(entry: Any) -> list[str]:
    who = clean_line(entry.actor_name or entry.actor)
    if entry.linked_to != entry.actor:
        who += f", linked to {clean_line(entry.linked_to_name or entry.linked_to)}"
    if not entry.verified:
        who += " (unverified)"
    head = f"{entry.at}  {entry.type}  {entry.entity or ''}  by {who} ({entry.via})"
    return [head, *(f"    {one.field}: {_shown(one.before)} → {_shown(one.after)}" for one in entry.changes)]


def _shown(value: Any) -> str:
    import msgspec

    if value is None:
        return "–"
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return clean_line(text if len(text) <= 100 else text[:97] + "...")
