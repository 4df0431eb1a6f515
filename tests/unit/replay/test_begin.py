"""Names and times of a replay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import SettingsError
from worker.posts.times import to_ms
from worker.replay import Request
from worker.replay.begin import check
from worker.replay.live import Yielding

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("name", ["a", "new-model.2026_03", "9" * 100])
def test_names(name: str) -> None:
    check(Request(name))


@pytest.mark.parametrize("name", ["", "-a", "a b", "9" * 101, "é", "a/b", "@retry", "a\n"])
def test_no_names(name: str) -> None:
    with pytest.raises(SettingsError, match="--name"):
        check(Request(name))


@given(st.integers(0, 4_000_000_000_000_000))
def test_a_time_within_a_millisecond_is_rounded_up(microseconds: int) -> None:
    milliseconds = to_ms(EPOCH + timedelta(microseconds=microseconds))
    assert (milliseconds - 1) * 1_000 < microseconds <= milliseconds * 1_000


def test_a_replay_that_waits_goes_on_once_the_lag_is_well_under_its_limit() -> None:
    yielding = Yielding(100)
    seen = []
    for lag in (None, 100, 101, 60, 51, 50, 80, 500, None):
        yielding.see(lag)
        seen.append(yielding.waits)
    assert seen == [False, False, True, True, True, False, False, True, False]
