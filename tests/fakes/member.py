"""A worker whose three stages are turned by hand, on one thread, between ends in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.fakes.broker import TOPIC
from tests.fakes.classifier import PoisonedClassifier
from tests.fakes.source import MemorySource
from tests.fakes.store import GROUP, MemoryStore
from worker.batching import Batcher, Limits
from worker.pipeline.channels import WAITING_BATCHES, Backoff, Channels
from worker.pipeline.classify import ClassifyStage
from worker.pipeline.poll import PollStage
from worker.pipeline.store import StoreStage
from worker.source.assignment import Assignment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.fakes.broker import MemoryBroker
    from tests.fakes.clock import ManualClock
    from tests.fakes.store import Tables
    from worker.pipeline.starts import Reset
    from worker.posts.place import Partition

LATENESS_S: Final = 60.0


class Member:
    """All three stages of one worker.

    Args:
        broker: Its logs.
        tables: Its database.
        clock: Moved by the test.
        owner: What its claims say.
        reset: WORKER_AUTO_OFFSET_RESET.
        adopt: WORKER_ADOPT_COMMITTED.
        posts: Of a micro-batch.
        linger_s: Of a micro-batch.
        targets: Of `--drain`.
        breaker_share: WORKER_BREAKER_SHARE.
        store: Another session than one of `MemoryStore` on `tables`.
    """

    def __init__(
        self,
        broker: MemoryBroker,
        tables: Tables,
        clock: ManualClock,
        *,
        owner: str = "us",
        reset: Reset = "earliest",
        adopt: bool = False,
        posts: int = 3,
        linger_s: float = 0.0,
        targets: Mapping[Partition, int] | None = None,
        breaker_share: float = 0.0,
        store: MemoryStore | None = None,
    ) -> None:
        self.clock = clock
        self.owner = owner
        self.assignment = Assignment()
        self.channels = Channels()
        self.source = MemorySource(self.assignment, broker)
        self.store = MemoryStore(tables, wall=clock.wall) if store is None else store
        self.classifier = PoisonedClassifier()
        self.poll = PollStage(
            self.source,
            self.assignment,
            Batcher(Limits(1_000_000, posts, linger_s), LATENESS_S, clock),
            self.channels,
            reset=reset,
            adopt=adopt,
            lateness_s=LATENESS_S,
            targets=targets,
            breaker_share=breaker_share,
            wall=clock.wall,
            clock=clock,
        )
        self.classifying = ClassifyStage(self.classifier, 1, self.assignment, self.channels)
        self.storing = StoreStage(
            self.store,
            group=GROUP,
            topics=[TOPIC],
            owner=owner,
            assignment=self.assignment,
            channels=self.channels,
            clock=clock,
        )
        self.storing._backoff = Backoff(0.0, 0.0)

    def classify(self) -> None:
        """A turn of the classify stage, if it need not wait for anything."""
        if not self.channels.batches.empty() and len(self.channels.inbox) < WAITING_BATCHES:
            self.classifying.turn(0)

    def work(self) -> None:
        """What the other two threads do until nothing is left."""
        while True:
            while self.storing.turn(0):
                pass
            if self.channels.batches.empty():
                return
            self.classifying.turn(0)

    def turns(self, count: int = 5, seconds: float = 0.1) -> None:
        """Rounds of all three stages, `seconds` after each other."""
        for _ in range(count):
            self.poll.turn()
            self.work()
            self.clock.now += seconds
