"""Erasing accounts that were closed, once their time is up: announced a week before, wholly, and on the record.

From one transaction on the account is nobody's, and no stream of it can be read, written or made live. Its rows and
files go after that, rows in batches; who finds some left goes on with it. What somebody had begun in that very instant,
such as sending an archive, may come after: so all of it is deleted once more the next day. What stays is the account's
id and one event: who opened and closed it, when, and up to which log. Nothing of an account that is open is erased.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from graphlib import TopologicalSorter
from typing import Literal, NamedTuple

from psycopg import Connection, sql

from domain.accounts import service_access
from domain.application import Actor, Application, record_control
from domain.control import Erased, ErasureAnnounced
from domain.ids import AccountId
from domain.parties import Value
from domain.store.database import PURGER, Database, Row, set_account
from domain.store.statements import statements
from snapshots.fresh.building import ROWS_A_BATCH
from snapshots.fresh.swap import Live, read_live

SQL = statements("snapshots", "erasing.sql")
FRESH = statements("snapshots.fresh", "fresh.sql")
ANNOUNCED_BEFORE = timedelta(days=7)
_ONCE_MORE_AFTER = timedelta(hours=12)  # by then whatever was begun before the erasure has ended
_ACTOR = Actor.system("erasure")


class ErasureReport(Value, frozen=True, kw_only=True):
    """What became of an account that was closed; *erase_after* while it still is there.

    ``busy``: somebody is at work on it, and it is tried again.
    """

    account: AccountId
    outcome: Literal["announced", "erased", "busy"]
    erase_after: datetime | None = None


class Due(NamedTuple):
    """A closed account whose time is up, or that is to be told soon; or one whose erasure broke off."""

    account: AccountId
    is_begun: bool


def accounts_due(application: Application) -> list[Due]:
    """The closed accounts, of all there are, that something is to be done about."""
    with application.database.session(PURGER) as purger:
        until = application.clock() + ANNOUNCED_BEFORE
        rows = purger.execute(SQL["list_due"], {"until": until}).fetchall()
    return [Due(AccountId(account), is_begun) for account, is_begun in rows]


def erase_due(application: Application, due: Due, delete_files: Callable[[AccountId], int]) -> ErasureReport | None:
    """Announce that an account is erased, erase it, or go on with that, whichever it is time for; None for neither.

    *delete_files* deletes what is kept of it outside of the database, and says how much that was; it is called again.
    Raises what it does, psycopg.Error, AccountUnknown; then the account is as it was, or its erasure is gone on with
    later.
    """
    account = due.account
    if not due.is_begun:
        report = _begun(application, account)
        if report is None or report.outcome != "erased":
            return report
    deleted = delete_files(account) + delete_all_rows(application.database, account)
    now = application.clock()
    with application.database.transaction(account) as connection:
        settled = {"account": account, "at": now, "before": now - _ONCE_MORE_AFTER}
        connection.execute(SQL["note_erased_wholly"], settled)
    return ErasureReport(account=account, outcome="erased") if deleted else None


def _begun(application: Application, account: AccountId) -> ErasureReport | None:
    """Announce the erasure, or make it final: from then on nothing of the account can be reached. None: not yet."""
    now = application.clock()
    control = service_access(application.database, account).control
    if control.erase_after is None:
        return None  # it was reopened just now
    if not control.erasure_announced:
        announced = ErasureAnnounced(erase_after=max(control.erase_after, now + ANNOUNCED_BEFORE))
        application.record_control(account, _ACTOR, announced)
        return ErasureReport(account=account, outcome="announced", erase_after=announced.erase_after)
    if now < control.erase_after:
        return None
    return _made_final(application.database, account, now)


def _made_final(database: Database, account: AccountId, now: datetime) -> ErasureReport | None:
    """In one transaction; None, and nothing done, when the account's own history says no by now."""
    report = ErasureReport(account=account, outcome="busy")
    with database.transaction(account) as connection:
        # Whoever begins a job of the account waits from here on, and finds the account gone.
        connection.execute(FRESH["lock_account"], {"account": account})
        live = read_live(connection, account)
        if live.control.erase_after is None or not live.control.erasure_announced or now < live.control.erase_after:
            return None
        row = connection.execute(SQL["is_at_work"], {"account": account, "now": now}).fetchone()
        if row is None or row[0]:
            return report
        erased = _erased(live, connection.execute(SQL["read_history"], {"account": account}).fetchall())
        done = record_control(connection, account, _ACTOR, (live.control_position, live.control), (erased,), at=now)
        assert done is not None, "it is locked"
        connection.execute(SQL["erase_streams"], {"account": account})
        connection.execute(SQL["erase_account"], {"account": account, "at": now})
    return ErasureReport(account=account, outcome="erased")


def _erased(live: Live, history: list[Row]) -> Erased:
    """What stays on record, by the last event of each type."""
    last = {type_: (at, actor) for type_, at, actor in history}
    (opened_at, opened_by), (closed_at, closed_by) = last["account.opened"], last["account.closed"]
    return Erased(
        opened_at=opened_at,
        opened_by=opened_by,
        closed_at=closed_at,
        closed_by=closed_by,
        announced_at=last["account.erasure_announced"][0],
        stream=live.stream,
        position=live.position,
        root=live.frontier.root().hex(),
    )


def delete_all_rows(database: Database, account: AccountId) -> int:
    """Delete all rows of an account that was erased, but for what stays on record. How many. Safe to repeat."""
    deleted = 0
    with database.session(PURGER) as purger:
        tables = dict(purger.execute(SQL["list_tables"]).fetchall())
        for table in TopologicalSorter(tables).static_order():
            if table in tables:
                deleted += _delete_from(purger, account, table)
    return deleted


def _delete_from(purger: Connection[Row], account: AccountId, table: str) -> int:
    """In batches of a transaction each. How many rows."""
    deleted = 0
    batch = sql.SQL(
        "DELETE FROM {table} WHERE ctid = ANY(ARRAY("
        "SELECT ctid FROM {table} WHERE account_id = {account}{kept} LIMIT {rows}))"
    ).format(
        table=sql.Identifier(table),
        account=sql.Literal(account),
        kept=sql.SQL(" AND type <> 'account.erased'" if table == "control_events" else ""),
        rows=sql.Literal(ROWS_A_BATCH),
    )
    while True:
        with purger.transaction():
            set_account(purger, account)
            rows = purger.execute(batch).rowcount
        deleted += rows
        if rows < ROWS_A_BATCH:
            return deleted
