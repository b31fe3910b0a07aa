"""Purging streams, verifying the timeline and checking snapshots, as jobs."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from typing import BinaryIO

from api.bootstrap import limits
from api.http import files
from api.http.errors import FileUnknown
from api.jobs.context import JobContext, JobKind
from api.jobs.requests import PurgeFields, VerificationFields, unlock_of
from api.purging import archiver, quota
from domain.accounts import require_administrator
from domain.entity import converted
from projections.rebuild import Rebuilt, rebuild
from snapshots.generations.purging import PurgeReport, purge, purge_due
from snapshots.proving.verification import Given, Verified, verify_timeline


def _purge(context: JobContext) -> PurgeReport:
    require_administrator(context.access, "purging streams")
    asked = dict(context.request)
    stream = asked.pop("stream", None)
    dry_run = converted(asked, PurgeFields).dry_run
    settings, application = context.installation.settings, context.application
    archive = archiver(application, settings, context.actor)
    if stream is not None:
        return purge(application, context.access, context.actor, stream, archive, dry_run=dry_run)
    return purge_due(application, context.access, context.actor, quota(settings), archive, dry_run=dry_run)


def _verify(context: JobContext) -> Verified:
    wanted = converted({**context.request, **context.secrets}, VerificationFields)
    with ExitStack() as opened:
        return verify_timeline(
            context.application.database,
            context.account,
            stream=wanted.stream,
            against=[Given(one, opened.enter_context(_archive(context, one))) for one in wanted.against],
            log_only=wanted.log_only,
            limits=limits(context.installation.settings),
            keys=context.installation.keys.ring(),
            unlock=unlock_of(wanted),
        )


def _archive(context: JobContext, archive: str) -> AbstractContextManager[BinaryIO]:
    """An archive that was sent for the account, or a backup of it. Raises FileUnknown."""
    settings = context.installation.settings
    try:
        return files.sent_copy(settings, context.account, archive)
    except FileUnknown:
        return files.backup_copy(context.application, settings, context.account, archive)


def _check(context: JobContext) -> Rebuilt:
    require_administrator(context.access, "checking the account against its events")
    return rebuild(context.application.database, context.account, check=True)


PURGE, VERIFICATION, REBUILD_CHECK = JobKind(_purge), JobKind(_verify), JobKind(_check)
