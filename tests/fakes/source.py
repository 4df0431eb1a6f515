"""A group member on a broker in memory."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.fakes.broker import TOPIC, MemoryBroker
from worker.errors import OutOfLogError, SourceUnavailableError
from worker.source import Polled, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tests.fakes.broker import Log
    from worker.posts.place import Partition
    from worker.source import Rebalances


class MemorySource:
    """Implements `worker.source.Source` and lets a test be the broker.

    As with the real one, a member reads on whatever the group thinks of it: `assign` and `revoke`
    are what its listener hears.

    Args:
        rebalances: Told of assignments.
        broker: Shared by the members of a group; None makes one.

    Attributes:
        positions: Of the assigned places: the next offset to fetch.
        held: Those that are not fetched.
        away: How many more calls of a method fail, by its name.
        unknown: Topics that the client has not heard of yet.
        records_a_poll: Of each partition.
        hands_out: Of which of the partitions that have records a poll returns some; None: of all.
            A client with a backlog returns one fetch of one partition after the other.
        markers_at_once: Whether a poll's `end` covers the gap behind its last record.
        names_lost: Whether an answer of out of range names the partitions.
        waits: How long each poll would have waited for records, seconds.
        resumed: What was told to resume, newest last.
        leaderless: Those of which the broker says nothing.
        said_end: What a broker wrongly says of ends, by place.
        in_group: Whether the group counts it in, as far as it has heard.
        rejoined: How often it asked the group to assign anew.
        expelled: Whether the group goes on without this member: its commits are refused.
        before: What happens once, at the next call of a method, by its name: a rebalance may come
            in the middle of a turn.
    """

    def __init__(self, rebalances: Rebalances, broker: MemoryBroker | None = None) -> None:
        self._rebalances = rebalances
        self.broker = MemoryBroker() if broker is None else broker
        self.positions: dict[TopicPartition, int] = {}
        self.held: set[TopicPartition] = set()
        self.away: Counter[str] = Counter()
        self.unknown: set[str] = set()
        self.records_a_poll = 100
        self.hands_out: Callable[[Sequence[TopicPartition]], TopicPartition] | None = None
        self.markers_at_once = False
        self.names_lost = False
        self.waits: list[float] = []
        self.resumed: list[TopicPartition] = []
        self.said_end: dict[TopicPartition, int] = {}
        self.leaderless: set[TopicPartition] = set()
        self.in_group = False
        self.rejoined = 0
        self.expelled = False
        self.before: dict[str, Callable[[], None]] = {}

    # The broker's side

    @property
    def logs(self) -> dict[TopicPartition, Log]:
        return self.broker.logs

    @property
    def commits(self) -> dict[TopicPartition, int]:
        return self.broker.commits

    def make(self, partitions: int, topic_id: int = 1, topic: str = TOPIC) -> list[TopicPartition]:
        return self.broker.make(partitions, topic_id, topic)

    def append(self, place: TopicPartition, count: int = 1, text: str = "what a day") -> None:
        self.broker.append(place, count, text)

    def skip(self, place: TopicPartition, count: int) -> None:
        self.broker.skip(place, count)

    def cut(self, place: TopicPartition, first: int) -> None:
        self.broker.cut(place, first)

    def partition_at(self, place: TopicPartition) -> Partition:
        return self.broker.partition_at(place)

    def assign(self, places: Iterable[TopicPartition]) -> None:
        """What the member hears: these are its own, besides those that it has.

        Its listener hears nothing where there are none, as with kafka-python's cooperative
        protocol.
        """
        places = list(places)
        self.in_group = True
        if not places:
            return
        for place in places:
            self.positions[place] = 0
            self.held.add(place)
        self._rebalances.assigned(places)

    def revoke(self, places: Iterable[TopicPartition]) -> None:
        """What the member hears: these are no longer its own."""
        places = list(places)
        for place in places:
            self.positions.pop(place, None)
            self.held.discard(place)
        self._rebalances.revoked(places)

    # The client's side

    def _reach(self, what: str) -> None:
        meanwhile = self.before.pop(what, None)
        if meanwhile is not None:
            meanwhile()
        if self.away[what]:
            self.away[what] -= 1
            raise SourceUnavailableError(f"the broker does not answer: {what}")

    def _know(self, places: Sequence[TopicPartition]) -> None:
        for place in places:
            if place not in self.logs:
                raise SourceUnavailableError(f"the broker does not know {place}")

    def joined(self) -> bool:
        return self.in_group

    def rejoin(self) -> None:
        self.rejoined += 1

    def partition(self, place: TopicPartition) -> tuple[Partition, int] | None:
        self._reach("partition")
        if place.topic in self.unknown or place not in self.logs:
            return None
        return self.partition_at(place), sum(other.topic == place.topic for other in self.logs)

    def refresh(self) -> None:
        self._reach("refresh")

    def poll(self, timeout_s: float) -> Mapping[TopicPartition, Polled]:
        assert 0 <= timeout_s < 1, "a member that does not poll is put out of the group"
        self._reach("poll")
        self.waits.append(timeout_s)
        fetched = sorted((self.positions.keys() & self.logs.keys()) - self.held)
        lost = [
            place
            for place in fetched
            if not self.logs[place].first <= self.positions[place] <= self.logs[place].end
        ]
        if lost:
            positions = [self.positions[place] for place in lost]
            raise OutOfLogError(
                f"{lost} have no offsets {positions}", lost if self.names_lost else ()
            )
        answer = {}
        for place in self._handed_out(fetched):
            log, position = self.logs[place], self.positions[place]
            offsets = [o for o in sorted(log.records) if o >= position][: self.records_a_poll]
            if not offsets:
                self.positions[place] = log.end
                continue
            end = offsets[-1] + 1
            if self.markers_at_once:
                end = min((o for o in log.records if o >= end), default=log.end)
            self.positions[place] = end
            answer[place] = Polled([log.records[o] for o in offsets], end)
        return answer

    def _handed_out(self, fetched: Sequence[TopicPartition]) -> Sequence[TopicPartition]:
        behind = [p for p in fetched if any(o >= self.positions[p] for o in self.logs[p].records)]
        if self.hands_out is None or not behind:
            return fetched
        return [self.hands_out(behind)]

    def hold(self, places: Iterable[TopicPartition]) -> None:
        self._reach("hold")
        self.held |= set(places) & self.positions.keys()

    def resume(self, places: Iterable[TopicPartition]) -> None:
        self._reach("resume")
        places = list(places)
        self.resumed += places
        self.held -= set(places)

    def start(self, place: TopicPartition, offset: int) -> bool:
        self._reach("start")
        if place not in self.positions:
            return False
        self.positions[place] = offset
        self.held.discard(place)
        return True

    def position(self, place: TopicPartition) -> int | None:
        self._reach("position")
        return self.positions.get(place)

    def bounds(self, places: Sequence[TopicPartition]) -> Mapping[TopicPartition, tuple[int, int]]:
        self._reach("bounds")
        ends = self.ends(places)
        return {place: (self.logs[place].first, end) for place, end in ends.items()}

    def ends(self, places: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        self._reach("ends")
        self._know(places)
        return {
            place: self.said_end.get(place, self.logs[place].end)
            for place in places
            if place not in self.leaderless
        }

    def ends_by_reading(self, places: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        self._reach("ends_by_reading")
        self._know(places)
        return {place: self.logs[place].end for place in places}

    def committed(self, place: TopicPartition) -> int | None:
        self._reach("committed")
        return self.commits.get(place)

    def mirror(self, positions: Mapping[TopicPartition, int]) -> None:
        self._reach("mirror")
        if not self.expelled:
            self.commits.update(positions)

    def close(self, timeout_s: float) -> None:
        self.revoke(list(self.positions))
        self.in_group = False
