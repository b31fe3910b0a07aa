"""``counterfoil jobs``: what is, or was, done for an account in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.groups import WithDefault
from api.cli.output import Account, As, Json, show, table

if TYPE_CHECKING:
    from api.cli.session import Session
    from api.jobs.shown import JobListed, JobShown
    from domain.ids import AccountId

app = typer.Typer(
    cls=WithDefault,
    help="What is, or was, done for an account in the background. Without a command: list.",
    no_args_is_help=True,
)
Job = Annotated[str, typer.Argument(help="The job's id.")]


@app.callback()
def _jobs() -> None:
    """What is, or was, done for an account in the background. Without a command: list."""


@app.command("list")
def list_(
    account: Account,
    state: Annotated[
        str | None, typer.Option(help="Only those that are: queued, running, succeeded, failed or cancelled.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="At most so many.")] = 50,
    email: As = None,
    as_json: Json = False,
) -> None:
    """The jobs of an account, newest first.

    Example: counterfoil jobs acme-bv --state running --as an@example.com
    """
    from api.cli.session import session
    from api.jobs.shown import STATES, list_jobs

    if state not in (None, *STATES):
        raise typer.BadParameter(f"found {state}; expected one of {', '.join(STATES)}", param_hint="--state")
    with session(email) as who:
        access = _reviewed(who, account)
        application = who.installation.application
        jobs, _ = list_jobs(application, access, state=state, kind=None, before=None, limit=limit)
    rows = [(one.id, one.kind, f"{one.requested_at:%Y-%m-%d %H:%M}", _far(one)) for one in jobs]
    show(table(rows, ("job", "kind", "asked for", "state")) if rows else "No jobs.", jobs, as_json=as_json)


@app.command("show")
def show_(account: Account, job: Job, email: As = None, as_json: Json = False) -> None:
    """One job: how far it is, and what came of it.

    Example: counterfoil jobs show acme-bv 01a20e4b-6d1c-7a52-9d0c-5f3b7a1c2e4d --as an@example.com
    """
    from api.cli.session import session

    with session(email) as who:
        found = _found(who, account, job)
    show(_text(found), found, as_json=as_json)


@app.command()
def cancel(account: Account, job: Job, email: As = None, as_json: Json = False) -> None:
    """Cancel a job: at once where it waits, soon after where it runs; one that has ended stays as it is.

    Example: counterfoil jobs cancel acme-bv 01a20e4b-6d1c-7a52-9d0c-5f3b7a1c2e4d --as an@example.com
    """
    from api.cli.session import session
    from api.jobs.cancelling import cancel_job
    from domain.control import check_writes

    with session(email) as who:
        found = _found(who, account, job)
        access = who.access(account)
        if found.requested_by != who.actor.name:
            check_writes(access.role, "cancelling another's job")
        cancel_job(who.installation.application, access.account, found.id)
        found = _found(who, account, job)
    show(_text(found), found, as_json=as_json)


def _reviewed(who: Session, account: str) -> AccountId:
    """The account, for whom may see its jobs. Raises AccountUnknown, RoleLacking."""
    from domain.control import Role, RoleLacking

    access = who.access(account)
    if access.role is Role.VIEWER:
        raise RoleLacking("looking at jobs", access.role.value, "owners, administrators, editors and auditors")
    return access.account


def _found(who: Session, account: str, job: str) -> JobShown:
    from api.http.errors import FileUnknown
    from api.jobs.shown import read_job
    from domain.ids import is_canonical

    access = _reviewed(who, account)
    found = read_job(who.installation.application, access, job) if is_canonical(job) else None
    if found is None:
        raise FileUnknown("job", job)
    return found


def _far(job: JobListed) -> str:
    """The job's state in words, with how far it is."""
    if job.state != "running" or job.phase is None:
        return "running, to be cancelled" if job.state == "running" and job.cancel_requested else job.state
    left = "" if job.seconds_left is None else f", {job.seconds_left:,.0f} s left"
    return f"running: {job.phase}, {job.done or 0:,} of {job.total or 0:,}{left}"


def _text(job: JobShown) -> str:
    import json

    lines = [
        f"{job.kind}: {_far(job)}",
        f"asked for by {job.requested_by} at {job.requested_at:%Y-%m-%d %H:%M:%S}, attempt {job.attempt}",
        *([f"began {job.started_at:%Y-%m-%d %H:%M:%S}"] if job.started_at else []),
        *([f"ended {job.ended_at:%Y-%m-%d %H:%M:%S}"] if job.ended_at else []),
    ]
    if job.problem is not None:
        problem = json.loads(bytes(job.problem))
        lines.append(f"problem: {problem['detail']} ({problem['code']})")
    if job.result is not None:
        lines.append("result: with --json")
    return "\n".join(lines)
