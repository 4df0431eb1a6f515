"""What the poll stage says of itself, and what it does about partitions that stand still."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from worker.pipeline.messages import Ask
from worker.pipeline.orphans import Orphans
from worker.pipeline.progress import Cure, Progress
from worker.source import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from worker.pipeline.backfill import Window
    from worker.pipeline.channels import Channels
    from worker.pipeline.claiming import Claiming
    from worker.pipeline.holds import Holds
    from worker.pipeline.progress import Stuck
    from worker.pipeline.readings import Readings
    from worker.source import Source
    from worker.source.assignment import Assignment
    from worker.store.interface import Position

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
        nobody_s: How long a partition may stand that nobody claims; None: `stall_s`.
        clock: Seconds, monotonic.
        window: What of the logs a replay reads; None: all.
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
        nobody_s: float | None = None,
        clock: Callable[[], float],
        window: Window | None = None,
    ) -> None:
        self._window = window
        self._source = source
        self._assignment = assignment
        self._channels = channels
        self._readings = readings
        self._claiming = claiming
        self._again = again
        self._progress = Progress(stall_s, clock)
        self._orphans = Orphans(stall_s, clock, nobody_s)
        self._clock = clock
        self._looked_around = clock()
        self._positions: Sequence[Position] = ()
        self._rebalances = self._joins_mended = 0

    @property
    def every_s(self) -> float:
        """How often to `look`, seconds."""
        return self._progress.every_s

    @property
    def around_every_s(self) -> float:
        """How often to `look_around`, seconds."""
        return self._orphans.every_s

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
        for _ in range(self._assignment.joins_mended - self._joins_mended):
            self._joins_mended += 1
            metrics.stalled("join")
        if self._source.joined():
            channels.health.assigned(self._assignment.partitions(), self._readings.places())
        else:
            channels.health.left()

    def stand(self, positions: Sequence[Position]) -> None:
        """Takes note of where the group stands."""
        self._positions = positions

    def look(self, holds: Holds) -> None:
        """Mends partitions that stand still, less those that are held for themselves.

        Raises:
            SourceUnavailableError: The broker did not say where a suspect's log ends.
        """
        health, reading = self._channels.health, self._readings.all()
        assigned = self._assignment.partitions() - self._claiming.excused - holds.some
        if not health.dependencies().get("database", True):
            assigned &= reading.keys()  # a claim waits for the database like everything else
        offsets = {place: one.next_offset for place, one in reading.items()}
        for stuck in self._progress.look(assigned, offsets, self._ends):
            self._mend(stuck, holds)
        why = "has records before it and was not read on, though it was sought and claimed again"
        health.lost(dict.fromkeys(self._progress.lost, why))

    def look_around(self) -> None:
        """Has the group assign anew where it leaves a partition to nobody.

        Raises:
            SourceUnavailableError: The broker did not say where a suspect's log ends.
        """
        now = self._clock()
        late = now - self._looked_around > 2 * self.around_every_s
        self._looked_around = now
        database = self._channels.health.dependencies().get("database", True)
        if late or not database:  # the others could not get on either, and need a moment
            self._orphans.forget()
        if self._others_read():
            self._channels.inbox.ask(Ask())  # for the next look
            if database and self._source.joined():
                self._look_for_orphans()

    def _others_read(self) -> bool:
        """Whether not all partitions of the topics that we share in are ours."""
        mine = Counter(place.topic for place in self._assignment.partitions())
        known = (self._source.partition(TopicPartition(topic, 0)) for topic in mine)
        siblings = sum(one[1] for one in known if one is not None)
        return not mine or siblings > mine.total()

    def _look_for_orphans(self) -> None:
        positions, self._positions = self._positions, ()
        if not positions:
            return
        current = [
            row
            for row in positions
            if row.retired_at is None
            and (known := self._source.partition(TopicPartition.of(row.partition))) is not None
            and known[0] == row.partition
        ]
        orphans = self._orphans.look(current, self._assignment.partitions(), self._ends)
        for partition in orphans:
            self._channels.metrics.stalled("partition")
            log.error(
                "a partition is read by nobody: the group is asked to assign its partitions anew",
                extra={"partition": str(partition)},
            )
        if orphans:
            self._source.rejoin()

    def _ends(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Up to where there is something to be had: behind an open transaction there is not."""
        bounds = self._source.bounds(places)
        return {place: self._capped(place, end) for place, (_, end) in bounds.items()}

    def _capped(self, place: TopicPartition, end: int) -> int:
        known = self._source.partition(place)
        if self._window is None or known is None:
            return end
        return min(end, self._window.end(known[0]))

    def _mend(self, stuck: Stuck, holds: Holds) -> None:
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
            holds.started(place)
        elif stuck.cure is Cure.CLAIM and reading is not None:
            self._again(place, "a partition that stands still is claimed again")
        elif stuck.cure is Cure.CLAIM:
            self._assignment.anew(place)
