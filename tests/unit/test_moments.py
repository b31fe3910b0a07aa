"""Moments as people name them: positions and times, and nothing that could be read in two ways."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.entity import FieldRefused
from projections.moments import Position, read_moment


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("0", Position(None, 0)),
        ("1200", Position(None, 1200)),
        ("2.1200", Position(2, 1200)),
        ("2026-01-31T09:30:00Z", datetime(2026, 1, 31, 9, 30, tzinfo=UTC)),
        ("2026-01-31t09:30:00z", datetime(2026, 1, 31, 9, 30, tzinfo=UTC)),
        ("2026-01-31 10:30:00.25+01:00", datetime(2026, 1, 31, 9, 30, 0, 250_000, tzinfo=UTC)),
        ("2026-01-31T09:30:00.1234569Z", datetime(2026, 1, 31, 9, 30, 0, 123_456, tzinfo=UTC)),
    ],
)
def test_a_position_or_a_time_with_its_zone_is_a_moment(text: str, named: Position | datetime) -> None:
    assert read_moment(text) == named


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1",
        "+1",
        "1.5.2",
        "0.7",
        "1e3",
        "٣",
        "1_000",
        "9" * 19,
        "9" * 1_000_000,
        "now",
        "2026-01-31",
        "2026-01-31T09:30:00",
        "2026-01-31T09:30Z",
        "2026-02-30T09:30:00Z",
        "2026-01-31T24:30:00Z",
        "2026-01-31T09:30:60Z",
        "2026-01-31T09:30:00+24:00",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "2026-W05-6T09:30:00Z",
        "20260131T093000Z",
        " 1200",
        "1200\n",
        "2026-01-31T09:30:00Z\n",
        "\x00",
    ],
)
def test_what_is_neither_or_could_be_two_things_is_refused(text: str) -> None:
    with pytest.raises(FieldRefused, match=r"as_of: found .{0,80}; expected a position"):
        read_moment(text)


@given(st.text(alphabet="0123456789.-+:TZ \n٣", max_size=40) | st.text(max_size=40))
def test_whatever_is_given_is_a_moment_or_refused(text: str) -> None:
    try:
        named = read_moment(text)
    except FieldRefused:
        return
    assert isinstance(named, Position) or named.tzinfo is UTC


@given(st.datetimes(timezones=st.just(UTC)).filter(lambda at: 1 < at.year < 9999), st.integers(-1439, 1439))
def test_every_time_in_every_zone_is_read_as_that_time(at: datetime, minutes: int) -> None:
    assert read_moment(at.astimezone(timezone(timedelta(minutes=minutes))).isoformat()) == at
