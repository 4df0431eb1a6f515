"""The circuit breaker: a topic that holds no posts stops the worker, not a million dead letters."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

from worker.errors import WorkerError
from worker.posts import Rejection

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from worker.batching import Item
    from worker.source import TopicPartition
    from worker.store.interface import Claim

WINDOW: Final = 1_000
"""The records of a topic that are judged: the latest ones, of each of its partitions as many."""
FEWEST: Final = 50
"""Of a partition, however many there are."""
LEAST: Final = 200
"""Fewer than this say nothing of a topic; one on probation is judged by any number."""


class BreakerTrippedError(WorkerError):
    """Nearly all records of a topic are rejected: it may not be the right one.

    Attributes:
        topic: The topic.
        claims: Under which it was read; empty where that is not known yet.
    """

    def __init__(self, message: str, topic: str, claims: Sequence[Claim] = ()) -> None:
        super().__init__(message)
        self.topic = topic
        self.claims = tuple(claims)


@dataclass(slots=True)
class _Seen:
    """A partition's latest records: the reason of each that was rejected, None for the others."""

    latest: deque[str | None] = field(default_factory=lambda: deque(maxlen=WINDOW))
    counted: tuple[int, Counter[str]] | None = None

    def add(self, items: Iterable[Item]) -> None:
        self.latest.extend(
            item.decoded.reason if isinstance(item.decoded, Rejection) else None for item in items
        )
        self.counted = None

    def reasons(self, most: int) -> Counter[str]:
        """Of those rejected among the latest `most`."""
        if self.counted is None or self.counted[0] != most:
            latest = islice(reversed(self.latest), most)
            self.counted = most, Counter(reason for reason in latest if reason is not None)
        return self.counted[1]


@dataclass(slots=True)
class _Topic:
    """The partitions of a topic that are ours, those of which nothing was seen among them."""

    partitions: dict[TopicPartition, _Seen] = field(default_factory=dict)
    probation: bool = False

    @property
    def fair(self) -> int:
        """How many records of a partition are judged."""
        return max(FEWEST, WINDOW // max(1, len(self.partitions)))

    def judged(self) -> tuple[int, Counter[str]]:
        """How many records are judged, and the reasons of those that were rejected."""
        most = self.fair
        lengths = [len(seen.latest) for seen in self.partitions.values()]
        if sum(min(length, most) for length in lengths) < LEAST:
            most = _level(lengths, most)
        reasons: Counter[str] = Counter()
        for seen in self.partitions.values():
            reasons += seen.reasons(most)
        return sum(min(length, most) for length in lengths), reasons


class Breaker:
    """Judges each topic by its partitions' latest records, before anything of them is handed on.

    A client hands a backlog out partition by partition, so the latest records of a topic are of one
    partition for thousands on end. So each partition has a window of its own, and as many records
    of each count: `WINDOW` shared out among those that are ours, `FEWEST` at least. Where that
    makes fewer than `LEAST`, as only some of them have records at all, more of these count.

    Args:
        share: WORKER_BREAKER_SHARE: the rejected share at which it trips; 0 never does.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._topics: dict[str, _Topic] = {}

    def owns(self, places: Collection[TopicPartition]) -> None:
        """What is ours; of partitions that no longer are, nothing counts."""
        for topic in self._topics.values():
            for place in topic.partitions.keys() - places:
                del topic.partitions[place]
        for place in places:
            self._topic(place.topic).partitions.setdefault(place, _Seen())

    def forget(self, place: TopicPartition) -> None:
        """What was seen of a partition does not count: it is read again."""
        self._topic(place.topic).partitions.pop(place, None)

    def probation(self, topic: str) -> None:
        """A worker stopped at this topic and nothing was stored since: the next records decide.

        However few they are: else each start would collect the few that come in before the
        topic can be judged.
        """
        self._topic(topic).probation = True

    def see(self, place: TopicPartition, items: Iterable[Item]) -> None:
        """Takes note of records of a partition."""
        self._topic(place.topic).partitions.setdefault(place, _Seen()).add(items)

    def fair(self, topic: str) -> int:
        """How many records of a partition of `topic` are judged."""
        return self._topic(topic).fair

    def suspects(self, topic: str) -> bool:
        """Whether nearly all records of `topic` are rejected, as far as they were seen."""
        if not self._share:
            return False
        count, reasons = self._topic(topic).judged()
        return 0 < reasons.total() >= self._share * count

    def settled(self, topic: str) -> bool:
        """Whether what is still to come of the partitions would hardly make a difference.

        It may where a partition was not seen yet, or has good records and its window is not full.
        """
        known = self._topic(topic)
        enough = min(known.fair, -(-LEAST // max(1, len(known.partitions))))
        for seen in known.partitions.values():
            length, rejected = len(seen.latest), seen.reasons(known.fair).total()
            full = length >= known.fair
            if not full and (length < enough or rejected < self._share * length):
                return False
        return True

    def judge(self, topic: str) -> None:
        """Ends it, if enough of `topic` was seen and nearly all is rejected.

        Raises:
            BreakerTrippedError: So it is.
        """
        known = self._topic(topic)
        count, reasons = known.judged()
        if not self._share or not count or (count < LEAST and not known.probation):
            return
        if self.suspects(topic):
            [(reason, _)] = reasons.most_common(1)
            again = " It is the topic that stopped a worker before." if known.probation else ""
            raise BreakerTrippedError(
                f"Topic {topic}: {reasons.total()} of the last {count} records are no posts "
                f"(mostly `{reason}`), so this may be the wrong topic. Nothing of this batch was "
                f"stored.{again} Mend WORKER_TOPICS or the producer; or pass over the records with "
                "`emotion-worker offsets set`; or set WORKER_BREAKER_SHARE=0 to make dead letters "
                "of them all.",
                topic,
            )
        known.probation = False

    def _topic(self, topic: str) -> _Topic:
        return self._topics.setdefault(topic, _Topic())


def _level(lengths: Collection[int], most: int) -> int:
    """As many of each as make `LEAST` together, if there are so many; at least `most`."""
    left, others = LEAST, len(lengths)
    for length in sorted(lengths):
        if length * others >= left:
            return max(most, -(-left // others))
        left, others = left - length, others - 1
    return max(most, LEAST)
