"""What the service does by itself again and again: each by one worker at a time, however many there are."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from api.bootstrap import Installation


class Periodic(NamedTuple):
    """Something that is done at the times of *cron* (UTC; a sixth field is seconds).

    A time that went by while no worker ran, within the last day, is made up for when the first one starts. What was
    broken off, because its worker ended, is done again from the beginning, so doing it twice must be safe. Work that is
    long, or an account's own, is better asked for here as a job of that account (``api.jobs.enqueue``).
    """

    cron: str
    run: Callable[[Installation], None]


@cache
def periodics() -> dict[str, Periodic]:
    """All of it by name. Their modules are read here, by workers alone."""
    from api import daily, housekeeping, invoicing

    return {
        "cleanup": Periodic("40 1 * * *", housekeeping.look_after),
        "daily-backups": Periodic("* * * * *", daily.each_minute),
        "daily-invoices": Periodic("5 * * * *", invoicing.each_hour),
    }
