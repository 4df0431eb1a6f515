"""The partitions that are being read: how far each was read, stored, and said to Kafka."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from worker.source import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.posts.place import Span
    from worker.source.assignment import Assignment
    from worker.store.interface import Claim


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


class Readings:
    """What is being read now. The poll stage's, on its thread.

    Args:
        assignment: What is ours.
    """

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._readings: dict[TopicPartition, Reading] = {}
        self._unmirrored: dict[TopicPartition, int] = {}

    def __contains__(self, place: TopicPartition) -> bool:
        return place in self._readings

    def __getitem__(self, place: TopicPartition) -> Reading:
        return self._readings[place]

    def places(self) -> list[TopicPartition]:
        """All of them, ours still or not."""
        return list(self._readings)

    def all(self) -> dict[TopicPartition, Reading]:
        """All of them, ours still or not."""
        return dict(self._readings)

    def of(self, place: TopicPartition) -> Reading | None:
        """The reading of `place`; None if there is none, or it is no longer ours."""
        reading = self._readings.get(place)
        if reading is None or not self._assignment.holds(place, reading.claim.epoch):
            return None
        return reading

    def revoked(self) -> Iterator[TopicPartition]:
        """Those that are no longer ours; `drop` them."""
        return (place for place in self.places() if self.of(place) is None)

    def begin(self, place: TopicPartition, claim: Claim, offset: int) -> None:
        """A claimed partition is read from `offset` on."""
        self._readings[place] = Reading(claim, offset, offset)
        self._unmirrored[place] = offset

    def drop(self, place: TopicPartition) -> Reading | None:
        """Ends a reading, and returns it if there was one."""
        self._unmirrored.pop(place, None)
        return self._readings.pop(place, None)

    def advance(self, place: TopicPartition, end: int) -> None:
        """What lies before `end` was handed on."""
        self._readings[place] = replace(self._readings[place], next_offset=end)

    def confirm(self, span: Span) -> bool:
        """The store has confirmed `span`; False if that is of no reading of now."""
        place = TopicPartition.of(span.partition)
        reading = self._readings.get(place)
        if reading is None or reading.claim.epoch != span.epoch:
            return False
        self._readings[place] = replace(reading, stored=span.end)
        self._unmirrored[place] = span.end
        return True

    def idle(self) -> dict[TopicPartition, Reading]:
        """Those of which all that was read is stored."""
        return {
            place: reading
            for place, reading in self._readings.items()
            if reading.stored == reading.next_offset
        }

    def mirror_again(self, idle: dict[TopicPartition, Reading]) -> None:
        """Best effort, so again: the last commit may have failed, and no record may come."""
        self._unmirrored |= {place: reading.stored for place, reading in idle.items()}

    def take_unmirrored(self) -> dict[TopicPartition, int]:
        """The stored positions that Kafka has not been told of; each is returned once."""
        unmirrored, self._unmirrored = self._unmirrored, {}
        return unmirrored
