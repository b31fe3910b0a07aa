"""Backups as jobs."""

from __future__ import annotations

import msgspec

from api.http import files
from api.http.files import BackupListed
from api.jobs.context import JobContext, JobKind
from api.jobs.requests import BackupFields, lock_of
from api.storage import backup_place
from domain.control import BackupTaken, check_writes
from domain.entity import converted
from projections.moments import read_moment
from snapshots.backup import take_backup


def _run(context: JobContext) -> BackupListed:
    check_writes(context.access.role, "taking a backup")
    wanted = converted({**context.request, **context.secrets}, BackupFields)
    lock = lock_of(wanted)
    settings = context.installation.settings
    taken = take_backup(
        context.application,
        context.access,
        context.actor,
        backup_place(settings, context.access, context.application.clock(), encrypted=lock is not None),
        context.installation.keys.signer(),
        lock=lock,
        stream=wanted.stream,
        as_of=None if wanted.as_of is None else read_moment(wanted.as_of),
        progress=context.progress,
    )
    return _listed(context, taken.archive)


def _found(context: JobContext) -> BackupListed | None:
    for event in context.recorded():
        if event.type == "backup.taken":
            return _listed(context, msgspec.json.decode(event.data, type=BackupTaken).archive)
    return None


def _listed(context: JobContext, archive: str) -> BackupListed:
    known = files.backups(context.application, context.installation.settings, context.account)
    return next(one for one in known if one.archive == archive)


BACKUP = JobKind(_run, _found)
