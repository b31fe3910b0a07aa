"""Taking a backup: the account at one position, into an archive, while people go on working.

One REPEATABLE READ, READ ONLY transaction sees the account as it is at its start; no writer waits for it. As of a past
position or time, entities that changed since are folded from their events up to there; the others are as stored. The
server assembles the lines, block by block; a thread fetches the next blocks while the last one is packed, so memory is
a few blocks, whatever the account's size. The file appears under its name only once it is whole and synced.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property
from heapq import merge
from itertools import islice, zip_longest
from pathlib import Path
from typing import ClassVar, NamedTuple

import msgspec
import psycopg
from psycopg import Connection

from domain.accounts import Access
from domain.application import Actor, Application
from domain.control import BackupFailed, BackupTaken, Control
from domain.errors import ArchiveError, CounterfoilError, StoreError
from domain.ids import NIL, AccountId, PersonId, new_id
from domain.kinds import Kind
from domain.store.database import DatabaseUnavailable, Row
from domain.store.statements import statements
from domain.tree import Frontier
from domain.work import is_gone
from projections.ahead import ahead
from projections.control_totals import ControlTotals, Totaller
from projections.moments import Moment, Position, resolve, resolve_head, written_moment
from projections.past import changed_since, frontier_at
from snapshots.container import ContainerWriter, EntrySink
from snapshots.container.writer import ByteSink, Packed, WrittenEntry, pack
from snapshots.format.manifest import (
    ATTACHMENTS,
    FORMAT_VERSION,
    MANIFEST,
    README,
    SCHEMAS,
    SIGNATURE,
    SNAPSHOT_FILES,
    TIMELINE,
    AccountNamed,
    AsOf,
    Attributed,
    FileListed,
    Manifest,
    Meaning,
    PersonNamed,
    Segment,
    TreeHead,
    email_hash,
    encode,
    product_version,
)
from snapshots.format.readme import readme
from snapshots.format.schemas import schemas
from snapshots.progress import Progress, no_progress
from snapshots.shelves import Place, Sink
from snapshots.shelves.errors import NotSynced, StorageFailed, StorageFull
from snapshots.shelves.folder import at_path
from snapshots.trust.encryption import Lock, encrypted
from snapshots.trust.signing import Signer

SQL = statements("snapshots", "backup.sql")
SNAPSHOTS_A_BLOCK = 1_000
LINES_A_BLOCK = 2_000  # 0.8 MB of usual lines: larger blocks gained nothing
_encode = msgspec.json.Encoder().encode
ATTACHMENT_PIECE_BYTES = 4 * 1024 * 1024
# A file of lines that may come to 4 GiB needs ZIP64 from its header on; a line is 1 MiB at most.
_MAY_BE_LARGE_FROM = 4_000


class Backup(NamedTuple):
    """An archive that was taken: where it is, what it is called, of which stream and head, its size and SHA-256."""

    place: Place
    archive: str
    stream: int
    position: int
    root: str
    counts: dict[str, int]
    size_bytes: int
    sha256: str
    encrypted: bool

    @property
    def path(self) -> Path:
        """Its file, where it is in a folder."""
        return Path(self.place.where)


@dataclass(eq=False)
class ArchiveNotWritten(ArchiveError):
    """The archive could not be written; nothing is left under its name."""

    code: ClassVar[str] = "archive.not-written"
    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: could not be written: {self.reason}; expected a folder with room that may be written to"


@dataclass(eq=False)
class BackupNotRecorded(ArchiveError):
    """The archive is whole and stands under its name, but a power loss may take it, or no history tells of it."""

    code: ClassVar[str] = "archive.not-recorded"
    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: is whole, but could not be put on record: {self.reason}; take another, or keep it by hand"


def take_backup(
    application: Application,
    access: Access,
    actor: Actor,
    target: Path | Place,
    signer: Signer,
    *,
    lock: Lock | None = None,
    stream: int | None = None,
    as_of: Position | datetime | None = None,
    progress: Progress = no_progress,
) -> Backup:
    """Write an archive of the account to *target*, replacing what stands there only once the new one is whole.

    A file, or a place on a shelf. Of the live stream, or of *stream*, live or retired, as it is or as it was *as_of* a
    position or time. *signer* vouches for it, *lock* encrypts it as a whole. *progress* is told phase, rows done and
    rows in all. Raises ArchiveNotWritten, StorageUnavailable or StoreError leaves; then *target* is as it was, and the
    account's control stream says that the backup failed. Raises BackupNotRecorded when the archive is whole and only
    that could not be said, or its folder could not be synced.
    """
    place = at_path(target) if isinstance(target, Path) else target
    try:
        with place.shelf.put(place.name) as sink:
            file = Hashed(sink)
            with encrypted(file, lock) as out:
                taken = write_archive(
                    application, access.account, actor, out, signer, stream=stream, as_of=as_of, progress=progress
                )
    except NotSynced as wrong:
        raise BackupNotRecorded(wrong.where, f"its folder could not be synced: {wrong.reason}") from wrong
    except (StorageFull, StorageFailed) as wrong:
        not_written = ArchiveNotWritten(wrong.where, wrong.reason)
        raise _failed(application, access, actor, not_written) from wrong
    except OSError as wrong:
        not_written = ArchiveNotWritten(place.where, wrong.strerror or str(wrong))
        raise _failed(application, access, actor, not_written) from wrong
    except CounterfoilError as wrong:
        raise _failed(application, access, actor, wrong) from wrong
    except psycopg.OperationalError as wrong:
        raise _failed(application, access, actor, DatabaseUnavailable.because(wrong)) from wrong
    sha256 = file.hexdigest()
    backup = Backup(
        place=place,
        archive=taken.archive,
        stream=taken.stream,
        position=taken.tree_head.size,
        root=taken.tree_head.root,
        counts=taken.counts,
        size_bytes=file.size,
        sha256=sha256,
        encrypted=lock is not None,
    )
    recorded = BackupTaken(
        archive=backup.archive,
        file=place.file,
        stream=backup.stream,
        position=backup.position,
        root=backup.root,
        size=file.size,
        sha256=sha256,
        encrypted=lock is not None,
    )
    try:
        application.record_control(access.account, actor, recorded)
    except (StoreError, psycopg.OperationalError) as wrong:
        raise BackupNotRecorded(place.where, str(wrong).partition("\n")[0]) from wrong
    return backup


def _failed(application: Application, access: Access, actor: Actor, wrong: CounterfoilError) -> CounterfoilError:
    """*wrong*, after it was put on record where that is possible."""
    failed = BackupFailed(code=wrong.code, reason=str(wrong)[:2000])
    application.record_failure(access.account, actor, failed, wrong)
    return wrong


class Hashed:
    """A sink, with the size and the SHA-256 of all that went into it."""

    def __init__(self, out: Sink) -> None:
        self._out = out
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Write *data* after what came before."""
        self._hash.update(data)
        self._out.write(data)
        self.size += len(data)

    def hexdigest(self) -> str:
        """The SHA-256 of what was written, hexadecimal."""
        return self._hash.hexdigest()


def write_archive(
    application: Application,
    account: AccountId,
    actor: Actor,
    out: ByteSink,
    signer: Signer,
    *,
    stream: int | None = None,
    as_of: Position | datetime | None = None,
    progress: Progress = no_progress,
) -> Manifest:
    """Write an archive of the account's live stream, or of *stream*, to *out*, forward only, signed. Its manifest.

    As it is now, or as it was *as_of* a position or time. Raises what ``projections.moments.resolve`` does.
    """
    taken_at = application.clock()
    with (
        application.database.transaction(account, snapshot=True) as connection,
        ExitStack() as stack,
        ContainerWriter(out, taken_at) as container,
    ):
        moment = moment_named(connection, account, stream, as_of, now=taken_at)
        beside = application.database.beside(account, connection)
        source = Source(connection, account, lambda: stack.enter_context(beside), moment)
        asked = None if as_of is None else written_moment(as_of)
        files = [_file(container, README, readme(source.control.name, taken_at, asked))]
        for name, schema in _packed_schemas().items():
            files.append(_listed_whole(container.add_packed(SCHEMAS + name, schema)))
        totaller = Totaller()
        for kind, name in SNAPSHOT_FILES.items():
            files.append(_write_snapshots(container, source, kind, name, totaller=totaller, progress=progress))
        files.append(_write_timeline(container, source, progress))
        files += _write_attachments(container, source)
        manifest = _manifest(source, actor, taken_at, asked, totaller.totals(), files)
        raw = encode(manifest)
        container.add(MANIFEST, raw)
        container.add(SIGNATURE, signer.sign(raw))
    return manifest


def moment_named(
    connection: Connection[Row],
    account: AccountId,
    stream: int | None,
    as_of: Position | datetime | None,
    *,
    now: datetime,
) -> Moment:
    """What is meant: the head of the live stream or of *stream*, or a moment before it.

    A position that says which stream it is of means that one. Raises what ``projections.moments.resolve`` does.
    """
    if as_of is None:
        return resolve_head(connection, account, stream=stream)
    if stream is None and isinstance(as_of, Position):
        stream = as_of.stream
    return resolve(connection, account, as_of, now=now, stream=stream)


class Source:
    """A stream of the account at a moment, as the connections' transactions see it.

    *beside* opens the second one, once, where there is work for two.
    """

    def __init__(
        self, connection: Connection[Row], account: AccountId, beside: Callable[[], Connection[Row]], moment: Moment
    ) -> None:
        self._connection = connection
        self._beside = beside
        self.account = account
        self.stream, self.head = moment
        last: int
        control, last, frontier = self._rows("read_account")[0]
        self.control = msgspec.json.decode(control, type=Control)
        self.last = last
        self.is_past = self.head < last
        self.frontier = (
            frontier_at(connection, account, self.stream, self.head)
            if self.is_past
            else Frontier.from_bytes(self.head, frontier)
        )
        self.counts: dict[str, int]
        self._changed: dict[str, int] = {}
        self._at_once: dict[str, tuple[bytes, int]] | None = None
        if self.is_past:
            rows = self._rows("count_kinds_then")
            self.counts = {kind: unchanged for kind, unchanged, _ in rows}
            self._changed = {kind: changed for kind, _, changed in rows}
        else:
            self.counts = dict(self._rows("count_kinds"))
            if sum(self.counts.values()) <= SNAPSHOTS_A_BLOCK:
                self._at_once = {kind: (lines + b"\n", n) for kind, lines, n in self._rows("read_all_snapshots")}

    @cached_property
    def _second(self) -> Connection[Row]:
        return self._beside()

    def _rows(self, statement: str, connection: Connection[Row] | None = None, **values: object) -> list[Row]:
        parameters = {"account": self.account, "stream": self.stream, "head": self.head, **values}
        return (connection or self._connection).execute(SQL[statement], parameters, binary=True).fetchall()

    def most(self, kind: Kind) -> int:
        """How many snapshots of *kind* there are at most; exactly, but for a past moment."""
        return self.counts.get(kind.value, 0) + self._changed.get(kind.value, 0)

    def snapshots(self, kind: Kind) -> Iterator[tuple[bytes, int]]:
        """The kind's snapshot lines in order of id: blocks of whole lines, and how many each holds."""
        if self._at_once is not None:
            yield from (self._at_once[kind.value],) if kind.value in self._at_once else ()
            return
        if self._changed.get(kind.value):
            yield from self._past_snapshots(kind)
            return
        after = NIL
        left = self.counts.get(kind.value, 0)
        while left:
            lines, rows, after = self._rows("read_snapshots", kind=kind.value, after=after, rows=SNAPSHOTS_A_BLOCK)[0]
            left -= rows
            yield lines + b"\n", rows

    def _past_snapshots(self, kind: Kind) -> Iterator[tuple[bytes, int]]:
        """The same where some were changed since; on the second connection those, on the first one what was not."""
        then = changed_since(self._second, self.account, self.stream, self.head, kind=kind)
        folded = ((str(one.state.id), _encode(one.state)) for one in then if not is_gone(one.state))
        both = merge(self._unchanged(kind), folded)
        while block := [line for _, line in islice(both, SNAPSHOTS_A_BLOCK)]:
            yield b"\n".join(block) + b"\n", len(block)

    def _unchanged(self, kind: Kind) -> Iterator[tuple[str, bytes]]:
        after = NIL
        while rows := self._rows("read_unchanged", kind=kind.value, after=after, rows=SNAPSHOTS_A_BLOCK):
            yield from rows
            after = rows[-1][0]

    @contextmanager
    def lines(self) -> Iterator[Iterator[tuple[bytes, int]]]:
        """The stream's lines in order of position: blocks of whole lines, and how many each holds.

        Two connections fetch every other block: assembling lines is the server's work, one process a connection.
        """
        places = range(0, self.head, LINES_A_BLOCK)
        if len(places) <= 1:
            yield self._lines(self._connection, places)
            return
        with (
            ahead(self._lines(self._connection, places[::2])) as even,
            ahead(self._lines(self._second, places[1::2])) as odd,
        ):
            yield (block for pair in zip_longest(even, odd) for block in pair if block is not None)

    def _lines(self, connection: Connection[Row], places: range) -> Iterator[tuple[bytes, int]]:
        for after in places:
            last = min(after + LINES_A_BLOCK, self.head)
            ((lines,),) = self._rows("read_lines", connection, after=after, last=last)
            yield lines + b"\n", last - after

    def attached(self) -> list[str]:
        """The SHA-256 of each file that the timeline names and that is here: one taken off elsewhere may not be."""
        return [sha256 for (sha256,) in self._rows("read_attached")]

    def attachment(self, sha256: str) -> Iterator[bytes]:
        """The bytes of an attached file, in pieces."""
        start, size = 1, 1
        while start <= size:
            key = bytes.fromhex(sha256)
            piece, size = self._rows("read_attachment", sha256=key, start=start, length=ATTACHMENT_PIECE_BYTES)[0]
            start += len(piece)
            yield piece

    @cached_property
    def _attributions(self) -> list[Row]:
        return self._rows("read_attributions")

    def segments(self) -> tuple[Segment, ...]:
        """How the stream's lines came, and who of those they name is linked to another or is not verified."""
        people: dict[int, list[Attributed]] = {}
        for first, person, _, linked_to, verified in self._attributions:
            one = Attributed(person=PersonId(person), linked_to=PersonId(linked_to), verified=verified)
            people.setdefault(first, []).append(one)
        return tuple(
            Segment(
                first_position=first,
                came_by=came_by,
                source=source,
                authenticity=authenticity,
                attribution_trusted=trusted,
                people=tuple(one for one in people.get(first, ()) if one.linked_to != one.person or not one.verified),
            )
            for first, came_by, source, authenticity, trusted in self._rows("read_segments")
        )

    def people(self, salt: str) -> tuple[PersonNamed, ...]:
        """Everybody that the timeline may name: who had access here, and who came with a segment."""
        named = {
            person: PersonNamed(id=PersonId(person), name=name, linked_to=PersonId(linked_to))
            for _, person, name, linked_to, _ in self._attributions
        }
        for person, name, email in self._rows("read_members_ever"):
            named[person] = PersonNamed(id=PersonId(person), name=name, email_hash=email_hash(salt, email))
        return tuple(named[person] for person in sorted(named))


@cache
def _packed_schemas() -> dict[str, Packed]:
    """The schema files, packed once: for a small account that is most of an archive's bytes."""
    return {name: pack(schema) for name, schema in schemas().items()}


def _file(container: ContainerWriter, name: str, content: bytes) -> FileListed:
    return _listed_whole(container.add(name, content))


def _listed_whole(written: WrittenEntry) -> FileListed:
    return FileListed(name=written.name, bytes=written.size_bytes, sha256=written.sha256)


def _write_snapshots(
    container: ContainerWriter, source: Source, kind: Kind, name: str, *, totaller: Totaller, progress: Progress
) -> FileListed:
    def totalled(blocks: Iterator[tuple[bytes, int]]) -> Iterator[tuple[bytes, int]]:
        for block, rows in blocks:
            totaller.add(kind, block)
            yield block, rows

    most = source.most(kind)
    if most <= SNAPSHOTS_A_BLOCK:  # a thread would take longer to start than its work
        listed = _write_lines(container, name, totalled(source.snapshots(kind)), most=most, progress=progress)
    else:
        # Three at once: the server assembles a block, the one before is added up, and the one before that is packed.
        with ahead(source.snapshots(kind)) as blocks, ahead(totalled(blocks)) as added_up:
            listed = _write_lines(container, name, added_up, most=most, progress=progress)
    source.counts[kind.value] = listed.rows or 0
    return listed


def _write_timeline(container: ContainerWriter, source: Source, progress: Progress) -> FileListed:
    with source.lines() as blocks:
        return _write_lines(container, TIMELINE, blocks, most=source.head, progress=progress)


def _write_lines(
    container: ContainerWriter, name: str, blocks: Iterator[tuple[bytes, int]], *, most: int, progress: Progress
) -> FileListed:
    done = 0
    with container.entry(name, may_exceed_4gib=most >= _MAY_BE_LARGE_FROM) as sink:
        for block, count in blocks:
            sink.write(block)
            done += count
            progress(name, done, most)
    if done < most:
        progress(name, done, done)
    return _listed(sink, done)


def _listed(sink: EntrySink, rows: int | None = None) -> FileListed:
    assert sink.result is not None, "the entry is complete"
    return FileListed(name=sink.name, rows=rows, bytes=sink.result.size_bytes, sha256=sink.result.sha256)


def _write_attachments(container: ContainerWriter, source: Source) -> Iterator[FileListed]:
    for sha256 in source.attached():
        with container.entry(ATTACHMENTS + sha256) as sink:
            for piece in source.attachment(sha256):
                sink.write(piece)
        yield _listed(sink)


def _manifest(  # noqa: PLR0917 - one caller, which has them all
    source: Source,
    actor: Actor,
    taken_at: datetime,
    asked: str | None,
    totals: ControlTotals,
    files: list[FileListed],
) -> Manifest:
    salt = secrets.token_hex(16)
    return Manifest(
        format_version=FORMAT_VERSION,
        product_version=product_version(),
        archive=new_id(taken_at),
        account=AccountNamed(id=source.account, name=source.control.name),
        stream=source.stream,
        tree_head=TreeHead(size=source.head, root=source.frontier.root().hex()),
        segments=source.segments(),
        taken_at=taken_at,
        taken_by=actor.name,
        as_of=None if asked is None else AsOf(asked=asked, head=source.last),
        counts={kind.value: source.counts.get(kind.value, 0) for kind in Kind},
        control_totals=totals,
        custom_fields=source.control.custom_fields,
        meaning=Meaning(settings=source.control.settings, modules=source.control.modules),
        email_salt=salt,
        people=source.people(salt),
        files=tuple(files),
    )
