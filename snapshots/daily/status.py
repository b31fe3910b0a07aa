"""How an account's daily backups stand, for whoever looks."""

from __future__ import annotations

from datetime import datetime

from domain.application import Application
from domain.control import BackupRetention
from domain.ids import AccountId
from domain.parties import Value
from domain.store.statements import statements
from snapshots.daily.schedule import kept_of

SQL = statements("snapshots.daily", "schedule.sql")


class NewestBackup(Value, frozen=True, kw_only=True):
    """The newest daily backup: read back and found sound, and what it has."""

    archive: str
    stream: int
    position: int
    taken_at: datetime
    size: int


class Proven(Value, frozen=True, kw_only=True):
    """The archive that was last built into a stream and found to be the same, and when."""

    archive: str
    at: datetime


class LastFailure(Value, frozen=True, kw_only=True):
    """Why the last daily backup that failed did."""

    at: datetime
    code: str
    reason: str


class KeptShown(Value, frozen=True, kw_only=True):
    """A daily backup that is kept."""

    archive: str
    taken_at: datetime
    size: int


class BackupStatus(Value, frozen=True, kw_only=True, omit_defaults=False):
    """How an account's daily backups stand.

    ``current_at``: when the newest one was last known to have all that the account has, and ``age_seconds`` how long
    ago that is; an account that nobody changes is looked at each night, and keeps the backup that it has.
    ``newest_is_proven``: it was built into a stream and found to be the same. ``is_failing``: the last try failed;
    after ``attempts`` of them in a night, the next is at ``next_at``. ``alarm_at``: when the account last had less than
    its timeline says.
    """

    newest: NewestBackup | None = None
    current_at: datetime | None = None
    age_seconds: int | None = None
    newest_is_proven: bool = False
    proven: Proven | None = None
    is_failing: bool = False
    attempts: int = 0
    last_failure: LastFailure | None = None
    alarm_at: datetime | None = None
    next_at: datetime | None = None
    next_rehearsal_at: datetime | None = None
    rule: BackupRetention
    kept: tuple[KeptShown, ...] = ()


def backup_status(application: Application, account: AccountId, rule: BackupRetention) -> BackupStatus:
    """How the account's daily backups stand; *rule* is its own."""
    with application.database.transaction(account) as connection:
        row = connection.execute(SQL["read_status"], {"account": account}).fetchone()
    if row is None:  # it was opened just now
        return BackupStatus(rule=rule)
    (next_at, attempts, stream, position, archive, taken_at, size, current_at, *rest) = row
    (failed_at, failed_code, failed_reason, shrunk_at, rehearse_at, proven_archive, proven_at, kept) = rest
    return BackupStatus(
        newest=archive
        and NewestBackup(archive=archive, stream=stream, position=position, taken_at=taken_at, size=size),
        current_at=current_at,
        age_seconds=current_at and int((application.clock() - current_at).total_seconds()),
        newest_is_proven=archive is not None and archive == proven_archive,
        proven=proven_archive and Proven(archive=proven_archive, at=proven_at),
        is_failing=failed_at is not None and (current_at is None or failed_at > current_at),
        attempts=attempts,
        last_failure=failed_at and LastFailure(at=failed_at, code=failed_code, reason=failed_reason),
        alarm_at=shrunk_at,
        next_at=next_at,
        next_rehearsal_at=rehearse_at,
        rule=rule,
        kept=tuple(
            KeptShown(archive=one.archive, taken_at=one.at, size=one.size_bytes) for one in reversed(kept_of(kept))
        ),
    )


def readable_status(found: BackupStatus) -> str:
    """How the daily backups stand as text, for a person."""
    lines = []
    if found.newest is None or found.current_at is None:
        lines.append("No daily backup yet.")
    else:
        newest = found.newest
        lines += [
            f"Newest: {newest.archive}, taken {_minute(newest.taken_at)},",
            f"  {newest.position:,} events, {newest.size:,} bytes; it had all on {_minute(found.current_at)}.",
        ]
    if found.proven is None:
        lines.append("Proven restorable: none yet.")
    else:
        which = "the newest" if found.newest_is_proven else found.proven.archive
        lines.append(f"Proven restorable: {which}, on {_minute(found.proven.at)}.")
    if found.last_failure is not None:
        what = "FAILING" if found.is_failing else "Last failure"
        lines.append(f"{what}: {_minute(found.last_failure.at)}, {found.last_failure.reason}")
    if found.alarm_at is not None:
        lines.append(f"ALARM on {_minute(found.alarm_at)}: it had less than its timeline says; its history tells more.")
    if found.next_at is not None and found.next_rehearsal_at is not None:
        lines.append(f"Next: {_minute(found.next_at)}; next rehearsal: {_minute(found.next_rehearsal_at)}.")
    lines.append(f"Kept: {len(found.kept)}, by the rule {found.rule}.")
    return "\n".join(lines) + "\n"


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
