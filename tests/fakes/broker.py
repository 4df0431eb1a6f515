"""A broker in memory: logs that grow, have gaps, are cut, and are made anew."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from tests.fakes.clock import START
from worker.posts import Record, RecordRef
from worker.posts.place import Partition
from worker.source import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Mapping

TOPIC: Final = "posts"


@dataclass
class Log:
    """A partition's log; offsets without a record are gaps or markers."""

    topic_id: UUID
    first: int = 0
    end: int = 0
    records: dict[int, Record] = field(default_factory=dict)


class MemoryBroker:
    """What the members of one group share.

    Attributes:
        logs: By place.
        commits: The group's, by place.
    """

    def __init__(self) -> None:
        self.logs: dict[TopicPartition, Log] = {}
        self.commits: dict[TopicPartition, int] = {}

    def make(self, partitions: int, topic_id: int = 1, topic: str = TOPIC) -> list[TopicPartition]:
        """Makes a topic, anew if it is there; returns its partitions."""
        places = [TopicPartition(topic, number) for number in range(partitions)]
        self.logs = {place: log for place, log in self.logs.items() if place.topic != topic}
        self.logs |= {place: Log(UUID(int=topic_id)) for place in places}
        return places

    def append(self, place: TopicPartition, count: int = 1, text: str = "what a day") -> None:
        """Posts, each with an id of its own and a minute after the one before."""
        for offset in range(self.logs[place].end, self.logs[place].end + count):
            created = START + timedelta(minutes=offset)
            post = {
                "id": f"{place.number}-{offset}",
                "text": f"{text} {offset}",
                "created_at": created.isoformat(),
            }
            self.put(place, post, timestamp_ms=int(created.timestamp() * 1_000))

    def put(
        self,
        place: TopicPartition,
        value: Mapping[str, object] | bytes | None,
        *,
        key: bytes | None = None,
        timestamp_ms: int = int(START.timestamp() * 1_000),
    ) -> Record:
        """One record; a mapping is written as JSON."""
        log = self.logs[place]
        raw = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
        ref = RecordRef(place.topic, log.topic_id, place.number, log.end)
        record = log.records[log.end] = Record(ref, timestamp_ms, key, raw)
        log.end += 1
        return record

    def skip(self, place: TopicPartition, count: int) -> None:
        """Offsets without a record: transaction markers, what was aborted, compacted gaps."""
        self.logs[place].end += count

    def compact(self, place: TopicPartition, offset: int) -> None:
        """Takes one record away; its offset stays."""
        self.logs[place].records.pop(offset, None)

    def cut(self, place: TopicPartition, first: int) -> None:
        """Retention."""
        log = self.logs[place]
        log.first = first
        log.records = {o: record for o, record in log.records.items() if o >= first}

    def lose_the_tail(self, place: TopicPartition, end: int) -> None:
        """What a new leader did not have."""
        log = self.logs[place]
        log.end = end
        log.records = {o: record for o, record in log.records.items() if o < end}

    def partition_at(self, place: TopicPartition) -> Partition:
        """The partition as it is now, with its log's id."""
        return Partition(place.topic, self.logs[place].topic_id, place.number)
