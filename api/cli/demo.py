"""``counterfoil demo``: the main job, shown once from beginning to end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from api.cli.output import progress, show, table, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api.bootstrap import Installation
    from domain.accounts import Access, Person
    from snapshots.content import Content
    from snapshots.restoring.report import RestoreReport

OWNER = ("an@example.com", "An Peeters")


class _Shown(NamedTuple):
    """An account before it was changed, after, and after it was restored."""

    before: Content
    changed: Content
    after: Content


class _Outcome(NamedTuple):
    """Where an account's archive is, and whether the account is back exactly."""

    archive: str
    is_back: bool


def demo(
    ubl: Annotated[
        Path | None, typer.Option("--ubl", metavar="FOLDER", help="Fill it from the UBL files in here.")
    ] = None,
) -> None:
    """Fill an account, back it up, change and delete things, restore it, and show that it is back exactly.

    Each run opens an account of its own. Exit status 1: it did not come back. Example: counterfoil demo
    """
    from api.bootstrap import installation
    from api.cli.session import settings
    from domain.accounts import ensure_person

    in_force = settings()
    with installation(in_force) as opened:
        owner = ensure_person(opened.database, *OWNER, at=opened.application.clock())
        accounts = _sample(opened, owner) if ubl is None else _imported(opened, owner, ubl)
        shown = [_show_main_job(opened, owner, access) for access in accounts]
    show(f"\n{_next(accounts[0].slug, shown[0].archive)}", None, as_json=False)
    if not all(one.is_back for one in shown):
        raise typer.Exit(1)


def _sample(opened: Installation, owner: Person) -> list[Access]:
    from api.sample import open_sample_account

    with progress("sample account") as report:
        access, summary = open_sample_account(
            opened.database, owner, progress=lambda done, of: report("days of three years", done, of)
        )
    show(
        f"Opened {access.control.name} ({access.slug}): {summary.events:,} events of three years.", None, as_json=False
    )
    return [access]


def _imported(opened: Installation, owner: Person, folder: Path) -> list[Access]:
    """The files of *folder* in an account; those whose number an earlier one took, in a further account."""
    from api.cli.importing import lines_of
    from api.ubl import import_documents
    from domain.application import Actor

    files = [(file.name, file.read_bytes()) for file in sorted(folder.glob("*.xml"))]
    if not files:
        tell(f"counterfoil: {folder}: found no .xml file; expected UBL 2.1 invoices and credit notes")
        raise typer.Exit(1)
    accounts: list[Access] = []
    while files:
        access = _open_for(opened, owner, files, len(accounts) + 1)
        actor = Actor.person(owner.id, "cli")
        report = import_documents(opened.application, access.account, actor, files, any_supplier=True)
        taken = {file.file for file in report.files if file.refused and file.refused.code == "ubl.number-there"}
        for file in report.files:
            if file.file not in taken:
                show("\n".join(lines_of(file)), None, as_json=False)
        if not report.imported:
            raise typer.Exit(1)
        if taken:
            names = ", ".join(sorted(taken))
            show(f"Numbers there already, so into a further account: {names}", None, as_json=False)
        accounts.append(access)
        files = [file for file in files if file[0] in taken]
    return accounts


def _open_for(opened: Installation, owner: Person, files: Sequence[tuple[str, bytes]], number: int) -> Access:
    """An account of the company that supplied the first of *files* that can be read."""
    from api.ubl import read_ubl
    from api.ubl.errors import UblFault
    from domain.accounts import open_account
    from domain.control import SettingsFields

    for name, data in files:
        try:
            document = read_ubl(data, name=name)
        except UblFault:
            continue
        country = document.seller.address.country if document.seller.address else "BE"
        settings = SettingsFields(
            company=document.seller,
            country=country,
            currency=document.currency,
            language="en",
            time_zone="Europe/Brussels",
        )
        suffix = f" {number}" if number > 1 else ""
        return open_account(opened.application, f"{document.seller.name}{suffix}", owner, settings, via="cli")
    tell("counterfoil: none of the files could be read; try counterfoil import ubl to see why")
    raise typer.Exit(1)


def _show_main_job(opened: Installation, owner: Person, access: Access) -> _Outcome:
    """Back up, change, restore, compare."""
    from api.storage import backup_place, to_work_from
    from domain.accounts import find_access
    from domain.application import Actor
    from snapshots.backup import take_backup
    from snapshots.content import read_content
    from snapshots.restoring.restore import Choices, restore_archive

    actor = Actor.person(owner.id, "cli")
    access = find_access(opened.database, owner.id, access.account)
    place = backup_place(opened.settings, access, opened.application.clock())
    before = read_content(opened.database, access.account)
    with progress("backup") as report:
        backup = take_backup(opened.application, access, actor, place, opened.keys.signer(), progress=report)
    show(
        f"Backed up {before.events:,} events to {backup.place.where} ({backup.size_bytes:,} bytes).",
        None,
        as_json=False,
    )
    done = _change_things(opened, access, actor)
    changed = read_content(opened.database, access.account)
    show(f"Then somebody {done}.", None, as_json=False)
    with to_work_from(opened.settings, place) as file, progress("restore") as report:
        choices = Choices(change_closed_periods=True)
        restored = restore_archive(
            opened.application, access, actor, file, choices=choices, keys=opened.keys.ring(), progress=report
        )
    shown = _Shown(before, changed, read_content(opened.database, access.account))
    show(_comparison(shown), None, as_json=False)
    show(_people(restored), None, as_json=False)
    is_back = shown.before == shown.after
    verdict = "The account is back exactly." if is_back else "THE ACCOUNT IS NOT AS IT WAS."
    show(verdict, None, as_json=False)
    return _Outcome(place.where, is_back)


def _change_things(opened: Installation, access: Access, actor: object) -> str:
    """Change, make and delete things, and let a colleague go. What was done, in words."""
    from domain import commands
    from domain.accounts import remove_member
    from domain.application import Actor
    from domain.documents import Document
    from domain.kinds import Kind
    from domain.work import Work, decode_state

    assert isinstance(actor, Actor)

    def change(work: Work) -> list[str]:
        done = []
        customers = [decode_state(Kind.CUSTOMER, raw) for raw in work.reader.of_kind(Kind.CUSTOMER)]
        there = [customer for customer in customers if not customer.archived and not customer.merged_into]
        for customer in there[:3]:
            commands.change(work, Kind.CUSTOMER, customer.id, {"notes": "Changed by mistake"})
        done.append("changed a customer" if len(there) == 1 else f"changed {len(there[:3])} customers")
        for kind in (Kind.INVOICE, Kind.QUOTE):
            documents: list[Document] = [decode_state(kind, raw) for raw in work.reader.of_kind(kind)]
            for document in [one for one in documents if one.state == "draft"][:2]:
                commands.delete(work, kind, document.id)
                done.append(f"deleted a draft {kind.value}")
            for document in [one for one in documents if one.state == "issued" and kind is Kind.INVOICE][:2]:
                if document.totals is not None and document.totals.due > 0:
                    payment = {"amount": str(document.totals.due), "means": "30", "date": work.today.isoformat()}
                    commands.record(work, kind, document.id, "payment_registered", payment)
                    done.append(f"marked invoice {document.number} paid")
        if there:
            line = {"line_id": "1", "name": "A mistake", "quantity": "1", "unit": "C62", "net_price": "100"}
            vat = {"category": "S", "rate": "21"}
            fields = {"customer": there[0].id, "lines": [{**line, "vat": vat}], "issue_date": work.today.isoformat()}
            invoice = commands.create(work, Kind.INVOICE, fields)
            done.append(f"issued invoice {commands.issue(work, Kind.INVOICE, invoice)}")
        return done

    done = opened.application.run(access.account, actor, change)
    colleagues = [member for member in access.control.members if member.role != "owner"]
    if colleagues:
        remove_member(opened.application, access, actor, email=colleagues[-1].email)
        done.append(f"took {colleagues[-1].name}'s access away")
    return ", ".join(done)


def _comparison(shown: _Shown) -> str:
    rows = [
        (kind, *(f"{content.counts[kind]:,}" for content in shown))
        for kind in shown.before.counts
        if any(content.counts[kind] for content in shown)
    ]
    rows.append(("events", *(f"{content.events:,}" for content in shown)))
    rows.append(("tree root", *(content.root[:16] for content in shown)))
    rows.append(("snapshots sha256", *(content.snapshots_sha256[:16] for content in shown)))
    return table(rows, ("", "before", "changed", "restored"))


def _people(report: RestoreReport) -> str:
    rows = [
        (one.name or one.person, f"{one.events:,}", one.linked_to_name, "yes" if one.has_access else "no")
        for one in report.people
    ]
    return table(rows, ("events of", "how many", "are linked to", "has access"))


def _next(slug: str, target: str) -> str:
    import shlex
    import sys

    program = Path(sys.argv[0])
    name = program.name if program.name == "counterfoil" else "counterfoil"
    if program.parent.name == "bin":
        near = Path.cwd() in program.resolve().parents
        name = str(program.resolve().relative_to(Path.cwd())) if near else str(program)
    file, name, person = shlex.quote(target), shlex.quote(name), OWNER[0]
    return "\n".join(
        (
            "Try next:",
            f"  {name} inspect {file}",
            f"  {name} timeline {slug} --kind invoice --limit 5 --as {person}",
            f"  {name} restore {file} --into {slug} --dry-run --as {person}",
            f"  {name} rebuild {slug} --check --as {person}",
            f"  {name} token create --as {person}    # and then: {name} serve",
        )
    )
