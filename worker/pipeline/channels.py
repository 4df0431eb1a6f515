"""The queues between the stages, and the word to stop."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from queue import Queue, SimpleQueue
from threading import Condition, Event
from typing import TYPE_CHECKING, Final

from worker.health import Health
from worker.metrics import Metrics
from worker.pipeline.messages import Ask, Beat

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.batching import MicroBatch
    from worker.pipeline.messages import Reply, Request
    from worker.store.interface import LabelledBatch

STALL_S: Final = 60.0
"""WORKER_STALL_SECONDS, where nothing else is said."""
WAITING_BATCHES: Final = 2
"""Before each stage: one to go on with, one so that a slow turn elsewhere does not starve it."""


class StoreInbox:
    """What the store thread has to do: requests, few, which go first; batches, bounded.

    A claim must not wait behind batches of other partitions; batches keep their order.
    """

    def __init__(self, bound: int = WAITING_BATCHES) -> None:
        self._bound = bound
        self._requests: deque[Request] = deque()
        self._batches: deque[LabelledBatch] = deque()
        self._changed = Condition()

    def ask(self, request: Request) -> None:
        """Adds a request; never waits. Of heartbeats and questions only the newest is kept.

        They come by the clock: while the database is away they would pile up.
        """
        with self._changed:
            if isinstance(request, Ask | Beat):
                self._requests = deque(
                    waiting for waiting in self._requests if type(waiting) is not type(request)
                )
            self._requests.append(request)
            self._changed.notify_all()

    def put(self, batch: LabelledBatch, timeout_s: float) -> bool:
        """Adds a batch once there is room; False if there was none in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._batches) < self._bound, timeout_s):
                return False
            self._batches.append(batch)
            self._changed.notify_all()
            return True

    def take(self, timeout_s: float) -> Request | LabelledBatch | None:
        """The next thing to do; None if nothing came in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._requests or self._batches, timeout_s):
                return None
            if self._requests:
                return self._requests.popleft()
            batch = self._batches.popleft()
            self._changed.notify_all()
            return batch

    def __len__(self) -> int:
        with self._changed:
            return len(self._requests) + len(self._batches)


@dataclass(frozen=True, slots=True)
class Channels:
    """All that the stages share.

    Attributes:
        batches: Poll to classify, bounded.
        inbox: Poll and classify to store.
        replies: Store to poll.
        stopping: Set once no new records are to be read.
        classified: Set once the classify stage is through with all that was read.
        abandoned: Set once nothing more is to be finished either: what is in the queues is dropped.
        failed: What a stage's thread died of.
        metrics: What is counted.
        health: What is alive, and what is waited for.
    """

    batches: Queue[MicroBatch | None] = field(default_factory=lambda: Queue(WAITING_BATCHES))
    inbox: StoreInbox = field(default_factory=StoreInbox)
    replies: SimpleQueue[Reply] = field(default_factory=SimpleQueue)
    stopping: Event = field(default_factory=Event)
    classified: Event = field(default_factory=Event)
    abandoned: Event = field(default_factory=Event)
    failed: deque[BaseException] = field(default_factory=deque)
    metrics: Metrics = field(default_factory=Metrics)
    health: Health = field(default_factory=lambda: Health(STALL_S))


class Backoff:
    """Waits that double from `first_s` up to `most_s`, and begin anew after a success."""

    def __init__(self, first_s: float, most_s: float) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._next_s = first_s

    def next_s(self) -> float:
        """Seconds to wait this time."""
        wait, self._next_s = self._next_s, min(self._most_s, self._next_s * 2)
        return wait

    def reset(self) -> None:
        """After a success."""
        self._next_s = self._first_s


class Every:
    """Says when something that is done every `seconds` is due; `clock` is monotonic."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._next = clock()

    def due(self) -> bool:
        """Whether it is time; if so, the next time is `seconds` from now."""
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True

    def soon(self) -> None:
        """It could not be done: it is due at once."""
        self._next = self._clock()
