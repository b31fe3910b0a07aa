"""What the service looks after by itself: what crashes left is removed, retired streams go when their time is up.

Done when ``counterfoil serve`` starts and once a day while it runs, and by ``counterfoil cleanup``. Safe beside all
else, itself in another process too: whoever is at work on a stream or a file holds a lock on it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from api.bootstrap import Installation, keys
from api.http.idempotency import sweep_keys
from api.mail import MailReport, send_due
from api.settings import Settings
from api.storage import backup_place, shelves
from domain.accounts import Access, service_access
from domain.application import Actor, Application
from domain.errors import CounterfoilError
from domain.ids import AccountId
from domain.parties import Value
from snapshots.backup import Backup, take_backup
from snapshots.cloning.unopened import sweep_never_opened
from snapshots.fresh.building import accounts_left_behind, sweep_abandoned
from snapshots.generations.purging import Archiver, PurgeReport, Quota, purge_due

LOG = logging.getLogger(__name__)
EVERY_S = 24 * 60 * 60
_ACTOR = Actor.system("housekeeping")
_ENDING_S = 10  # what it may take to end what is at work; if it takes longer, the next start goes on with it


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
    """What was cleaned away; ``files`` are those that were never whole, ``mail`` is what people were told by mail."""

    swept: tuple[Swept, ...] = ()
    purged: tuple[PurgeReport, ...] = ()
    files: tuple[str, ...] = ()
    mail: MailReport = MailReport()
    failures: tuple[Failure, ...] = ()


def quota(settings: Settings) -> Quota:
    """How much of an account's past is kept, by the settings."""
    return Quota(settings.most_retired_streams, settings.most_retired_bytes)


def archiver(application: Application, settings: Settings, actor: Actor) -> Archiver:
    """What writes a stream that is to be purged to a signed archive, among the account's backups."""

    def archive(access: Access, stream: int) -> Backup:
        target = backup_place(settings, access, application.clock())
        return take_backup(application, access, actor, target, keys(settings).signer(), stream=stream)

    return archive


def clean_up(installation: Installation) -> CleanupReport:
    """Remove what crashes left, of all accounts, purge the streams whose time is up, and mail what is due.

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
            report = purge_due(application, access, _ACTOR, quota(settings), archive)
        except (CounterfoilError, psycopg.Error, OSError) as wrong:
            failures.append(_failure(account, wrong))
            continue
        if report.streams or report.busy:
            purged.append(report)
    sweep_keys(database)
    files = [file for shelf in shelves(settings) for file in shelf.sweep()]
    return CleanupReport(
        swept=tuple(swept),
        purged=tuple(purged),
        files=tuple(files),
        mail=send_due(installation),
        failures=tuple(failures),
    )


def _failure(account: AccountId, wrong: Exception) -> Failure:
    code = wrong.code if isinstance(wrong, CounterfoilError) else "program.failed"
    return Failure(account=account, code=code, reason=str(wrong).partition("\n")[0])


@contextmanager
def looked_after(installation: Installation) -> Iterator[None]:
    """The installation is cleaned up at once, and every day for the length of the ``with``, by a thread of its own."""
    ended = threading.Event()

    def look_after() -> None:
        while True:
            try:
                report = clean_up(installation)
            except Exception:
                LOG.exception("cleaning up failed")
            else:
                for failure in report.failures:
                    LOG.error("cleaning up account %s failed: %s", failure.account, failure.reason)
            if ended.wait(EVERY_S):
                return

    thread = threading.Thread(target=look_after, name="housekeeping", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(_ENDING_S)
