"""``counterfoil keys``: the key that archives are signed with, and the keys that are believed."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.output import Json, show, table

if TYPE_CHECKING:
    from snapshots.trust.keys import Keys
    from snapshots.trust.signing import TrustedKey

app = typer.Typer(
    help="Show and rotate the signing key; trust and distrust keys of other installations.", no_args_is_help=True
)
Key = Annotated[str, typer.Argument(metavar="KEY", help="The id of a trusted key, or the name that it has here.")]


def _keys() -> Keys:
    from api.bootstrap import keys
    from api.cli.session import settings

    return keys(settings())


@app.command("show")
def show_(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file to write it to as well; none that is there already.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the public key that this installation's archives are verified with, to hand to others.

    Example: counterfoil keys show -o our-key.pem
    """
    from snapshots.trust.signing import public_pem

    signer = _keys().signer()
    pem = public_pem(signer.public)
    if output is not None:
        with output.open("x") as file:
            file.write(pem)
    show(pem, {"key": signer.key, "algorithm": "Ed25519", "public_key": pem}, as_json=as_json)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the keys that are believed: this installation's own, also earlier ones, and those of others.

    Example: counterfoil keys list
    """
    found = _keys().trusted()
    rows = [(key.id, key.name, _believed(key)) for key in found]
    text = table(rows, ("key", "name", "believed")) if rows else "No key is trusted yet: ours is made at first use."
    show(text, [_facts(key) for key in found], as_json=as_json)


@app.command()
def trust(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call the key: whose it is.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The public key in PEM, as `keys show` prints it.")],
    as_json: Json = False,
) -> None:
    """Believe archives that are signed with the key in FILE. Get it from its owner, never from an archive.

    Example: counterfoil keys trust head-office head-office.pem
    """
    with file.open("rb") as opened:
        content = opened.read(2_000)  # more is no key
    trusted = _keys().trust(name, content.decode("ascii", "replace"), where=str(file))
    show(f"Trusted {trusted.name}, key {trusted.id}.", _facts(trusted), as_json=as_json)


@app.command()
def rotate(as_json: Json = False) -> None:
    """Sign with a fresh key from now on. Archives that the old key signed stay authentic.

    Example: counterfoil keys rotate
    """
    made = _keys().rotate()
    text = f"Archives are signed with key {made.key} from now on; hand its public key to those who trust the old one."
    show(text, {"key": made.key}, as_json=as_json)


@app.command()
def distrust(
    key: Key,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="DATE", help="A date or time in UTC; archives taken before stay believed (default: none)."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Believe no archive by a key, or none that was taken from a date on. Archives by it are unsigned then.

    Whoever has the private key can date an archive back: leave out --from when it may be in wrong hands.
    Example: counterfoil keys distrust head-office --from 2026-03-01
    """
    from snapshots.trust.keys import NEVER_BELIEVED

    changed = _keys().distrust(key, NEVER_BELIEVED if from_ is None else _moment(from_))
    show(f"{changed.name}, key {changed.id}: believed {_believed(changed)}.", _facts(changed), as_json=as_json)


@app.command()
def believe(key: Key, as_json: Json = False) -> None:
    """Believe all archives by a trusted key again.

    Example: counterfoil keys believe head-office
    """
    changed = _keys().distrust(key, None)
    show(f"{changed.name}, key {changed.id}: believed {_believed(changed)}.", _facts(changed), as_json=as_json)


def _moment(text: str) -> datetime:
    """A time, or the beginning of a day in UTC."""
    with suppress(ValueError, OverflowError):
        if len(text) == 10:
            return datetime.combine(date.fromisoformat(text), time(), UTC)
        found = datetime.fromisoformat(text)
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    expected = "a date such as 2026-03-01, or a time with its zone such as 2026-03-01T09:30:00Z"
    raise typer.BadParameter(f"found {text!r}; expected {expected}", param_hint="--from")


def _believed(key: TrustedKey) -> str:
    from snapshots.trust.keys import NEVER_BELIEVED

    if key.distrusted_from is None:
        return "always"
    return "never" if key.distrusted_from == NEVER_BELIEVED else f"before {key.distrusted_from.isoformat()}"


def _facts(key: TrustedKey) -> dict[str, Any]:
    from snapshots.trust.signing import public_pem

    return {**key._asdict(), "public": public_pem(key.public), "believed": _believed(key)}
