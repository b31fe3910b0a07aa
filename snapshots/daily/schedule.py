"""Whose turn it is, of all accounts, and what is known of each one's daily backups.

What is to be done is a row an account, in the database: whoever comes first claims it for a while, so that any number
of processes can be at it, and what one of them was killed over is anybody's again after that while.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
from psycopg import Connection

from domain.accounts import Access, service_access
from domain.application import Application
from domain.control import Control, Role
from domain.ids import AccountId
from domain.store.database import KEEPER, Database, Row
from domain.store.statements import statements
from domain.store.streams import AccountUnknown
from projections.control_totals import ControlTotals
from snapshots.daily.nights import LONGEST_AHEAD, next_night, next_reading, next_rehearsal

SQL = statements("snapshots.daily", "schedule.sql")
CLAIMED_FOR = timedelta(minutes=30)  # far longer than a backup takes; what a killed process had waits as long
_AT_WORK_FOR = timedelta(hours=1)  # whoever opened an account just now, even by night
_LONGEST_TO_A_REHEARSAL = timedelta(days=33)
_LONGEST_TO_A_READING = timedelta(days=9)
# What an archive says of an account beside its stream: a change of it is a change of the account.
_IN_ARCHIVES = [
    "account.renamed",
    "settings.changed",
    "module.enabled",
    "module.disabled",
    "custom_field.defined",
    "custom_field.changed",
    "custom_field.removed",
    "access.granted",
    "attribution.trusted",
    "person.linked",
    "person.unlinked",
]
_CONTROL = msgspec.json.Decoder(Control)
_TOTALS = msgspec.json.Decoder(ControlTotals)


class KeptBackup(NamedTuple):
    """A daily backup that is kept: its archive, its file, when it was taken, and its size."""

    archive: str
    file: str
    at: datetime
    size_bytes: int


_KEPT = msgspec.json.Decoder(tuple[KeptBackup, ...])


class Turn(NamedTuple):
    """An account that is this process's to look after: until when it should have been, and whether it changed."""

    account: AccountId
    time_zone: str
    due_at: datetime
    changed: bool


class Appointed(NamedTuple):
    """An account that something is to be done for, and since when; None where that was never planned."""

    account: AccountId
    time_zone: str
    at: datetime | None


class Last(NamedTuple):
    """What the newest daily backup has: its archive, of which stream up to where, and its control totals."""

    archive: str
    stream: int
    position: int
    totals: ControlTotals


class Standing(NamedTuple):
    """An account, and what is known of its daily backups."""

    access: Access
    control_position: int
    attempts: int
    due_at: datetime
    last: Last | None
    kept: tuple[KeptBackup, ...]


def schedule_new(application: Application) -> int:
    """Give the accounts that were never looked after their night and their day of the month. How many there were."""
    with application.database.session(KEEPER) as keeper:
        accounts = [AccountId(account) for (account,) in keeper.execute(SQL["list_unscheduled"])]
    now = application.clock()
    for account in accounts:
        with suppress(AccountUnknown):  # erased just now
            _schedule(application.database, account, now)
    return len(accounts)


def _schedule(database: Database, account: AccountId, now: datetime) -> None:
    zone = service_access(database, account).control.settings.time_zone
    row = {
        "account": account,
        "zone": zone,
        "next": next_night(account, zone, after=now + _AT_WORK_FOR),
        "rehearse": next_rehearsal(account, zone, after=now),
        "read": next_reading(account, zone, after=now),
    }
    with database.transaction(account) as connection:
        connection.execute(SQL["insert_schedule"], row)


def claim_due(keeper: Connection[Row], now: datetime, *, most: int) -> list[Turn]:
    """Up to *most* accounts whose time has come: nobody else gets them for a while. Those of no use are put off."""
    key = {
        "now": now,
        "until": now + CLAIMED_FOR,
        "too_far": now + LONGEST_AHEAD,
        "most": most,
        "types": _IN_ARCHIVES,
    }
    turns = [Turn(AccountId(account), *rest) for account, *rest in keeper.execute(SQL["claim_due"], key)]
    idle = [turn for turn in turns if not (turn.changed and turn.due_at <= now)]
    if idle:
        put_off = {
            "now": now,
            "accounts": [turn.account for turn in idle],
            "next": [next_night(turn.account, turn.time_zone, after=now) for turn in idle],
            "current": [not turn.changed for turn in idle],
        }
        keeper.execute(SQL["put_off"], put_off)
    return turns


def rehearsals_due(application: Application, *, most: int) -> list[Appointed]:
    """Up to *most* accounts whose day of the month it is, or that were planned wrongly."""
    return _appointed(application, "list_rehearsals", _LONGEST_TO_A_REHEARSAL, most)


def readings_due(application: Application, *, most: int) -> list[Appointed]:
    """Up to *most* accounts on whose day of the week what is kept is to be read again, or that were planned wrongly."""
    return _appointed(application, "list_readings", _LONGEST_TO_A_READING, most)


def _appointed(application: Application, statement: str, longest: timedelta, most: int) -> list[Appointed]:
    now = application.clock()
    key = {"now": now, "too_far": now + longest, "most": most}
    with application.database.session(KEEPER) as keeper:
        return [Appointed(AccountId(account), *rest) for account, *rest in keeper.execute(SQL[statement], key)]


def claim_rehearsal(connection: Connection[Row], due: Appointed, now: datetime) -> bool:
    """Whether a rehearsal is the caller's to ask for: nobody else did, and there is a backup. Plans the next one.

    Until the open transaction of *connection*, which has set the account, is committed, nothing of it has happened: so
    what is asked for in it is asked for, or is due again.
    """
    planned = next_rehearsal(due.account, due.time_zone, after=now)
    key = {"account": due.account, "due": due.at, "next": planned}
    row = connection.execute(SQL["plan_rehearsal"], key).fetchone()
    return row is not None and bool(row[0])


def claim_reading(connection: Connection[Row], due: Appointed, now: datetime) -> bool:
    """Whether it is the caller's to ask that what is kept is read again, as with `claim_rehearsal`."""
    planned = next_reading(due.account, due.time_zone, after=now)
    key = {"account": due.account, "due": due.at, "next": planned}
    return connection.execute(SQL["plan_reading"], key).rowcount == 1


@contextmanager
def to_itself(database: Database, account: AccountId) -> Iterator[bool]:
    """Whether the account's daily backups are the caller's alone, for the length of the ``with``: no other process
    takes one, or erases the account.
    """
    ours = {"accounts": [account]}
    with database.session(KEEPER) as keeper:
        is_ours = keeper.execute(SQL["lock_accounts"], ours).fetchone() is not None
        try:
            yield is_ours
        finally:
            if is_ours:
                keeper.execute(SQL["unlock_accounts"], ours)


def read_standing(database: Database, account: AccountId) -> Standing:
    """Where the account stands. Raises AccountUnknown."""
    with database.transaction(account) as connection:
        row = connection.execute(SQL["read_standing"], {"account": account}).fetchone()
    if row is None:
        raise AccountUnknown(account)
    slug, control_position, control, attempts, due_at, stream, position, archive, totals, kept = row
    access = Access(account, slug, Role.ADMINISTRATOR, _CONTROL.decode(control))
    last = None if archive is None else Last(archive, stream, position, _TOTALS.decode(totals))
    return Standing(access, control_position, attempts, due_at, last, _KEPT.decode(kept))


def kept_of(text: str) -> tuple[KeptBackup, ...]:
    """The daily backups that are kept, as they are written down."""
    return _KEPT.decode(text)
