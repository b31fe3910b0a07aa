"""The daily backup of an account: written, read back, compared with the one before, put on record, older ones let go.

It is taken when the account changed since. A backup that fails is tried again a few times in the same night; then the
account's history says so, and the next night comes. Only what was read back and found sound is put on record.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, ClassVar, NamedTuple

import msgspec
import psycopg
from psycopg import Connection

from domain.application import Actor, Application
from domain.control import AccountShrunk, BackupFailed, BackupsExpired, BackupTaken, Control
from domain.errors import ArchiveError, CounterfoilError
from domain.ids import AccountId
from domain.parties import Value
from domain.store.database import KEEPER, DatabaseUnavailable, Row
from domain.store.streams import AccountUnknown
from projections.control_totals import ControlTotals
from snapshots.backup import Hashed, write_archive
from snapshots.container import Limits
from snapshots.daily.comparing import shrunk_figures
from snapshots.daily.nights import next_night
from snapshots.daily.reading_back import read_back
from snapshots.daily.retention import Kept, worth_keeping
from snapshots.daily.schedule import SQL, KeptBackup, Standing, Turn, claim_due, read_standing, schedule_new
from snapshots.format.manifest import Manifest
from snapshots.reading.archive import open_archive
from snapshots.reading.examination import Examiner
from snapshots.shelves import Place, Shelf, private_copy
from snapshots.trust.keys import Keys
from snapshots.trust.signing import KeyRing, Signer

LOG = logging.getLogger(__name__)
ACTOR = Actor.system("daily-backup")
TRY_AGAIN_AFTER = (timedelta(minutes=5), timedelta(minutes=20), timedelta(hours=1))
AT_ONCE = 6  # accounts: some wait for the disk, one is packed, and the server assembles the lines of others
_A_CLAIM = 30  # accounts: few enough that other processes get theirs
_MOST_FIGURES = 50  # named in an alarm; all are counted
_encode = msgspec.json.Encoder().encode


class Keeping(NamedTuple):
    """What daily backups are taken with: the commands, where archives are kept, the keys, how large an archive may be,
    and a folder for files without a name.
    """

    application: Application
    shelf: Shelf
    keys: Keys
    limits: Limits
    folder: Path


class Night(Value, frozen=True, kw_only=True):
    """How many accounts were looked after, and what came of it."""

    taken: int = 0
    unchanged: int = 0
    failed: int = 0
    shrunk: int = 0


@dataclass(eq=False)
class ArchiveUnsound(ArchiveError):
    """A daily backup whose snapshots are not what its timeline leads to: it could not be restored as it is.

    *alarm*: what the account lacks, where the comparison with the backup before showed it.
    """

    code: ClassVar[str] = "archive.unsound"
    fault: str
    alarm: AccountShrunk | None = None

    def __str__(self) -> str:
        return f"the account is not what its timeline leads to: {self.fault}; counterfoil rebuild --check tells more"


def run_due(keeping: Keeping, *, is_over: Callable[[], bool] = lambda: False) -> Night:
    """Look after all accounts whose time has come, until there is none left or *is_over*. What came of it.

    Any number of processes may do so at once. What fails is noted for the account, and does not end the others'.
    """
    application = keeping.application
    schedule_new(application)
    night = Night()
    with application.database.session(KEEPER) as keeper, ThreadPoolExecutor(AT_ONCE, "daily-backup") as pool:
        while turns := claim_due(keeper, application.clock(), most=_A_CLAIM):
            due = {turn.account: turn for turn in turns if turn.changed and turn.due_at <= application.clock()}
            signing = _Signing(keeping.keys)
            ours = {"accounts": [account for (account,) in keeper.execute(SQL["lock_accounts"], {"accounts": [*due]})]}
            begun = {one: pool.submit(_unless_over, keeping, signing, due[one], is_over) for one in ours["accounts"]}
            try:
                done = [one.result() for one in begun.values()]
            finally:  # broken off, whoever waits is not begun
                waiting = [account for account, one in begun.items() if one.cancel() or not one.result()]
                keeper.execute(SQL["unlock_accounts"], ours)
                keeper.execute(SQL["release"], {"accounts": waiting})
            night = _sum(night, Night(unchanged=len(turns) - len(due)), *(one for one in done if one))
            if is_over():
                break
    return night


def back_up(keeping: Keeping, account: AccountId) -> Night:
    """Take the account's daily backup now, whenever its time is, and plan the next.

    What fails is noted; nothing is raised for it. The account was scheduled before.
    """
    return _back_up(keeping, _Signing(keeping.keys), account)


class _Signing:
    """The keys as they are now, read once for some accounts. What fails is tried again by who comes next."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    @cached_property
    def signer(self) -> Signer:
        return self._keys.signer()

    @cached_property
    def ring(self) -> KeyRing:
        return self._keys.ring()


def _unless_over(keeping: Keeping, signing: _Signing, turn: Turn, is_over: Callable[[], bool]) -> Night | None:
    return None if is_over() else _back_up(keeping, signing, turn.account, due_at=turn.due_at)


def _sum(*nights: Night) -> Night:
    return Night(**{name: sum(getattr(one, name) for one in nights) for name in Night.__struct_fields__})


def _back_up(keeping: Keeping, signing: _Signing, account: AccountId, due_at: datetime | None = None) -> Night:
    """Nothing where it was done, or the account erased, since it was *due_at*."""
    try:
        standing = read_standing(keeping.application.database, account)
    except AccountUnknown:
        return Night()
    except (CounterfoilError, psycopg.Error):
        LOG.exception("daily backup of account %s: it could not be looked at", account)
        return Night(failed=1)
    if due_at is not None and standing.due_at != due_at:
        return Night()
    try:
        return _Taking(keeping, signing, account, standing).run()
    except psycopg.OperationalError as wrong:
        return _failed(keeping, account, standing, DatabaseUnavailable.because(wrong))
    except CounterfoilError as wrong:
        return _failed(keeping, account, standing, wrong)
    except Exception as wrong:
        LOG.exception("daily backup of account %s", account)
        return _failed(keeping, account, standing, _Unforeseen(type(wrong).__name__))


@dataclass(eq=False)
class _Unforeseen(CounterfoilError):
    """Something that should not happen did; the log tells."""

    code: ClassVar[str] = "program.failed"
    what: str

    def __str__(self) -> str:
        return f"something that should not happen did ({self.what}); the log tells more"


class _Taking:
    """One daily backup of one account."""

    def __init__(self, keeping: Keeping, signing: _Signing, account: AccountId, standing: Standing) -> None:
        self._keeping = keeping
        self._signing = signing
        self._application = keeping.application
        self._account = account
        self._standing = standing
        self._began = time.perf_counter()
        # Killed before it is on record, it is written again under the same name: nothing is left over.
        name = f"{standing.access.slug}-{standing.due_at:%Y%m%dT%H%M%SZ}-{standing.control_position}.zip"
        self._place = Place(keeping.shelf, f"{account}/{name}")

    def run(self) -> Night:
        """Take it. Raises CounterfoilError leaves and psycopg.Error; then no file is left of it."""
        with self._place.shelf.put(self._place.name) as sink:
            out = Hashed(sink)
            manifest = write_archive(self._application, self._account, ACTOR, out, self._signing.signer)
        try:
            self._read_back(out)
            alarm = self._alarm(manifest)
            if alarm or self._lives_in_another_stream(manifest):
                self._examine(out, alarm)
        except BaseException:
            with suppress(Exception):  # the first error is the one to tell
                self._place.shelf.delete(self._place.name)
            raise
        kept = self._record(manifest, out, alarm)
        self._let_go(kept)
        return Night(taken=1, shrunk=int(alarm is not None))

    def _read_back(self, out: Hashed) -> None:
        with self._stored(out) as file:
            read_back(file, self._signing.ring, self._keeping.limits)

    @contextmanager
    def _stored(self, out: Hashed) -> Iterator[BinaryIO]:
        """What stands on the shelf. Raises StoredDamaged when it is not what was written."""
        with private_copy(self._place, self._keeping.folder, most_bytes=out.size, sha256=out.hexdigest()) as copy:
            yield copy

    def _lives_in_another_stream(self, manifest: Manifest) -> bool:
        last = self._standing.last
        return last is not None and last.stream != manifest.stream

    def _alarm(self, manifest: Manifest) -> AccountShrunk | None:
        """What the account lacks, against the backup before and what happened since. Not after a swap."""
        last = self._standing.last
        if last is None or last.stream != manifest.stream:
            return None
        with self._application.database.transaction(self._account, snapshot=True) as connection:
            shrunk = shrunk_figures(
                connection,
                self._account,
                manifest.stream,
                before=last.totals,
                after=last.position,
                now=_totals(manifest),
                until=manifest.tree_head.size,
            )
        if not shrunk:
            return None
        return AccountShrunk(
            archive=manifest.archive,
            before=last.archive,
            stream=manifest.stream,
            position=manifest.tree_head.size,
            figures=tuple(shrunk[:_MOST_FIGURES]),
            figures_count=len(shrunk),
        )

    def _examine(self, out: Hashed, alarm: AccountShrunk | None) -> None:
        """Check all of the archive, each snapshot against its events too: the backup before does not vouch for it."""
        with self._stored(out) as file:
            faults = Examiner(open_archive(file, self._keeping.limits, self._signing.ring)).run().faults
        if faults.count:
            raise ArchiveUnsound(str(faults.listed[0]), alarm and msgspec.structs.replace(alarm, archive=None))

    def _record(self, manifest: Manifest, out: Hashed, alarm: AccountShrunk | None) -> tuple[KeptBackup, ...]:
        """Put it on record, and plan the next night. The daily backups that are there now."""
        standing, file = self._standing, self._place.file
        taken = BackupTaken(
            archive=manifest.archive,
            file=file,
            stream=manifest.stream,
            position=manifest.tree_head.size,
            root=manifest.tree_head.root,
            size=out.size,
            sha256=out.hexdigest(),
            daily=True,
        )
        kept = (*standing.kept, KeptBackup(manifest.archive, file, manifest.taken_at, out.size))
        zone = manifest.meaning.settings.time_zone
        row = {
            "account": self._account,
            "zone": zone,
            "next": _after(self._application, self._account, standing, zone),
            "stream": manifest.stream,
            "position": manifest.tree_head.size,
            "control_position": standing.control_position,
            "archive": manifest.archive,
            "taken_at": manifest.taken_at,
            "size": out.size,
            "seconds": time.perf_counter() - self._began,
            "totals": _encode(_totals(manifest)).decode(),
            "shrunk": alarm is not None,
            **row_of(kept),
        }
        events = (taken,) if alarm is None else (taken, alarm)
        self._application.record_control(self._account, ACTOR, *events, beside=_executed("record_taken", row))
        return kept

    def _let_go(self, kept: tuple[KeptBackup, ...]) -> None:
        """Delete the daily backups that the rule does not keep. What cannot be deleted now is deleted later."""
        settings = self._standing.access.control.settings
        there = [Kept(one.archive, one.at) for one in kept]
        worth = worth_keeping(there, settings.backups_kept, settings.time_zone)
        gone = [one for one in kept if one.archive not in worth]
        if not gone:
            return
        expired = BackupsExpired(archives=tuple(one.archive for one in gone), rule=settings.backups_kept)
        row = {"account": self._account, **row_of([one for one in kept if one.archive in worth])}
        try:
            # First said, then done: what is read again meanwhile is not missed.
            self._application.record_control(self._account, ACTOR, expired, beside=_executed("record_kept", row))
            for one in gone:
                self._keeping.shelf.delete(f"{self._account}/{one.file}")
        except (CounterfoilError, psycopg.Error) as wrong:  # the next time; or when what is kept is read again
            LOG.warning("daily backup of account %s: older ones could not be let go: %s", self._account, wrong)


def _totals(manifest: Manifest) -> ControlTotals:
    assert manifest.control_totals is not None, "each archive that is written here has them"
    return manifest.control_totals


def _executed(statement: str, row: dict[str, object]) -> Callable[[Connection[Row], Control], None]:
    """What executes a statement of ours, by the connection that it is given."""

    def execute(connection: Connection[Row], _: Control) -> None:
        connection.execute(SQL[statement], row)

    return execute


def row_of(kept: Iterable[KeptBackup]) -> dict[str, object]:
    """The daily backups that are *kept*, as their row has them."""
    kept = tuple(kept)
    return {"kept": _encode(kept).decode(), "kept_bytes": sum(one.size_bytes for one in kept)}


def _after(application: Application, account: AccountId, standing: Standing, zone: str) -> datetime:
    """The next night: never this one again, where the clock was put back meanwhile."""
    return next_night(account, zone, after=max(application.clock(), standing.due_at))


def _failed(keeping: Keeping, account: AccountId, standing: Standing, wrong: CounterfoilError) -> Night:
    """Note that it failed, and plan another try, or the next night once there were enough; then it is on record."""
    application, now = keeping.application, keeping.application.clock()
    attempts = standing.attempts + 1
    gives_up = attempts > len(TRY_AGAIN_AFTER)
    alarm = wrong.alarm if isinstance(wrong, ArchiveUnsound) else None
    zone = standing.access.control.settings.time_zone
    row = {
        "account": account,
        "at": now,
        "attempts": 0 if gives_up else attempts,
        "next": _after(application, account, standing, zone) if gives_up else now + TRY_AGAIN_AFTER[attempts - 1],
        "code": wrong.code,
        "reason": str(wrong)[:2000],
        "shrunk": alarm is not None,
    }
    LOG.warning("daily backup of account %s failed, attempt %d: %s", account, attempts, wrong)

    try:
        if gives_up:
            failed = BackupFailed(code=wrong.code, reason=str(wrong)[:2000], attempts=attempts)
            events = (failed,) if alarm is None else (failed, alarm)
            application.record_control(account, ACTOR, *events, beside=_executed("record_failed", row))
        else:
            with application.database.transaction(account) as connection:
                connection.execute(SQL["record_failed"], row)
    except (CounterfoilError, psycopg.Error):  # once its claim is over, it is anybody's again
        LOG.exception("daily backup of account %s: that it failed could not be noted", account)
    return Night(failed=1, shrunk=int(alarm is not None))
