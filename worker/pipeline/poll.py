"""The poll stage: owns the consumer, decodes, forms micro-batches, and never stops polling."""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from queue import Empty, Full
from typing import TYPE_CHECKING, Final

from worker.batching import Item
from worker.errors import OutOfLogError, SourceUnavailableError
from worker.pipeline.channels import Backoff, Every
from worker.pipeline.messages import (
    Ask,
    Beat,
    Claimed,
    Fenced,
    Settle,
    Settled,
    Standings,
    Stored,
    Want,
)
from worker.pipeline.starts import start_offset
from worker.posts.decode import decode
from worker.posts.place import Span
from worker.source import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from worker.batching import Batcher, MicroBatch
    from worker.pipeline.channels import Channels
    from worker.pipeline.starts import Reset
    from worker.posts.place import Partition
    from worker.source import Polled, Source
    from worker.source.assignment import Assignment
    from worker.store.interface import Claim

log = logging.getLogger(__name__)

POLL_S: Final = 0.2
"""The longest that a poll waits for records: answers of the store wait no longer either."""
BEAT_S: Final = 5.0
"""How often the watermarks of idle partitions are raised: a write each time, so not oftener."""
MIRROR_S: Final = 1.0
LOOK_S: Final = 0.5
"""How often gaps, recreated topics and `--drain`'s goal are looked at."""
RECLAIM_S: Final = (0.5, 15.0)
"""First and longest wait before a fenced partition is claimed again: two workers that both believe
that it is theirs must not wear the database out until Kafka has decided."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A partition that is being read.

    Attributes:
        claim: Under which.
        next_offset: After what was handed on.
        stored: After what the store has confirmed.
    """

    claim: Claim
    next_offset: int
    stored: int


@dataclass(slots=True)
class _Fenced:
    """A partition that was fenced and is still assigned to us."""

    backoff: Backoff
    at: float = 0.0
    epoch: int | None = None


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
        targets: For `--drain`: the end offsets that the group must reach; None goes on for ever.
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
        targets: Mapping[Partition, int] | None = None,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._assignment = assignment
        self._batcher = batcher
        self._channels = channels
        self._reset: Reset = reset
        self._adopt = adopt
        self._lateness = timedelta(seconds=lateness_s)
        self._targets = targets
        self._wall = wall
        self._clock = clock
        self._readings: dict[TopicPartition, Reading] = {}
        self._claims: dict[TopicPartition, tuple[int, Claim]] = {}
        self._fenced: dict[TopicPartition, _Fenced] = {}
        self._backlog: deque[MicroBatch] = deque()
        self._mirrored: dict[TopicPartition, int] = {}
        self._held = False
        self._unknown: set[TopicPartition] = set()
        self._asked: dict[TopicPartition, int] = {}
        self._looks = Every(LOOK_S, clock)
        self._beats = Every(BEAT_S, clock)
        self._mirrors = Every(MIRROR_S, clock)
        self.drained = False

    def turn(self) -> None:
        """One round: claims, answers, a poll, what is due.

        Raises:
            SourceUnavailableError: The broker did not answer; call again.
            WorkerError: A partition has no usable position, and the settings say to fail.
        """
        self._forget_revoked()
        self._want_unclaimed()
        self._take_replies()
        self._begin_claimed()
        self._poll()
        self._offer(self._batcher.due())
        if self._looks.due():
            self._look()
        if self._mirrors.due():
            self.mirror()
        if self._beats.due():
            self.beat()

    def finish(self) -> None:
        """Hands on what was read: call until it is gone, once no more turns come."""
        self._take_replies()
        self._offer(self._batcher.flush())

    def beat(self) -> None:
        """Says of partitions that were read to their end how far time has come without records."""
        idle = {
            place: reading
            for place, reading in self._readings.items()
            if reading.stored == reading.next_offset
        }
        # Best effort, so again: the last commit may have failed, and no record may come for long.
        self._mirrored |= {place: reading.stored for place, reading in idle.items()}
        if not idle:
            return
        # The end offset is asked for after this moment: what it does not cover was written later.
        watermark = self._wall() - self._lateness
        ends = self._source.ends(list(idle))
        spans = tuple(
            Span(
                reading.claim.partition,
                reading.claim.epoch,
                reading.stored,
                reading.stored,
                watermark,
            )
            for place, reading in idle.items()
            if ends.get(place) == reading.stored
        )
        if spans:
            self._channels.inbox.ask(Beat(spans))

    @property
    def idle(self) -> bool:
        """Whether all that was read was handed on."""
        return not self._backlog

    def mirror(self) -> None:
        """Commits to Kafka what the store confirmed: best effort, for those who look at lag."""
        if self._mirrored:
            positions, self._mirrored = self._mirrored, {}
            self._source.mirror(positions)

    def _forget_revoked(self) -> None:
        for place, reading in list(self._readings.items()):
            if not self._assignment.holds(place, reading.claim.epoch):
                del self._readings[place]
                self._mirrored.pop(place, None)
                self._batcher.drop(reading.claim.partition)
                self._source.hold([place])

    def _want_unclaimed(self) -> None:
        now = self._clock()
        for place, fenced in list(self._fenced.items()):
            if fenced.epoch is not None and now >= fenced.at:
                if not self._assignment.again(place, fenced.epoch):
                    del self._fenced[place]
                fenced.epoch = None
        for place, token in self._assignment.take_unclaimed().items():
            known = self._source.partition(place)
            if known is None:
                self._assignment.put_back(place, token)
                if place not in self._unknown:
                    self._unknown.add(place)
                    log.warning("assigned, but the topic is unknown", extra={"topic": place.topic})
                continue
            self._unknown.discard(place)
            partition, siblings = known
            self._channels.inbox.ask(Want(place, token, partition, siblings))
            self._asked[place] = token

    def _take_replies(self) -> None:
        while True:
            try:
                reply = self._channels.replies.get_nowait()
            except Empty:
                return
            match reply:
                case Claimed(place, token, claim):
                    self._asked.pop(place, None)
                    self._claims[place] = (token, claim)
                case Settled(request, moved):
                    if moved:
                        self._start(request.place, request.token, request.claim, request.offset)
                    else:
                        self._assignment.put_back(request.place, request.token)
                case Stored(spans):
                    self._confirm(spans)
                case Fenced(spans):
                    for span in spans:
                        self._refuse(span)
                case Standings(positions):
                    stands = {row.partition: row.next_offset for row in positions}
                    self.drained = self._targets is not None and all(
                        (stands.get(partition) or 0) >= end and stands.get(partition) is not None
                        for partition, end in self._targets.items()
                    )

    def _confirm(self, spans: tuple[Span, ...]) -> None:
        for span in spans:
            place = TopicPartition.of(span.partition)
            reading = self._readings.get(place)
            if reading is not None and reading.claim.epoch == span.epoch:
                self._readings[place] = replace(reading, stored=span.end)
                self._mirrored[place] = span.end
                self._fenced.pop(place, None)

    def _refuse(self, span: Span) -> None:
        """Another worker claimed the partition; if Kafka still says it is ours, we claim it."""
        place = TopicPartition.of(span.partition)
        if not self._assignment.holds(place, span.epoch):
            return
        fenced = self._fenced.setdefault(place, _Fenced(Backoff(*RECLAIM_S)))
        if fenced.epoch == span.epoch:
            return
        wait = fenced.backoff.next_s()
        fenced.at, fenced.epoch = self._clock() + wait, span.epoch
        self._readings.pop(place, None)
        self._mirrored.pop(place, None)
        self._batcher.drop(span.partition)
        self._source.hold([place])
        log.warning(
            "fenced: another worker claimed a partition that Kafka assigns to this one",
            extra={"partition": str(span.partition), "claim_again_in_s": round(wait, 1)},
        )

    def _begin_claimed(self) -> None:
        """Finds out where the claimed partitions begin, all with one question to the broker."""
        claims = {
            place: (token, claim)
            for place, (token, claim) in self._claims.items()
            if self._assignment.current(place, token)
        }
        self._claims = dict(claims)
        if not claims:
            return
        bounds = self._source.bounds(list(claims))
        for place, (token, claim) in claims.items():
            committed = None
            # The commit of a log that the topic had before says nothing of this one.
            if claim.next_offset is None and not claim.superseded:
                committed = self._source.committed(place)
                if committed is not None and not self._adopt:
                    log.warning(
                        "the group has a commit in Kafka but no position here; it is not adopted "
                        "(WORKER_ADOPT_COMMITTED)",
                        extra={"partition": str(claim.partition), "committed": committed},
                    )
                    committed = None
            first, end = bounds[place]
            begin = claim.next_offset if claim.next_offset is not None else committed
            latest = self._reset == "latest" and not claim.superseded
            if (begin is None and latest) or (begin or 0) > end:
                end = self._source.ends_by_reading([place])[place]
            offset, said = start_offset(claim, (first, end), committed, self._reset)
            if said is not None:
                log.warning(said, extra={"partition": str(claim.partition)})
            # At once: the broker may not answer for the next one, and this one has begun.
            del self._claims[place]
            if offset == claim.next_offset:
                self._start(place, token, claim, offset)
            else:
                self._channels.inbox.ask(Settle(place, token, claim, offset))

    def _start(self, place: TopicPartition, token: int, claim: Claim, offset: int) -> None:
        if not self._assignment.confirm(place, token, claim.epoch):
            return
        if not self._source.start(place, offset):
            return
        # Of a claim before this one, if a rebalance in mid-turn was answered within that turn.
        self._batcher.drop(claim.partition)
        self._readings[place] = Reading(claim, offset, offset)
        self._mirrored[place] = offset
        if self._held:
            self._source.hold([place])
        log.info(
            "reading",
            extra={"partition": str(claim.partition), "offset": offset, "epoch": claim.epoch},
        )

    def _poll(self) -> None:
        full = bool(self._backlog)
        if full != self._held:
            # A full queue stops the reading, never the polling: a member that does not poll is
            # put out of the group.
            (self._source.hold if full else self._source.resume)(list(self._readings))
            self._held = full
        wait = POLL_S
        answers = any(self._assignment.current(place, t) for place, t in self._asked.items())
        if answers or self._held:
            wait = 0.02
        due = self._batcher.wait_s()
        if due is not None:
            wait = min(wait, due)
        try:
            polled = self._source.poll(wait)
        except OutOfLogError as error:
            self._claim_lost_positions(error)
            return
        for place, records in polled.items():
            self._read(place, records)

    def _read(self, place: TopicPartition, polled: Polled) -> None:
        reading = self._readings.get(place)
        if reading is None or not self._assignment.holds(place, reading.claim.epoch):
            return
        partition = reading.claim.partition
        if polled.records[0].ref.topic_id != partition.topic_id:
            self._claim_again(place, "the topic was made anew under its old name")
            return
        if polled.records[0].ref.offset < reading.next_offset:
            self._claim_again(place, "the consumer went back by itself")
            return
        items = [Item(record, decode(record)) for record in polled.records]
        for batch in self._batcher.add(
            partition, reading.claim.epoch, reading.next_offset, items, polled.end
        ):
            self._offer(batch)
        self._readings[place] = replace(reading, next_offset=polled.end)

    def _offer(self, batch: MicroBatch | None) -> None:
        if batch is not None:
            self._backlog.append(batch)
        while self._backlog:
            try:
                self._channels.batches.put_nowait(self._backlog[0])
            except Full:
                return
            self._backlog.popleft()

    def _look(self) -> None:
        """Positions move without records too: transaction markers, compacted gaps."""
        for place, reading in list(self._readings.items()):
            known = self._source.partition(place)
            if known is not None and known[0].topic_id != reading.claim.partition.topic_id:
                self._claim_again(place, "the topic was made anew under its old name")
                continue
            position = self._source.position(place)
            if (
                position is not None
                and position > reading.next_offset
                and self._assignment.holds(place, reading.claim.epoch)
            ):
                claim = reading.claim
                for batch in self._batcher.add(
                    claim.partition, claim.epoch, reading.next_offset, (), position
                ):
                    self._offer(batch)
                self._readings[place] = replace(reading, next_offset=position)
        if self._targets is not None:
            self._channels.inbox.ask(Ask())

    def _claim_again(self, place: TopicPartition, why: str) -> None:
        reading = self._readings.pop(place)
        log.warning(why, extra={"partition": str(reading.claim.partition)})
        self._source.hold([place])
        self._batcher.drop(reading.claim.partition)
        self._mirrored.pop(place, None)
        self._assignment.again(place, reading.claim.epoch)

    def _claim_lost_positions(self, error: OutOfLogError) -> None:
        """Claims them anew: what is stored is looked at again, and what holds it is said."""
        named = [TopicPartition(*place) for place in error.partitions]
        outside = [place for place in named if place in self._readings]
        if not named:
            bounds = self._source.bounds(list(self._readings))
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
