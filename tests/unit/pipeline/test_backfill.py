"""What of the logs a replay reads, and how fast."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import WorkerError
from worker.pipeline.backfill import BURST_S, Pace, Window
from worker.posts import Record, RecordRef
from worker.posts.place import Partition
from worker.source import Polled

LOG = UUID(int=7)
HERE = Partition("posts", LOG, 0)


def record(offset: int, time_ms: int = 0) -> Record:
    return Record(RecordRef("posts", LOG, 0, offset), time_ms, None, b"")


@given(
    st.lists(st.integers(-1, 6), max_size=8),
    st.none() | st.integers(0, 6),
    st.none() | st.integers(0, 6),
    st.integers(0, 10),
)
def test_a_window_keeps_what_is_of_its_times_and_before_its_end(
    times: list[int], since: int | None, until: int | None, end: int
) -> None:
    records = [record(offset, time) for offset, time in enumerate(times)]
    cut = Window({HERE: end}, since, until).cut(HERE, Polled(records, len(records) + 1))
    bounded = since is not None or until is not None
    assert [one.ref.offset for one in cut.records] == [
        offset
        for offset, time in enumerate(times)
        if offset < end
        and not (bounded and time < 0)
        and (since is None or time >= since)
        and (until is None or time < until)
    ]
    assert cut.end == min(len(records) + 1, end)


def test_a_partition_that_came_later_is_not_read_and_another_log_is_said() -> None:
    window = Window({HERE: 5})
    assert window.end(Partition("posts", LOG, 9)) == 0
    with pytest.raises(WorkerError, match="made anew"):
        window.end(Partition("posts", UUID(int=8), 0))


def test_a_pace_is_kept_over_time() -> None:
    now = 0.0
    pace = Pace(100.0, clock=lambda: now)
    taken = 0
    while now < 10:
        if not pace.waits():
            pace.took(37)
            taken += 37
        now += 0.01
    assert 1_000 <= taken <= 1_000 + 100 * BURST_S + 2 * 37


def test_without_a_rate_nothing_waits_but_for_others() -> None:
    yields = False
    pace = Pace(yields=lambda: yields)
    pace.took(10**9)
    assert not pace.waits()
    yields = True
    assert pace.waits()
