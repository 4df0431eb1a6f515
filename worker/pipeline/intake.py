"""What a poll brought: checked, decoded, and judged before anything of it is handed on."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from worker.batching import Item
from worker.pipeline.breaker import Breaker, BreakerTrippedError
from worker.pipeline.suspense import Suspense, Taken
from worker.posts import Skipped
from worker.posts.decode import decode as decode_post

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from worker.metrics import Metrics
    from worker.pipeline.backfill import Window
    from worker.pipeline.readings import Reading, Readings
    from worker.posts import Record
    from worker.posts.formats import Decoded
    from worker.source import Polled, TopicPartition
    from worker.store.interface import Claim


class Intake:
    """Decodes what was polled. The poll stage's, on its thread.

    Args:
        readings: What is read.
        metrics: What is counted.
        breaker_share: WORKER_BREAKER_SHARE.
        assigned: Says what is ours, read already or not.
        again: Claims a partition once more, and says why.
        clock: Seconds, monotonic.
        window: What of the logs a replay reads; None: all.
        decode: Reads records, by their topics' formats.
    """

    def __init__(
        self,
        readings: Readings,
        metrics: Metrics,
        *,
        breaker_share: float,
        assigned: Callable[[], Collection[TopicPartition]],
        again: Callable[[TopicPartition, str], None],
        clock: Callable[[], float],
        window: Window | None = None,
        decode: Callable[[Record], Decoded] = decode_post,
    ) -> None:
        self._readings = readings
        self._window = window
        self._decode = decode
        self._metrics = metrics
        self._assigned = assigned
        self._again = again
        self._breaker = Breaker(breaker_share)
        self._suspense = Suspense(self._breaker, clock)

    def begin(self, place: TopicPartition, claim: Claim) -> None:
        """A partition is read from now on."""
        if claim.tripped:
            self._breaker.probation(place.topic)

    def drop(self, place: TopicPartition) -> None:
        """A partition is no longer read."""
        self._suspense.drop(place)
        self._breaker.forget(place)

    def waits(self, place: TopicPartition) -> bool:
        """Whether records of the partition wait for the breaker's judgement."""
        return self._suspense.waits(place)

    def full(self) -> set[TopicPartition]:
        """Those not to be read on for now: others' records are waited for."""
        return self._suspense.full()

    def take(self, polled: Mapping[TopicPartition, Polled], *, held: bool = False) -> list[Taken]:
        """Decodes the records of what is ours; a log that is not the one we read is claimed anew.

        Args:
            polled: What a poll brought.
            held: Whether nothing was to be fetched.

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
        if self._window is not None:
            fit = {
                place: (reading, self._window.cut(reading.claim.partition, records))
                for place, (reading, records) in fit.items()
                if reading.next_offset < self._window.end(reading.claim.partition)
            }
        if fit:
            with self._metrics.timed("poll"):
                taken = [
                    self._decoded(place, reading, some) for place, (reading, some) in fit.items()
                ]
            for one in taken:
                self._readings.advance(one.place, one.polled.end)
                self._breaker.see(one.place, one.items)
                self._suspense.add(one)
        if held:
            self._suspense.pause()
        return [one for one in self._released() if self._still(one)]

    def _decoded(self, place: TopicPartition, reading: Reading, polled: Polled) -> Taken:
        """What is none of a post's business is a gap from here on: `polled.end` lies behind it."""
        items, skipped = [], Counter[str]()
        for record in polled.records:
            decoded = self._decode(record)
            if isinstance(decoded, Skipped):
                skipped[decoded.event] += 1
            else:
                items.append(Item(record, decoded))
        if skipped:
            self._metrics.skipped(place.topic, skipped)
            # They may be nearly all there is: their bytes are not to wait for a judgement too.
            polled = replace(polled, records=(polled.records[0], polled.records[-1]))
        return Taken(place, reading, items, polled)

    def _released(self) -> list[Taken]:
        ours = self._assigned()
        self._breaker.owns(ours)
        try:
            return self._suspense.release({p.topic for p in ours if p not in self._readings})
        except BreakerTrippedError as error:
            self._metrics.tripped(error.topic)
            error.claims = tuple(
                reading.claim
                for place, reading in self._readings.all().items()
                if place.topic == error.topic
            )
            raise

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
