"""The circuit breaker: a topic that holds no posts stops the worker, not a million dead letters."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from worker.errors import WorkerError
from worker.posts import Rejection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from worker.batching import Item
    from worker.source import TopicPartition
    from worker.store.interface import Claim

WINDOW: Final = 1_000
"""The records of a topic that are judged: the latest ones."""
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
    """The latest records of a topic: the reason of each that was rejected, None for the others."""

    latest: deque[str | None] = field(default_factory=lambda: deque(maxlen=WINDOW))
    reasons: Counter[str] = field(default_factory=Counter)
    probation: bool = False

    def add(self, reason: str | None) -> None:
        if len(self.latest) == WINDOW and (oldest := self.latest[0]) is not None:
            self.reasons[oldest] -= 1
        self.latest.append(reason)
        if reason is not None:
            self.reasons[reason] += 1


class Breaker:
    """Judges each topic by its latest records, before anything of them is handed on.

    Args:
        share: WORKER_BREAKER_SHARE: the rejected share at which it trips; 0 never does.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._topics: dict[str, _Seen] = {}

    def probation(self, topic: str) -> None:
        """A worker stopped at this topic and nothing was stored since: the next records decide.

        However few they are: else each start would collect the few that come in before the
        topic can be judged.
        """
        self._topics.setdefault(topic, _Seen()).probation = True

    def suspects(self, topic: str) -> bool:
        """Whether so far nearly all of `topic` is rejected, and it is too little to judge by."""
        seen = self._topics.get(topic)
        return seen is not None and len(seen.latest) < LEAST and self._over(seen)

    def judge(self, decoded: Mapping[TopicPartition, Sequence[Item]]) -> None:
        """Looks at what one poll brought.

        Raises:
            BreakerTrippedError: Nearly all of a topic's latest records are rejected.
        """
        if not self._share:
            return
        for place, items in decoded.items():
            seen = self._topics.setdefault(place.topic, _Seen())
            for item in items:
                seen.add(item.decoded.reason if isinstance(item.decoded, Rejection) else None)
        for topic in sorted({place.topic for place in decoded}):
            self._judge(topic, self._topics[topic])

    def _judge(self, topic: str, seen: _Seen) -> None:
        count, rejected = len(seen.latest), seen.reasons.total()
        if not count or (count < LEAST and not seen.probation):
            return
        if self._over(seen):
            [(reason, _)] = seen.reasons.most_common(1)
            again = " It is the topic that stopped a worker before." if seen.probation else ""
            raise BreakerTrippedError(
                f"Topic {topic}: {rejected} of the last {count} records are no posts (mostly "
                f"`{reason}`), so this may be the wrong topic. Nothing of this batch was stored."
                f"{again} Mend WORKER_TOPICS or the producer; or pass over the records with "
                "`emotion-worker offsets set`; or set WORKER_BREAKER_SHARE=0 to make dead letters "
                "of them all.",
                topic,
            )
        seen.probation = False

    def _over(self, seen: _Seen) -> bool:
        rejected = seen.reasons.total()
        return self._share > 0 and rejected > 0 and rejected >= self._share * len(seen.latest)
