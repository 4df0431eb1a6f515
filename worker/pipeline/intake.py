"""What a poll brought: checked, decoded, and judged before anything of it is handed on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from worker.batching import Item
from worker.pipeline.breaker import Breaker, BreakerTrippedError
from worker.posts.decode import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from worker.metrics import Metrics
    from worker.pipeline.readings import Reading, Readings
    from worker.source import Polled, TopicPartition
    from worker.store.interface import Claim


SUSPENSE_S: Final = 2.0
"""Records of a topic of which nearly all are rejected, but too few to judge by, wait so long for
more: a topic's first records come a few from each partition."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Records of a partition that go on where its reading stands.

    Attributes:
        place: The partition.
        reading: Before them.
        items: Them, decoded.
        polled: Them, as they came.
    """

    place: TopicPartition
    reading: Reading
    items: Sequence[Item]
    polled: Polled


@dataclass(slots=True)
class _Suspense:
    """Records that wait for the breaker's judgement, fewer than it takes to judge."""

    since: float
    taken: list[Taken] = field(default_factory=list)


class Intake:
    """Decodes what was polled. The poll stage's, on its thread.

    Args:
        readings: What is read.
        metrics: What is counted.
        breaker_share: WORKER_BREAKER_SHARE.
        again: Claims a partition once more, and says why.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        readings: Readings,
        metrics: Metrics,
        *,
        breaker_share: float,
        again: Callable[[TopicPartition, str], None],
        clock: Callable[[], float],
    ) -> None:
        self._readings = readings
        self._metrics = metrics
        self._again = again
        self._clock = clock
        self._suspense: dict[str, _Suspense] = {}
        self._breaker = Breaker(breaker_share)

    def begin(self, place: TopicPartition, claim: Claim) -> None:
        """A partition is read from now on."""
        if claim.tripped:
            self._breaker.probation(place.topic)

    def waits(self, place: TopicPartition) -> bool:
        """Whether records of the partition wait for the breaker's judgement."""
        suspense = self._suspense.get(place.topic)
        return suspense is not None and any(one.place == place for one in suspense.taken)

    def take(self, polled: Mapping[TopicPartition, Polled]) -> list[Taken]:
        """Decodes the records of what is ours; a log that is not the one we read is claimed anew.

        Returns:
            What is to be handed on now, each partition's in order; call it at every turn.

        Raises:
            BreakerTrippedError: Nearly all of a topic's records are rejected.
        """
        fit = {
            place: (reading, records)
            for place, records in polled.items()
            if (reading := self._fit(place, records)) is not None
        }
        if not fit:
            return self._released()
        with self._metrics.timed("poll"):
            taken = [
                Taken(place, reading, [Item(one, decode(one)) for one in records.records], records)
                for place, (reading, records) in fit.items()
            ]
        for one in taken:
            self._readings.advance(one.place, one.polled.end)
        try:
            self._breaker.judge({one.place: one.items for one in taken})
        except BreakerTrippedError as error:
            self._metrics.tripped(error.topic)
            error.claims = tuple(
                reading.claim
                for place, reading in self._readings.all().items()
                if place.topic == error.topic
            )
            raise
        for one in taken:
            topic = one.place.topic
            self._suspense.setdefault(topic, _Suspense(self._clock())).taken.append(one)
        return self._released()

    def _released(self) -> list[Taken]:
        now = self._clock()
        released: list[Taken] = []
        for topic, suspense in list(self._suspense.items()):
            if not self._breaker.suspects(topic) or now - suspense.since >= SUSPENSE_S:
                released += suspense.taken
                del self._suspense[topic]
        return [one for one in released if self._still(one)]

    def _still(self, taken: Taken) -> bool:
        reading = self._readings.of(taken.place)
        return reading is not None and reading.claim == taken.reading.claim

    def _fit(self, place: TopicPartition, polled: Polled) -> Reading | None:
        """The reading that the records go on; None if there is none."""
        reading = self._readings.of(place)
        if reading is None:
            return None
        first = polled.records[0].ref
        if first.topic_id != reading.claim.partition.topic_id:
            self._again(place, "the topic was made anew under its old name")
            return None
        if first.offset < reading.next_offset:
            self._again(place, "the consumer went back by itself")
            return None
        return reading
