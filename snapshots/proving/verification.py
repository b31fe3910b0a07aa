"""Whether an account's timeline is what was recorded: its own log, the archives of it, and its snapshots.

What lies in the database vouches for itself only as far as whoever can write to it is trusted. An archive lies outside:
it holds the very lines, so beside one of the stream the first row that is another is named exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import BinaryIO, Literal, NamedTuple

from domain.ids import AccountId
from domain.parties import Value
from domain.store.database import Database
from domain.tree import EMPTY, append, leaf_hashes
from projections.rebuild import Rebuilt, rebuild
from projections.verification import Finding, Head, Scan, Verification, check_files, judge, leaves_of_rows, scan
from snapshots.container import Limits
from snapshots.format.authenticity import Authenticity
from snapshots.format.errors import FileDiffers
from snapshots.format.manifest import TIMELINE
from snapshots.reading.archive import Archive, open_archive
from snapshots.trust.encryption import Unlock
from snapshots.trust.signing import NO_KEYS, KeyRing

Relation = Literal["continues", "is older", "differs", "another stream's"]


class Compared(Value, frozen=True, kw_only=True):
    """An archive beside a stream: what the stream is to it, and how many of its first events the stream has too."""

    file: str
    archive: str
    account: str
    stream: int
    size: int
    root: str
    authenticity: Authenticity
    relation: Relation
    common: int

    def __str__(self) -> str:
        of = f"{self.file}, archive {self.archive} of stream {self.stream}, {self.size:,} events, {self.authenticity}"
        match self.relation:
            case "continues":
                return f"{of}: the stream continues it"
            case "is older":
                return f"{of}: the stream is older, and has the first {self.common:,}"
            case "differs":
                return f"{of}: the stream differs at position {self.common + 1:,}"
            case "another stream's":
                return f"{of}: another stream's; this one has its first {self.common:,}"


class Verified(Value, frozen=True, kw_only=True):
    """What was found of the log, of each archive, and of snapshots and attached files where they were looked at.

    ``is_sound`` when nothing is wrong. That an archive of another stream is not continued is no fault.
    """

    is_sound: bool
    log: Verification
    archives: tuple[Compared, ...] = ()
    snapshots: Rebuilt | None = None
    files: tuple[Finding, ...] = ()


class Given(NamedTuple):
    """An archive to compare with, and what to call it."""

    name: str
    file: BinaryIO


def verify_timeline(
    database: Database,
    account: AccountId,
    *,
    stream: int | None = None,
    against: Iterable[Given] = (),
    log_only: bool = False,
    limits: Limits = Limits(),  # noqa: B008 - immutable
    keys: KeyRing = NO_KEYS,
    unlock: Unlock | None = None,
) -> Verified:
    """Recompute a stream's log (the live one's unless named) and compare it with all that was stated of it.

    The snapshots of the live stream are derived from the events anew and compared, and attached files hashed, unless
    *log_only*. Changes nothing; *unlock* opens archives that are encrypted. Raises AccountUnknown, StreamUnknown;
    ArchiveError leaves for an archive that is not what it claims to be, or was edited since one of *keys* signed it: it
    proves nothing.
    """
    opened = [(given.name, open_archive(given.file, limits, keys, unlock=unlock)) for given in against]
    sizes = [archive.manifest.tree_head.size for _, archive in opened]
    scanned = scan(database, account, stream=stream, sizes=sizes)
    compared, heads, findings = [], [], []
    for name, archive in opened:
        found = _compare(database, account, scanned, name, archive)
        compared.append(found.result)
        heads += found.heads
        findings += found.findings
    log = judge(scanned, heads, findings)
    snapshots: Rebuilt | None = None
    attached: tuple[Finding, ...] = ()
    if scanned.status == "live" and not log_only:
        snapshots = rebuild(database, account, check=True)
        attached = check_files(database, account, scanned.stream)
    return Verified(
        is_sound=not (log.findings_count or attached) and (snapshots is None or not snapshots.differences_count),
        log=log,
        archives=tuple(compared),
        snapshots=snapshots,
        files=attached,
    )


class _Comparison(NamedTuple):
    result: Compared
    heads: list[Head]
    findings: list[Finding]


def _compare(database: Database, account: AccountId, scanned: Scan, name: str, archive: Archive) -> _Comparison:
    manifest = archive.manifest
    head = manifest.tree_head
    is_of_stream = (manifest.account.id, manifest.stream) == (account, scanned.stream)
    relation: Relation
    if scanned.agrees(head.size, head.root):
        common, relation = head.size, "continues"
        heads = [_stated(archive, head.size, head.root, agrees=True)]
    else:
        common, until, after = _common(leaves_of_rows(database, account, scanned.stream), archive)
        heads = [_stated(archive, common, until, agrees=True)]
        if common == scanned.events and (common or is_of_stream):
            relation = "is older"
            heads.append(_stated(archive, head.size, head.root, agrees=None))
        else:
            relation = "differs" if is_of_stream else "another stream's"
            heads.append(_stated(archive, common + 1, after, agrees=False))
    result = Compared(
        file=name,
        archive=manifest.archive,
        account=manifest.account.id,
        stream=manifest.stream,
        size=head.size,
        root=head.root,
        authenticity=archive.authenticity,
        relation=relation,
        common=common,
    )
    return _Comparison(result, heads, _segments(scanned, archive)) if is_of_stream else _Comparison(result, [], [])


def _stated(archive: Archive, size: int, root: str, *, agrees: bool | None) -> Head:
    name = f"{archive.authenticity.verdict} archive {archive.manifest.archive}"
    return Head(by="archive", name=name, size=size, root=root, agrees=agrees)


def _common(rows: Iterator[bytes], archive: Archive) -> tuple[int, str, str]:
    """How many leading lines of the archive are the rows' as well, the tree's root over them, and over one line more.

    Raises FileDiffers when the archive's lines are not those that its own tree head is of.
    """
    tree, common = EMPTY, 0
    until = after = tree.root().hex()
    is_same = True
    for block in archive.blocks(TIMELINE):
        lines = leaf_hashes(block[:-1].split(b"\n"))
        if is_same:
            mine = list(islice(rows, len(lines)))
            same = next((at for at, (own, line) in enumerate(zip(mine, lines, strict=False)) if own != line), len(mine))
            is_same = same == len(lines)
            common += same
            until, after = (append(tree, lines[:count]).root().hex() for count in (same, same + 1))
        tree = append(tree, lines)
    if tree.root().hex() != archive.manifest.tree_head.root:
        raise FileDiffers(TIMELINE, "tree root", tree.root().hex(), archive.manifest.tree_head.root)
    return common, until, after


def _segments(scanned: Scan, archive: Archive) -> list[Finding]:
    """How lines came is fixed when they come: what an archive says of it, the stream has to say as well."""
    stated = [(one.first_position, one.came_by, one.source, one.authenticity) for one in archive.manifest.segments]
    return [
        Finding(
            wrong="segments",
            found=f"another segment from position {first:,} on",
            expected=f"{came_by} from {source or 'here'}, {authenticity}, as archive {archive.manifest.archive} states",
        )
        for first, came_by, source, authenticity in stated
        if (first, came_by, source, authenticity) not in scanned.segments
    ]
