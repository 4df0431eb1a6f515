"""What the poll stage says of itself, and what it does about partitions that stand still."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from worker.pipeline.progress import Cure, Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from worker.pipeline.channels import Channels
    from worker.pipeline.claiming import Claiming
    from worker.pipeline.progress import Stuck
    from worker.pipeline.readings import Readings
    from worker.source import Source, TopicPartition
    from worker.source.assignment import Assignment

log = logging.getLogger(__name__)


class Watch:
    """Watches what is assigned, mends it, and says what it sees. The poll stage's, on its thread.

    Args:
        source: The group member.
        assignment: What is ours.
        channels: The queues, metrics and health.
        readings: What is read.
        claiming: What is to be read.
        again: Claims a partition that is read once more, and says why.
        stall_s: WORKER_STALL_SECONDS.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        source: Source,
        assignment: Assignment,
        channels: Channels,
        readings: Readings,
        claiming: Claiming,
        *,
        again: Callable[[TopicPartition, str], None],
        stall_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._source = source
        self._assignment = assignment
        self._channels = channels
        self._readings = readings
        self._claiming = claiming
        self._again = again
        self._progress = Progress(stall_s, clock)
        self._rebalances = 0

    @property
    def every_s(self) -> float:
        """How often to `look`, seconds."""
        return self._progress.every_s

    def polled(self, *, empty: bool) -> None:
        """Takes note of a poll for which no partition was held back."""
        self._progress.polled(len(self._readings.places()), empty=empty)

    def report(self, backlog: int) -> None:
        """What metrics and health show of this stage; `backlog`: batches that wait in it."""
        metrics, channels = self._channels.metrics, self._channels
        metrics.waiting("poll", backlog)
        metrics.waiting("classify", channels.batches.qsize())
        metrics.waiting("store", len(channels.inbox))
        rebalances = self._assignment.rebalances
        metrics.rebalanced(rebalances - self._rebalances)
        self._rebalances = rebalances
        if rebalances:
            channels.health.assigned(self._assignment.partitions(), self._readings.places())

    def look(self, *, held: bool) -> None:
        """Mends partitions that stand still; `held`: all are held back, as the queues are full.

        Raises:
            SourceUnavailableError: The broker did not say where a suspect's log ends.
        """
        health, reading = self._channels.health, self._readings.all()
        assigned = self._assignment.partitions() - self._claiming.excused
        if not health.dependencies().get("database", True):
            assigned &= reading.keys()  # a claim waits for the database like everything else
        offsets = {place: one.next_offset for place, one in reading.items()}
        for stuck in self._progress.look(assigned, offsets, self._ends):
            self._mend(stuck, held=held)
        why = "has records before it and was not read on, though it was sought and claimed again"
        health.lost(dict.fromkeys(self._progress.lost, why))

    def _ends(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Up to where there is something to be had: behind an open transaction there is not."""
        bounds = self._source.bounds(places)
        return {place: end for place, (_, end) in bounds.items()}

    def _mend(self, stuck: Stuck, *, held: bool) -> None:
        place, reading = stuck.place, self._readings.of(stuck.place)
        log.error(
            "a partition stands still",
            extra={
                "partition": f"{place.topic}/{place.number}",
                "offset": None if reading is None else reading.next_offset,
                "for_s": round(stuck.still_s, 1),
                "cure": stuck.cure.value,
            },
        )
        if stuck.first:
            self._channels.metrics.stalled("partition")
        if stuck.cure is Cure.SEEK and reading is not None:
            self._source.start(place, reading.next_offset)
            if held:
                self._source.hold([place])
        elif stuck.cure is Cure.CLAIM and reading is not None:
            self._again(place, "a partition that stands still is claimed again")
        elif stuck.cure is Cure.CLAIM:
            self._assignment.anew(place)
