"""When an account is looked after: once each night of its own calendar, whatever its clocks do."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ids import AccountId
from snapshots.daily.nights import next_night, next_reading, next_rehearsal

ACCOUNTS = st.uuids().map(lambda id_: AccountId(str(id_)))
ZONES = st.sampled_from(sorted(available_timezones() - {"localtime"}))
TIMES = st.integers(0, 14 * 365 * 24).map(lambda hours: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hours))


def nights(account: AccountId, zone: str, first: date, days: int) -> list[datetime]:
    """The moments from a day's noon on, for so many days."""
    found = [datetime(first.year, first.month, first.day, 12, tzinfo=ZoneInfo(zone)).astimezone(UTC)]
    for _ in range(days):
        found.append(next_night(account, zone, after=found[-1]))
    return found[1:]


@given(ACCOUNTS, ZONES, TIMES)
def test_each_day_of_the_accounts_calendar_has_one_moment_between_one_and_five(
    account: AccountId, zone: str, since: datetime
) -> None:
    local = [moment.astimezone(ZoneInfo(zone)) for moment in nights(account, zone, since.date(), 40)]

    assert [moment.date() for moment in local] == [since.date() + timedelta(days=n) for n in range(1, 41)]
    assert all(1 <= moment.hour <= 5 for moment in local)  # 5, where five o'clock itself is put forward


@pytest.mark.parametrize("last_sunday", [date(2027, 3, 28), date(2027, 10, 31)])
def test_f17_a_night_in_which_clocks_change_is_neither_skipped_nor_doubled(last_sunday: date) -> None:
    for number in range(200):
        account = AccountId(f"01900000-0000-7000-8000-{number:012}")

        found = nights(account, "Europe/Brussels", last_sunday - timedelta(days=2), 3)

        days = [moment.astimezone(ZoneInfo("Europe/Brussels")).date() for moment in found]
        assert days == [last_sunday + timedelta(days=n) for n in (-1, 0, 1)]


def test_f17_a_clock_that_is_put_back_an_hour_does_not_bring_the_same_night_again() -> None:
    account = AccountId("01900000-0000-7000-8000-000000000001")
    served = next_night(account, "UTC", after=datetime(2026, 5, 1, 12, tzinfo=UTC))
    put_back = served - timedelta(hours=1)

    following = next_night(account, "UTC", after=max(put_back, served))

    assert following - served == timedelta(days=1)


def test_accounts_are_spread_over_the_whole_night() -> None:
    noon = datetime(2026, 5, 1, 12, tzinfo=UTC)
    quarters = [0] * 16
    for number in range(1_600):
        moment = next_night(AccountId(f"01900000-0000-7000-8000-{number:012}"), "UTC", after=noon)
        quarters[int((moment - noon - timedelta(hours=13)).total_seconds() // 900)] += 1

    assert min(quarters) > 50


@given(ACCOUNTS, ZONES, TIMES)
def test_a_rehearsal_comes_once_a_month_on_a_day_that_every_month_has(
    account: AccountId, zone: str, since: datetime
) -> None:
    moments = [since]
    for _ in range(13):
        moments.append(next_rehearsal(account, zone, after=moments[-1]))
    local = [moment.astimezone(ZoneInfo(zone)) for moment in moments[1:]]

    assert len({moment.day for moment in local}) == 1
    assert [(b.year - a.year) * 12 + b.month - a.month for a, b in pairwise(local)] == [1] * 12


@given(ACCOUNTS, ZONES, TIMES)
def test_what_is_kept_is_read_again_on_one_day_of_each_week(account: AccountId, zone: str, since: datetime) -> None:
    moments = [since]
    for _ in range(6):
        moments.append(next_reading(account, zone, after=moments[-1]))
    local = [moment.astimezone(ZoneInfo(zone)).date() for moment in moments[1:]]

    assert [later - earlier for earlier, later in pairwise(local)] == [timedelta(days=7)] * 5
