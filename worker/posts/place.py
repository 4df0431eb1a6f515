"""Partitions, and stretches of them: where records lie, as positions and batches speak of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from worker.posts.model import RecordRef


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """A partition of one log. The topic's id is part of it: a recreated topic is another log."""

    topic: str
    topic_id: UUID
    number: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.number}"


def partition_of(ref: RecordRef) -> Partition:
    """The partition that a record lies in."""
    return Partition(ref.topic, ref.topic_id, ref.partition)


@dataclass(frozen=True, slots=True)
class Span:
    """The stretch of a partition's log that a micro-batch covers.

    Attributes:
        partition: The partition.
        epoch: The claim under which it was read.
        start: The stored position that the batch expects: the end of the one before. Not the
            first record's offset, for logs have gaps.
        end: The position after it.
        watermark: Event time that the span's records reached, less the allowed lateness; None
            if they say nothing of time.
    """

    partition: Partition
    epoch: int
    start: int
    end: int
    watermark: datetime | None
