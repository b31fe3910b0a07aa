"""Daily backups and monthly rehearsals, by the settings: what a worker does each minute, and what a rehearsal opens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import BinaryIO

from api.bootstrap import Installation, limits
from api.http.files import backup_named, backups_told
from api.jobs.asking import enqueue
from api.settings import Settings
from api.storage import backup_at, shelves, to_work_from
from domain.application import Application
from domain.control import BackupTaken
from domain.ids import AccountId
from domain.store.streams import AccountUnknown
from snapshots.container import Limits
from snapshots.daily.nightly import ACTOR, Keeping, Night, run_due
from snapshots.daily.rehearsal import NothingToRehearse
from snapshots.daily.schedule import claim_rehearsal, rehearsals_due
from snapshots.shelves import Place

REHEARSAL = "rehearsal"  # the kind of job
_LONGEST_S = 30  # of a minute, so that others' jobs are done beside those of a long night
_REHEARSALS_A_MINUTE = 10
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
    """Back up the accounts whose time has come, for a part of the minute, and ask for the rehearsals of the day."""
    night(installation, longest_s=_LONGEST_S)
    application = installation.application
    for due in rehearsals_due(application, most=_REHEARSALS_A_MINUTE):
        # Killed before the commit, the next minute finds it due still.
        with suppress(AccountUnknown), application.database.transaction(due.account) as connection:
            if claim_rehearsal(connection, due, application.clock()):
                of = (application, installation.settings, due.account)
                enqueue(*of, ACTOR, REHEARSAL, request={}, within=connection)


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
