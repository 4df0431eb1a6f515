from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.spans import format_age, format_span, parse_span


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("1m", 1), ("15m", 15), ("1h", 60), ("24h", 1440), ("7d", 10080), ("1w", 10080)],
)
def test_spans(text: str, minutes: int) -> None:
    assert parse_span(text) == timedelta(minutes=minutes)


@pytest.mark.parametrize(
    "text", ["", "1", "m", "0h", "-1h", "1.5h", "1 h", "1y", "1h30m", "\u0661h"]
)
def test_no_spans(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        parse_span(text)


@given(st.integers(min_value=1, max_value=999_999))
def test_what_is_written_is_read_back(minutes: int) -> None:
    span = timedelta(minutes=minutes)
    assert parse_span(format_span(span)) == span


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7_199, "119 min"),
        (7_200, "2 h"),
        (172_800, "2 d"),
    ],
)
def test_an_age(seconds: int, said: str) -> None:
    assert format_age(timedelta(seconds=seconds)) == f"{said} ago"
