"""What the command line prints: results for people or machines, progress, questions. Data never steers a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from snapshots.progress import Progress

As = Annotated[
    str | None,
    typer.Option("--as", metavar="EMAIL", help="The person to act for (default: COUNTERFOIL_AS or the settings)."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the same facts as JSON.")]
Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account's short name, or its id.")]
AccountAt = Annotated[
    str | None,
    typer.Option(
        "--account-at", metavar="AT", help="Only if the account that changes is where a rehearsal (--json) found it."
    ),
]

AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of", metavar="MOMENT", help="A position (1200, or 2.1200 of stream 2), or a time with its zone."
    ),
]


def clean(text: str) -> str:
    """*text* without characters that would steer a terminal; line feeds and tabs stay."""
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def clean_line(text: str) -> str:
    """*text* on one line: what an account holds must not look like a line that we print."""
    return clean(text.replace("\n", "\N{SYMBOL FOR NEWLINE}").replace("\t", " "))


def show(text: str, data: Any, *, as_json: bool) -> None:
    """Print *data* as JSON, in UTF-8 whatever the locale, or else *text*."""
    if as_json:
        import msgspec

        sys.stdout.flush()
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(data), indent=2) + b"\n")
    else:
        sys.stdout.write(clean(text.rstrip("\n")) + "\n")
    sys.stdout.flush()


def tell(text: str) -> None:
    """Say something beside the result."""
    sys.stderr.write(clean(text) + "\n")


def table(rows: Sequence[tuple[str, ...]], head: tuple[str, ...]) -> str:
    """Rows under their heads, in columns, each on one line; numbers to the right."""
    rows = [tuple(clean_line(cell) for cell in row) for row in rows]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = []
    for row in (head, *rows):
        cells = [
            cell.rjust(width) if cell.replace(",", "").isdigit() else cell.ljust(width)
            for cell, width in zip(row, widths, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


@contextmanager
def progress(what: str) -> Iterator[Progress]:
    """Progress of something long, on standard error: bars on a terminal, else a line for each part that is done."""
    if not sys.stderr.isatty():
        yield _plain(what)
        return
    from rich import progress as bar
    from rich.console import Console

    columns = (
        bar.TextColumn("{task.description}", markup=False),
        bar.BarColumn(),
        bar.MofNCompleteColumn(),
        bar.TimeRemainingColumn(),
    )
    with bar.Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def update(part: str, done: int, of: int) -> None:
            if part not in tasks:
                tasks[part] = bars.add_task(f"{what}: {part}", total=of)
            bars.update(tasks[part], completed=done)

        yield update


def _plain(what: str) -> Progress:
    def update(part: str, done: int, of: int) -> None:
        if done == of and of:
            tell(f"{what}: {part}, {of:,}")

    return update


def ask(question: str, *, yes: bool) -> None:
    """Go on only when the person at the terminal says so, or said so before with --yes. Exit status 1 otherwise."""
    if yes:
        return
    if not sys.stdin.isatty():
        tell(f"{question}\nNobody is there to ask: say --yes to go on. Nothing was done.")
        raise typer.Exit(1)
    if not typer.confirm(clean(question), err=True):
        tell("Nothing was done.")
        raise typer.Exit(1)
