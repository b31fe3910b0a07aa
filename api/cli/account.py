"""``counterfoil account``: opening accounts, and what they are."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from api.cli.output import Account, As, Json, ask, clean_line, show, table

app = typer.Typer(help="Open, list, show, close and reopen accounts, change their settings.", no_args_is_help=True)


@app.command("open")
def open_(
    name: Annotated[str, typer.Argument(help="What the account is called: the company's name.")],
    country: Annotated[str, typer.Option(help="Where the company is (ISO 3166-1).")] = "BE",
    currency: Annotated[str, typer.Option(help="What it keeps its books in (ISO 4217).")] = "EUR",
    language: Annotated[str, typer.Option(help="What its documents are written in.")] = "en",
    time_zone: Annotated[str, typer.Option(help="Where its day begins.")] = "Europe/Brussels",
    company: Annotated[str | None, typer.Option(help="The company's name, where it is not the account's.")] = None,
    vat: Annotated[str | None, typer.Option(help="The company's VAT number; documents need company details.")] = None,
    email: As = None,
    as_json: Json = False,
) -> None:
    """Open an account; whom the command acts for is its owner.

    Example: counterfoil account open "Acme BV" --vat BE0417497106 --as an@example.com
    """
    from api.bootstrap import installation
    from api.cli.session import named, settings
    from domain.accounts import ensure_person, open_account

    in_force = settings()
    owner_email = named(email, in_force)
    with installation(in_force) as opened:
        meaning = _settings_fields(
            {"country": country, "currency": currency, "language": language, "time_zone": time_zone},
            company=None if vat is None and company is None else _company(company or name, vat, country),
        )
        owner = ensure_person(opened.database, owner_email, None, at=opened.application.clock())
        access = open_account(opened.application, name, owner, meaning, via="cli")
    text = f"Opened {access.control.name!r} as {access.slug}; {owner.email} owns it."
    show(text, {"account": access.account, "slug": access.slug, "owner": owner.email}, as_json=as_json)


def _company(name: str, vat: str | None, country: str) -> dict[str, Any]:
    return {"name": name, **({"vat_identifier": vat} if vat else {}), "address": {"country": country}}


def _settings_fields(values: dict[str, Any], company: dict[str, Any] | None) -> Any:
    from domain.control import SettingsFields
    from domain.entity import converted

    given = {**values, **({} if company is None else {"company": company})}
    return converted(given, SettingsFields, whole="settings", expected="a value as --help says")


@app.command("list")
def list_(email: As = None, as_json: Json = False) -> None:
    """The accounts that you have access to.

    Example: counterfoil account list --as an@example.com
    """
    from api.cli.session import session
    from domain.accounts import accounts_of

    with session(email) as who:
        found = accounts_of(who.installation.database, who.person.id)
    rows = [(one.slug, one.control.name, one.role.value, "closed" if one.control.closed else "open") for one in found]
    data = [
        {"account": one.account, "slug": one.slug, "name": one.control.name, "role": row[2], "state": row[3]}
        for one, row in zip(found, rows, strict=True)
    ]
    text = table(rows, ("account", "name", "your role", "state")) if rows else "You have access to no account."
    show(text, data, as_json=as_json)


@app.command("show")
def show_(account: Account, email: As = None, as_json: Json = False) -> None:
    """What an account is: settings, members, custom fields, and how many entities of each kind it holds.

    Example: counterfoil account show acme-bv --as an@example.com
    """
    from api.cli.session import session
    from projections.listing import count_kinds

    with session(email) as who:
        access = who.access(account)
        counts = count_kinds(who.installation.database, access.account)
    control = access.control
    settings = control.settings
    closed = ", closed" if control.closed else ""
    if control.erase_after is not None:
        closed += f", erased after {control.erase_after:%Y-%m-%d}"
    lines = [
        f"{control.name} ({access.slug}, {access.account}), opened {control.opened_at:%Y-%m-%d}{closed}",
        f"company: {_company_line(settings.company)}",
        f"country {settings.country}, currency {settings.currency}, language {settings.language}, {settings.time_zone}",
        f"books closed up to: {settings.closed_until or 'never closed'}",
        f"daily backups are kept {settings.backups_kept}",
        *(f"numbers of {kind}: {text}" for kind, text in settings.number_formats.items()),
        *(f"module: {module}" for module in control.modules),
        *(f"member: {member.name} <{member.email}>, {member.role.value}" for member in control.members),
        *(f"custom field: {field.kind}.{field.key} “{field.label}” ({field.type})" for field in control.custom_fields),
    ]
    kinds = table([(kind, f"{count:,}") for kind, count in counts.items()], ("kind", "entities"))
    show(
        "\n".join([*map(clean_line, lines), kinds]),
        {"slug": access.slug, "control": control, "counts": counts},
        as_json=as_json,
    )


def _company_line(company: Any) -> str:
    if company is None:
        return "no details yet"
    address = company.address
    placed = (*address.lines, address.post_code, address.city, address.country) if address else ()
    return ", ".join(part for part in (company.name, company.vat_identifier, *placed) if part)


@app.command()
def close(
    account: Account,
    reason: Annotated[str | None, typer.Option(help="Why, for the account's history.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    email: As = None,
    as_json: Json = False,
) -> None:
    """Close an account: it takes no more changes, and after some time all that it holds is erased. For owners.

    Until then members can read it, and an owner can take a backup of it, or reopen it.

    Example: counterfoil account close acme-bv --yes --as an@example.com
    """
    from api.cli.session import session
    from domain.accounts import close_account, require_owner

    with session(email) as who:
        access = who.access(account)
        require_owner(access, "closing the account")  # before it is asked about
        days = who.installation.settings.closed_account_days
        name = access.control.name
        ask(f"Close {name!r} ({access.slug})? In {days} days all that it holds is erased.", yes=yes)
        application = who.installation.application
        control = close_account(application, access, who.actor, reason=reason, kept_days=days)
    assert control.erase_after is not None, "that is what it was closed with"
    text = f"Closed {access.slug}; it is erased after {control.erase_after:%Y-%m-%d}, unless an owner reopens it."
    show(text, {"slug": access.slug, "closed": True, "erase_after": control.erase_after}, as_json=as_json)


@app.command()
def reopen(account: Account, email: As = None, as_json: Json = False) -> None:
    """Let an account that was closed take changes again; it is not erased. For owners.

    Example: counterfoil account reopen acme-bv --as an@example.com
    """
    from api.cli.session import session
    from domain.accounts import reopen_account

    with session(email) as who:
        access = who.access(account)
        reopen_account(who.installation.application, access, who.actor)
    show(f"Reopened {access.slug}.", {"slug": access.slug, "closed": False}, as_json=as_json)


@app.command("settings")
def settings_(
    account: Account,
    company: Annotated[str | None, typer.Option(help="The company's name.")] = None,
    vat: Annotated[str | None, typer.Option(help="The company's VAT number.")] = None,
    street: Annotated[str | None, typer.Option(help="Street and house number.")] = None,
    post_code: Annotated[str | None, typer.Option(help="Post code.")] = None,
    city: Annotated[str | None, typer.Option(help="City.")] = None,
    country: Annotated[str | None, typer.Option(help="Where the company is (ISO 3166-1).")] = None,
    language: Annotated[str | None, typer.Option(help="What its documents are written in.")] = None,
    time_zone: Annotated[str | None, typer.Option(help="Where its day begins.")] = None,
    closed_until: Annotated[
        str | None, typer.Option(help="Last day of the closed books, such as 2025-12-31; none opens them all.")
    ] = None,
    number_format: Annotated[
        list[str] | None, typer.Option(help="KIND=FORMAT, such as invoice=F{year}-{number:04}; may be repeated.")
    ] = None,
    keep_daily: Annotated[
        int | None, typer.Option(min=1, max=366, help="Keep the last daily backup of so many days (14).")
    ] = None,
    keep_weekly: Annotated[int | None, typer.Option(min=0, max=520, help="And of so many weeks (8).")] = None,
    keep_monthly: Annotated[int | None, typer.Option(min=0, max=240, help="And of so many months (12).")] = None,
    email: As = None,
    as_json: Json = False,
) -> None:
    """Change an account's settings: those that are given; others stay.

    Example: counterfoil account settings acme-bv --closed-until 2025-12-31 --as an@example.com
    """
    import msgspec

    from api.cli.session import session
    from domain.accounts import require_administrator
    from domain.control import SettingsChanged
    from domain.entity import FieldRefused, converted

    with session(email) as who:
        access = who.access(account)
        require_administrator(access, "changing settings")
        before = access.control.settings
        changes: dict[str, Any] = {}
        party: dict[str, Any] = msgspec.to_builtins(before.company) if before.company else {"name": access.control.name}
        address = party.get("address", {"country": before.country})
        given = {"name": company, "vat_identifier": vat}
        placed = {"lines": [street] if street else None, "post_code": post_code, "city": city}
        if any(value is not None for value in (*given.values(), *placed.values())):
            address.update({key: value for key, value in placed.items() if value is not None})
            party.update({key: value for key, value in given.items() if value is not None})
            changes["company"] = {**party, "address": address}
        plain = {"country": country, "language": language, "time_zone": time_zone}
        changes.update({key: value for key, value in plain.items() if value is not None})
        if closed_until is not None:
            changes["closed_until"] = None if closed_until == "none" else closed_until
        if number_format:
            if unclear := [pair for pair in number_format if "=" not in pair]:
                raise FieldRefused(
                    "number-format", repr(unclear[0]), "KIND=FORMAT, such as invoice=F{year}-{number:04}"
                )
            pairs = dict(pair.partition("=")[::2] for pair in number_format)
            changes["number_formats"] = {**before.number_formats, **pairs}
        kept = {"daily": keep_daily, "weekly": keep_weekly, "monthly": keep_monthly}
        if any(value is not None for value in kept.values()):
            given_rule = {key: value for key, value in kept.items() if value is not None}
            changes["backups_kept"] = {**msgspec.to_builtins(before.backups_kept), **given_rule}
        event = converted(changes, SettingsChanged, whole="settings", expected="a value as --help says")
        control = (
            who.installation.application.record_control(access.account, who.actor, event) if changes else access.control
        )
    show(f"Changed: {', '.join(changes) or 'nothing'}.", control.settings, as_json=as_json)
