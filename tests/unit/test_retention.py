"""Which daily backups are kept: grandfathers, fathers and sons, and never one too few."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from domain.control import BackupRetention
from snapshots.daily.retention import Kept, worth_keeping

ZONE = "Europe/Brussels"
RULES = st.builds(BackupRetention, daily=st.integers(1, 20), weekly=st.integers(0, 10), monthly=st.integers(0, 14))
TIMES = st.integers(0, 880 * 24).map(lambda hours: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(hours=hours))
HISTORIES = st.lists(TIMES, min_size=1, max_size=120, unique=True).map(
    lambda times: [Kept(f"a{n:03}", at) for n, at in enumerate(sorted(times))]
)


def those(there: list[Kept], archives: frozenset[str]) -> list[Kept]:
    """Of the backups that are *there*, those of *archives*."""
    return [one for one in there if one.archive in archives]


def test_of_two_years_of_days_fourteen_days_eight_weeks_and_twelve_months_are_kept() -> None:
    first = datetime(2024, 12, 1, 2, tzinfo=UTC)
    there = [Kept(f"{n:03}", first + timedelta(days=n)) for n in range(730)]

    kept = those(there, worth_keeping(there, BackupRetention(), ZONE))

    days = [one.at.date().isoformat() for one in kept]
    assert days[-14:] == [(first + timedelta(days=n)).date().isoformat() for n in range(716, 730)]
    assert [day for day in days[:-14] if day >= "2026-10"] == [  # Sundays, and the last of October
        "2026-10-18", "2026-10-25", "2026-10-31", "2026-11-01", "2026-11-08", "2026-11-15",
    ]  # fmt: skip
    assert [day for day in days if day < "2026-10-18"] == [
        "2025-12-31", "2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31", "2026-06-30", "2026-07-31",
        "2026-08-31", "2026-09-30",
    ]  # fmt: skip


@given(HISTORIES, RULES)
def test_the_newest_is_always_kept(there: list[Kept], rule: BackupRetention) -> None:
    assert there[-1].archive in worth_keeping(there, rule, ZONE)


def plainly_kept(there: list[Kept], rule: BackupRetention, zone: str) -> set[str]:
    """The rule as people read it: of each of the newest days, weeks and months that have a backup, the last one."""
    kept = set()
    for most, format_ in ((rule.daily, "%Y-%m-%d"), (rule.weekly, "%G-%V"), (rule.monthly, "%Y-%m")):
        periods = sorted({one.at.astimezone(ZoneInfo(zone)).strftime(format_) for one in there})
        for period in periods[len(periods) - most :] if most < len(periods) else periods:
            of_it = [one for one in there if one.at.astimezone(ZoneInfo(zone)).strftime(format_) == period]
            kept.add(max(of_it, key=lambda one: (one.at, one.archive)).archive)
    return kept


YEARS = st.lists(
    st.tuples(
        st.one_of(st.integers(1, 3), st.integers(1, 200)),  # days to the next backup: most nights, and long gaps
        st.integers(0, 23),
        st.one_of(st.none(), RULES),  # the rule is changed
        st.one_of(st.none(), st.sampled_from(["Europe/Brussels", "Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC"])),
    ),
    max_size=150,
)


@given(YEARS)
def test_over_years_with_gaps_and_changed_settings_each_night_leaves_what_the_rule_says_in_plain_words(
    nights: list[tuple[int, int, BackupRetention | None, str | None]],
) -> None:
    day, rule, zone = datetime(2024, 1, 1, tzinfo=UTC), BackupRetention(), ZONE
    left: list[Kept] = []
    for number, (days, hour, new_rule, new_zone) in enumerate(nights):
        day += timedelta(days=days)
        rule, zone = new_rule or rule, new_zone or zone
        there = [*left, Kept(f"a{number:03}", day + timedelta(hours=hour))]

        left = those(there, worth_keeping(there, rule, zone))

        assert {one.archive for one in left} == plainly_kept(there, rule, zone)
        assert there[-1] in left


@given(HISTORIES, RULES)
def test_what_is_kept_is_kept_when_asked_again(there: list[Kept], rule: BackupRetention) -> None:
    kept = worth_keeping(there, rule, ZONE)

    assert worth_keeping(those(there, kept), rule, ZONE) == kept


@given(HISTORIES, RULES)
def test_what_was_let_go_day_by_day_would_not_have_been_kept_at_the_end(
    there: list[Kept], rule: BackupRetention
) -> None:
    left: list[Kept] = []
    for one in there:
        left = those([*left, one], worth_keeping([*left, one], rule, ZONE))

    assert {one.archive for one in left} == worth_keeping(there, rule, ZONE)


@given(HISTORIES, RULES)
def test_no_more_are_kept_than_the_rule_says_and_as_many_days_as_it_says(
    there: list[Kept], rule: BackupRetention
) -> None:
    kept = worth_keeping(there, rule, ZONE)
    days = {one.at.astimezone(ZoneInfo(ZONE)).date() for one in there}

    assert len(kept) <= rule.daily + rule.weekly + rule.monthly
    assert len(kept) >= min(len(days), rule.daily)


@given(HISTORIES, RULES)
def test_a_rule_that_keeps_more_keeps_all_that_one_does_that_keeps_less(
    there: list[Kept], rule: BackupRetention
) -> None:
    more = BackupRetention(daily=rule.daily + 3, weekly=rule.weekly + 2, monthly=rule.monthly + 1)

    assert worth_keeping(there, rule, ZONE) <= worth_keeping(there, more, ZONE)


def test_an_account_that_nobody_changed_for_years_keeps_what_it_has() -> None:
    there = [Kept(str(n), datetime(2019, 5, n, 2, tzinfo=UTC)) for n in range(1, 10)]

    assert worth_keeping(there, BackupRetention(), ZONE) == {one.archive for one in there}


def test_days_are_those_of_the_accounts_time_zone() -> None:
    there = [
        Kept("before", datetime(2026, 3, 1, 22, 30, tzinfo=UTC)),
        Kept("after", datetime(2026, 3, 1, 23, 30, tzinfo=UTC)),
    ]
    rule = BackupRetention(daily=2, weekly=0, monthly=0)

    assert worth_keeping(there, rule, "Europe/Brussels") == {"before", "after"}
    assert worth_keeping(there, rule, "UTC") == {"after"}


def test_a_week_that_lies_in_two_years_is_one_week() -> None:
    there = [
        Kept(day, datetime.fromisoformat(f"{day}T02:00+00:00")) for day in ("2025-12-28", "2025-12-31", "2026-01-02")
    ]
    rule = BackupRetention(daily=1, weekly=2, monthly=0)

    assert worth_keeping(there, rule, "UTC") == {"2025-12-28", "2026-01-02"}
