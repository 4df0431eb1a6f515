"""Records that wait for the circuit breaker's judgement, topic by topic."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from worker.batching import Item
    from worker.pipeline.breaker import Breaker
    from worker.pipeline.readings import Reading
    from worker.source import Polled, TopicPartition

SUSPENSE_S: Final = 2.0
"""Records of a topic of which nearly all are rejected wait so long for more, where more may decide
otherwise: first records come a few from each partition, a backlog's by the thousand from one."""
CLAIMS_S: Final = 10.0
"""The same while partitions of the topic are claimed: longer than a frozen worker's transaction."""
STEP_S: Final = SUSPENSE_S / 2
"""Of the time between two turns no more counts: then it was ours that nothing came."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Records of a partition that go on where its reading stands.

    Attributes:
        place: The partition.
        reading: Before them.
        items: Them, decoded.
        polled: Them, as they came; of a poll with skipped records the first and the last.
    """

    place: TopicPartition
    reading: Reading
    items: Sequence[Item]
    polled: Polled


@dataclass(slots=True)
class _Waiting:
    """What of a topic waits.

    Attributes:
        for_s: How long others' records could have come.
        taken: In the order in which they came.
        counts: Records of each partition.
    """

    for_s: float = 0.0
    taken: list[Taken] = field(default_factory=list)
    counts: Counter[TopicPartition] = field(default_factory=Counter)


class Suspense:
    """Keeps records back while the breaker suspects their topic. The poll stage's, on its thread.

    Args:
        breaker: What judges them.
        clock: Seconds, monotonic.
    """

    def __init__(self, breaker: Breaker, clock: Callable[[], float]) -> None:
        self._breaker = breaker
        self._clock = clock
        self._last: float | None = None
        self._waiting: dict[str, _Waiting] = {}

    def add(self, taken: Taken) -> None:
        """Records wait from now on, until `release` returns them."""
        waiting = self._waiting.setdefault(taken.place.topic, _Waiting())
        waiting.taken.append(taken)
        waiting.counts[taken.place] += len(taken.items)

    def drop(self, place: TopicPartition) -> None:
        """A partition is no longer read: it is read again from what is stored."""
        waiting = self._waiting.get(place.topic)
        if waiting is None:
            return
        waiting.taken = [one for one in waiting.taken if one.place != place]
        del waiting.counts[place]

    def waits(self, place: TopicPartition) -> bool:
        """Whether records of the partition wait."""
        waiting = self._waiting.get(place.topic)
        return waiting is not None and place in waiting.counts

    def full(self) -> set[TopicPartition]:
        """Those of which enough waits: were they read on, no others would come."""
        return {
            place
            for topic, waiting in self._waiting.items()
            for place, count in waiting.counts.items()
            if count >= self._breaker.fair(topic)
        }

    def pause(self) -> None:
        """Until the next `release` no records could come: that time does not count."""
        self._last = None

    def release(self, claiming: Collection[str] = ()) -> list[Taken]:
        """What need not wait any longer, in order; call it after every poll.

        Args:
            claiming: Topics of which partitions are ours that are not read yet.

        Raises:
            BreakerTrippedError: Nearly all of a topic's records are rejected.
        """
        now = self._clock()
        step = 0.0 if self._last is None else min(now - self._last, STEP_S)
        self._last = now
        released: list[Taken] = []
        for topic, waiting in list(self._waiting.items()):
            waiting.for_s += step
            if self._breaker.suspects(topic):
                over = waiting.for_s >= (CLAIMS_S if topic in claiming else SUSPENSE_S)
                if over or self._breaker.settled(topic):
                    self._breaker.judge(topic)
                if not over:
                    continue
            else:
                self._breaker.judge(topic)
            released += waiting.taken
            del self._waiting[topic]
        return released
