"""``counterfoil cleanup``: what the service looks after by itself, for an installation that only uses commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from api.cli.output import Json, show

if TYPE_CHECKING:
    from snapshots.erasing import ErasureReport


def cleanup(as_json: Json = False) -> None:
    """Remove what crashes left, purge streams and erase closed accounts whose time is up; mail what is due.

    Of all accounts. `serve` does it by itself.

    Safe to repeat, and beside anything else. Exit status 1: something could not be done, and it says what.

    Example: counterfoil cleanup
    """
    from api.bootstrap import installation
    from api.cli.session import settings
    from api.housekeeping import clean_up

    with installation(settings()) as opened:
        report = clean_up(opened)
    lines = [f"{one.account}: swept what a crash left of {len(one.streams):,} streams" for one in report.swept]
    lines += [f"{one.account}: purged stream {stream.stream}" for one in report.purged for stream in one.streams]
    lines += [f"{one.account}: stream {stream} is busy, and stays" for one in report.purged for stream in one.busy]
    lines += [f"removed {file}, which never was whole" for file in report.files]
    lines += [_erasure_line(one) for one in report.erasures]
    lines += [f"mailed {report.mail.sent:,} notices"] if report.mail.sent else []
    lines += [f"FAILED for {one.account}: {one.reason}" for one in report.failures]
    show("\n".join(lines or ["Nothing to clean up."]), report, as_json=as_json)
    if report.failures:
        raise typer.Exit(1)


def _erasure_line(erasure: ErasureReport) -> str:
    match erasure.outcome:
        case "announced":
            return f"{erasure.account}: closed; told its owners that it is erased after {erasure.erase_after:%Y-%m-%d}"
        case "busy":
            return f"{erasure.account}: closed, and its time is up; somebody is at work on it, and it stays for now"
    return f"{erasure.account}: closed, and its time was up; erased"
