"""The log as the pipeline sees it: polls, positions, and who may read what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from worker.posts import Record
    from worker.posts.place import Partition


class TopicPartition(NamedTuple):
    """A partition as the consumer group assigns it: by the topic's name, whatever its log's id."""

    topic: str
    number: int

    @classmethod
    def of(cls, partition: Partition) -> TopicPartition:
        """Where the group knows `partition`, whichever log it is of."""
        return cls(partition.topic, partition.number)


@dataclass(frozen=True, slots=True)
class Polled:
    """What one poll returned of one partition.

    Attributes:
        records: In the order of their offsets, which may have gaps.
        end: The position after them; past the last record where markers or gaps follow it.
    """

    records: Sequence[Record]
    end: int


class Rebalances(Protocol):
    """Told of rebalances, on the consumer's I/O thread: implementations only take note."""

    def assigned(self, partitions: Iterable[TopicPartition]) -> None:
        """These are ours from now on."""
        ...

    def revoked(self, partitions: Iterable[TopicPartition]) -> None:
        """These are no longer ours: given up, or lost."""
        ...

    def join_mended(self) -> None:
        """A join did not end, and something was done about it; on the thread that polls."""
        ...


class Source(Protocol):
    """A member of a consumer group. Used from one thread.

    Positions that a broker must be asked for raise `SourceUnavailableError` where it does not
    answer in time (try again later).
    """

    def joined(self) -> bool:
        """Whether the group counts us among its members, with or without partitions."""
        ...

    def rejoin(self) -> None:
        """Asks the group to assign its partitions anew; answered by a later poll."""
        ...

    def partition(self, place: TopicPartition) -> tuple[Partition, int] | None:
        """The partition with its log's id, and how many the topic has; None if not known yet."""
        ...

    def refresh(self) -> None:
        """Asks the broker now what its topics are, so that `partition` says how it is now.

        Else a topic that was made anew under its old name is noticed within seconds only.
        """
        ...

    def poll(self, timeout_s: float) -> Mapping[TopicPartition, Polled]:
        """Records of the assigned partitions that are not paused, at most a few thousand.

        Raises:
            OutOfLogError: A position lies outside its log.
        """
        ...

    def hold(self, places: Iterable[TopicPartition]) -> None:
        """Stops fetching these until they are started; those no longer assigned are passed over."""
        ...

    def resume(self, places: Iterable[TopicPartition]) -> None:
        """Goes on fetching what `hold` stopped."""
        ...

    def start(self, place: TopicPartition, offset: int) -> bool:
        """Begins to fetch a claimed partition at `offset`; False if it is no longer assigned."""
        ...

    def position(self, place: TopicPartition) -> int | None:
        """The next offset to fetch; None if it is no longer assigned."""
        ...

    def bounds(self, places: Sequence[TopicPartition]) -> Mapping[TopicPartition, tuple[int, int]]:
        """First and end offset of each log; of those without a leader nothing, for now."""
        ...

    def ends(self, places: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """End offset of each log of ours, as far as the broker and our own fetches know it.

        Of those without a leader nothing, for now.
        """
        ...

    def ends_by_reading(self, places: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """End offset of each log, ours or not, made sure of by reading there.

        Slower than `ends`; for decisions that a broker's stale answer must not make: not every
        implementation of the protocol counts its last batch in.
        """
        ...

    def committed(self, place: TopicPartition) -> int | None:
        """The group's commit in Kafka; None if there is none."""
        ...

    def mirror(self, positions: Mapping[TopicPartition, int]) -> None:
        """Commits positions to Kafka for lag tools, best effort: the truth lies in the store."""
        ...

    def close(self, timeout_s: float) -> None:
        """Leaves the group."""
        ...
