"""Which of an account's daily backups are kept: the last one of each of so many days, weeks and months.

Counted are days, weeks and months that have a backup, not those of the calendar: an account that nobody changed for
years keeps what it has. The last one of all is always kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from domain.control import BackupRetention


class Kept(NamedTuple):
    """A backup that is there: its archive, and when it was taken."""

    archive: str
    at: datetime


def worth_keeping(there: Iterable[Kept], rule: BackupRetention, time_zone: str) -> frozenset[str]:
    """The archives of those that *rule* keeps; days, weeks (from Monday) and months are those of the time zone.

    Depends on nothing but what is *there*: what it drops it would never have asked for later, whatever comes after.
    """
    zone = ZoneInfo(time_zone)
    newest_first = [
        (one.archive, one.at.astimezone(zone).date())
        for one in sorted(there, key=lambda one: (one.at, one.archive), reverse=True)
    ]
    periods: tuple[tuple[int, Callable[[date], object]], ...] = (
        (rule.daily, lambda day: day),
        (rule.weekly, lambda day: day.isocalendar()[:2]),
        (rule.monthly, lambda day: (day.year, day.month)),
    )
    kept: set[str] = set()
    for most, period_of in periods:
        last_of: dict[object, str] = {}
        for archive, day in newest_first:
            last_of.setdefault(period_of(day), archive)
        kept.update(list(last_of.values())[:most])
    return frozenset(kept)
