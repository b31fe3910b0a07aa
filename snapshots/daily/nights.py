"""When an account is looked after: once a night by its own calendar, at a moment of the night that is always its own.

Accounts are spread over the hours by a hash of their id, so that thousands of them come one after another. A night is
01:00 to 05:00 of the account's day, however long that is where clocks are put forward or back in it: each day has one
moment, and none has two.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from zoneinfo import ZoneInfo

from domain.ids import AccountId

NIGHT = (time(1), time(5))
MORNING = (time(5), time(7))  # of rehearsals and readings: after the backups, before people come in
LONGEST_AHEAD = timedelta(hours=50)  # from a night's moment to that of the next but one is never less
_DAYS_OF_MONTHS = 28  # that every month has


def next_night(account: AccountId, time_zone: str, *, after: datetime) -> datetime:
    """The first moment *after* that at which the account is to be backed up, in UTC."""
    return _next(account, time_zone, after, NIGHT)


def next_rehearsal(account: AccountId, time_zone: str, *, after: datetime) -> datetime:
    """The first moment *after* that at which a backup of the account is to be rehearsed: on its day of each month."""
    day_of_month = 1 + int(_share(account) * _DAYS_OF_MONTHS)
    return _next(account, time_zone, after, MORNING, day_of_month=day_of_month)


def next_reading(account: AccountId, time_zone: str, *, after: datetime) -> datetime:
    """The first moment *after* that at which what is kept of the account is read again: on its day of each week."""
    return _next(account, time_zone, after, MORNING, weekday=int(_share(account) * 7919) % 7)


def _next(
    account: AccountId,
    time_zone: str,
    after: datetime,
    hours: tuple[time, time],
    *,
    day_of_month: int | None = None,
    weekday: int | None = None,
) -> datetime:
    zone = ZoneInfo(time_zone)
    day = after.astimezone(zone).date() - timedelta(days=1)
    while True:
        if day_of_month in (None, day.day) and weekday in (None, day.weekday()):
            moment = _moment(account, zone, day, hours)
            if moment > after:
                return moment
        day += timedelta(days=1)


def _moment(account: AccountId, zone: ZoneInfo, day: date, hours: tuple[time, time]) -> datetime:
    begin, end = (datetime.combine(day, hour, zone).astimezone(UTC) for hour in hours)
    return begin + (end - begin) * _share(account)


def _share(account: AccountId) -> float:
    """The account's place among all, from 0 up to before 1: the same for ever, whatever else there is."""
    return int.from_bytes(sha256(account.encode()).digest()[:4]) / 2**32
