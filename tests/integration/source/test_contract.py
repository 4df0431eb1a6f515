"""What every `Source` keeps to: the one in memory, which unit tests trust, and the one on Kafka.

The broker is that of WORKER_KAFKA_BOOTSTRAP_SERVERS, else the embedded one.
"""

from __future__ import annotations

import itertools
import os
import secrets
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.fakes.broker import MemoryBroker
from tests.fakes.group import MemoryGroup
from tests.fakes.source import MemorySource
from worker.errors import OutOfLogError, SourceUnavailableError
from worker.settings import given_settings
from worker.source import TopicPartition
from worker.source.assignment import Assignment
from worker.source.consumer import KafkaSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.fakes.group import Style
    from tests.integration.source.conftest import DurableBroker
    from worker.posts import Record
    from worker.source import Source

SESSION_MS = 6_000 if "WORKER_KAFKA_BOOTSTRAP_SERVERS" in os.environ else 2_000
STYLES: tuple[Style, ...] = ("cooperative-sticky", "range")


class Member:
    """A member of a group, and what it was told."""

    def __init__(self, make: Callable[[Assignment], Source]) -> None:
        self.assignment = Assignment()
        self.source = make(self.assignment)

    def poll(self, seconds: float = 0.1) -> list[tuple[TopicPartition, Any]]:
        with suppress(SourceUnavailableError):
            return list(self.source.poll(seconds).items())
        return []

    def read(self, place: TopicPartition, count: int) -> list[Record]:
        """Polls until that many records of `place` have come."""
        records: list[Record] = []
        deadline = time.monotonic() + 20
        while len(records) < count:
            assert time.monotonic() < deadline, f"only {records} came"
            for polled_at, polled in self.poll():
                assert polled_at == place, "nothing else was started"
                assert polled.end > polled.records[-1].ref.offset
                records += polled.records
        return records


class Broker(Protocol):
    """Where members and records go."""

    def topic(self, partitions: int) -> str: ...
    def write(self, place: TopicPartition, values: Sequence[bytes | None]) -> None: ...
    def join(self, topic: str, style: Style) -> Member: ...
    def turn(self) -> None:
        """Whatever the members must do for the group to come to rest."""
        ...

    def leave(self, member: Member) -> None: ...


class InMemory:
    def __init__(self) -> None:
        self._broker = MemoryBroker()
        self._groups: dict[str, MemoryGroup] = {}
        self._ids = itertools.count(1)

    def topic(self, partitions: int) -> str:
        number = next(self._ids)
        self._broker.make(partitions, number, f"topic-{number}")
        return f"topic-{number}"

    def write(self, place: TopicPartition, values: Sequence[bytes | None]) -> None:
        for value in values:
            self._broker.put(place, value, key=b"key", timestamp_ms=1_770_000_000_000)

    def join(self, topic: str, style: Style) -> Member:
        member = Member(lambda assignment: MemorySource(assignment, self._broker))
        group = self._groups.setdefault(topic, MemoryGroup(self._broker, style, topic))
        assert isinstance(member.source, MemorySource)
        group.join(member.source)
        return member

    def turn(self) -> None:
        for group in self._groups.values():
            for member in list(group.members):
                group.hear(member)

    def leave(self, member: Member) -> None:
        assert isinstance(member.source, MemorySource)
        for group in self._groups.values():
            if member.source in group.members:
                group.leave(member.source)


class OnKafka:
    def __init__(
        self,
        bootstrap: str,
        make_topic: Callable[..., str] | None = None,
        produce: Callable[..., Any] | None = None,
        session_ms: int = SESSION_MS,
    ) -> None:
        self._session_ms = session_ms
        self._bootstrap = bootstrap
        self._make_topic = make_topic
        self._produce = produce
        self._groups: dict[str, str] = {}
        self._members: list[Member] = []

    def topic(self, partitions: int) -> str:
        assert self._make_topic is not None
        return self._make_topic(partitions=partitions)

    def write(self, place: TopicPartition, values: Sequence[bytes | None]) -> None:
        assert self._produce is not None
        self._produce(place.topic, [(b"key", v, place.number, 1_770_000_000_000) for v in values])

    def join(self, topic: str, style: Style) -> Member:
        group = self._groups.setdefault(topic, f"test-{secrets.token_hex(4)}")
        settings = given_settings(
            kafka_bootstrap_servers=self._bootstrap,
            topics=topic,
            group=group,
            assignor=style,
            kafka_session_timeout_ms=self._session_ms,
        )
        self._members.append(Member(lambda assignment: KafkaSource(settings, assignment)))
        return self._members[-1]

    def turn(self) -> None:
        for member in self._members:
            member.poll(0.05)

    def leave(self, member: Member) -> None:
        self._members.remove(member)
        member.source.close(3.0)
        member.assignment.revoked(member.assignment.partitions())

    def close(self) -> None:
        for member in list(self._members):
            self.leave(member)


def until(broker: Broker, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 40
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        broker.turn()


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.integration)])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    if request.param == "memory":
        yield InMemory()
        return
    made = OnKafka(
        request.getfixturevalue("kafka_bootstrap"),
        request.getfixturevalue("make_topic"),
        request.getfixturevalue("produce"),
    )
    yield made
    made.close()


def all_of(topic: str, partitions: int) -> set[TopicPartition]:
    return {TopicPartition(topic, number) for number in range(partitions)}


def test_one_member_from_joining_to_leaving(broker: Broker) -> None:
    """One test, for a join takes seconds: each part has a partition of its own."""
    topic = broker.topic(6)
    places = sorted(all_of(topic, 6))
    written = [b"0", None, b"2", b"3", b"4"]
    for place in places[:5]:
        broker.write(place, written)
    member = broker.join(topic, "cooperative-sticky")
    source = member.source
    until(broker, lambda: member.assignment.partitions() == set(places))
    _a_partition_is_known_by_its_log(source, places)
    _nothing_is_fetched_before_it_is_started(member, places)
    _records_come_in_order_from_where_it_was_started(member, places[0])
    _what_is_held_is_not_fetched(broker, member, places[1])
    _a_start_goes_back(member, places[2])
    _logs_have_bounds(source, places)
    _commits_are_mirrored(broker, source, places[3])
    _what_is_not_ours_is_passed_over(source, topic)
    broker.leave(member)
    assert member.assignment.partitions() == frozenset()


def _a_partition_is_known_by_its_log(source: Source, places: list[TopicPartition]) -> None:
    logs = set()
    for place in places:
        known = source.partition(place)
        assert known is not None
        partition, siblings = known
        assert (TopicPartition.of(partition), siblings) == (place, 6)
        logs.add(partition.topic_id)
    assert len(logs) == 1
    assert source.partition(TopicPartition("no-such-topic", 0)) is None


def _nothing_is_fetched_before_it_is_started(member: Member, places: list[TopicPartition]) -> None:
    for _ in range(5):
        assert member.poll() == []
    assert {member.source.position(place) for place in places} == {0}


def _records_come_in_order_from_where_it_was_started(member: Member, place: TopicPartition) -> None:
    assert member.source.start(place, 1)
    records = member.read(place, 4)
    assert [record.ref.offset for record in records] == [1, 2, 3, 4]
    assert [record.value for record in records] == [None, b"2", b"3", b"4"]
    known = member.source.partition(place)
    assert known is not None
    for record in records:
        assert (record.ref.topic, record.ref.partition) == place
        assert record.ref.topic_id == known[0].topic_id
        assert (record.key, record.timestamp_ms) == (b"key", 1_770_000_000_000)
    assert member.source.position(place) == 5


def _what_is_held_is_not_fetched(broker: Broker, member: Member, place: TopicPartition) -> None:
    source = member.source
    assert source.start(place, 0)
    member.read(place, 5)
    source.hold([place])
    broker.write(place, [b"5"])
    for _ in range(5):
        assert member.poll() == []
    assert source.position(place) == 5
    source.resume([place])
    assert [record.ref.offset for record in member.read(place, 1)] == [5]


def _a_start_goes_back(member: Member, place: TopicPartition) -> None:
    assert member.source.start(place, 4)
    assert [record.ref.offset for record in member.read(place, 1)] == [4]
    assert member.source.start(place, 2)
    assert [record.ref.offset for record in member.read(place, 3)] == [2, 3, 4]


def _logs_have_bounds(source: Source, places: list[TopicPartition]) -> None:
    full, empty = places[2], places[5]
    # A broker may leave its last batch out; what we fetched ourselves counts.
    bounds = source.bounds([full, empty])
    assert bounds[empty] == (0, 0)
    assert bounds[full][0] == 0 < bounds[full][1] <= 5
    assert source.ends([full, empty]) == {full: 5, empty: 0}
    assert source.ends_by_reading([full, empty]) == {full: 5, empty: 0}
    assert source.ends_by_reading([]) == {}


def _commits_are_mirrored(broker: Broker, source: Source, place: TopicPartition) -> None:
    assert source.committed(place) is None
    source.mirror({place: 3})
    until(broker, lambda: source.committed(place) == 3)
    source.mirror({})


def _what_is_not_ours_is_passed_over(source: Source, topic: str) -> None:
    other = TopicPartition(topic, 99)
    assert not source.start(other, 0)
    assert source.position(other) is None
    source.hold([other])
    source.resume([other])


@pytest.mark.parametrize("style", STYLES)
def test_a_second_member_takes_its_share_and_gives_it_back(broker: Broker, style: Style) -> None:
    topic = broker.topic(4)
    everything = all_of(topic, 4)
    first = broker.join(topic, style)
    until(broker, lambda: first.assignment.partitions() == everything)
    for place, token in first.assignment.take_unclaimed().items():
        assert first.assignment.confirm(place, token, epoch=1)

    second = broker.join(topic, style)

    def shared() -> bool:
        one, two = first.assignment.partitions(), second.assignment.partitions()
        assert style == "range" or not one & two, "nothing is given away that is not given up"
        return bool(two) and one | two == everything and not one & two

    until(broker, shared)
    kept = {place for place in everything if first.assignment.holds(place, 1)}
    if style == "cooperative-sticky":
        assert kept == first.assignment.partitions(), "what it keeps, it goes on reading"
        assert first.assignment.take_unclaimed() == {}
    else:
        assert kept == set(), "everything is given up, and claimed again"
        assert first.assignment.take_unclaimed().keys() == first.assignment.partitions()
    gained = second.assignment.partitions()
    assert second.assignment.take_unclaimed().keys() == gained
    for place in gained:
        assert second.source.start(place, 0)
        assert not first.source.start(place, 0), "only its owner reads it"

    broker.leave(second)
    until(broker, lambda: first.assignment.partitions() == everything)
    assert first.assignment.take_unclaimed().keys() >= gained


@pytest.mark.parametrize("position", [2, 50], ids=["below", "above"])
@pytest.mark.parametrize("where", ["memory", pytest.param("kafka", marks=pytest.mark.integration)])
def test_a_position_outside_the_log_is_said_and_named(
    request: pytest.FixtureRequest, where: str, position: int
) -> None:
    """On the durable broker: the embedded one is silent about it."""
    place, member = TopicPartition("outside", 0), None
    if where == "memory":
        broker = MemoryBroker()
        [place] = broker.make(1)
        broker.append(place, 9)
        broker.cut(place, 4)
        member = Member(lambda assignment: MemorySource(assignment, broker))
        assert isinstance(member.source, MemorySource)
        member.source.names_lost = True
        member.source.assign([place])
    else:
        durable: DurableBroker = request.getfixturevalue("durable_broker")
        place = request.getfixturevalue("cut_log")
        member = OnKafka(durable.bootstrap_servers, session_ms=6_000).join(place.topic, "range")
        deadline = time.monotonic() + 20
        while not member.assignment.partitions():
            assert time.monotonic() < deadline
            member.poll()
    try:
        assert member.source.start(place, position)
        with pytest.raises(OutOfLogError) as raised:
            member.read(place, 5)
        assert raised.value.partitions == (place,)
        assert member.source.bounds([place]) == {place: (4, 9)}
        assert member.source.start(place, 4)
        assert [record.ref.offset for record in member.read(place, 5)] == [4, 5, 6, 7, 8]
    finally:
        member.source.close(3.0)
