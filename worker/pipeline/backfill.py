"""What a replay asks of the pipeline: a stretch of each log, a generation, and a pace."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from worker.errors import WorkerError
from worker.source import Polled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from worker.posts import Record
    from worker.posts.place import Partition
    from worker.store.interface import ReplayTurn

BURST_S: Final = 0.5
"""Of its rate, what a replay may take at once: batches stay large, and pauses short."""


@dataclass(frozen=True, slots=True)
class Window:
    """What of the logs a replay reads. The record's own timestamp decides, not its place.

    Attributes:
        ends: Where each partition ends.
        since_ms: The first timestamp, epoch milliseconds; None: any.
        until_ms: The first that is too late; None: any.
    """

    ends: Mapping[Partition, int]
    since_ms: int | None = None
    until_ms: int | None = None

    def holds(self, record: Record) -> bool:
        """Whether the record is to be labelled; where times are asked for, one without is not."""
        since, until, time_ms = self.since_ms, self.until_ms, record.timestamp_ms
        if since is None and until is None:
            return True
        return (
            time_ms >= 0
            and (since is None or time_ms >= since)
            and (until is None or time_ms < until)
        )

    def cut(self, partition: Partition, polled: Polled) -> Polled:
        """What of a poll lies within; its `end` goes no further than the replay does."""
        end = self.end(partition)
        kept = [one for one in polled.records if one.ref.offset < end and self.holds(one)]
        return Polled(kept, min(polled.end, end))

    def end(self, partition: Partition) -> int:
        """Where the partition ends; of one that came later nothing is read.

        Raises:
            WorkerError: It is of another log than the one that was to be read.
        """
        end = self.ends.get(partition)
        if end is not None:
            return end
        if any(one.topic == partition.topic for one in self.ends) and not any(
            one.topic_id == partition.topic_id for one in self.ends
        ):
            raise WorkerError(
                f"The topic {partition.topic} was made anew since this replay began: what it was "
                "to read is gone. What it has stored stands. Begin another replay, with another "
                "--name."
            )
        return 0


@dataclass(slots=True)
class Pace:
    """How fast a replay may go: so many posts a second, and not while others need the room.

    Attributes:
        rate: Posts per second; None: as fast as it can.
        yields: Whether it is to wait for the live stream now.
        clock: Seconds, monotonic.
    """

    rate: float | None = None
    yields: Callable[[], bool] = lambda: False
    clock: Callable[[], float] = time.monotonic
    _debt: float = field(default=0.0, init=False)
    _at: float | None = field(default=None, init=False)

    def took(self, posts: int) -> None:
        """So many posts were read."""
        if self.rate is not None:
            self._debt = self._owed() + posts

    def waits(self) -> bool:
        """Whether nothing more is to be read for now."""
        if self.yields():
            return True
        return self.rate is not None and self._owed() > self.rate * BURST_S

    def _owed(self) -> float:
        """Posts that were read before their time."""
        assert self.rate is not None
        now = self.clock()
        if self._at is not None:
            self._debt = max(0.0, self._debt - (now - self._at) * self.rate)
        self._at = now
        return self._debt


@dataclass(frozen=True, slots=True)
class Backfill:
    """What tells a replay's run from the live stream's.

    Attributes:
        window: What it reads.
        replay: Which replay it is, as it was when this process began.
        generation: Of the labels that it writes.
        shadow: Whether they are its own; else they go where all do.
        pace: How fast it may go.
    """

    window: Window
    replay: ReplayTurn
    generation: int = 0
    shadow: bool = False
    pace: Pace = field(default_factory=Pace)
