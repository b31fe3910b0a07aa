"""Purging retired streams: by retention and by quota, or because somebody says so. What is purged is gone for good.

Never the live one, and never one that a job is at work on. A stream that has issued documents which the live one lacks
is written to an archive before. From the moment that the account's history says so, in one transaction, the stream can
not be made live again; its rows go after that, in batches, and who finds some left goes on with it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from psycopg import Rollback

from domain.accounts import Access, as_it_is_now, require_administrator
from domain.application import Actor, Application, record_control
from domain.control import StreamPurged
from domain.ids import AccountId
from domain.kinds import DOCUMENT_KINDS
from domain.parties import Value
from domain.store.database import PURGER
from domain.store.statements import statements
from snapshots.backup import Backup
from snapshots.fresh.building import StreamBusy, delete_rows
from snapshots.fresh.invoiced import invoiced_only_in
from snapshots.fresh.swap import read_live
from snapshots.generations.streams import Kept, StreamNotKept, find_stream, retired_at

SQL = statements("snapshots.generations", "streams.sql")
LOCKS = statements("snapshots.fresh", "fresh.sql")
Reason = Literal["asked", "retention", "quota"]
Archiver = Callable[[Access, int], Backup]
"""Writes a signed archive of a stream of the account, and puts it on record."""


class Quota(NamedTuple):
    """How many retired streams of an account are kept, and how many bytes of them; the last retired one always is."""

    most_streams: int
    most_bytes: int


class PurgedStream(Value, frozen=True, kw_only=True):
    """A stream that was purged, or would be: why, since when it was retired, and the archive that has it.

    ``documents_only_here``: issued documents that the live stream lacks; without any no archive is written.
    """

    stream: int
    reason: Reason
    retired_at: datetime | None = None
    events: int
    documents_only_here: int = 0
    archive: str | None = None
    file: str | None = None


class PurgeReport(Value, frozen=True, kw_only=True):
    """What was purged, or would be. ``busy``: streams whose turn it is and that somebody is at work on."""

    outcome: Literal["purged", "would_purge", "nothing_to_purge"]
    account: str
    streams: tuple[PurgedStream, ...] = ()
    busy: tuple[int, ...] = ()


def purge(
    application: Application,
    access: Access,
    actor: Actor,
    stream: int,
    archiver: Archiver,
    *,
    dry_run: bool = False,
) -> PurgeReport:
    """Purge one retired stream, whatever its age, or rehearse it: for administrators.

    Raises RoleLacking, AccountUnknown for who is no member any more, StreamUnknown, StreamNotKept, StreamBusy, and what
    *archiver* does; then the stream is as it was. One whose purging broke off is purged to its end.
    """
    due = _Due(stream, "asked")
    return _report(access, [_purge(application, access, actor, due, archiver, dry_run=dry_run)], dry_run=dry_run)


def purge_due(
    application: Application,
    access: Access,
    actor: Actor,
    quota: Quota,
    archiver: Archiver,
    *,
    dry_run: bool = False,
) -> PurgeReport:
    """Purge the retired streams whose retention is over, and those beyond the quota, or rehearse it."""
    purged, busy = [], []
    for due in streams_due(application, access.account, quota):
        try:
            purged.append(_purge(application, access, actor, due, archiver, dry_run=dry_run))
        except StreamBusy:
            busy.append(due.stream)
        except StreamNotKept:
            continue  # it was made live again, or somebody else purged it, just now
    return _report(access, purged, busy, dry_run=dry_run)


class _Due(NamedTuple):
    """A stream that is to be purged, and why."""

    stream: int
    reason: Reason


def streams_due(application: Application, account: AccountId, quota: Quota) -> list[_Due]:
    """The retired streams whose turn it is: first those past their retention, then, oldest first, those beyond quota.

    What a stream takes is estimated, without what indexes add.
    """
    with application.database.transaction(account, snapshot=True) as connection:
        days = read_live(connection, account).control.settings.retention_days
        kept_from = application.clock() - timedelta(days=days)
        since = retired_at(connection, account)
        rows = connection.execute(SQL["list_retired"], {"account": account}).fetchall()
        newest_first = sorted(((since.get(stream, created), stream) for stream, created in rows), reverse=True)
        due = [_Due(stream, "retention") for at, stream in newest_first if at <= kept_from]
        beyond, taken = [], 0
        for place, (_, stream) in enumerate(one for one in newest_first if one[0] > kept_from):
            key = {"account": account, "stream": stream}
            row = connection.execute(SQL["estimate_bytes"], key).fetchone()
            taken += int(row[0]) if row else 0
            if place and (place >= quota.most_streams or taken > quota.most_bytes):
                beyond.append(_Due(stream, "quota"))
    return due[::-1] + beyond[::-1]


def _purge(
    application: Application, access: Access, actor: Actor, due: _Due, archiver: Archiver, *, dry_run: bool
) -> PurgedStream:
    account, stream = access.account, due.stream
    key = {"account": account, "stream": stream}
    with application.database.transaction(account) as connection:
        kept = find_stream(connection, account, stream)  # whoever builds one holds its lock: say what it is first
    if kept.status not in ("retired", "purged"):
        raise StreamNotKept(stream, kept.status)
    with application.database.session(PURGER) as purger:
        row = purger.execute(LOCKS["lock_builder"], key).fetchone()
        if row is None or not row[0]:
            raise StreamBusy(stream)
        with application.database.transaction(account, snapshot=True) as connection:
            kept = find_stream(connection, account, stream)
            counted = connection.execute(
                SQL["count_documents_only_in"], {**key, "kinds": [kind.value for kind in DOCUMENT_KINDS]}
            ).fetchone()
            since = retired_at(connection, account).get(stream)
        documents = int(counted[0]) if counted else 0
        found = PurgedStream(
            stream=stream,
            reason=due.reason,
            retired_at=since,
            events=kept.frontier.size,
            documents_only_here=documents,
        )
        if dry_run:
            return found
        if kept.status == "retired":
            found = _mark(application, access, actor, kept, found, archiver)
        delete_rows(purger, account, stream)
    return found


def _mark(  # noqa: PLR0917 - the doors above name them
    application: Application, access: Access, actor: Actor, kept: Kept, found: PurgedStream, archiver: Archiver
) -> PurgedStream:
    """Say for good that the stream is purged, after it is in an archive where that must be."""
    taken = archiver(access, kept.stream) if found.documents_only_here else None
    archive = taken.archive if taken else None
    while not _is_marked(application, access, actor, kept, found.reason, archive):
        continue  # the account's own history moved on just then
    return PurgedStream(
        stream=found.stream,
        reason=found.reason,
        retired_at=found.retired_at,
        events=found.events,
        documents_only_here=found.documents_only_here,
        archive=archive,
        file=taken.place.file if taken else None,
    )


def _is_marked(  # noqa: PLR0917 - as above
    application: Application, access: Access, actor: Actor, kept: Kept, reason: Reason, archive: str | None
) -> bool:
    done, account = None, access.account
    with application.database.transaction(account) as connection:
        periods = list(invoiced_only_in(connection, account, kept.stream))
        key = {"account": account, "stream": kept.stream}
        if connection.execute(LOCKS["mark_purged"], key).rowcount != 1:
            raise StreamNotKept(kept.stream, find_stream(connection, account, kept.stream).status)
        live = read_live(connection, account)
        # The archive may have taken long: whoever lost their role meanwhile purges nothing.
        require_administrator(as_it_is_now(access, live.control, actor), "purging streams")
        purged = StreamPurged(stream=kept.stream, reason=reason, archive=archive)
        control = (live.control_position, live.control)
        at = application.clock()
        done = record_control(connection, account, actor, control, (*periods, purged), at=at)
        if done is None:
            raise Rollback
    return done is not None


def _report(
    access: Access, purged: list[PurgedStream], busy: list[int] | tuple[()] = (), *, dry_run: bool
) -> PurgeReport:
    outcome: Literal["purged", "would_purge", "nothing_to_purge"] = "would_purge" if dry_run else "purged"
    return PurgeReport(
        outcome=outcome if purged else "nothing_to_purge",
        account=access.slug,
        streams=tuple(purged),
        busy=tuple(busy),
    )


_OUTCOMES = {
    "purged": "Purged",
    "would_purge": "Would be purged (rehearsal: nothing was changed)",
    "nothing_to_purge": "Nothing to purge",
}
_REASONS = {"asked": "as asked", "retention": "its time was up", "quota": "beyond what is kept"}


def readable_purge(report: PurgeReport) -> str:
    """The report as text, for a person."""
    lines = [f"{_OUTCOMES[report.outcome]}{':' if report.streams else '.'}"]
    for one in report.streams:
        since = f", retired {one.retired_at:%Y-%m-%d}" if one.retired_at else ""
        lines.append(f"  stream {one.stream}{since}: {one.events:,} events, {_REASONS[one.reason]}")
        if one.archive:
            lines.append(f"    {one.documents_only_here:,} issued documents that only it had are in {one.file}")
        elif one.documents_only_here:
            lines.append(f"    {one.documents_only_here:,} issued documents that only it has go into an archive first")
    lines += [f"Stream {stream}: somebody is at work on it; it stays for now." for stream in report.busy]
    return "\n".join(lines) + "\n"
