"""What sends the stream: gradually, beside the faults, and remembers what the broker took."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.serializer import Serializer

from tests.chaos.oracle import Place, Produced
from tests.chaos.stream import Message

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from random import Random

_NULL = object()  # kafka-python itself refuses a record with neither key nor value


class _Values(Serializer):  # type: ignore[misc]
    def serialize(self, topic: str, headers: Any, data: Any) -> bytes | None:
        return None if data is _NULL else data


class Feed:
    """Produces on a thread of its own, `rate` records a second, while it is on.

    A broker that lost its memory is a new log: `reopen` makes the topics again and produces the
    last records of the old one once more, as a producer would that cannot know what was read.
    """

    def __init__(
        self, brokers: str, stream: Iterator[Message], topics: Sequence[str], partitions: int
    ) -> None:
        self._brokers = brokers
        self._stream = stream
        self.topics = topics
        self._partitions = partitions
        self._lock = threading.Lock()
        self._on = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._problem: BaseException | None = None
        self._ids: dict[str, UUID] = {}
        self._producer: Any = None
        self.rate = 0.0
        self.records: list[Produced] = []
        self.dead: set[UUID] = set()

    def open(self) -> None:
        """Makes the topics."""
        admin = KafkaAdminClient(bootstrap_servers=self._brokers.split(","))
        try:
            options = {"num_partitions": self._partitions, "replication_factor": 1}
            admin.create_topics(dict.fromkeys(self.topics, options), wait_for_metadata=True)
            for topic in admin.describe_topics(list(self.topics)):
                assert len(topic["partitions"]) == self._partitions, topic
                self._ids[topic["name"]] = UUID(str(topic["topic_id"]))
        finally:
            admin.close()
        self._producer = KafkaProducer(
            bootstrap_servers=self._brokers.split(","),
            value_serializer=_Values(),
            max_request_size=32 * 2**20,
            # What is acknowledged is all there is: nothing may be sent twice behind our back.
            enable_idempotence=False,
            retries=0,
            request_timeout_ms=60_000,
            delivery_timeout_ms=90_000,
            linger_ms=0,
        )

    def start(self, rate: float) -> None:
        self.rate = rate
        self._on.set()
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._on.set()
        if self._thread.is_alive():
            self._thread.join(90)
        if self._producer is not None:
            self._producer.close(timeout=5)

    def send(self, messages: Sequence[Message]) -> None:
        """Sends, and waits until all are acknowledged."""
        with self._lock:
            self._send(messages)

    def _send(self, messages: Sequence[Message]) -> None:
        futures = [
            self._producer.send(
                message.topic,
                key=message.key,
                value=_NULL if message.value is None else message.value,
                partition=message.partition,
                timestamp_ms=message.timestamp_ms,
            )
            for message in messages
        ]
        for message, future in zip(messages, futures, strict=True):
            offset = future.get(timeout=90).offset
            self.records.append(
                Produced(
                    message.topic,
                    self._ids[message.topic],
                    message.partition,
                    offset,
                    message.timestamp_ms,
                    message.key,
                    message.value,
                )
            )

    def _run(self) -> None:
        last, owed = time.monotonic(), 0.0
        try:
            while self._on.wait() and not self._ended.is_set():
                time.sleep(0.05)
                now = time.monotonic()
                # What could not be sent while the broker was away comes in a burst, not for ever.
                owed = min(owed + (now - last) * self.rate, 2 * self.rate)
                last = now
                with self._lock:
                    if self._on.is_set() and owed >= 1:
                        self._send([next(self._stream) for _ in range(int(owed))])
                owed -= int(owed)
        except BaseException as error:
            self._problem = error

    def pause(self) -> None:
        """Returns once all that was sent is acknowledged and nothing more is sent."""
        self._on.clear()
        with self._lock:
            if self._problem is not None:
                raise RuntimeError("the feed broke") from self._problem

    def resume(self) -> None:
        self._on.set()

    def reopen(self, random: Random, again: int) -> None:
        """After the broker came back empty: new topics, and the last records once more."""
        with self._lock:
            self._producer.close(timeout=0)
            old = set(self._ids.values())
            self.dead |= old
            self.open()
            assert old.isdisjoint(self._ids.values()), "the broker was to come back with new topics"
            tail = [record for record in self.records[-4 * again :] if record.topic_id in old]
            random.shuffle(tail)
            self._send(
                [
                    Message(r.topic, r.partition, r.key, r.value, r.timestamp_ms)
                    for r in tail[:again]
                ]
            )

    def ends(self) -> dict[Place, int]:
        """The end offset of each partition of the living logs."""
        ends: dict[Place, int] = {
            (topic, topic_id, partition): 0
            for topic, topic_id in self._ids.items()
            for partition in range(self._partitions)
        }
        for record in list(self.records):
            if record.place in ends:
                ends[record.place] = max(ends[record.place], record.offset + 1)
        return ends

    def read_back(self) -> list[Produced]:
        """The living logs as a plain consumer reads them: raw bytes, none of our own code."""
        ends = {place: end for place, end in self.ends().items() if end}
        consumer = KafkaConsumer(
            bootstrap_servers=self._brokers.split(","), auto_offset_reset="earliest"
        )
        found: list[Produced] = []
        try:
            places = {TopicPartition(place[0], place[2]): place for place in ends}
            consumer.assign(list(places))
            consumer.seek_to_beginning()
            deadline = time.monotonic() + 60
            while len(found) < sum(ends.values()) and time.monotonic() < deadline:
                for partition, raw in consumer.poll(timeout_ms=500, max_records=5_000).items():
                    topic, topic_id, number = places[partition]
                    found += [
                        Produced(topic, topic_id, number, r.offset, r.timestamp, r.key, r.value)
                        for r in raw
                    ]
        finally:
            consumer.close()
        return found
