"""Rehearsing a restore: an archive is built into a stream of its account, found the same to the byte, and dropped.

What a restore would check is checked, what it would write is written, and what was written is read out again: each line
of the timeline and each snapshot. The stream is never live, and nobody sees it; people go on working, and the account
is as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import BinaryIO, ClassVar

import msgspec
import psycopg
from psycopg import Connection

from domain.accounts import Access, require_administrator
from domain.application import Actor, Application
from domain.control import BackupRehearsed, Control, RehearsalFailed
from domain.errors import ArchiveError, CounterfoilError
from domain.ids import NIL, AccountId
from domain.kinds import Kind
from domain.parties import Value
from domain.store.database import DatabaseUnavailable, Row
from domain.store.statements import statements
from snapshots.backup import LINES_A_BLOCK, SNAPSHOTS_A_BLOCK
from snapshots.container import Limits
from snapshots.format.manifest import SNAPSHOT_FILES, TIMELINE, Manifest
from snapshots.fresh.building import passing_stream
from snapshots.progress import Progress, no_progress
from snapshots.reading.archive import Archive, open_archive
from snapshots.reading.examination import Examiner
from snapshots.trust.encryption import Unlock
from snapshots.trust.signing import KeyRing

SQL = statements("snapshots.daily", "schedule.sql")
READ = statements("snapshots", "backup.sql")


class Rehearsal(Value, frozen=True, kw_only=True):
    """An archive that was proven restorable: of which stream and up to where it is, and what was built of it."""

    archive: str
    stream: int
    position: int
    root: str
    entities: int


@dataclass(eq=False)
class NothingToRehearse(ArchiveError):
    """The account has no backup that can be opened here."""

    code: ClassVar[str] = "backup.nothing-to-rehearse"
    account: str

    def __str__(self) -> str:
        return f"{self.account}: found no backup that is here and not encrypted; expected one, or what opens one"


@dataclass(eq=False)
class NotRestorable(ArchiveError):
    """The archive could not be restored as it is, or would come out otherwise: nothing was changed by finding out."""

    code: ClassVar[str] = "archive.not-restorable"
    reason: str

    def __str__(self) -> str:
        return f"the archive could not be restored as it is: {self.reason}"


def rehearse(
    application: Application,
    access: Access,
    actor: Actor,
    file: BinaryIO,
    *,
    limits: Limits,
    keys: KeyRing,
    unlock: Unlock | None = None,
    progress: Progress = no_progress,
) -> Rehearsal:
    """Build the archive in *file* into a stream of the account, compare, and drop it: for administrators.

    That it was proven, or why not, goes on the account's history. Raises RoleLacking, ArchiveError leaves
    (NotRestorable where the file itself is sound), DatabaseUnavailable.
    """
    require_administrator(access, "rehearsing a backup")
    archive_id = "unknown"
    try:
        archive = open_archive(file, limits, keys, unlock=unlock)
        archive_id = archive.manifest.archive
        found = _rehearsed(application, access, actor, archive, progress)
    except CounterfoilError as wrong:
        raise _failed(application, access, actor, archive_id, wrong) from wrong
    except psycopg.OperationalError as wrong:
        raise _failed(application, access, actor, archive_id, DatabaseUnavailable.because(wrong)) from wrong
    _record(application, access, actor, found)
    return found


def _rehearsed(
    application: Application, access: Access, actor: Actor, archive: Archive, progress: Progress
) -> Rehearsal:
    manifest, account = archive.manifest, access.account
    if manifest.account.id != account:
        raise NotRestorable(f"it is of another account, “{manifest.account.name}”")
    if archive.authenticity.verdict != "authentic":
        raise NotRestorable(str(archive.authenticity))
    for attached in archive.attachments():
        for _ in archive.chunks(attached.name):
            continue  # read to its end it is known to be what its name says
    with passing_stream(application.database, account, actor, application.clock()) as fresh:
        examined = Examiner(archive, sink=fresh, copy_prefix=fresh.copy_prefix, progress=progress).run()
        if examined.faults.count:
            raise NotRestorable(f"{examined.faults.listed[0]} ({examined.faults.count:,} faults in all)")
        fresh.finish()
        _compare("the tree root", examined.frontier.root().hex(), manifest.tree_head.root)
        with application.database.transaction(account, snapshot=True) as connection:
            built = _Built(connection, account, fresh.stream, manifest)
            for kind, name in SNAPSHOT_FILES.items():
                _compare_file(archive, name, built.snapshots(kind))
            _compare_file(archive, TIMELINE, built.lines())
    return Rehearsal(
        archive=manifest.archive,
        stream=manifest.stream,
        position=manifest.tree_head.size,
        root=manifest.tree_head.root,
        entities=sum(manifest.counts.values()),
    )


class _Built:
    """What was built, as the connection's transaction sees it."""

    def __init__(self, connection: Connection[Row], account: AccountId, stream: int, manifest: Manifest) -> None:
        self._connection = connection
        self._key = {"account": account, "stream": stream}
        self._head = manifest.tree_head.size

    def snapshots(self, kind: Kind) -> Iterator[bytes]:
        """The kind's snapshot lines in order of id, in blocks."""
        after = NIL
        while True:
            key = {**self._key, "kind": kind.value, "after": after, "rows": SNAPSHOTS_A_BLOCK}
            lines, _, after = self._connection.execute(READ["read_snapshots"], key, binary=True).fetchall()[0]
            if lines is None:
                return
            yield lines + b"\n"

    def lines(self) -> Iterator[bytes]:
        """The timeline, in blocks."""
        for after in range(0, self._head, LINES_A_BLOCK):
            key = {**self._key, "after": after, "last": min(after + LINES_A_BLOCK, self._head)}
            ((lines,),) = self._connection.execute(READ["read_lines"], key, binary=True).fetchall()
            yield (lines or b"") + b"\n"


def _compare_file(archive: Archive, name: str, blocks: Iterator[bytes]) -> None:
    seen, size = sha256(), 0
    for block in blocks:
        seen.update(block)
        size += len(block)
    listed = archive.listed(name)
    _compare(name, f"{size:,} bytes, SHA-256 {seen.hexdigest()}", f"{listed.bytes:,} bytes, SHA-256 {listed.sha256}")


def _compare(what: str, found: str, expected: str) -> None:
    if found != expected:
        raise NotRestorable(f"{what} came out as {found}; expected {expected}")


def _failed(
    application: Application, access: Access, actor: Actor, archive: str, wrong: CounterfoilError
) -> CounterfoilError:
    """*wrong*, after it was put on record where that is possible."""
    failed = RehearsalFailed(archive=archive, code=wrong.code, reason=str(wrong)[:2000])
    application.record_failure(access.account, actor, failed, wrong)
    return wrong


def _record(application: Application, access: Access, actor: Actor, found: Rehearsal) -> None:
    event = BackupRehearsed(**msgspec.structs.asdict(found))
    row = {"account": access.account, "archive": found.archive, "at": application.clock()}

    def note(connection: Connection[Row], _: Control) -> None:
        connection.execute(SQL["record_proven"], row)

    application.record_control(access.account, actor, event, beside=note)
