"""Daily backups, monthly rehearsals and weekly readings, by the settings: what a worker does each minute, and what a
rehearsal opens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from typing import BinaryIO

from psycopg import Connection

from api.bootstrap import Installation, limits
from api.http.files import backup_named, backups_told
from api.jobs.asking import enqueue
from api.settings import Settings
from api.storage import backup_at, shelves, to_work_from
from domain.application import Actor, Application
from domain.control import BackupTaken
from domain.ids import AccountId
from domain.store.database import Row
from domain.store.streams import AccountUnknown
from snapshots.container import Limits
from snapshots.daily.nightly import ACTOR, Keeping, Night, run_due
from snapshots.daily.rehearsal import NothingToRehearse
from snapshots.daily.schedule import Appointed, claim_reading, claim_rehearsal, readings_due, rehearsals_due
from snapshots.shelves import Place

REHEARSAL, READING = "rehearsal", "backup-verification"  # kinds of jobs
READER = Actor.system("read-again")
_LONGEST_S = 30  # of a minute, so that others' jobs are done beside those of a long night
_A_MINUTE = 10  # rehearsals, and readings of what is kept: 14,400 accounts of a day
_Claim = Callable[[Connection[Row], Appointed, datetime], bool]
_NO_BOUND = 2**62


def keeping(installation: Installation) -> Keeping:
    """What daily backups of the installation are taken with."""
    settings = installation.settings
    shelf = shelves(settings).backups
    return Keeping(installation.application, shelf, installation.keys, _unbounded(limits(settings)), settings.home)


def _unbounded(of_uploads: Limits) -> Limits:
    """For reading back what was written here: an account may be larger than what somebody may send."""
    return replace(
        of_uploads,
        max_archive_bytes=_NO_BOUND,
        max_attachments=_NO_BOUND,
        max_entry_bytes=_NO_BOUND,
        max_unpacked_bytes=_NO_BOUND,
        max_manifest_bytes=_NO_BOUND,
    )


def each_minute(installation: Installation) -> None:
    """Back up the accounts whose time has come, for half a minute; ask for the rehearsals and readings of the day.

    Killed before one is asked for, the next minute finds it due still.
    """
    night(installation, longest_s=_LONGEST_S)
    application = installation.application
    for due in rehearsals_due(application, most=_A_MINUTE):
        _ask(installation, due, claim_rehearsal, ACTOR, REHEARSAL)
    for due in readings_due(application, most=_A_MINUTE):
        _ask(installation, due, claim_reading, READER, READING)


def _ask(installation: Installation, due: Appointed, claim: _Claim, actor: Actor, kind: str) -> None:
    """Plan the next and ask for this one, in one transaction; neither where somebody else did."""
    application = installation.application
    with suppress(AccountUnknown), application.database.transaction(due.account) as connection:  # it is being erased
        if claim(connection, due, application.clock()):
            of = (application, installation.settings, due.account)
            enqueue(*of, actor, kind, request={}, within=connection)


def night(installation: Installation, *, longest_s: float) -> Night:
    """Back up the accounts whose time has come, and begin none after *longest_s*. What came of it."""
    over_at = time.monotonic() + longest_s
    return run_due(keeping(installation), is_over=lambda: time.monotonic() >= over_at)


@contextmanager
def to_rehearse(
    application: Application, settings: Settings, account: AccountId, slug: str, archive: str | None
) -> Iterator[BinaryIO]:
    """A private copy of the backup *archive*, or of the newest that is here and not encrypted.

    Raises NothingToRehearse, FileUnknown, StoredDamaged where it was changed since it was taken.
    """
    if archive is None:
        taken, place = _newest(application, settings, account, slug)
    else:
        taken, place = backup_named(application, settings, account, archive)
    with to_work_from(settings, place, sha256=taken.sha256) as copy:
        yield copy


def _newest(application: Application, settings: Settings, account: AccountId, slug: str) -> tuple[BackupTaken, Place]:
    for _, taken in backups_told(application, account):
        place = backup_at(settings, account, taken.file)
        if not taken.encrypted and place.shelf.find(place.name) is not None:
            return taken, place
    raise NothingToRehearse(slug)
