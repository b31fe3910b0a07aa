"""Making proofs: that a line is in an account's log, and that the log continues an earlier one.

RFC 9162's inclusion and consistency proofs, made from the leaves part by part: memory is a block of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from psycopg import Connection

from domain.errors import StoreError
from domain.ids import AccountId
from domain.store.database import Database, Row
from domain.store.statements import statements
from domain.store.streams import AccountUnknown, StreamUnknown
from domain.tree import Frontier, OutsideTree, consistency_path, inclusion_path
from projections.past import frontier_at, frontier_over
from snapshots.format.manifest import TreeHead
from snapshots.proving.proofs import Consistency, Inclusion

SQL = statements("snapshots.proving", "proving.sql")


@dataclass(eq=False)
class NothingProven(StoreError):
    """The log is not what its head says, so no proof of it holds."""

    code: ClassVar[str] = "store.nothing-proven"
    size: int
    root: str

    def __str__(self) -> str:
        return (
            f"the rows are not those of root {self.root} over {self.size:,} events; timeline verify says what is wrong"
        )


def prove_inclusion(
    database: Database,
    account: AccountId,
    *,
    position: int,
    stream: int | None = None,
    head: TreeHead | int | None = None,
) -> Inclusion:
    """The proof that the line at *position* of a stream (the live one unless named) is in it.

    Under *head*, or the stream's own head of that size; unless given, that of the newest backup that holds the line, or
    else the stream's. Raises AccountUnknown, StreamUnknown, OutsideTree, NothingProven.
    """
    with database.transaction(account, snapshot=True) as connection:
        log = _read_log(connection, account, stream)
        if not 1 <= position <= log.head.size:
            raise OutsideTree(what="position", found=position, size=log.head.size)
        archive = None
        if head is None:
            parameters = {"account": account, "stream": log.stream, "position": position}
            backup = connection.execute(SQL["find_backup"], parameters).fetchone()
            if backup is not None and backup[1] <= log.head.size:
                archive, head = backup[0], TreeHead(size=backup[1], root=backup[2])
        under = log.head_of(head)
        if position > under.size:
            raise OutsideTree(what="position", found=position, size=under.size)
        proof = Inclusion(
            version=1,
            account=account,
            stream=log.stream,
            archive=archive,
            tree_head=under,
            position=position,
            line=log.line(position),
            path=log.roots(inclusion_path(position - 1, under.size)),
        )
    if not proof.holds():
        raise NothingProven(under.size, under.root)
    return proof


def prove_consistency(
    database: Database,
    account: AccountId,
    *,
    earlier: TreeHead | int,
    later: TreeHead | int | None = None,
    stream: int | None = None,
) -> Consistency:
    """The proof that the log of *later* continues that of *earlier*: heads, or sizes of heads of the stream.

    Of the live stream unless one is named; *later* is its last head unless given. Raises AccountUnknown, StreamUnknown,
    OutsideTree, NothingProven.
    """
    with database.transaction(account, snapshot=True) as connection:
        log = _read_log(connection, account, stream)
        first, last = log.head_of(earlier), log.head_of(later)
        path = log.roots(consistency_path(first.size, last.size))
    proof = Consistency(version=1, account=account, stream=log.stream, earlier=first, later=last, path=path)
    if not proof.holds():
        raise NothingProven(last.size, last.root)
    return proof


class _Log(NamedTuple):
    """A stream's log as the connection's transaction sees it."""

    connection: Connection[Row]
    account: AccountId
    stream: int
    head: TreeHead

    def head_of(self, named: TreeHead | int | None) -> TreeHead:
        """The head that is meant: the one given, the stream's own of that size, or its last. Raises OutsideTree."""
        size = self.head.size if named is None else named if isinstance(named, int) else named.size
        if not 0 <= size <= self.head.size:
            raise OutsideTree(what="size", found=size, size=self.head.size)
        if isinstance(named, TreeHead):
            return named
        if size == self.head.size:
            return self.head
        frontier = frontier_at(self.connection, self.account, self.stream, size)
        return TreeHead(size=size, root=frontier.root().hex())

    def line(self, position: int) -> str:
        """The line at a position; empty where there is none."""
        parameters = {"account": self.account, "stream": self.stream, "position": position}
        row = self.connection.execute(SQL["read_line"], parameters).fetchone()
        return str(row[0]) if row else ""

    def roots(self, parts: list[range]) -> tuple[str, ...]:
        """The roots over parts of the leaves, hexadecimal."""
        found = (frontier_over(self.connection, self.account, self.stream, part) for part in parts)
        return tuple(frontier.root().hex() for frontier in found)


def _read_log(connection: Connection[Row], account: AccountId, stream: int | None) -> _Log:
    row = connection.execute(SQL["read_stream"], {"account": account, "stream": stream}).fetchone()
    if row is None:
        raise AccountUnknown(account) if stream is None else StreamUnknown(stream)
    number, head, frontier = row
    root = Frontier.from_bytes(head, frontier).root().hex()
    return _Log(connection, account, number, TreeHead(size=head, root=root))
