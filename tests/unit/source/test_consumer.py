"""What kafka-python raises and forgets, and what becomes of it at the room's door."""

from __future__ import annotations

from typing import Any

import pytest
from kafka import TopicPartition, errors
from kafka.structs import ConsumerGroupMetadata, MemberState

from worker.errors import DependencyError, OutOfLogError, SourceUnavailableError, WorkerError
from worker.settings import given_settings
from worker.source import TopicPartition as Place
from worker.source.consumer import KafkaSource


class _Coordinator:
    def __init__(self, *, rejoining: bool, needed: bool) -> None:
        self.rejoining = rejoining
        self.rejoin_needed = needed
        self.requests = 0

    def request_rejoin(self) -> None:
        self.requests += 1


class _InStates:
    """A consumer whose membership goes through `states`."""

    def __init__(self, *states: str) -> None:
        self._states = list(states)

    def group_metadata(self) -> Any:
        return ConsumerGroupMetadata("group", state=self._states.pop(0))


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
    source._joined = False
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


def test_a_member_is_one_while_it_joins_again_and_until_it_is_put_out() -> None:
    joining, stable, out = MemberState.REBALANCING, MemberState.STABLE, MemberState.UNJOINED
    source = _source({})
    states = [out, joining, stable, joining, stable, out, joining, stable]
    source._consumer = _InStates(*states)
    said = [source.joined() for _ in states]
    assert said == [False, False, True, True, True, False, False, True]


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
