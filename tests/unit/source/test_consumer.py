"""What kafka-python raises and forgets, and what becomes of it at the room's door."""

from __future__ import annotations

from typing import Any

import pytest
from kafka import TopicPartition, errors

from worker.errors import DependencyError, OutOfLogError, SourceUnavailableError, WorkerError
from worker.settings import given_settings
from worker.source import TopicPartition as Place
from worker.source.assignment import Assignment
from worker.source.consumer import KafkaSource


class _Membership:
    """A join that does not end, if `overdue_s` says so."""

    def __init__(self) -> None:
        self.done: str | None = None
        self.overdue_s: float | None = None
        self.attached: list[Any] = []
        self.waited_on = self.left = 0

    def look(self) -> str | None:
        done, self.done = self.done, None
        return done

    def attach(self, consumer: Any) -> None:
        self.attached.append(consumer)
        self.overdue_s = None

    def leave(self) -> None:
        assert not self.attached, "the old one leaves"
        self.left += 1

    def wait_on(self) -> None:
        self.waited_on += 1
        self.overdue_s = None


class _Consumer:
    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self.closed = False

    def close(self, *, autocommit: bool, timeout_ms: int) -> None:
        assert not autocommit
        assert 0 < timeout_ms < 1_000
        self.closed = True

    def poll(self, timeout_ms: int) -> Any:
        assert not self.closed
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def _source(answer: Any) -> Any:
    source: Any = KafkaSource.__new__(KafkaSource)
    source._settings = given_settings(kafka_bootstrap_servers="broker:9092")
    source._brokers = "broker:9092"
    source._rebalances = Assignment()
    source._membership = _Membership()
    source._consumer = _Consumer(answer)
    return source


def test_a_join_that_was_mended_is_said_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    source = _source({})
    source._membership.done = "this one takes its place"
    assert source.poll(0.1) == {}
    assert source.poll(0.1) == {}
    assert source._rebalances.joins_mended == 1
    assert [one.message for one in caplog.records] == ["this one takes its place"]


def test_where_a_join_does_not_end_another_consumer_joins(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source, another = _source({}), _Consumer({})
    old = source._consumer
    monkeypatch.setattr(source, "_consume", lambda: another)
    source._membership.overdue_s = 70.04
    assert source.poll(0.1) == {}
    assert (source._consumer, old.closed, another.closed) == (another, True, False)
    assert (source._membership.attached, source._membership.left) == ([another], 1)
    assert source._rebalances.joins_mended == 1
    (said,) = caplog.records
    assert said.message == "the group does not let this member in: it joins as another"
    assert vars(said)["for_s"] == 70.0


def test_without_a_broker_the_consumer_stays_and_waits_on(monkeypatch: pytest.MonkeyPatch) -> None:
    source = _source({})
    old = source._consumer

    def away() -> Any:
        raise DependencyError("No Kafka broker could be reached")

    monkeypatch.setattr(source, "_consume", away)
    source._membership.overdue_s = 70.0
    with pytest.raises(SourceUnavailableError, match="could be reached"):
        source.poll(0.1)
    assert source.poll(0.1) == {}
    assert (source._consumer, old.closed) == (old, False)
    assert (source._membership.attached, source._membership.waited_on) == ([], 1)
    assert source._rebalances.joins_mended == 0


def test_positions_outside_the_log_are_named() -> None:
    source = _source(errors.OffsetOutOfRangeError({TopicPartition("posts", 3): 17}))
    with pytest.raises(OutOfLogError) as raised:
        source.poll(0.1)
    assert raised.value.partitions == (("posts", 3),)


def test_a_log_that_was_cut_is_outside_the_log() -> None:
    source = _source(errors.LogTruncationError({TopicPartition("posts", 1): None}))
    with pytest.raises(OutOfLogError) as raised:
        source.poll(0.1)
    assert raised.value.partitions == (("posts", 1),)


@pytest.mark.parametrize(
    "error",
    [errors.NoOffsetForPartitionError("x"), KeyError("x"), AttributeError("x")],
)
def test_races_with_a_rebalance_are_an_empty_poll(error: Exception) -> None:
    assert _source(error).poll(0.1) == {}


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (errors.CorruptRecordError("crc"), WorkerError, 1),
        (errors.UnsupportedCodecError("zstd"), WorkerError, 1),
        (errors.TopicAuthorizationFailedError("posts"), DependencyError, 3),
        (errors.FencedInstanceIdError("me"), DependencyError, 3),
        (errors.InvalidSessionTimeoutError(), DependencyError, 3),
        (errors.InconsistentGroupProtocolError(), DependencyError, 3),
        (errors.KafkaTimeoutError("late"), SourceUnavailableError, 3),
    ],
)
def test_what_ends_the_worker_and_what_it_waits_for(
    error: Exception, kind: type[WorkerError], code: int
) -> None:
    with pytest.raises(kind) as raised:
        _source(error).poll(0.1)
    assert type(raised.value) is kind
    assert raised.value.exit_code == code
    assert "broker:9092" in str(raised.value)


class _Cluster:
    def __init__(self, leaders: dict[int, int]) -> None:
        self._leaders = leaders

    def leader_for_partition(self, partition: Any) -> int | None:
        return self._leaders.get(partition.partition)


class _Answering:
    """As kafka-python: no answer for any where one has no leader."""

    def __init__(self, leaders: dict[int, int]) -> None:
        self._cluster = _Cluster(leaders)
        self._leaders = leaders

    def end_offsets(self, partitions: list[Any], timeout_ms: int) -> dict[Any, int]:
        if any(self._leaders.get(one.partition, -1) < 0 for one in partitions):
            raise errors.KafkaTimeoutError("late")
        return dict.fromkeys(partitions, 7)

    beginning_offsets = end_offsets

    def highwater(self, partition: Any) -> None:
        return None


def test_partitions_without_a_leader_are_not_asked_about() -> None:
    source = _source({})
    source._consumer = _Answering({0: 1, 1: -1, 3: 2})
    places = [Place("posts", number) for number in range(4)]
    assert source.ends(places) == {places[0]: 7, places[3]: 7}
    assert source.bounds(places) == {places[0]: (7, 7), places[3]: (7, 7)}
    with pytest.raises(SourceUnavailableError):
        source.ends(places[1:3])
