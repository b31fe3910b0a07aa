"""``counterfoil field``: an account's custom fields."""

from __future__ import annotations

from typing import Annotated

import typer

from api.cli.output import Account, As, Json, show, table

app = typer.Typer(help="Define, remove and list an account's custom fields.", no_args_is_help=True)
KindOf = Annotated[str, typer.Argument(metavar="KIND", help="customer, item, invoice, line, …")]
Key = Annotated[str, typer.Argument(metavar="KEY", help="The field's key in the data.")]


@app.command()
def define(
    account: Account,
    kind: KindOf,
    key: Key,
    label: Annotated[str, typer.Option(help="What people see.")],
    type_: Annotated[str, typer.Option("--type", help="text, number, money, date, yes_no or choice.")] = "text",
    choice: Annotated[list[str] | None, typer.Option(help="A choice; may be repeated.")] = None,
    email: As = None,
    as_json: Json = False,
) -> None:
    """Define a custom field for a kind of entity.

    Example: counterfoil field define acme-bv customer region --label "Region" --as an@example.com
    """
    from api.cli.session import session
    from domain.accounts import require_administrator
    from domain.control import CustomFieldDefined
    from domain.entity import converted

    given = {"kind": kind, "key": key, "label": label, "type": type_, "choices": choice or []}
    event = converted(given, CustomFieldDefined, expected="a value as --help says")
    with session(email) as who:
        access = who.access(account)
        require_administrator(access, "defining a custom field")
        who.installation.application.record_control(access.account, who.actor, event)
    show(f"Defined {kind}.{key} “{label}” ({type_}).", event, as_json=as_json)


@app.command()
def remove(account: Account, kind: KindOf, key: Key, email: As = None, as_json: Json = False) -> None:
    """Show a custom field no longer; values that entities have stay in their data.

    Example: counterfoil field remove acme-bv customer region --as an@example.com
    """
    from api.cli.session import session
    from domain.accounts import require_administrator
    from domain.control import CustomFieldRemoved

    event = CustomFieldRemoved(kind=kind, key=key)  # type: ignore[arg-type]  # an unknown kind has no field to remove
    with session(email) as who:
        access = who.access(account)
        require_administrator(access, "removing a custom field")
        who.installation.application.record_control(access.account, who.actor, event)
    show(f"Removed {kind}.{key}.", event, as_json=as_json)


@app.command("list")
def list_(account: Account, email: As = None, as_json: Json = False) -> None:
    """The custom fields that an account defines.

    Example: counterfoil field list acme-bv --as an@example.com
    """
    from api.cli.session import session

    with session(email) as who:
        fields = who.access(account).control.custom_fields
    rows = [(field.kind, field.key, field.label, field.type, ", ".join(field.choices)) for field in fields]
    text = table(rows, ("kind", "key", "label", "type", "choices")) if rows else "No custom field is defined."
    show(text, fields, as_json=as_json)
