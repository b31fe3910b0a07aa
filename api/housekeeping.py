"""What the service looks after by itself: what crashes left is removed, retired streams go when their time is up.

Done by a worker once a day, and by ``counterfoil cleanup``. Safe beside all else, itself in another process too:
whoever is at work on a stream or a file holds a lock on it.
"""

from __future__ import annotations

import logging

import psycopg

from api.bootstrap import Installation
from api.http.idempotency import sweep_keys
from api.http.unfinished import sweep_expired
from api.jobs.shown import forget_old_jobs
from api.mail import MailReport, send_due
from api.purging import archiver, quota
from api.settings import Settings
from api.storage import shelves
from domain.accounts import service_access
from domain.application import Actor
from domain.errors import CounterfoilError
from domain.ids import AccountId
from domain.parties import Value
from snapshots.cloning.unopened import sweep_never_opened
from snapshots.erasing import ErasureReport, accounts_due, erase_due
from snapshots.fresh.building import accounts_left_behind, sweep_abandoned
from snapshots.generations.purging import PurgeReport, purge_due

LOG = logging.getLogger(__name__)
_ACTOR = Actor.system("housekeeping")


class Swept(Value, frozen=True, kw_only=True):
    """Streams of an account that a crash had left behind, and whose rows are gone now."""

    account: str
    streams: tuple[int, ...]


class Failure(Value, frozen=True, kw_only=True):
    """What could not be done for an account."""

    account: str
    code: str
    reason: str


class CleanupReport(Value, frozen=True, kw_only=True):
    """What was cleaned away; ``erasures`` are of accounts that were closed, ``files`` those that were never whole.

    ``mail`` is what people were told by mail.
    """

    swept: tuple[Swept, ...] = ()
    purged: tuple[PurgeReport, ...] = ()
    erasures: tuple[ErasureReport, ...] = ()
    files: tuple[str, ...] = ()
    mail: MailReport = MailReport()
    failures: tuple[Failure, ...] = ()


def clean_up(installation: Installation) -> CleanupReport:
    """Remove what crashes left, purge streams and erase closed accounts whose time is up, mail what is due: of all.

    What fails is reported.
    """
    settings, database, application = installation
    swept, purged, failures = [], [], []
    archive = archiver(application, settings, _ACTOR)
    swept += [Swept(account=account, streams=(1,)) for account in sweep_never_opened(database)]
    for account in accounts_left_behind(database):
        try:
            access = service_access(database, account)
            if streams := sweep_abandoned(database, account):
                swept.append(Swept(account=access.slug, streams=tuple(streams)))
            streams_purged = purge_due(application, access, _ACTOR, quota(settings), archive)
        except (CounterfoilError, psycopg.Error, OSError) as wrong:
            failures.append(_failure(account, wrong))
            continue
        if streams_purged.streams or streams_purged.busy:
            purged.append(streams_purged)
    erasures = []
    for due in accounts_due(application):
        try:
            if report := erase_due(application, due, lambda account: _delete_archives(settings, account)):
                erasures.append(report)
        except (CounterfoilError, psycopg.Error, OSError) as wrong:
            failures.append(_failure(due.account, wrong))
    sweep_keys(database)
    forget_old_jobs(database)
    files = [file for shelf in shelves(settings) for file in shelf.sweep()]
    files += sweep_expired(shelves(settings).uploads, now=application.clock())
    return CleanupReport(
        swept=tuple(swept),
        purged=tuple(purged),
        erasures=tuple(erasures),
        files=tuple(files),
        mail=send_due(installation),
        failures=tuple(failures),
    )


def _delete_archives(settings: Settings, account: AccountId) -> int:
    """Delete the backups of an account, and what was sent for it. How many files."""
    deleted = 0
    for shelf in shelves(settings):
        for item in list(shelf.items(account)):
            shelf.delete(item.name)
            deleted += 1
    return deleted


def _failure(account: AccountId, wrong: Exception) -> Failure:
    code = wrong.code if isinstance(wrong, CounterfoilError) else "program.failed"
    return Failure(account=account, code=code, reason=str(wrong).partition("\n")[0])


def look_after(installation: Installation) -> None:
    """Clean up, and log what failed."""
    for failure in clean_up(installation).failures:
        LOG.error("cleaning up account %s failed: %s", failure.account, failure.reason)
