from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.commands.near_misses import did_you_mean
from worker.commands.trends_times import DEFAULT_WINDOWS, MAX_WINDOWS, When, Width, window_range
from worker.trends import floor

NOW = datetime(2026, 3, 1, 12, 34, 56, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("24h", timedelta(days=1)),
        ("7d", timedelta(days=7)),
        ("2026-03-01T12:00:00Z", NOW.replace(minute=0, second=0)),
        ("2026-03-01T12:00:00+05:30", NOW.replace(hour=6, minute=30, second=0)),
        ("2026-03-01T12:00Z", NOW.replace(minute=0, second=0)),
        ("20260301T120000Z", NOW.replace(minute=0, second=0)),
    ],
)
def test_times_and_durations(text: str, moment: datetime | timedelta) -> None:
    assert When().convert(text, None, None) == moment


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2026-03-01T12:00:00", "write 2026-03-01T12:00:00Z"),
        ("2026-03-01", "write 2026-03-01T00:00:00Z"),
        ("yesterday", "neither a time"),
        ("2026-02-30T00:00:00Z", "neither a time"),
        ("7 d", "neither a time"),
        ("-1h", "neither a time"),
        ("0001-01-01T00:00:00+14:00", "too far away"),
    ],
)
def test_what_is_no_time_says_what_is(text: str, words: str) -> None:
    with pytest.raises(click.BadParameter, match=words):
        When().convert(text, None, None)


@pytest.mark.parametrize("text", ["1", "90s", "0h", "1.5h", "400d"])
def test_what_is_no_width(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Width().convert(text, None, None)


@given(
    st.integers(1, 60 * 24 * 31).map(lambda n: n * MINUTE),
    st.integers(1, 60 * 24).map(lambda n: n * MINUTE),
    st.integers(0, 10**5).map(lambda n: n * MINUTE),
    st.none() | st.integers(0, 10**5).map(lambda n: n * MINUTE),
)
def test_the_range_is_aligned_and_ends_with_the_data(
    width: timedelta, step: timedelta, age: timedelta, history: timedelta | None
) -> None:
    newest = NOW - age
    pace = min(width, step)
    since, until = window_range(
        newest,
        width=width,
        step=pace,
        since=None,
        now=NOW,
        oldest=None if history is None else newest - history,
    )
    assert floor(since, pace) == since < until == floor(until, pace)
    assert until - pace <= newest < until
    assert until - since <= MAX_WINDOWS * pace
    assert until - since <= DEFAULT_WINDOWS * width + pace
    if history is not None:
        assert until - since <= history + 2 * pace


def test_since_and_until() -> None:
    def ask(**given: datetime | timedelta | None) -> tuple[datetime, datetime]:
        return window_range(NOW - MINUTE, width=HOUR, now=NOW, **{"since": None, **given})  # type: ignore[arg-type]

    noon = NOW.replace(minute=0, second=0)
    assert ask(since=3 * HOUR) == (noon - 2 * HOUR, noon + HOUR)
    assert ask(since=3 * HOUR, until=24 * HOUR) == (noon - 26 * HOUR, noon - 23 * HOUR)
    assert ask(until=noon) == (noon - 24 * HOUR, noon)
    assert ask(until=noon - MINUTE)[1] == noon
    assert ask(until=NOW + 99 * HOUR)[1] == noon + HOUR
    assert ask(since=noon - 90 * MINUTE)[0] == noon - 2 * HOUR


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("lunch", " Did you mean 'launch'?"),
        ("LAUNCH", " Did you mean 'launch'?"),
        ("laund", " Did you mean 'launch'?"),
        ("zebra", ""),
    ],
)
def test_near_misses(value: str, hint: str) -> None:
    assert did_you_mean(value, ["launch", "outage", "cats"]) == hint
