"""What an account holds, in figures that are equal exactly when the content is."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from domain.ids import NIL, AccountId
from domain.kinds import Kind
from domain.store.database import Database
from domain.store.statements import statements
from domain.tree import Frontier

SQL = statements("snapshots", "content.sql")
_ROWS_A_BLOCK = 2_000


class Content(NamedTuple):
    """Counts per kind, the log's size and root, and the SHA-256 over all snapshot lines in order of id."""

    counts: dict[str, int]
    events: int
    root: str
    snapshots_sha256: str


def read_content(database: Database, account: AccountId) -> Content:
    """The account's content at this moment; memory is a block of snapshots."""
    counts = dict.fromkeys((kind.value for kind in Kind), 0)
    seen = hashlib.sha256()
    with database.transaction(account, snapshot=True) as connection:
        stream, head, frontier = connection.execute(SQL["read_head"], {"account": account}).fetchall()[0]
        after = NIL
        while True:
            key = {"account": account, "stream": stream, "after": after, "rows": _ROWS_A_BLOCK}
            rows = connection.execute(SQL["read_states"], key).fetchall()
            if not rows:
                break
            for kind, state, after in rows:  # noqa: B007 - the last one is where the next block begins
                counts[kind] += 1
                seen.update(state.encode() + b"\n")
    return Content(counts, head, Frontier.from_bytes(head, frontier).root().hex(), seen.hexdigest())
