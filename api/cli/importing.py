"""``counterfoil import``: data from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.output import As, Json, clean_line, show

app = typer.Typer(help="Import documents from other software.", no_args_is_help=True)


@app.callback()
def _import() -> None:
    """Import documents from other software."""


@app.command("ubl")
def ubl(
    files: Annotated[list[Path], typer.Argument(metavar="FILES…", help="UBL 2.1 invoices and credit notes.")],
    account: Annotated[str, typer.Option("--account", help="The account to import into.")],
    any_supplier: Annotated[
        bool, typer.Option("--any-supplier", help="Also documents whose supplier is not the account's company.")
    ] = False,
    email: As = None,
    as_json: Json = False,
) -> None:
    """Import UBL invoices and credit notes, as they were issued. Exit status 1: some file was refused.

    Example: counterfoil import ubl --account acme-bv invoices/*.xml --as an@example.com
    """
    from api.cli.session import session
    from api.ubl import import_documents

    for file in files:
        _check_readable(file)

    def given() -> Iterator[tuple[str, bytes]]:
        for file in files:
            yield str(file), file.read_bytes()

    with session(email) as who:
        access = who.access(account)
        report = import_documents(
            who.installation.application, access.account, who.actor, given(), any_supplier=any_supplier
        )
    show("\n".join(line for file in report.files for line in lines_of(file)), report, as_json=as_json)
    if report.refused:
        raise typer.Exit(1)


def _check_readable(file: Path) -> None:
    """That *file* can be read, before anything is imported. Raises OSError."""
    with file.open("rb"):
        pass


def lines_of(file: Any) -> list[str]:
    """What became of a file, for a person."""
    if file.refused:
        return [
            f"{file.file}: refused: {file.refused.reason}",
            *([f"  hint: {file.refused.hint}"] if file.refused.hint else []),
        ]
    made = ", ".join(clean_line(f"{one.kind} {one.name}") for one in file.made) or "nothing new"
    lines = [
        f"{file.file}: {file.document.kind} {file.document.name}, {file.totals.with_vat} {file.currency}; made {made}"
    ]
    lines += [f"  warning: {warning}" for warning in file.warnings]
    lines += [clean_line(f"  not kept: {one.path} = {one.value}") for one in file.unread]
    return lines
