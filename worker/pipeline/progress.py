"""Partitions that silently stop: noticed, mended, and at last a reason to start the worker again.

A consumer that goes on polling and gets nothing more of a partition, as after a rebalance, looks
healthy from everywhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from worker.errors import SourceUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from worker.source import TopicPartition

CHANCES: Final = 3
"""Empty polls after which a partition with records before it is suspected: the first one after a
pause may be too early."""
OVERTAKEN: Final = 20
"""Polls of each other partition that stand for an empty one: a client hands one fetch's records on
in several polls, and goes through its fetches in turn."""


class Cure(Enum):
    """What is to be done for a partition that stands still, each a step further than the last."""

    SEEK = "its position is sought again"
    CLAIM = "it is claimed again"
    NONE = "nothing has helped: the worker should be started again"


@dataclass(frozen=True, slots=True)
class Stuck:
    """A partition that stands still.

    Attributes:
        place: Which.
        still_s: For how many seconds since it moved or the last cure, as far as it was watched.
        cure: What to do now.
        first: Whether this is the first cure since it moved.
    """

    place: TopicPartition
    still_s: float
    cure: Cure
    first: bool


@dataclass(slots=True)
class _Watched:
    """Since it last moved, was at its end, or was cured.

    Attributes:
        offset: Up to which it was read; None before that is known.
        reading: Whether it is being read.
        behind: Whether there were records before it then.
        chances: Those that there had been then.
        still_s: Seconds that were watched.
        cured: The last cure since it moved, if there was one.
    """

    offset: int | None
    reading: bool
    chances: float
    behind: bool = False
    still_s: float = 0.0
    cured: Cure | None = None

    def begin(self, chances: float) -> None:
        """From now on."""
        self.still_s, self.chances = 0.0, chances


class Progress:
    """Watches every assigned partition. Used from the poll stage's thread.

    One that is not being read within `stall_s` is claimed again. One that is read, has records
    before it and does not move for half of `stall_s` is sought to its position again, and claimed
    again after another half. One that still does not move after as long again is `lost`, until it
    moves.

    Only what was watched counts: not the time while the worker was frozen or the broker away, nor
    that while the queues were full and nothing could come.

    Args:
        stall_s: WORKER_STALL_SECONDS.
        clock: Seconds, monotonic.
    """

    def __init__(self, stall_s: float, clock: Callable[[], float]) -> None:
        self._stall_s = stall_s
        self._clock = clock
        self._last = clock()
        self._chances = 0.0
        self._watched: dict[TopicPartition, _Watched] = {}

    @property
    def every_s(self) -> float:
        """How often to look, seconds."""
        return self._stall_s / 4

    @property
    def lost(self) -> frozenset[TopicPartition]:
        """Those that nothing has mended."""
        return frozenset(p for p, watched in self._watched.items() if watched.cured is Cure.NONE)

    def polled(self, partitions: int, *, empty: bool) -> None:
        """Takes note of a poll for which no partition was held back.

        Args:
            partitions: How many are read.
            empty: Whether it brought nothing.
        """
        self._chances += 1.0 if empty else 1.0 / (OVERTAKEN * max(1, partitions))

    def look(
        self,
        assigned: Iterable[TopicPartition],
        reading: Mapping[TopicPartition, int],
        ends: Callable[[Sequence[TopicPartition]], Mapping[TopicPartition, int]],
    ) -> list[Stuck]:
        """Says which partitions stand still and need something done now.

        Args:
            assigned: All that are ours and have no good reason to stand still.
            reading: Up to which offset those were read that are being read.
            ends: Asks the broker for end offsets, of those that have not moved.

        Raises:
            SourceUnavailableError: From `ends`; all is watched anew from then on.
        """
        now = self._clock()
        # A look that is late by far tells of a stand-still of ours, not of the partition's.
        passed, self._last = min(now - self._last, 1.5 * self.every_s), now
        before, self._watched = self._watched, {}
        for place in assigned:
            self._watched[place] = self._after(before.get(place), reading.get(place), passed)
        resting = [place for place in reading if self._rests(place)]
        try:
            found = ends(resting) if resting else {}
        except SourceUnavailableError:
            for watched in self._watched.values():
                watched.begin(self._chances)
            raise
        for place in resting:
            watched = self._watched[place]
            behind = found.get(place, 0) > reading[place]
            if not behind:
                watched.cured = None
            if not (behind and watched.behind):
                watched.begin(self._chances)
            watched.behind = behind
        return [stuck for place in self._watched if (stuck := self._cure(place)) is not None]

    def _rests(self, place: TopicPartition) -> bool:
        watched = self._watched.get(place)
        return watched is not None and watched.reading and watched.still_s > 0

    def _cure(self, place: TopicPartition) -> Stuck | None:
        watched = self._watched[place]
        if watched.reading:
            enough = self._chances - watched.chances >= CHANCES
            due = watched.behind and enough and watched.still_s >= self._stall_s / 2
        else:
            due = watched.still_s >= self._stall_s
        if not due or watched.cured is Cure.NONE:
            return None
        stuck = Stuck(place, watched.still_s, _next(watched), first=watched.cured is None)
        watched.cured = stuck.cure
        watched.begin(self._chances)
        return stuck

    def _after(self, before: _Watched | None, offset: int | None, passed: float) -> _Watched:
        reading = offset is not None
        if before is None or (reading and before.offset not in {None, offset}):
            return _Watched(offset, reading, self._chances)
        if before.reading != reading:
            # What was done about it is remembered: to begin is not to move yet.
            return _Watched(
                before.offset if offset is None else offset,
                reading,
                self._chances,
                cured=before.cured,
            )
        before.still_s += passed
        return before


def _next(watched: _Watched) -> Cure:
    if watched.cured is None and watched.reading:
        return Cure.SEEK
    return Cure.NONE if watched.cured is Cure.CLAIM else Cure.CLAIM
