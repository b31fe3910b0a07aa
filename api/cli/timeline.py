"""``counterfoil timeline``: who did what in an account, and whether it is what was recorded."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.groups import WithDefault
from api.cli.locks import IdentityFile, PassphraseFrom, unlock_of
from api.cli.output import Account, As, Json, clean_line, show

if TYPE_CHECKING:
    from snapshots.format.manifest import TreeHead
    from snapshots.proving.proofs import Checked, Stated
    from snapshots.proving.verification import Verified

MOST_SHOWN = 40
app = typer.Typer(
    cls=WithDefault,
    help="What happened in an account, and whether it is what was recorded. Without a command: list.",
    no_args_is_help=True,
)
Stream = Annotated[int | None, typer.Option(min=1, help="Of this stream, live or retired (default: the live one).")]


@app.callback()
def _timeline() -> None:
    """What happened in an account, and whether it is what was recorded. Without a command: list."""


@app.command("list")
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


@app.command()
def verify(
    account: Account,
    against: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="An archive to compare with; may be given several times.")
    ] = None,
    stream: Stream = None,
    log_only: Annotated[bool, typer.Option("--log-only", help="Do not derive the snapshots anew.")] = False,
    identity: IdentityFile = None,
    passphrase: PassphraseFrom = None,
    email: As = None,
    as_json: Json = False,
) -> None:
    """Find whatever was changed, removed, inserted or moved behind the service's back, and where it begins.

    Recomputes every line, leaf and the tree, and compares with what the account's own history and archives state. An
    archive of the stream tells the first bad position exactly. Exit status 1: something is not as it was recorded.

    Example: counterfoil timeline verify acme-bv --against acme.zip --as an@example.com
    """
    from api.bootstrap import limits
    from api.cli.session import session
    from snapshots.proving.verification import Given, verify_timeline

    unlock = unlock_of(identity, passphrase)
    with ExitStack() as files, session(email) as who:
        access = who.access(account)
        found = verify_timeline(
            who.installation.database,
            access.account,
            stream=stream,
            against=[Given(file.name, files.enter_context(file.open("rb"))) for file in against or ()],
            log_only=log_only,
            limits=limits(who.installation.settings),
            keys=who.installation.keys.ring(),
            unlock=unlock,
        )
    show(_verified(found), found, as_json=as_json)
    if not found.is_sound:
        raise typer.Exit(1)


def _verified(found: Verified) -> str:
    log = found.log
    own = [one for one in log.heads if one.by == "history" and one.agrees]
    vouched = max((one.common for one in found.archives), default=0)
    lines = [f"Stream {log.stream}, {log.status}: {log.events:,} events, tree root {log.root}."]
    lines += [str(one) for one in found.archives]
    lines.append(f"The account's own history states {len(own):,} heads that agree.")
    if vouched < log.events:
        lines.append(f"Behind position {vouched:,} nothing vouches for the rows but the database they lie in.")
    lines += [str(one) for one in log.findings[:MOST_SHOWN]]
    count = log.findings_count
    lines += [str(one) for one in found.files[:MOST_SHOWN]]
    count += len(found.files)
    if found.snapshots is not None:
        lines += [str(one) for one in found.snapshots.differences[:MOST_SHOWN]]
        count += found.snapshots.differences_count
    if count > len(lines):
        lines.append("… and more (all with --json)")
    if found.is_sound:
        lines.append("Sound: all of it is as it was recorded.")
    elif log.first_bad is None:
        lines.append(f"NOT AS RECORDED: {count:,} findings, none of them about a position.")
    elif log.first_bad == log.first_bad_by_then:
        lines.append(f"NOT AS RECORDED: {count:,} findings; the first bad position is {log.first_bad:,}.")
    else:
        lines.append(
            f"NOT AS RECORDED: {count:,} findings; the first bad position is one of {log.first_bad:,} to"
            f" {log.first_bad_by_then:,}: an archive of the stream, with --against, tells which."
        )
    return "\n".join(lines)


@app.command()
def prove(
    account: Account,
    position: Annotated[int | None, typer.Option(min=1, help="Prove that this position's event is in the log.")] = None,
    size: Annotated[
        int | None, typer.Option(min=1, help="… under the head of so many events (default: the newest backup's).")
    ] = None,
    archive: Annotated[Path | None, typer.Option(metavar="FILE", help="… under the head of this archive.")] = None,
    from_: Annotated[
        int | None, typer.Option("--from", min=0, help="Prove what was added since so many events.")
    ] = None,
    from_archive: Annotated[
        Path | None, typer.Option("--from-archive", metavar="FILE", help="… since this archive.")
    ] = None,
    to: Annotated[int | None, typer.Option(min=0, help="… up to so many events (default: all there are).")] = None,
    to_archive: Annotated[
        Path | None, typer.Option("--to-archive", metavar="FILE", help="… up to this archive.")
    ] = None,
    stream: Stream = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file for the proof (default: standard output).")
    ] = None,
    email: As = None,
) -> None:
    """Prove that an event is in the log, or that the log only ever grew: a small file that anybody can check.

    Example: counterfoil timeline prove acme-bv --position 1 -o proof.json --as an@example.com
    """
    from api.cli.session import session
    from snapshots.proving.proofs import encode_proof
    from snapshots.proving.proving import prove_consistency, prove_inclusion

    of_event = position is not None
    if of_event == (from_ is not None or from_archive is not None):
        raise typer.BadParameter("expected either --position, or --from or --from-archive")
    head, earlier, later = _head(size, archive), _head(from_, from_archive), _head(to, to_archive)
    if (later if of_event else head) is not None:
        raise typer.BadParameter("--size and --archive go with --position, --to and --to-archive with --from")
    with session(email) as who:
        access = who.access(account)
        database = who.installation.database
        proof: Any
        if position is not None:
            proof = prove_inclusion(database, access.account, position=position, stream=stream, head=head)
        else:
            assert earlier is not None, "one of the two was given"
            proof = prove_consistency(database, access.account, earlier=earlier, later=later, stream=stream)
    if output is None:
        show(encode_proof(proof).decode(), proof, as_json=True)
        return
    output.write_bytes(encode_proof(proof))
    show(f"{output}: {proof.shows()}", None, as_json=False)


def _head(size: int | None, archive: Path | None) -> TreeHead | int | None:
    """The head that is meant: the size that was given, or the archive's own."""
    if archive is None:
        return size
    if size is not None:
        raise typer.BadParameter("expected a number of events or an archive, not both")
    return _stated(archive).tree_head


def _stated(path: Path) -> Stated:
    """What a manifest states, by itself with the manifest.sig that lies beside it, or in its archive."""
    from api.bootstrap import keys, limits
    from api.cli.session import settings
    from snapshots.format.manifest import SIGNATURE
    from snapshots.proving.proofs import read_stated
    from snapshots.trust.signing import MAX_SIGNATURE_BYTES

    in_force = settings()
    beside = path.with_name(SIGNATURE)
    signature = None
    if beside.is_file():
        with beside.open("rb") as file:
            signature = file.read(MAX_SIGNATURE_BYTES + 1)
    with path.open("rb") as file:
        return read_stated(file, path.name, limits(in_force), keys(in_force).ring(), signature=signature)


@app.command("check-proof")
def check_proof(
    proof: Annotated[Path, typer.Argument(metavar="PROOF", help="The proof: a JSON file.")],
    manifest: Annotated[
        list[Path],
        typer.Option(metavar="FILE", help="A manifest.json, or an archive that holds it; of both ends may be given."),
    ],
    as_json: Json = False,
) -> None:
    """Check a proof with nothing but the manifest of an archive: no account, no database. Exit status 1: it fails.

    Example: counterfoil timeline check-proof proof.json --manifest acme.zip
    """
    from snapshots.proving import proofs

    with proof.open("rb") as file:
        read = proofs.read_proof(file)
    found = proofs.check_proof(read, [_stated(path) for path in manifest])
    show(_checked(found), found, as_json=as_json)
    if not found.holds:
        raise typer.Exit(1)


def _checked(found: Checked) -> str:
    lines = [
        f"{one.file}: archive {one.archive} of “{clean_line(one.account_name)}”, taken {one.taken_at.isoformat()},"
        f" {clean_line(str(one.authenticity))}"
        for one in found.manifests
    ]
    lines += [f"Nothing but the proof states the head of {head.size:,} events." for head in found.unstated]
    lines.append(("The proof holds: " if found.holds else "THE PROOF FAILS. It claims: ") + clean_line(found.shows))
    return "\n".join(lines)
