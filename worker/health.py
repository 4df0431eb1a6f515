"""Whether the worker works: what has stopped moving, and what it still waits for."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from threading import Event

    from worker.source import TopicPartition

    Clock = Callable[[], float]

Dependency = Literal["broker", "database"]

WAIT_S: Final = 0.5
"""Between two beats of a thread that waits: below the shortest WORKER_STALL_SECONDS."""


class Pulse:
    """A sign of life: `beat` says that a thread goes round, `age_s` how long ago it last did.

    Args:
        clock: Seconds, monotonic.
    """

    __slots__ = ("_at", "_clock")

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._at = clock()

    def beat(self) -> None:
        """The thread goes round. One assignment: cheap enough for every turn."""
        self._at = self._clock()

    def wait(self, event: Event, seconds: float) -> bool:
        """Waits on purpose, as for a service that is away: beats meanwhile, as often as it takes.

        Returns:
            Whether `event` was set before the time was up.
        """
        until = self._clock() + seconds
        while (left := until - self._clock()) > 0:
            self.beat()
            if event.wait(min(left, WAIT_S)):
                return True
        self.beat()
        return event.is_set()

    def age_s(self) -> float:
        """Seconds since the last beat, or since it was made."""
        return self._clock() - self._at


@dataclass(frozen=True, slots=True)
class Stall:
    """Something that has not moved for longer than it may.

    Attributes:
        what: A stage's name, or `partition`: the metric's label.
        where: The same, with the partition's name: tells one stall from another.
        reason: One sentence for a person.
    """

    what: str
    where: str
    reason: str


class Health:
    """What the stages say of themselves, for `/livez`, `/readyz` and the watchdog. Thread-safe.

    Not live means that a restart would help: a thread or a partition stands still. A database or
    a broker that is away is no reason, for a restarted worker would wait for it just the same; it
    is a reason not to be ready.

    Args:
        stall_s: What has not moved for longer counts as stalled.
        clock: Seconds, monotonic.
    """

    def __init__(self, stall_s: float, clock: Clock = time.monotonic) -> None:
        self._stall_s = stall_s
        self._clock = clock
        self._lock = Lock()
        self._pulses: dict[str, Pulse] = {}
        self._lost: dict[TopicPartition, str] = {}
        self._down: dict[Dependency, str | None] = {}
        self._joined = False
        self._unjoined = "yet"
        self._unclaimed: tuple[TopicPartition, ...] = ()
        self._stopping = False

    # What the stages say

    def pulse(self, stage: str) -> Pulse:
        """A stage's pulse, made and counted from now; the stage beats it at every turn."""
        made = Pulse(self._clock)
        with self._lock:
            self._pulses[stage] = made
        return made

    def beat(self, stage: str) -> None:
        """A sign of life of a stage, from within a long call of it; nothing where it is not on."""
        with self._lock:
            pulse = self._pulses.get(stage)
        if pulse is not None:
            pulse.beat()

    def ended(self, stage: str) -> None:
        """A stage came to its proper end: it need not beat any longer."""
        with self._lock:
            self._pulses.pop(stage, None)

    def stopping(self) -> None:
        """The worker was told to stop: it takes no more partitions on."""
        with self._lock:
            self._stopping = True
            self._lost = {}

    def up(self, dependency: Dependency) -> None:
        """It answers."""
        with self._lock:
            self._down[dependency] = None

    def down(self, dependency: Dependency, why: str) -> None:
        """It does not; `why` is for people and holds no secret."""
        with self._lock:
            self._down[dependency] = why

    def assigned(
        self, places: Collection[TopicPartition], claimed: Collection[TopicPartition]
    ) -> None:
        """What the group has assigned to us since we joined it, and what of that is being read.

        It may be nothing: a group may have more workers than partitions.
        """
        with self._lock:
            self._joined, self._unjoined = True, "any more"
            self._unclaimed = tuple(sorted(set(places) - set(claimed)))

    def left(self) -> None:
        """The group does not count us among its members yet, or any more."""
        with self._lock:
            self._joined = False

    def lost(self, partitions: Mapping[TopicPartition, str]) -> None:
        """The partitions that stand still whatever was tried, each with why; empty: none."""
        with self._lock:
            self._lost = {} if self._stopping else dict(partitions)

    # What others ask

    def stalls(self) -> tuple[Stall, ...]:
        """All that stands still."""
        with self._lock:
            found = [
                Stall(stage, stage, f"the {stage} stage has not moved for {age:.0f} s")
                for stage, pulse in self._pulses.items()
                if (age := pulse.age_s()) > self._stall_s
            ]
            for place, why in sorted(self._lost.items()):
                name = f"{place.topic}/{place.number}"
                found.append(Stall("partition", name, f"{name} {why}"))
            return tuple(found)

    def live(self) -> list[str]:
        """Why the worker should be restarted; nothing where it should not."""
        return [stall.reason for stall in self.stalls()]

    def ready(self) -> list[str]:
        """Why the worker does not do its work yet, or no longer; nothing where it does."""
        reasons = self.live()
        with self._lock:
            if self._stopping:
                reasons.append("the worker is stopping")
            elif not self._joined:
                reasons.append(f"the consumer group is not joined {self._unjoined}")
            elif self._unclaimed:
                names = ", ".join(f"{place.topic}/{place.number}" for place in self._unclaimed)
                reasons.append(f"assigned but not claimed yet: {names}")
            if "database" not in self._down:
                reasons.append("the database has not answered yet")
            reasons += [
                f"the {dependency} is away: {' '.join(why.split())}"
                for dependency, why in self._down.items()
                if why is not None
            ]
        return reasons

    def stages(self) -> dict[str, bool]:
        """Whether each stage that should move does."""
        with self._lock:
            return {stage: pulse.age_s() <= self._stall_s for stage, pulse in self._pulses.items()}

    def dependencies(self) -> dict[str, bool]:
        """Whether each dependency answers, as far as it was asked."""
        with self._lock:
            return {dependency: why is None for dependency, why in self._down.items()}


def stacks() -> str:
    """Where every thread stands: files, lines and functions, as a traceback shows them.

    Without local variables: they hold texts, authors and secrets.
    """
    frames = sys._current_frames()  # noqa: SLF001 - documented, for this purpose
    parts = []
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        if frame is not None:
            lines = "".join(traceback.StackSummary.extract(traceback.walk_stack(frame)).format())
            parts.append(f"{thread.name}:\n{lines}")
    return "\n".join(parts)
