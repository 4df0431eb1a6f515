"""Which partitions are not fetched for now, and why: two reasons that must not undo each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from worker.pipeline.readings import Readings
    from worker.source import Source, TopicPartition


class Holds:
    """Holds all partitions while the queues are full, and some while their topic is suspected.

    The poll stage's, on its thread. Where the source raises, call again: nothing is noted before
    it is done.

    Args:
        source: The group member.
        readings: What is read.
    """

    def __init__(self, source: Source, readings: Readings) -> None:
        self._source = source
        self._readings = readings
        self._full = False
        self._some: set[TopicPartition] = set()

    @property
    def full(self) -> bool:
        """Whether all are held."""
        return self._full

    @property
    def some(self) -> frozenset[TopicPartition]:
        """Those held for themselves."""
        return frozenset(self._some)

    def all(self, full: bool) -> None:
        """Holds all, or resumes them, less those held for themselves."""
        if full == self._full:
            return
        places = self._readings.places()
        if full:
            self._source.hold(places)
        else:
            self._source.resume([place for place in places if place not in self._some])
        self._full = full

    def only(self, places: AbstractSet[TopicPartition]) -> None:
        """Holds these for themselves, and no others."""
        if more := places - self._some:
            self._source.hold(more)
            self._some |= more
        if over := self._some - places:
            if not self._full:
                self._source.resume([place for place in over if place in self._readings])
            self._some -= over

    def started(self, place: TopicPartition) -> None:
        """A reading began: the source fetches it, whatever was held."""
        self._some.discard(place)
        if self._full:
            self._source.hold([place])
