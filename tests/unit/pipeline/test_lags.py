"""Lag in records and in seconds, watermarks, and what else a turn of the stages counts."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from tests.fakes.clock import START
from worker.errors import SourceUnavailableError
from worker.metrics import Metrics
from worker.pipeline.lags import Lags
from worker.pipeline.poll import BEAT_S, LOOK_S
from worker.pipeline.readings import Reading
from worker.posts import Record, RecordRef
from worker.posts.place import Partition, Span
from worker.source import Polled, TopicPartition
from worker.store.interface import Claim

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.pipeline.conftest import Rig

PARTITION = Partition("posts", UUID(int=1), 0)
PLACE = TopicPartition("posts", 0)


def _value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"emotion_worker_{name}", labels)


class Behind:
    """Lags of one partition; times are seconds since START."""

    def __init__(self) -> None:
        self.now = 0.0
        self.metrics = Metrics(wall=lambda: START.timestamp() + self.now)
        self.lags = Lags(self.metrics, lambda: START + timedelta(seconds=self.now))
        self.lags.begin(PLACE)

    def read(self, *times: float, end: int) -> None:
        records = [
            Record(RecordRef("posts", UUID(int=1), 0, n), self.ms(time), None, b"")
            for n, time in enumerate(times)
        ]
        self.lags.read(PLACE, Polled(records, end))

    def ms(self, time: float) -> int:
        return round((START.timestamp() + time) * 1_000)

    def look(self, stored: int, end: int) -> tuple[float | None, float | None]:
        reading = Reading(Claim(PARTITION, 1, 0), stored, stored)
        self.lags.look({PLACE: reading}, {PLACE: end})
        labels = {"topic": "posts", "partition": "0"}
        records = _value(self.metrics, "lag_records", **labels)
        return records, _value(self.metrics, "lag_seconds", **labels)


@pytest.fixture
def behind() -> Behind:
    return Behind()


def test_nothing_is_behind_at_the_end(behind: Behind) -> None:
    behind.now = 1_000.0
    assert behind.look(5, 5) == (0, 0)


def test_what_was_read_and_not_stored_counts_from_its_oldest_record(behind: Behind) -> None:
    behind.now = 100.0
    behind.read(10.0, 20.0, end=2)
    behind.read(30.0, 40.0, end=4)
    assert behind.look(0, 9) == (9, 90.0)
    behind.lags.stored(Span(PARTITION, 1, 0, 2, None))
    assert behind.look(2, 9) == (7, 70.0)


def test_what_was_not_read_is_no_older_than_what_was(behind: Behind) -> None:
    behind.now = 100.0
    behind.read(10.0, 20.0, end=2)
    behind.lags.stored(Span(PARTITION, 1, 0, 2, None))
    assert behind.look(2, 9) == (7, 80.0)
    behind.now = 160.0
    assert behind.look(2, 9) == (7, 140.0), "it grows while nothing is read"


def test_after_a_quiet_hour_a_new_record_is_not_an_hour_late(behind: Behind) -> None:
    behind.read(10.0, end=1)
    behind.lags.stored(Span(PARTITION, 1, 0, 1, None))
    behind.now = 3_600.0
    assert behind.look(1, 1) == (0, 0)
    behind.now += 5.0
    assert behind.look(1, 2) == (1, 5.0)


def test_before_anything_was_read_the_seconds_are_since_the_beginning(behind: Behind) -> None:
    behind.now = 100.0
    assert behind.look(0, 1_000_000) == (1_000_000, 100.0)
    behind.read(-500.0, end=1)
    assert behind.look(0, 1_000_000) == (1_000_000, 600.0)
    behind.lags.stored(Span(PARTITION, 1, 0, 1, None))
    assert behind.look(1, 1_000_000) == (999_999, 600.0)


def test_of_a_log_whose_end_is_not_known_nothing_new_is_shown(behind: Behind) -> None:
    behind.now = 100.0
    behind.look(5, 8)
    behind.lags.look({PLACE: Reading(Claim(PARTITION, 1, 0), 8, 8)}, {})
    assert _value(behind.metrics, "lag_records", topic="posts", partition="0") == 3


def test_a_partition_that_was_given_up_shows_nothing(behind: Behind) -> None:
    behind.look(0, 3)
    behind.lags.forget(PLACE)
    behind.lags.forget(PLACE)
    assert _value(behind.metrics, "lag_records", topic="posts", partition="0") is None


def test_a_watermark_never_goes_back_nor_ahead_of_the_clock(behind: Behind) -> None:
    labels = {"topic": "posts", "partition": "0"}
    for minutes, shown in ((-5, -300.0), (-9, -300.0), (60, 0.0)):
        behind.lags.stored(Span(PARTITION, 1, 0, 0, START + timedelta(minutes=minutes)))
        seconds = _value(behind.metrics, "watermark_seconds", **labels)
        assert seconds == START.timestamp() + shown


# In a worker


def test_a_worker_shows_how_far_it_is(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(partitions=1)
    [place] = rig.places
    metrics, labels = rig.channels.metrics, {"topic": "posts", "partition": "0"}
    rig.source.append(place, 7)
    rig.source.assign([place])
    rig.turns()
    rig.now += BEAT_S
    rig.turns()
    assert _value(metrics, "lag_records", **labels) == 0
    assert _value(metrics, "lag_seconds", **labels) == 0
    assert _value(metrics, "watermark_seconds", **labels) == rig.row(place).watermark.timestamp()  # type: ignore[union-attr]
    assert _value(metrics, "posts_total", outcome="labelled") == 7
    assert _value(metrics, "records_consumed_total", topic="posts") == 7
    assert _value(metrics, "batch_posts_sum") == 7
    assert _value(metrics, "stage_seconds_count", stage="poll") == 1
    assert _value(metrics, "stage_seconds_count", stage="classify") == 3
    assert _value(metrics, "stage_seconds_count", stage="store") == 3
    assert _value(metrics, "rebalances_total") == 1
    assert _value(metrics, "end_to_end_seconds_count") == 7
    assert _value(metrics, "stalls_total", what="join") == 0

    rig.assignment.join_mended()
    rig.assignment.join_mended()
    for _ in range(2):
        rig.now += LOOK_S
        rig.turns()
        assert _value(metrics, "stalls_total", what="join") == 2
    rig.source.revoke([place])
    rig.now += LOOK_S
    rig.turns()
    assert _value(metrics, "lag_records", **labels) is None


def test_while_the_broker_is_away_what_was_known_of_it_is_shown(rig: Rig) -> None:
    [place] = rig.places
    metrics, labels = rig.channels.metrics, {"topic": "posts", "partition": "0"}
    rig.source.assign([place])
    rig.turns()
    rig.source.append(place, 3)
    rig.now += BEAT_S
    rig.poll.turn()  # read, and not stored yet
    assert _value(metrics, "lag_records", **labels) == 3
    rig.now += 60.0
    rig.poll.away()
    seconds = _value(metrics, "lag_seconds", **labels)
    assert seconds is not None
    assert seconds >= 60.0
    rig.source.away["ends"] = 10
    rig.work()
    rig.now += BEAT_S
    with pytest.raises(SourceUnavailableError):
        rig.poll.turn()
    rig.poll.away()
    assert _value(metrics, "lag_records", **labels) == 0
    assert _value(metrics, "lag_seconds", **labels) == 0


def test_queues_that_fill_are_shown(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(posts=1)
    [place] = rig.places
    rig.source.append(place, 10)
    rig.source.assign([place])
    for _ in range(3):
        rig.poll.turn()
        while rig.storing.turn(0):
            pass
    rig.now += LOOK_S
    rig.poll.turn()
    depth = {
        stage: _value(rig.channels.metrics, "queue_depth", stage=stage)
        for stage in ("poll", "classify", "store")
    }
    assert depth == {"poll": 8, "classify": 2, "store": 0}


@pytest.mark.parametrize(
    ("move", "lost"), [("gap", 3), ("above_end", 0), ("not_adopted", 0), ("recreated", 0)]
)
def test_logs_that_move_are_counted(make_rig: Callable[..., Rig], move: str, lost: int) -> None:
    rig = make_rig()
    [place] = rig.places
    rig.source.append(place, 7)
    match move:
        case "gap":
            rig.source.cut(place, 4)
            assert rig.store.settle(rig.claim_elsewhere(place), 1)
        case "above_end":
            assert rig.store.settle(rig.claim_elsewhere(place), 9)
        case "not_adopted":
            rig.source.commits[place] = 3
        case "recreated":
            assert rig.store.settle(rig.claim_elsewhere(place), 2)
            rig.source.make(1, topic_id=2)
            rig.source.append(place, 2)
    rig.source.assign([place])
    rig.turns()

    metrics = rig.channels.metrics
    moves = {
        kind: _value(metrics, "log_moves_total", topic="posts", kind=kind) or 0
        for kind in ("gap", "above_end", "not_adopted", "recreated")
    }
    assert moves == {kind: float(kind == move) for kind in moves}
    gone = _value(metrics, "lost_records_total", topic="posts", partition="0") or 0
    assert gone == lost


def test_fenced_and_repeated_batches_are_counted(rig: Rig) -> None:
    [place] = rig.places
    rig.source.assign([place])
    rig.turns()
    rig.store.lost = 1
    rig.source.append(place, 1)
    rig.turns()
    rig.claim_elsewhere(place)
    rig.source.append(place, 1)
    rig.turns(10)
    metrics = rig.channels.metrics
    assert _value(metrics, "repeated_commits_total") == 1
    assert _value(metrics, "fenced_batches_total") == 1
