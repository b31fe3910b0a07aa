"""What is kept is read again, to its end: bits rot, and files are lost, also where nobody looks.

Each archive that an account's history tells of is held against the size and SHA-256 that were recorded when it was
taken. One that somebody had written elsewhere (``-o``) is theirs to look after. Files that nothing tells of are found
again (``snapshots.daily.adoption``). Done by ``counterfoil backup verify``, and once a week by a job of each account.
"""

from __future__ import annotations

import logging
from typing import Literal

import msgspec
import psycopg

from api.bootstrap import Installation
from api.daily import keeping
from api.http.files import all_told, backups_told, uploads
from api.storage import backup_at, is_named_here, shelves
from domain.accounts import Access, require_administrator, service_access
from domain.application import Actor, Application
from domain.control import BackupDamaged, BackupTaken
from domain.errors import CounterfoilError
from domain.ids import AccountId
from domain.parties import Value
from domain.store.database import KEEPER, Database
from domain.store.statements import statements
from domain.store.streams import AccountUnknown
from snapshots.daily.adoption import adopted
from snapshots.daily.schedule import to_itself
from snapshots.progress import Progress, no_progress
from snapshots.shelves import Item, Place
from snapshots.shelves.copies import sha256_of
from snapshots.shelves.errors import NotOnShelf

LOG = logging.getLogger(__name__)
SQL = statements("api", "kept.sql")
_NOTHING = "nothing"


class Damaged(Value, frozen=True, kw_only=True):
    """An archive that is not as it was: *found* instead of *expected*, both a size or a SHA-256, or gone (missing)."""

    account: str
    archive: str
    file: str
    state: Literal["damaged", "missing"]
    found: str
    expected: str


class FoundAgain(Value, frozen=True, kw_only=True):
    """An archive that nothing told of; it is sound, and on record now."""

    account: str
    archive: str
    file: str


class Unknown(Value, frozen=True, kw_only=True):
    """A file among the account's backups that nothing tells of, and why it is left as it is."""

    account: str
    file: str
    reason: str


class NotRead(Value, frozen=True, kw_only=True):
    """What could not be read this time, and why."""

    account: str
    code: str
    reason: str


class Reading(Value, frozen=True, kw_only=True, omit_defaults=False):
    """What was read again: how many accounts, archives and bytes, and what is wrong with them.

    ``found_again`` and ``unknown`` are files that nothing told of; ``removed`` are those of backups that the retention
    rule had let go, and that could not be deleted then.
    """

    accounts: int = 0
    archives: int = 0
    size_bytes: int = 0
    damaged: tuple[Damaged, ...] = ()
    found_again: tuple[FoundAgain, ...] = ()
    unknown: tuple[Unknown, ...] = ()
    removed: tuple[str, ...] = ()
    not_read: tuple[NotRead, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether all of it was read, and is as it was."""
        return not self.damaged and not self.not_read


def read_again(
    installation: Installation, access: Access, actor: Actor, *, progress: Progress = no_progress
) -> Reading:
    """Read all that is kept for the account, for administrators. What is damaged goes on its record, once.

    Raises RoleLacking, StorageUnavailable.
    """
    require_administrator(access, "verifying backups")
    not_told_of = _not_told_of(installation, access)
    settings, application = installation.settings, installation.application
    told = [taken for _, taken in backups_told(application, access.account) if is_named_here(taken.file)]
    damaged, size = [], 0
    for number, taken in enumerate(told, 1):
        found = _found(backup_at(settings, access.account, taken.file), taken.size, taken.sha256)
        size += taken.size
        if found is not None and _is_told_still(application, access.account, taken):
            damaged.append(_damaged(access, taken, found))
            LOG.error("account %s: the archive %s is damaged: found %s", access.slug, taken.file, found)
            _record(application, access, actor, BackupDamaged(archive=taken.archive, file=taken.file, found=found))
        progress(access.slug, number, len(told))
    of_uploads = _read_uploads(installation, access)
    whole = Reading(accounts=1, archives=len(told), size_bytes=size, damaged=tuple(damaged))
    return _together(_together(whole, of_uploads), not_told_of)


def _not_told_of(installation: Installation, access: Access) -> Reading:
    """What is among the account's backups, and nothing tells of it: put on record, or removed, or named."""
    with to_itself(installation.database, access.account) as is_ours:
        return _looked_into(installation, access) if is_ours else Reading()


def _looked_into(installation: Installation, access: Access) -> Reading:
    shelf, account = shelves(installation.settings).backups, access.account
    there = list(shelf.items(account))  # before what is told: what comes meanwhile is not missed there
    told = all_told(installation.application, account)
    files = {taken.file for _, taken in told.kept}
    expired = {taken.file for taken in told.expired}
    by_archive = {taken.archive: taken.file for taken in (*(taken for _, taken in told.kept), *told.expired)}
    found_again, unknown, removed = [], [], []
    for item in there:
        file = item.name.removeprefix(f"{account}/")
        if file in files:
            continue
        if file in expired:
            shelf.delete(item.name)
            removed.append(file)
            continue
        came = _adopted(installation, access, item, by_archive)
        if isinstance(came, BackupTaken):
            found_again.append(FoundAgain(account=access.slug, archive=came.archive, file=file))
            by_archive[came.archive] = file
            LOG.warning("account %s: the archive %s was not on record, and is now", access.slug, file)
        elif came is not None:
            unknown.append(Unknown(account=access.slug, file=file, reason=came))
            LOG.warning("account %s: nothing tells of the file %s: %s", access.slug, file, came)
    return Reading(found_again=tuple(found_again), unknown=tuple(unknown), removed=tuple(removed))


def _adopted(installation: Installation, access: Access, item: Item, told: dict[str, str]) -> BackupTaken | str | None:
    try:
        return adopted(keeping(installation), access, item, told=told)
    except NotOnShelf:  # gone meanwhile
        return None


def _is_told_still(application: Application, account: AccountId, taken: BackupTaken) -> bool:
    """Whether the account's history tells of it as kept: the retention rule says so before it deletes."""
    return any(one.archive == taken.archive for _, one in backups_told(application, account))


def _read_uploads(installation: Installation, access: Access) -> Reading:
    """Read what was sent for the account."""
    settings, account = installation.settings, access.account
    there = uploads(settings, account)
    damaged = []
    for one in there:
        place = Place(shelves(settings).uploads, f"{account}/{one.id}.zip")
        found = _found(place, one.size, one.sha256)
        if found is not None and found != _NOTHING:  # one that is gone by now, somebody deleted
            damaged.append(
                Damaged(
                    account=access.slug,
                    archive=one.id,
                    file=place.file,
                    state="damaged",
                    found=found,
                    expected=one.sha256,
                )
            )
    return Reading(archives=len(there), size_bytes=sum(one.size for one in there), damaged=tuple(damaged))


def read_all_again(installation: Installation, actor: Actor, *, progress: Progress = no_progress) -> Reading:
    """Read all that is kept, of all accounts; what cannot be read of one is told, and the others are read."""
    whole = Reading()
    for account in _accounts(installation.database):
        name: str = account
        try:
            access = service_access(installation.database, account)
            name = access.slug
            whole = _together(whole, read_again(installation, access, actor, progress=progress))
        except AccountUnknown:  # it was erased meanwhile
            continue
        except (CounterfoilError, psycopg.Error) as wrong:
            code = wrong.code if isinstance(wrong, CounterfoilError) else "database.failed"
            failed = NotRead(account=name, code=code, reason=str(wrong).partition("\n")[0])
            whole = _together(whole, Reading(accounts=1, not_read=(failed,)))
    return whole


def _accounts(database: Database) -> list[AccountId]:
    with database.session(KEEPER) as keeper:
        return [AccountId(account) for (account,) in keeper.execute(SQL["list_accounts"])]


def _found(place: Place, size: int, sha256: str) -> str | None:
    """What is there instead of that; None when it is that."""
    try:
        stored = place.shelf.open(place.name)
    except NotOnShelf:
        return _NOTHING
    try:
        if stored.size != size:
            return f"{stored.size:,} bytes"
        found = sha256_of(stored)
    finally:
        stored.close()
    return None if found == sha256 else f"SHA-256 {found}"


def _damaged(access: Access, taken: BackupTaken, found: str) -> Damaged:
    return Damaged(
        account=access.slug,
        archive=taken.archive,
        file=taken.file,
        state="missing" if found == _NOTHING else "damaged",
        found=found,
        expected=f"{taken.size:,} bytes" if found.endswith(" bytes") else f"SHA-256 {taken.sha256}",
    )


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
        found_again=one.found_again + other.found_again,
        unknown=one.unknown + other.unknown,
        removed=one.removed + other.removed,
        not_read=one.not_read + other.not_read,
    )
