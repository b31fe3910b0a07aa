"""Whether the log of an account is what was recorded: rows, leaves, tree, and the heads that were stated of it.

A row that was changed is found by its leaf. One whose leaf was changed with it, or that was removed, inserted or moved,
is found by the tree that the stream row keeps; where that was changed as well, by the heads that the account's own
history states, and where all of the database was, by archives. Rows are read by position, in blocks, and the server
hashes the lines: memory is a block of hashes, whatever the account's size and however much of it is wrong.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

import msgspec
from psycopg import Connection

from domain import control as c
from domain.ids import AccountId, PersonId
from domain.parties import Value
from domain.store.database import Database, Row
from domain.store.statements import statements
from domain.store.streams import AccountUnknown, StreamUnknown
from domain.tree import EMPTY, HASH_BYTES, Frontier, FrontierDamaged
from domain.tree import append as append_leaves
from projections.ahead import ahead

SQL = statements("projections", "verification.sql")
ROWS_A_BLOCK = 4_000
MOST_LISTED = 1_000
_BEFORE_ALL = -(2**63)
_CONTROL = msgspec.json.Decoder(c.Control)

Wrong = Literal["row", "missing", "extra", "tree", "stream", "history", "members", "segments", "file"]
By = Literal["stream", "history", "archive"]
_STRENGTH: dict[By, int] = {"stream": 0, "history": 1, "archive": 2}


class Finding(Value, frozen=True, kw_only=True):
    """Something that is not as it was recorded.

    ``position`` is the first that it can be about and ``last_position`` the last: the same where it is known exactly,
    None for what stands beside the rows.
    """

    wrong: Wrong
    position: int | None = None
    last_position: int | None = None
    found: str
    expected: str

    def __str__(self) -> str:
        if self.position is None:
            where = ""
        elif self.position == self.last_position:
            where = f" at position {self.position:,}"
        else:
            where = f" at one of positions {self.position:,} to {self.last_position:,}"
        return f"{self.wrong}{where}: found {self.found}; expected {self.expected}"


class Head(Value, frozen=True, kw_only=True):
    """A tree head that was stated of the stream: by the stream row, the account's own history, or an archive.

    ``agrees`` says whether the rows do with it, and is None where they do not reach that far.
    """

    by: By
    name: str
    size: int
    root: str
    agrees: bool | None = None


class Verification(Value, frozen=True, kw_only=True):
    """What a verification found; ``events`` and ``root`` are of the rows as they are.

    The first bad position is no lower than ``first_bad`` and no higher than ``first_bad_by_then``.
    """

    stream: int
    status: str
    events: int
    root: str
    findings: tuple[Finding, ...] = ()
    findings_count: int = 0
    first_bad: int | None = None
    first_bad_by_then: int | None = None
    heads: tuple[Head, ...] = ()


class Scan(NamedTuple):
    """The rows of a stream as they were read. Behind a position that is missing, at ``size``, there is no tree.

    ``roots`` has, for the sizes that were asked for, the root of the rows' lines and that of the stored leaves;
    ``segments`` how the positions came: first position, came by, source, authenticity.
    """

    stream: int
    status: str
    events: int
    size: int
    root: bytes
    roots: dict[int, set[str]]
    heads: tuple[Head, ...]
    segments: tuple[tuple[Any, ...], ...]
    findings: tuple[Finding, ...]
    findings_count: int

    def agrees(self, size: int, root: str) -> bool | None:
        """Whether the first *size* rows have that root; None where the rows do not reach that far."""
        return root in self.roots.get(size, ()) if size <= self.size else None


class _Findings:
    """Those that were found, the first thousand in full."""

    def __init__(self) -> None:
        self.listed: list[Finding] = []
        self.count = 0

    def add(self, wrong: Wrong, found: str, expected: str, at: int | None = None) -> None:
        """Take in what is wrong, at a position that is known or beside the rows."""
        self.count += 1
        if len(self.listed) < MOST_LISTED:
            self.listed.append(Finding(wrong=wrong, position=at, last_position=at, found=found, expected=expected))


def scan(database: Database, account: AccountId, *, stream: int | None = None, sizes: Iterable[int] = ()) -> Scan:
    """Recompute lines, leaves and tree of a stream (the live one unless named) from its rows.

    The roots at *sizes* are kept, beside those at the sizes that the account itself states. Changes nothing, and sees
    the account at one moment. Raises AccountUnknown, StreamUnknown.
    """
    findings = _Findings()
    with database.transaction(account, snapshot=True) as connection:
        row = connection.execute(SQL["read_stream"], {"account": account, "stream": stream}).fetchone()
        if row is None:
            raise AccountUnknown(account) if stream is None else StreamUnknown(stream)
        number, status, head, frontier = row
        heads = [*_of_stream_row(head, frontier, findings), *_of_history(connection, account, number, findings)]
        log = _Log({*sizes, *(one.size for one in heads)}, head, findings)
        key = {"account": account, "stream": number}
        with ahead(_blocks(connection, key)) as blocks:
            for block in blocks:
                log.take(block)
        rows = connection.execute(SQL["count_rows"], key).fetchall()[0][0]
        segments = connection.execute(SQL["read_segments"], key).fetchall()
    if log.behind_head:
        findings.add("extra", f"{log.behind_head:,} rows behind the head", f"none behind {head:,}", log.first_behind)
    if rows != log.count:
        findings.add("extra", f"{rows - log.count:,} rows at the position of another", "one row at each position")
    scanned = Scan(
        number,
        status,
        log.count,
        log.lines.size,
        log.lines.root(),
        log.roots,
        tuple(heads),
        tuple(segments),
        tuple(findings.listed),
        findings.count,
    )
    checked = (msgspec.structs.replace(one, agrees=scanned.agrees(one.size, one.root)) for one in heads)
    return scanned._replace(heads=tuple(checked))


def check_files(database: Database, account: AccountId, stream: int) -> tuple[Finding, ...]:
    """The attached files that are not what they are kept as, or that snapshots of the stream name and nobody finds."""
    findings = _Findings()
    with database.transaction(account, snapshot=True) as connection:
        parameters = {"account": account, "stream": stream, "most": MOST_LISTED}
        for (sha256,) in connection.execute(SQL["read_other_files"], parameters):
            findings.add("file", "other bytes", f"those of SHA-256 {sha256}")
        for entity, sha256 in connection.execute(SQL["read_missing_files"], parameters):
            findings.add("file", "no such file", f"SHA-256 {sha256}, attached to {entity}")
    return tuple(findings.listed)


def leaves_of_rows(database: Database, account: AccountId, stream: int) -> Iterator[bytes]:
    """The leaf of each row's line, in order of position, up to the first that is missing. Memory is a few blocks."""
    with database.transaction(account, snapshot=True) as connection:
        expected = 1
        with ahead(_blocks(connection, {"account": account, "stream": stream})) as blocks:
            for block in blocks:
                made = block.rows or zip(itertools.count(block.first), _split(block.made), strict=False)
                for position, *_, leaf in made:
                    if position > expected:
                        return
                    if position == expected:
                        yield leaf
                        expected += 1


def judge(scanned: Scan, heads: Iterable[Head] = (), findings: Iterable[Finding] = ()) -> Verification:
    """What was found in all, with the *heads* that archives of the stream state, and what else was found by them."""
    heads = (*scanned.heads, *heads)
    more = [*findings, *_disagreements(heads, scanned.size, are_whole=scanned.size == scanned.events)]
    findings = (*scanned.findings, *more)
    placed = ((one.position, one.last_position) for one in findings if one.position is not None)
    first, by_then = min(placed, default=(None, None))
    whole = max((one.size for one in heads if one.by == "stream"), default=0)
    return Verification(
        stream=scanned.stream,
        status=scanned.status,
        events=scanned.events,
        root=scanned.root.hex(),
        findings=findings,
        findings_count=scanned.findings_count + len(more),
        first_bad=first,
        first_bad_by_then=by_then,
        heads=tuple(one for one in heads if one.by != "stream" or one.size == whole),
    )


def _disagreements(heads: Iterable[Head], rows: int, *, are_whole: bool) -> Iterator[Finding]:
    """For each who states heads, the first that the rows do not agree with, and that they end before the last of them.

    A head that the rows agree with vouches for all before it, as far as whoever states it is believed: what lies in the
    database as little as the rows do, an archive more. Where a row was removed and the rest moved up, the rows end
    early too: what is missing may be any that nothing vouches for.
    """
    heads = list(heads)
    for by, strength in _STRENGTH.items():
        stated = sorted((one for one in heads if one.by == by), key=lambda one: one.size)
        against = next((one for one in stated if one.agrees is False), None)
        if against is not None:
            yield _disagreement(against, [one for one in heads if one.agrees and _STRENGTH[one.by] >= strength])
        if stated and stated[-1].agrees is None and are_whole:
            yield Finding(
                wrong="missing",
                position=_vouched(heads, strength, rows) + 1,
                last_position=rows + 1,
                found=f"no row behind position {rows:,}",
                expected=f"{stated[-1].size:,} events, as {stated[-1].name} states",
            )


def _disagreement(against: Head, agreeing: list[Head]) -> Finding:
    strength = _STRENGTH[against.by]
    expected = f"root {against.root} over {against.size:,} events, as {against.name} states"
    for one in agreeing:
        if _STRENGTH[one.by] > strength and one.size >= against.size:
            found = f"other rows, which {one.name} vouches for: what states it was changed"
            return Finding(wrong="history" if against.by == "history" else "stream", found=found, expected=expected)
    return Finding(
        wrong="tree",
        position=_vouched(agreeing, strength, against.size - 1) + 1,
        last_position=against.size,
        found="other rows: one was changed with its leaf, removed, inserted or moved, or what states it was",
        expected=expected,
    )


def _vouched(heads: Iterable[Head], strength: int, most: int) -> int:
    """The highest position, up to *most*, that somebody of at least that strength vouches for."""
    agreeing = (one.size for one in heads if one.agrees and _STRENGTH[one.by] >= strength and one.size <= most)
    return max(agreeing, default=0)


class _Block(NamedTuple):
    """Some rows: the leaves of their lines, or, where something is wrong, each as (position, stored leaf, leaf)."""

    first: int
    made: bytes
    rows: list[Row] | None


def _blocks(connection: Connection[Row], key: dict[str, Any]) -> Iterator[_Block]:
    after, expected = _BEFORE_ALL, 1
    while True:
        parameters = {**key, "after": after, "rows": ROWS_A_BLOCK}
        count, first, last, made, is_sound = connection.execute(SQL["read_block"], parameters, binary=True).fetchall()[
            0
        ]
        if not count:
            return
        if is_sound and first == expected and last == expected + count - 1:
            yield _Block(first, made, None)
        else:
            yield _Block(first, b"", connection.execute(SQL["read_rows"], parameters, binary=True).fetchall())
        after, expected = last, last + 1


def _split(hashes: bytes) -> list[bytes]:
    return [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]


class _Log:
    """The trees over the rows: of their lines, and of the leaves stored with them, up to the first missing position."""

    def __init__(self, sizes: Iterable[int], head: int, findings: _Findings) -> None:
        self.lines = EMPTY
        self.roots: dict[int, set[str]] = {0: {EMPTY.root().hex()}}
        self.count = 0
        self.behind_head = 0
        self.first_behind: int | None = None
        self._leaves = EMPTY
        self._sizes = sorted(sizes)
        self._head = head
        self._findings = findings
        self._is_whole = True

    def take(self, block: _Block) -> None:
        """Take in the rows that come next."""
        if block.rows is None:
            made = _split(block.made)
            self.count += len(made)
            self._note_behind(block.first, block.first + len(made) - 1)
            if self._is_whole:
                self._extend(made, made)
            return
        lines: list[bytes] = []
        leaves: list[bytes] = []
        for position, leaf, made_leaf in block.rows:
            self.count += 1
            self._note_behind(position, position)
            expected = self.lines.size + len(lines) + 1
            if position < 1:
                self._findings.add("extra", "a row here", "positions from 1 on", position)
            elif self._is_whole and position > expected:
                self._findings.add("missing", f"position {position:,} next", "no position left out", expected)
                self._extend(lines, leaves)
                self._is_whole = False
            if leaf != made_leaf:
                self._findings.add("row", f"a row of leaf {made_leaf.hex()}", f"leaf {leaf.hex()}, as stored", position)
            if self._is_whole and position == expected:
                lines.append(made_leaf)
                leaves.append(leaf)
        if self._is_whole:
            self._extend(lines, leaves)

    def _note_behind(self, first: int, last: int) -> None:
        if last > self._head:
            if self.first_behind is None:
                self.first_behind = max(first, self._head + 1)
            self.behind_head += last - max(first, self._head + 1) + 1

    def _extend(self, lines: list[bytes], leaves: list[bytes]) -> None:
        before, after = self.lines.size, self.lines.size + len(lines)
        wanted = [size for size in self._sizes if before < size <= after]
        for size in dict.fromkeys((*wanted, after)):
            part = slice(self.lines.size - before, size - before)
            are_same = self._leaves is self.lines and lines[part] == leaves[part]
            self.lines = append_leaves(self.lines, lines[part])
            self._leaves = self.lines if are_same else append_leaves(self._leaves, leaves[part])
            if size in wanted:
                self.roots[size] = {self.lines.root().hex(), self._leaves.root().hex()}


def _of_stream_row(head: int, frontier: bytes, findings: _Findings) -> list[Head]:
    """The heads that the stream row states: its tree, and each beginning of it that is a complete subtree."""
    try:
        tree = Frontier.from_bytes(head, bytes(frontier))
    except FrontierDamaged as wrong:
        findings.add(
            "stream", f"{wrong.found_bytes:,} bytes of hashes", f"{wrong.expected_bytes:,} for {head:,} events"
        )
        return []
    stated, size = [], 0
    bits = [1 << bit for bit in reversed(range(head.bit_length())) if head >> bit & 1]
    for number, width in enumerate(bits, 1):
        size += width
        root = Frontier(size, tree.hashes[:number]).root().hex()
        stated.append(Head(by="stream", name="the stream row", size=size, root=root))
    return stated


def _of_history(connection: Connection[Row], account: AccountId, stream: int, findings: _Findings) -> Iterator[Head]:
    """The heads that the account's own history states of the stream. Checks on the way that all of it is there."""
    control: c.Control | None = None
    last = 0
    for position, type_name, at, data in connection.execute(SQL["read_history"], {"account": account}):
        if position != last + 1:
            findings.add("history", f"event {position:,} after {last:,}", "no event left out")
        last = position
        try:
            event: Any = msgspec.json.decode(data, type=c.CONTROL_EVENTS[type_name])
        except (KeyError, msgspec.MsgspecError) as wrong:
            findings.add("history", f"event {position:,}, {type_name[:60]!r}: {wrong}"[:300], "an event of ours")
            continue
        match event:
            case c.Opened():
                control = c.open_account(event, account, at)
            case c.BackupTaken() if event.stream == stream:
                yield Head(by="history", name=f"backup {event.archive}", size=event.position, root=event.root)
            case c.StreamSwapped() if event.live == stream:
                yield Head(by="history", name=f"the swap to stream {stream}", size=event.head_position, root=event.root)
        control = control and c.evolve(control, event)
    _compare_account(connection, account, (last, control), findings)


def _compare_account(
    connection: Connection[Row], account: AccountId, folded: tuple[int, c.Control | None], findings: _Findings
) -> None:
    """Compare what is kept of the account, and who is let in, with what its own history says."""
    position, text = connection.execute(SQL["read_account"], {"account": account}).fetchall()[0]
    last, control = folded
    if position != last:
        findings.add("history", f"{last:,} events", f"{position:,}, as the account's row counts")
    try:
        kept = _CONTROL.decode(text)
    except msgspec.MsgspecError as wrong:
        findings.add("history", f"an account kept as {wrong}"[:300], "an account of ours")
        return
    if control != kept:
        findings.add("history", "events that come to another account", "the account that is kept of them")
    let_in: dict[PersonId, str] = dict(connection.execute(SQL["read_members"], {"account": account}).fetchall())
    of_account = {member.person: member.role.value for member in kept.members}
    for person in sorted({*let_in, *of_account}):
        if let_in.get(person) != of_account.get(person):
            said = of_account.get(person, "no access")
            findings.add(
                "members", f"{person} let in as {let_in.get(person, 'nobody')}", f"{said}, as the account says"
            )
