"""The poll stage: owns the consumer, decodes, forms micro-batches, and never stops polling."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from datetime import UTC, datetime
from queue import Empty
from typing import TYPE_CHECKING, Final

from worker.errors import OutOfLogError, SourceUnavailableError
from worker.pipeline.backlog import Backlog
from worker.pipeline.beats import Beats
from worker.pipeline.channels import STALL_S, Every
from worker.pipeline.claiming import Claiming
from worker.pipeline.holds import Holds
from worker.pipeline.intake import Intake
from worker.pipeline.lags import Lags
from worker.pipeline.messages import Ask, Claimed, Fenced, Raised, Settled, Standings, Stored
from worker.pipeline.readings import Readings
from worker.pipeline.watch import Watch
from worker.posts.decode import decode as decode_post
from worker.source import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from worker.batching import Batcher, Item
    from worker.pipeline.backfill import Window
    from worker.pipeline.channels import Channels
    from worker.pipeline.claiming import Beginning
    from worker.pipeline.messages import Reply
    from worker.pipeline.readings import Reading
    from worker.pipeline.starts import Reset
    from worker.posts import Record
    from worker.posts.formats import Decoded
    from worker.posts.place import Partition, Span
    from worker.source import Source
    from worker.source.assignment import Assignment
    from worker.store.interface import Position

log = logging.getLogger(__name__)

POLL_S: Final = 0.2
"""The longest that a poll waits for records: answers of the store wait no longer either."""
BEAT_S: Final = 5.0
"""How often the watermarks of idle partitions are raised: a write each time, so not oftener."""
MIRROR_S: Final = 1.0
LOOK_S: Final = 0.5
"""How often gaps, recreated topics and `--drain`'s goal are looked at."""


class PollStage:
    """Reads the assigned partitions. `turn` is one round of the loop; the worker owns the loop.

    Args:
        source: The group member.
        assignment: What is ours; the source's listener writes it.
        batcher: Cuts micro-batches.
        channels: The queues.
        reset: WORKER_AUTO_OFFSET_RESET.
        adopt: WORKER_ADOPT_COMMITTED.
        lateness_s: How far watermarks stay behind.
        breaker_share: WORKER_BREAKER_SHARE.
        stall_s: WORKER_STALL_SECONDS.
        nobody_s: How long a partition may stand that nobody claims; None: `stall_s`.
        targets: For `--drain`: the end offsets that the group must reach; None goes on for ever.
        window: What of the logs a replay reads; None: all.
        decode: Reads records, by their topics' formats.
        wall: Wall clock, UTC.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        source: Source,
        assignment: Assignment,
        batcher: Batcher,
        channels: Channels,
        *,
        reset: Reset,
        adopt: bool,
        lateness_s: float,
        breaker_share: float = 0.0,
        stall_s: float = STALL_S,
        nobody_s: float | None = None,
        targets: Mapping[Partition, int] | None = None,
        window: Window | None = None,
        decode: Callable[[Record], Decoded] = decode_post,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._assignment = assignment
        self._batcher = batcher
        self._channels = channels
        self._claiming = Claiming(
            source, assignment, channels, reset=reset, adopt=adopt, clock=clock
        )
        self._targets = targets
        self._window = window
        self._wall = wall
        self._readings = Readings(assignment)
        self._backlog = Backlog(channels, batcher.limits)
        self._holds = Holds(source, self._readings)
        self._intake = Intake(
            self._readings,
            channels.metrics,
            breaker_share=breaker_share,
            assigned=assignment.partitions,
            again=self._claim_again,
            clock=clock,
            window=window,
            decode=decode,
        )
        self._lags = Lags(channels.metrics, wall)
        self._beating = Beats(
            source, channels, self._readings, self._lags, lateness_s=lateness_s, wall=wall
        )
        self._watching = Watch(
            source,
            assignment,
            channels,
            self._readings,
            self._claiming,
            again=self._claim_again,
            stall_s=stall_s,
            nobody_s=nobody_s,
            clock=clock,
            window=window,
        )
        self._now_and_then = (
            (Every(LOOK_S, clock), self._look),
            (Every(MIRROR_S, clock), self.mirror),
            (Every(BEAT_S, clock), self.beat),
            (Every(self._watching.every_s, clock), lambda: self._watching.look(self._holds)),
            (Every(self._watching.around_every_s, clock), self._watching.look_around),
        )
        self.drained = False

    def turn(self) -> None:
        """One round: claims, answers, a poll, what is due.

        Raises:
            SourceUnavailableError: The broker did not answer; call again.
            BreakerTrippedError: Nearly all of a topic's records are rejected.
            WorkerError: A partition has no usable position, and the settings say to fail.
        """
        for place in self._readings.revoked():
            self._put_down(place)
        self._claiming.want()
        self._take_replies()
        for beginning in self._claiming.beginnings():
            self._start(beginning)
        self._poll()
        self._backlog.offer(self._batcher.due())
        for every, do in self._now_and_then:
            if every.due():
                try:
                    do()
                except SourceUnavailableError:
                    every.soon()
                    raise

    def finish(self) -> None:
        """Hands on what was read: call until it is gone, once no more turns come."""
        self._take_replies()
        self._backlog.offer(self._batcher.flush())

    def beat(self) -> None:
        """See `Beats.beat`."""
        self._beating.beat()

    def away(self) -> None:
        """See `Beats.away`."""
        self._beating.away()

    @property
    def idle(self) -> bool:
        """Whether all that was read was handed on."""
        return not self._backlog

    def mirror(self) -> None:
        """Commits to Kafka what the store confirmed: best effort, for those who look at lag."""
        if positions := self._readings.take_unmirrored():
            self._source.mirror(positions)

    def _put_down(self, place: TopicPartition) -> None:
        """Ends a reading: what was read and not handed on is dropped."""
        reading = self._readings.drop(place)
        if reading is not None:
            self._batcher.drop(reading.claim.partition)
            self._intake.drop(place)
            self._source.hold([place])
            self._lags.forget(place)

    def _take_replies(self) -> None:
        with suppress(Empty):
            while True:
                self._take(self._channels.replies.get_nowait())

    def _take(self, reply: Reply) -> None:
        match reply:
            case Claimed(place, token, claim):
                self._claiming.claimed(place, token, claim)
            case Settled(request, moved):
                beginning = self._claiming.settled(request, moved=moved)
                if beginning is not None:
                    self._start(beginning)
            case Stored(spans):
                for span in spans:
                    self._confirm(span)
            case Raised(spans):
                for span in spans:
                    self._lags.stored(span)
            case Fenced(spans):
                for span in spans:
                    if self._claiming.fenced(span):
                        self._put_down(TopicPartition.of(span.partition))
            case Standings(positions):
                self._compare(positions)

    def _confirm(self, span: Span) -> None:
        if self._readings.confirm(span):
            self._claiming.stored(TopicPartition.of(span.partition))
            self._lags.stored(span)

    def _compare(self, positions: Sequence[Position]) -> None:
        self._watching.stand(positions)
        stands = {row.partition: row.next_offset for row in positions}
        self.drained = self._targets is not None and all(
            (stands.get(partition) or 0) >= end and stands.get(partition) is not None
            for partition, end in self._targets.items()
        )

    def _start(self, beginning: Beginning) -> None:
        place, claim, offset = beginning.place, beginning.claim, beginning.offset
        if not self._assignment.confirm(place, beginning.token, claim.epoch):
            return
        if not self._source.start(place, offset):
            return
        # Of a claim before this one, if a rebalance in mid-turn was answered within that turn.
        self._batcher.drop(claim.partition)
        self._readings.begin(place, claim, offset)
        self._lags.begin(place)
        self._intake.begin(place, claim)
        self._holds.started(place)
        log.info(
            "reading",
            extra={"partition": str(claim.partition), "offset": offset, "epoch": claim.epoch},
        )

    def _poll(self) -> None:
        # A full queue stops the reading, never the polling: a member that does not poll is put
        # out of the group.
        self._holds.only(self._intake.full() | self._read_out())
        self._holds.all(bool(self._backlog))
        wait = POLL_S
        if self._claiming.waiting or self._holds.full:
            wait = 0.02
        due = self._batcher.wait_s()
        if due is not None:
            wait = min(wait, due)
        try:
            polled = self._source.poll(wait)
        except OutOfLogError as error:
            self._claim_lost_positions(error)
            return
        if not self._holds.full:
            self._watching.polled(empty=not polled)
        for taken in self._intake.take(polled, held=self._holds.full):
            self._lags.read(taken.place, taken.polled)
            self._hand_on(taken.reading, taken.items, taken.polled.end)

    def _read_out(self) -> set[TopicPartition]:
        """Those that a replay has read to their end."""
        if self._window is None:
            return set()
        return {
            place
            for place, reading in self._readings.all().items()
            if reading.next_offset >= self._window.end(reading.claim.partition)
        }

    def _hand_on(self, reading: Reading, items: Sequence[Item], end: int) -> None:
        claim, start = reading.claim, reading.next_offset
        for batch in self._batcher.add(claim.partition, claim.epoch, start, items, end):
            self._backlog.offer(batch)

    def _look(self) -> None:
        """Positions move without records too: transaction markers, compacted gaps."""
        for place, reading in self._readings.all().items():
            known = self._source.partition(place)
            if known is not None and known[0].topic_id != reading.claim.partition.topic_id:
                self._claim_again(place, "the topic was made anew under its old name")
                continue
            position = self._source.position(place)
            if position is not None and self._window is not None:
                position = min(position, self._window.end(reading.claim.partition))
            ours = self._readings.of(place) is not None and not self._intake.waits(place)
            if ours and position is not None and position > reading.next_offset:
                self._hand_on(reading, (), position)
                self._readings.advance(place, position)
        if self._targets is not None:
            self._channels.inbox.ask(Ask())
        self._watching.report(len(self._backlog))

    def _claim_again(self, place: TopicPartition, why: str) -> None:
        claim = self._readings[place].claim
        log.warning(why, extra={"partition": str(claim.partition)})
        self._put_down(place)
        self._assignment.again(place, claim.epoch)

    def _claim_lost_positions(self, error: OutOfLogError) -> None:
        """Claims them anew: what is stored is looked at again, and what holds it is said."""
        named = [TopicPartition(*place) for place in error.partitions]
        outside = [place for place in named if place in self._readings]
        if not named:
            bounds = self._source.bounds(self._readings.places())
            outside = [
                place
                for place, (first, end) in bounds.items()
                if not first <= self._readings[place].next_offset <= end
            ]
        for place in outside:
            self._claim_again(place, f"a position lies outside its log: {error}")
        if not outside:
            # The broker contradicts itself, as while a new leader takes over: not at full speed.
            raise SourceUnavailableError(str(error))
