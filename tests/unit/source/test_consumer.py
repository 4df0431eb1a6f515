"""What kafka-python raises and forgets, and what becomes of it at the room's door."""

from __future__ import annotations

from typing import Any

import pytest
from kafka import TopicPartition, errors

from worker.errors import DependencyError, OutOfLogError, SourceUnavailableError, WorkerError
from worker.settings import given_settings
from worker.source.consumer import KafkaSource


class _Coordinator:
    def __init__(self, *, rejoining: bool, needed: bool) -> None:
        self.rejoining = rejoining
        self.rejoin_needed = needed
        self.requests = 0

    def request_rejoin(self) -> None:
        self.requests += 1


class _Consumer:
    def __init__(self, answer: Any, coordinator: _Coordinator) -> None:
        self._answer = answer
        self._coordinator = coordinator
        self.joins_at_poll: int | None = None

    def poll(self, timeout_ms: int) -> Any:
        self.joins_at_poll = self._coordinator.requests
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def _source(answer: Any, *, rejoining: bool = False, needed: bool = False) -> Any:
    source: Any = KafkaSource.__new__(KafkaSource)
    source._settings = given_settings(kafka_bootstrap_servers="broker:9092")
    source._brokers = "broker:9092"
    source._consumer = _Consumer(answer, _Coordinator(rejoining=rejoining, needed=needed))
    return source


@pytest.mark.parametrize(
    ("rejoining", "needed", "requests"),
    [(True, False, 1), (True, True, 0), (False, False, 0), (False, True, 0)],
)
def test_a_join_that_the_library_forgot_is_asked_for_before_the_poll(
    rejoining: bool, needed: bool, requests: int
) -> None:
    source = _source({}, rejoining=rejoining, needed=needed)
    assert source.poll(0.1) == {}
    assert source._consumer.joins_at_poll == requests


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
