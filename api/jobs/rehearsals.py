"""Rehearsals as jobs."""

from __future__ import annotations

import msgspec

from api.bootstrap import limits
from api.daily import to_rehearse
from api.jobs.context import JobContext, JobKind
from api.jobs.requests import RehearsalFields, unlock_of
from domain.control import BackupRehearsed
from domain.entity import converted
from snapshots.daily.rehearsal import Rehearsal, rehearse


def _run(context: JobContext) -> Rehearsal:
    wanted = converted({**context.request, **context.secrets}, RehearsalFields)
    settings, access = context.installation.settings, context.access
    with to_rehearse(context.application, settings, access.account, access.slug, wanted.archive) as file:
        return rehearse(
            context.application,
            access,
            context.actor,
            file,
            limits=limits(settings),
            keys=context.installation.keys.ring(),
            unlock=unlock_of(wanted),
            progress=context.progress,
        )


def _found(context: JobContext) -> Rehearsal | None:
    for event in context.recorded():
        if event.type == "backup.rehearsed":
            return Rehearsal(**msgspec.structs.asdict(msgspec.json.decode(event.data, type=BackupRehearsed)))
    return None


REHEARSAL = JobKind(_run, _found)
"""Proves a backup restorable."""
