"""From assigned to read: each partition is wanted, claimed, settled, and then begins."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from worker.pipeline.channels import Backoff
from worker.pipeline.messages import Settle, Want
from worker.pipeline.starts import start_offset
from worker.source import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from worker.metrics import Move
    from worker.pipeline.channels import Channels
    from worker.pipeline.starts import Reset
    from worker.posts.place import Partition, Span
    from worker.source import Source
    from worker.source.assignment import Assignment
    from worker.store.interface import Claim

log = logging.getLogger(__name__)

RECLAIM_S: Final = (0.5, 15.0)
"""First and longest wait before a fenced partition is claimed again: two workers that both believe
that it is theirs must not wear the database out until Kafka has decided."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """A claimed partition that can be read now.

    Attributes:
        place: The partition as the group knows it.
        token: Of the assignment that was claimed.
        claim: Under which it is read.
        offset: The first one to read.
    """

    place: TopicPartition
    token: int
    claim: Claim
    offset: int


@dataclass(slots=True)
class _Fenced:
    """A partition that was fenced and is still assigned to us."""

    backoff: Backoff
    at: float = 0.0
    epoch: int | None = None


class Claiming:
    """Brings what is assigned to where it can be read. The poll stage's, on its thread.

    Args:
        source: The group member.
        assignment: What is ours.
        channels: The queues.
        reset: WORKER_AUTO_OFFSET_RESET.
        adopt: WORKER_ADOPT_COMMITTED.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        source: Source,
        assignment: Assignment,
        channels: Channels,
        *,
        reset: Reset,
        adopt: bool,
        clock: Callable[[], float],
    ) -> None:
        self._source = source
        self._assignment = assignment
        self._channels = channels
        self._reset: Reset = reset
        self._adopt = adopt
        self._clock = clock
        self._claims: dict[TopicPartition, tuple[int, Claim]] = {}
        self._fenced: dict[TopicPartition, _Fenced] = {}
        self._unknown: set[TopicPartition] = set()
        self._leaderless: set[TopicPartition] = set()
        self._asked: dict[TopicPartition, int] = {}

    @property
    def excused(self) -> set[TopicPartition]:
        """What there is a good reason not to read.

        It was fenced a moment ago, or its topic is unknown, or it has no leader.
        """
        fenced = {place for place, one in self._fenced.items() if one.epoch is not None}
        return fenced | self._unknown | self._leaderless

    @property
    def waiting(self) -> bool:
        """Whether the store has yet to answer a claim that still counts."""
        return any(self._assignment.current(place, token) for place, token in self._asked.items())

    def want(self) -> None:
        """Asks the store for claims of what is assigned, and of what was fenced long enough ago."""
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

    def claimed(self, place: TopicPartition, token: int, claim: Claim) -> None:
        """The store's answer to a claim."""
        self._asked.pop(place, None)
        self._claims[place] = (token, claim)

    def settled(self, request: Settle, *, moved: bool) -> Beginning | None:
        """The store's answer to a position; not moved, the partition is claimed again."""
        if moved:
            return Beginning(request.place, request.token, request.claim, request.offset)
        self._assignment.put_back(request.place, request.token)
        return None

    def beginnings(self) -> Iterator[Beginning]:
        """Finds out where the claimed partitions begin, all with one question to the broker.

        Yields:
            Those whose stored position holds; the others' is settled first.

        Raises:
            SourceUnavailableError: The broker did not answer; what was not yielded comes again.
            WorkerError: A partition has no usable position, and the settings say to fail.
        """
        claims = {
            place: (token, claim)
            for place, (token, claim) in self._claims.items()
            if self._assignment.current(place, token)
        }
        self._claims = dict(claims)
        self._leaderless &= claims.keys()
        if not claims:
            return
        bounds = self._source.bounds(list(claims))
        # Asked after the bounds, and ids never come back: they were those of the logs claimed.
        self._source.refresh()
        for place, (token, claim) in claims.items():
            if self._without_leader(place, bounds):
                continue
            known = self._source.partition(place)
            if known is None or known[0] != claim.partition:
                del self._claims[place]
                self._assignment.put_back(place, token)
                continue
            committed = self._committed(place, claim)
            first, end = bounds[place]
            begin = claim.next_offset if claim.next_offset is not None else committed
            latest = self._reset == "latest" and not claim.superseded
            if (begin is None and latest) or (begin or 0) > end:
                end = self._source.ends_by_reading([place])[place]
            start = start_offset(claim, (first, end), committed, self._reset)
            if start.said is not None:
                log.warning(start.said, extra={"partition": str(claim.partition)})
            if start.move is not None:
                self._moved(claim.partition, start.move, start.lost)
            # At once: the broker may not answer for the next one, and this one has begun.
            del self._claims[place]
            if start.offset == claim.next_offset:
                yield Beginning(place, token, claim, start.offset)
            else:
                self._channels.inbox.ask(Settle(place, token, claim, start.offset))

    def _without_leader(
        self, place: TopicPartition, bounds: Mapping[TopicPartition, tuple[int, int]]
    ) -> bool:
        """Whether the broker has no bounds of it; the others begin meanwhile."""
        if place in bounds:
            self._leaderless.discard(place)
            return False
        if place not in self._leaderless:
            self._leaderless.add(place)
            log.warning(
                "a partition has no leader; waiting for it",
                extra={"partition": f"{place.topic}/{place.number}"},
            )
        return True

    def _committed(self, place: TopicPartition, claim: Claim) -> int | None:
        """The group's commit in Kafka, where it is to be adopted."""
        # The commit of a log that the topic had before says nothing of this one.
        if claim.next_offset is not None or claim.superseded:
            return None
        committed = self._source.committed(place)
        if committed is not None and not self._adopt:
            log.warning(
                "the group has a commit in Kafka but no position here; it is not adopted "
                "(WORKER_ADOPT_COMMITTED)",
                extra={"partition": str(claim.partition), "committed": committed},
            )
            self._moved(claim.partition, "not_adopted")
            return None
        return committed

    def _moved(self, partition: Partition, kind: Move, lost: int = 0) -> None:
        self._channels.metrics.moved(partition.topic, partition.number, kind, lost)

    def fenced(self, span: Span) -> bool:
        """Another worker claimed the partition; if Kafka still says it is ours, we claim it.

        Returns:
            Whether this is news; a partition that is no longer ours, or known to be fenced, is not.
        """
        place = TopicPartition.of(span.partition)
        if not self._assignment.holds(place, span.epoch):
            return False
        fenced = self._fenced.setdefault(place, _Fenced(Backoff(*RECLAIM_S)))
        if fenced.epoch == span.epoch:
            return False
        wait = fenced.backoff.next_s()
        fenced.at, fenced.epoch = self._clock() + wait, span.epoch
        log.warning(
            "fenced: another worker claimed a partition that Kafka assigns to this one",
            extra={"partition": str(span.partition), "claim_again_in_s": round(wait, 1)},
        )
        return True

    def stored(self, place: TopicPartition) -> None:
        """Something of the partition was stored: whoever fenced it is gone."""
        self._fenced.pop(place, None)
