"""What is kept is read again, to its end: bits rot, and files are lost, also where nobody looks.

Each archive that an account's history tells of is held against the size and SHA-256 that were recorded when it was
taken. One that somebody had written elsewhere (``-o``) is theirs to look after. Done by ``counterfoil backup verify``,
and by workers once a week, for all accounts.
"""

from __future__ import annotations

import logging

import msgspec
import psycopg

from api.bootstrap import Installation
from api.http.files import backups_told, uploads
from api.storage import backup_at, is_named_here, shelves
from domain.accounts import Access, service_access
from domain.application import Actor, Application
from domain.control import BackupDamaged, BackupTaken
from domain.errors import CounterfoilError
from domain.ids import AccountId
from domain.parties import Value
from domain.store.database import KEEPER, Database
from domain.store.statements import statements
from domain.store.streams import AccountUnknown
from snapshots.progress import Progress, no_progress
from snapshots.shelves import Place
from snapshots.shelves.copies import sha256_of
from snapshots.shelves.errors import NotOnShelf

LOG = logging.getLogger(__name__)
SQL = statements("api", "kept.sql")
SERVICE = Actor.system("read-again")


class Damaged(Value, frozen=True, kw_only=True):
    """An archive that is not as it was: *found* instead of *expected*, both a size or a SHA-256, or gone."""

    account: str
    archive: str
    file: str
    found: str
    expected: str


class NotRead(Value, frozen=True, kw_only=True):
    """What could not be read this time, and why."""

    account: str
    code: str
    reason: str


class Reading(Value, frozen=True, kw_only=True):
    """What was read again: how many accounts, archives and bytes, and what is wrong with them."""

    accounts: int = 0
    archives: int = 0
    size_bytes: int = 0
    damaged: tuple[Damaged, ...] = ()
    not_read: tuple[NotRead, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether all of it was read, and is as it was."""
        return not self.damaged and not self.not_read


def read_again(
    installation: Installation, access: Access, actor: Actor, *, progress: Progress = no_progress
) -> Reading:
    """Read all that is kept for the account. What is damaged goes on its record, once. Raises StorageUnavailable."""
    settings, application = installation.settings, installation.application
    told = [taken for _, taken in backups_told(application, access.account) if is_named_here(taken.file)]
    damaged, size = [], 0
    for number, taken in enumerate(told, 1):
        found = _found(backup_at(settings, access.account, taken.file), taken.size, taken.sha256)
        size += taken.size
        if found is not None:
            damaged.append(_damaged(access, taken, found))
            _record(application, access, actor, BackupDamaged(archive=taken.archive, file=taken.file, found=found))
        progress(access.slug, number, len(told))
    sent = uploads(settings, access.account)
    for one in sent:
        place = Place(shelves(settings).uploads, f"{access.account}/{one.id}.zip")
        size += one.size
        if (found := _found(place, one.size, one.sha256)) is not None:
            file = place.file
            damaged.append(Damaged(account=access.slug, archive=one.id, file=file, found=found, expected=one.sha256))
    return Reading(accounts=1, archives=len(told) + len(sent), size_bytes=size, damaged=tuple(damaged))


def read_all_again(installation: Installation, actor: Actor, *, progress: Progress = no_progress) -> Reading:
    """Read all that is kept, of all accounts; what cannot be read of one is told, and the others are read."""
    whole = Reading()
    for account in _accounts(installation.database):
        try:
            access = service_access(installation.database, account)
        except AccountUnknown:  # it was erased meanwhile
            continue
        try:
            whole = _together(whole, read_again(installation, access, actor, progress=progress))
        except (CounterfoilError, psycopg.Error) as wrong:
            code = wrong.code if isinstance(wrong, CounterfoilError) else "database.failed"
            failed = NotRead(account=access.slug, code=code, reason=str(wrong).partition("\n")[0])
            whole = _together(whole, Reading(accounts=1, not_read=(failed,)))
    return whole


def look_again(installation: Installation) -> None:
    """Read all that is kept, and log what is wrong."""
    found = read_all_again(installation, SERVICE)
    for one in found.damaged:
        LOG.error("account %s: the archive %s is damaged: found %s", one.account, one.file, one.found)
    for failed in found.not_read:
        LOG.error("account %s: what is kept could not be read: %s", failed.account, failed.reason)


def _accounts(database: Database) -> list[AccountId]:
    with database.session(KEEPER) as keeper:
        return [AccountId(account) for (account,) in keeper.execute(SQL["list_accounts"])]


def _found(place: Place, size: int, sha256: str) -> str | None:
    """What is there instead of that; None when it is that."""
    try:
        stored = place.shelf.open(place.name)
    except NotOnShelf:
        return "nothing"
    try:
        if stored.size != size:
            return f"{stored.size:,} bytes"
        found = sha256_of(stored)
    finally:
        stored.close()
    return None if found == sha256 else f"SHA-256 {found}"


def _damaged(access: Access, taken: BackupTaken, found: str) -> Damaged:
    expected = f"{taken.size:,} bytes" if found.endswith(" bytes") else f"SHA-256 {taken.sha256}"
    return Damaged(account=access.slug, archive=taken.archive, file=taken.file, found=found, expected=expected)


def _record(application: Application, access: Access, actor: Actor, event: BackupDamaged) -> None:
    """Put it on record, unless it is there already."""
    with application.database.transaction(access.account) as connection:
        rows = connection.execute(SQL["list_damaged"], {"account": access.account}).fetchall()
    if event not in [msgspec.json.decode(data, type=BackupDamaged) for (data,) in rows]:
        application.record_control(access.account, actor, event)


def _together(one: Reading, other: Reading) -> Reading:
    return Reading(
        accounts=one.accounts + other.accounts,
        archives=one.archives + other.archives,
        size_bytes=one.size_bytes + other.size_bytes,
        damaged=one.damaged + other.damaged,
        not_read=one.not_read + other.not_read,
    )
