from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.trends import (
    EMOTIONS,
    Series,
    TrendRow,
    Trends,
    Window,
    build,
    floor,
    granularity_for,
    merge,
    window_starts,
)

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(  # noqa: DTZ001
    lambda time: time.replace(tzinfo=UTC)
)


def _rows(
    index: int, counts: tuple[int, ...], *, value: str = "*", complete: bool = False
) -> list[TrendRow]:
    labelled = sum(counts[:7])
    return [
        TrendRow(
            START + index * QUARTER, "all", value, name, count, labelled, None,
            0.125 if position < 6 else None, complete,
        )
        for position, (name, count) in enumerate(zip(EMOTIONS, counts, strict=True))
    ]  # fmt: skip


def _build(
    rows: list[TrendRow],
    *,
    values: tuple[str, ...] = ("*",),
    complete_until: datetime | None = None,
) -> Trends:
    return build(
        rows,
        dimension="all",
        values=values,
        width=QUARTER,
        since=START,
        until=START + 4 * QUARTER,
        complete_until=complete_until,
    )


@pytest.mark.parametrize(
    ("width", "granularity"),
    [
        ("1", "1m"),
        ("15", "1m"),
        ("60", "1h"),
        ("90", "1m"),
        ("120", "1h"),
        ("1440", "1d"),
        ("10080", "1d"),
    ],
)
def test_the_coarsest_granularity_that_fits(width: str, granularity: str) -> None:
    assert granularity_for(timedelta(minutes=int(width))) == granularity


@pytest.mark.parametrize(
    "width", [timedelta(0), timedelta(seconds=90), timedelta(days=367), -QUARTER]
)
def test_widths_that_no_bucket_fills(width: timedelta) -> None:
    with pytest.raises(ValueError, match="window"):
        granularity_for(width)


@given(TIMES, st.integers(min_value=1, max_value=20_000).map(lambda n: timedelta(minutes=n)))
def test_a_time_lies_in_its_window(time: datetime, width: timedelta) -> None:
    start = floor(time, width)
    assert start <= time < start + width
    assert floor(start, width) == start


def test_weeks_start_on_monday_and_hours_on_the_hour() -> None:
    assert floor(START, timedelta(days=7)) == datetime(2026, 2, 23, tzinfo=UTC)
    assert floor(START + timedelta(minutes=59), timedelta(hours=1)) == START


@given(st.integers(min_value=0, max_value=500), st.integers(min_value=0, max_value=14))
def test_windows_cover_the_range(count: int, more: int) -> None:
    until = START + count * QUARTER + timedelta(minutes=more)
    starts = window_starts(START, until, QUARTER)
    assert len(starts) == count + (more > 0)
    assert all(START <= start < until for start in starts)


def test_empty_windows_are_zero() -> None:
    trends = _build(_rows(1, (1, 2, 3, 4, 5, 6, 7, 8)) + _rows(9, (9,) * 8))
    (series,) = trends.series
    assert [window.posts for window in series.windows] == [0, 36, 0, 0]
    assert [window.start for window in series.windows] == [START + i * QUARTER for i in range(4)]
    assert series.windows[0].share("joy") is None
    assert series.windows[0].net is None
    assert series.windows[0].dominant is None
    assert series.windows[1].mean_scores == (0.125,) * 6
    assert not trends.empty
    assert _build([]).empty


def test_a_value_without_rows_is_all_zeros_and_others_do_not_count() -> None:
    trends = _build(
        _rows(0, (1,) * 8, value="a") + _rows(0, (1,) * 8, value="c"), values=("b", "a")
    )
    assert [series.total.posts for series in trends.series] == [0, 8]


def test_shares_are_of_labelled_posts() -> None:
    window = Window(START, (10, 20, 10, 20, 20, 10, 10, 50), (None,) * 6, complete=True)
    assert window.labelled == 100
    assert window.posts == 150
    assert window.share("joy") == pytest.approx(0.2)
    assert window.share("uncertain") == pytest.approx(0.1)
    assert window.share("unlabelled") is None
    assert window.net == pytest.approx(0.3 - 0.5)
    assert window.dominant == "joy"


@pytest.mark.parametrize("window", [0, 1, 2, 3])
def test_rows_do_not_vouch_for_their_window(window: int) -> None:
    """A post in its first minute, and nothing said or nothing read since: the rows are the same."""
    (series,) = _build(_rows(window, (1,) * 8, complete=True), complete_until=START).series
    assert not any(one.complete for one in series.windows)


@pytest.mark.parametrize("minutes", [None, 0, 14, 15, 44, 60])
def test_nothing_said_is_not_the_same_as_not_read_yet(minutes: int | None) -> None:
    until = None if minutes is None else START + timedelta(minutes=minutes)
    (series,) = _build([], complete_until=until).series
    assert sum(window.complete for window in series.windows) == (minutes or 0) // 15


def test_windows_that_overlap_have_a_total_of_their_own() -> None:
    trends = build(
        _rows(1, (1, 2, 3, 4, 5, 6, 7, 8)) + _rows(2, (1, 2, 3, 4, 5, 6, 7, 8)),
        dimension="all",
        values=("*",),
        width=4 * QUARTER,
        step=QUARTER,
        since=START,
        until=START + 4 * QUARTER,
        complete_until=START + 3 * QUARTER,
        totals=_rows(0, (1, 2, 3, 4, 5, 6, 7, 8)),
    )
    (series,) = trends.series
    assert [window.posts for window in series.windows] == [0, 36, 36, 0]
    assert [window.complete for window in series.windows] == [True, True, True, False]
    assert (series.total.posts, series.total.complete) == (36, False)
    assert (trends.pace, trends.width, trends.complete) == (QUARTER, 4 * QUARTER, False)


@given(
    st.lists(
        st.tuples(*[st.integers(min_value=0, max_value=1_000)] * 8), min_size=1, max_size=6
    ).map(lambda rows: [tuple(row) for row in rows])
)
def test_merging_loses_nothing(rows: list[tuple[int, ...]]) -> None:
    windows = [
        Window(
            START + i * QUARTER, row, tuple(0.5 if sum(row[:7]) else None for _ in range(6)), True
        )
        for i, row in enumerate(rows)
    ]
    whole = merge(windows)
    assert whole.counts == tuple(map(sum, zip(*rows, strict=True)))
    assert whole.start == START
    if whole.labelled:
        assert whole.mean_scores == pytest.approx((0.5,) * 6)
    else:
        assert whole.mean_scores == (None,) * 6


def test_rows_say_what_the_windows_hold() -> None:
    trends = _build(_rows(1, (1, 2, 3, 4, 5, 6, 7, 8), complete=True))
    rows = trends.rows()
    assert len(rows) == 4 * 8
    assert [row.emotion for row in rows[:8]] == list(EMOTIONS)
    assert [row.posts for row in rows[8:16]] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert {row.total_posts for row in rows[8:16]} == {28}
    assert rows[14].share == pytest.approx(7 / 28)
    assert rows[15].share is None
    assert (rows[13].mean_score, rows[14].mean_score) == (0.125, None)


@pytest.mark.parametrize(
    ("dimension", "value", "name"),
    [("all", "*", "all posts"), ("hashtag", "cats", "#cats"), ("lang", "und", "unknown"),
     ("platform", "a\x1b[1mb", "a\N{REPLACEMENT CHARACTER}[1mb"),
     ("hashtag", "a\u202eb", "#a\N{REPLACEMENT CHARACTER}b"),
     ("hashtag", "\u0645\u06cc\u200c\u062e", "#\u0645\u06cc\u200c\u062e")],
)  # fmt: skip
def test_names(dimension: str, value: str, name: str) -> None:
    assert Series(dimension, value, ()).name == name
