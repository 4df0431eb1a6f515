"""The pipeline with both ends in memory: a log with its group, a ledger, and one thread."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from worker.batching import Batcher, Limits
from worker.classifier.stub import StubClassifier
from worker.errors import (
    ClaimBusyError,
    ClassifierError,
    OutOfLogError,
    SourceUnavailableError,
    StoreUnavailableError,
)
from worker.pipeline.channels import Backoff, Channels
from worker.pipeline.classify import ClassifyStage
from worker.pipeline.poll import PollStage
from worker.pipeline.store import StoreStage
from worker.posts import Record, RecordRef, Rejection
from worker.posts.place import Partition, partition_of
from worker.source import Polled, TopicPartition
from worker.source.assignment import Assignment
from worker.store.interface import Claim, Entry, LabelledBatch, Position, Written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from worker.classifier import Text
    from worker.pipeline.starts import Reset
    from worker.posts import Label, Unlabelled
    from worker.posts.place import Span

TOPIC = "posts"
GROUP = "group"
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LATENESS_S = 60.0


@dataclass
class Log:
    """A partition's log; offsets without a record are gaps or markers."""

    topic_id: UUID
    first: int = 0
    end: int = 0
    records: dict[int, Record] = field(default_factory=dict)


class MemorySource:
    """Implements `worker.source.Source` and lets a test be the broker.

    Attributes:
        logs: By place.
        positions: Of the assigned places: the next offset to fetch.
        held: Those that are not fetched.
        commits: The group's commits.
        away: How many more calls of a method fail, by its name.
        unknown: Topics that the client has not heard of yet.
        records_a_poll: Of each partition.
        markers_at_once: Whether a poll's `end` covers the gap behind its last record.
        waits: How long each poll would have waited for records, seconds.
        resumed: What was told to resume, newest last.
        said_end: What a broker wrongly says of ends, by place.
    """

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self.logs: dict[TopicPartition, Log] = {}
        self.positions: dict[TopicPartition, int] = {}
        self.held: set[TopicPartition] = set()
        self.commits: dict[TopicPartition, int] = {}
        self.away: Counter[str] = Counter()
        self.unknown: set[str] = set()
        self.records_a_poll = 100
        self.markers_at_once = False
        self.waits: list[float] = []
        self.resumed: list[TopicPartition] = []
        self.said_end: dict[TopicPartition, int] = {}

    # The broker's side

    def make(self, partitions: int, topic_id: int = 1) -> list[TopicPartition]:
        places = [TopicPartition(TOPIC, number) for number in range(partitions)]
        self.logs = {place: Log(UUID(int=topic_id)) for place in places}
        return places

    def append(self, place: TopicPartition, count: int = 1, text: str = "what a day") -> None:
        """Posts, each with an id of its own and a minute after the one before."""
        log = self.logs[place]
        for offset in range(log.end, log.end + count):
            created = START + timedelta(minutes=offset)
            post = {
                "id": f"{place.number}-{offset}",
                "text": f"{text} {offset}",
                "created_at": created.isoformat(),
            }
            log.records[offset] = Record(
                RecordRef(place.topic, log.topic_id, place.number, offset),
                int(created.timestamp() * 1_000),
                None,
                json.dumps(post).encode(),
            )
        log.end += count

    def skip(self, place: TopicPartition, count: int) -> None:
        """Offsets without a record: transaction markers, compacted gaps."""
        self.logs[place].end += count

    def cut(self, place: TopicPartition, first: int) -> None:
        """Retention."""
        log = self.logs[place]
        log.first = first
        log.records = {o: record for o, record in log.records.items() if o >= first}

    def assign(self, places: Iterable[TopicPartition]) -> None:
        places = list(places)
        for place in places:
            self.positions[place] = 0
            self.held.add(place)
        self._assignment.assigned(places)

    def revoke(self, places: Iterable[TopicPartition]) -> None:
        places = list(places)
        for place in places:
            self.positions.pop(place, None)
            self.held.discard(place)
        self._assignment.revoked(places)

    def partition_at(self, place: TopicPartition) -> Partition:
        return Partition(place.topic, self.logs[place].topic_id, place.number)

    # The client's side

    def _reach(self, what: str) -> None:
        if self.away[what]:
            self.away[what] -= 1
            raise SourceUnavailableError(f"the broker does not answer: {what}")

    def partition(self, place: TopicPartition) -> tuple[Partition, int] | None:
        if place.topic in self.unknown:
            return None
        return self.partition_at(place), len(self.logs)

    def poll(self, timeout_s: float) -> Mapping[TopicPartition, Polled]:
        assert 0 <= timeout_s < 1, "a member that does not poll is put out of the group"
        self._reach("poll")
        self.waits.append(timeout_s)
        answer = {}
        for place in sorted(self.positions.keys() - self.held):
            log, position = self.logs[place], self.positions[place]
            if not log.first <= position <= log.end:
                raise OutOfLogError(f"{place} has no offset {position}")
            offsets = [o for o in sorted(log.records) if o >= position][: self.records_a_poll]
            if not offsets:
                self.positions[place] = log.end
                continue
            end = offsets[-1] + 1
            if self.markers_at_once:
                end = min((o for o in log.records if o >= end), default=log.end)
            self.positions[place] = end
            answer[place] = Polled([log.records[o] for o in offsets], end)
        return answer

    def hold(self, places: Iterable[TopicPartition]) -> None:
        self.held |= set(places) & self.positions.keys()

    def resume(self, places: Iterable[TopicPartition]) -> None:
        places = list(places)
        self.resumed += places
        self.held -= set(places)

    def start(self, place: TopicPartition, offset: int) -> bool:
        if place not in self.positions:
            return False
        self.positions[place] = offset
        self.held.discard(place)
        return True

    def position(self, place: TopicPartition) -> int | None:
        return self.positions.get(place)

    def bounds(self, places: Sequence[TopicPartition]) -> Mapping[TopicPartition, tuple[int, int]]:
        self._reach("bounds")
        ends = self.ends(places)
        return {place: (self.logs[place].first, ends[place]) for place in places}

    def ends(self, places: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        self._reach("ends")
        return {place: self.said_end.get(place, self.logs[place].end) for place in places}

    def ends_by_reading(self, places: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        self._reach("ends_by_reading")
        return {place: self.logs[place].end for place in places}

    def committed(self, place: TopicPartition) -> int | None:
        self._reach("committed")
        return self.commits.get(place)

    def mirror(self, positions: Mapping[TopicPartition, int]) -> None:
        self.commits.update(positions)

    def close(self, timeout_s: float) -> None:
        self.revoke(list(self.positions))


@dataclass
class Row:
    """A position in the store."""

    epoch: int = 0
    owner: str | None = None
    next_offset: int | None = None
    watermark: datetime | None = None
    retired: bool = False


class MemoryStore:
    """Implements `worker.store.interface.Store`, with the fence of the design's section 3.5.

    Attributes:
        rows: The positions.
        stored: By partition, the offsets that were stored, in the order in which they were.
        entries: What was stored, in order.
        away: How many more calls find the database away.
        lost: How many more writes are committed without an answer.
        busy: How many more claims meet the old owner's transaction.
        claims: How many were made.
    """

    def __init__(self) -> None:
        self.rows: dict[Partition, Row] = {}
        self.stored: dict[Partition, list[int]] = {}
        self.entries: list[Entry] = []
        self.away = 0
        self.lost = 0
        self.busy = 0
        self.claims = 0

    def _reach(self) -> None:
        if self.away:
            self.away -= 1
            raise StoreUnavailableError("the database is away")

    def claim(self, partition: Partition, siblings: int, owner: str) -> Claim:
        self._reach()
        if self.busy:
            self.busy -= 1
            raise ClaimBusyError("the old owner's transaction still holds the row")
        self.claims += 1
        for number in range(siblings):
            self.rows.setdefault(Partition(partition.topic, partition.topic_id, number), Row())
        for other, row in self.rows.items():
            if other.topic == partition.topic and other.topic_id != partition.topic_id:
                row.retired, row.epoch = True, row.epoch + 1
        row = self.rows[partition]
        row.epoch, row.owner, row.retired = row.epoch + 1, owner, False
        return Claim(partition, row.epoch, row.next_offset)

    def settle(self, claim: Claim, offset: int) -> bool:
        self._reach()
        row = self.rows[claim.partition]
        if (row.epoch, row.next_offset) != (claim.epoch, claim.next_offset):
            return False
        row.next_offset = offset
        return True

    def write(self, batch: LabelledBatch) -> Written:
        self._reach()
        passed: dict[Partition, Span] = {}
        fenced: list[Span] = []
        repeated: list[Span] = []
        for span in batch.spans:
            row = self.rows.get(span.partition, Row())
            if row.epoch != span.epoch:
                fenced.append(span)
            elif row.next_offset == span.start:
                passed[span.partition] = span
            elif row.next_offset == span.end:
                repeated.append(span)
            else:
                fenced.append(span)
        for entry in batch.entries:
            partition = partition_of(entry.record.ref)
            if partition not in passed:
                continue
            assert passed[partition].start <= entry.record.ref.offset < passed[partition].end
            assert isinstance(entry.decoded, Rejection) or entry.label is not None
            self.stored.setdefault(partition, []).append(entry.record.ref.offset)
            self.entries.append(entry)
        for partition, span in passed.items():
            row = self.rows[partition]
            row.next_offset = span.end
            self._raise(row, span.watermark)
        if self.lost:
            self.lost -= 1
            raise StoreUnavailableError("the answer was lost")
        return Written({partition: {} for partition in passed}, tuple(fenced), tuple(repeated))

    def heartbeat(self, spans: Sequence[Span]) -> int:
        self._reach()
        raised = 0
        for span in spans:
            row = self.rows[span.partition]
            if (row.epoch, row.next_offset) == (span.epoch, span.end):
                self._raise(row, span.watermark)
                raised += 1
        return raised

    def positions(self, group: str, topics: Sequence[str]) -> list[Position]:
        self._reach()
        assert (group, list(topics)) == (GROUP, [TOPIC])
        return [
            Position(
                partition=partition,
                next_offset=row.next_offset,
                owner_epoch=row.epoch,
                owner_id=row.owner,
                watermark=row.watermark,
                updated_at=START,
                retired_at=START if row.retired else None,
                consumed=0,
                outcomes={},
            )
            for partition, row in self.rows.items()
        ]

    @staticmethod
    def _raise(row: Row, watermark: datetime | None) -> None:
        if watermark is not None and (row.watermark is None or watermark > row.watermark):
            row.watermark = watermark


class PoisonedClassifier(StubClassifier):
    """The stub, except that it fails where one of the texts contains `poison`."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def classify(self, texts: Sequence[Text]) -> list[Label | Unlabelled]:
        self.calls += 1
        if any("poison" in text.text for text in texts):
            raise ClassifierError("the forward pass failed")
        return super().classify(texts)


class Rig:
    """All three stages on one thread, under a clock that only the test moves."""

    def __init__(
        self,
        *,
        partitions: int = 1,
        reset: Reset = "earliest",
        adopt: bool = False,
        posts: int = 3,
        linger_s: float = 0.0,
        targets: Mapping[Partition, int] | None = None,
    ) -> None:
        self.now = 1_000.0
        self.assignment = Assignment()
        self.channels = Channels()
        self.source = MemorySource(self.assignment)
        self.places = self.source.make(partitions)
        self.store = MemoryStore()
        self.classifier = PoisonedClassifier()
        self.poll = PollStage(
            self.source,
            self.assignment,
            Batcher(Limits(1_000_000, posts, linger_s), LATENESS_S, self._clock),
            self.channels,
            reset=reset,
            adopt=adopt,
            lateness_s=LATENESS_S,
            targets=targets,
            wall=lambda: START + timedelta(seconds=self.now),
            clock=self._clock,
        )
        self.classifying = ClassifyStage(self.classifier, 1, self.assignment, self.channels)
        self.storing = StoreStage(
            self.store,
            group=GROUP,
            topics=[TOPIC],
            owner="us",
            assignment=self.assignment,
            channels=self.channels,
            clock=self._clock,
        )
        self.storing._backoff = Backoff(0.0, 0.0)

    def _clock(self) -> float:
        return self.now

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
            self.now += seconds

    def row(self, place: TopicPartition) -> Row:
        return self.store.rows[self.source.partition_at(place)]

    def stored(self, place: TopicPartition) -> list[int]:
        return self.store.stored.get(self.source.partition_at(place), [])

    def claim_elsewhere(self, place: TopicPartition) -> Claim:
        """Another worker claims the partition."""
        return self.store.claim(self.source.partition_at(place), len(self.places), "another")


@pytest.fixture(scope="session")
def make_rig() -> Callable[..., Rig]:
    """`make_rig(partitions=..., reset=..., ...)`: see `Rig`."""
    return Rig


@pytest.fixture
def rig() -> Rig:
    """One partition, read from its start, batches of three, no linger."""
    return Rig()
