"""Ends, beginnings and times of logs, for whoever is no member of the group."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import kafka
from kafka import errors

from worker.errors import SourceUnavailableError, WorkerError
from worker.posts import Record, RecordRef
from worker.source.config import client_config
from worker.source.interface import TopicPartition
from worker.source.reach import brief, connecting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from worker.posts.place import Partition
    from worker.settings import Settings

ANSWER_S: Final = 2.0
"""For offsets asked of the broker: the poll loop waits for the answer, and SIGTERM for the loop."""
STALL_S: Final = 15.0
"""A search that reads nothing new for so long is given up."""
_REACH_S: Final = 5.0
_ANSWER_MS: Final = round(ANSWER_S * 1_000)
_SEARCH_RECORDS: Final = 5_000


@dataclass(frozen=True, slots=True)
class TopicLog:
    """A topic's log as it is now.

    Attributes:
        topic: Its name.
        topic_id: Its KIP-516 id: another one is another log. Zeros where the broker knows none.
        bounds: First and end offset of each partition, by number.
    """

    topic: str
    topic_id: UUID
    bounds: Mapping[int, tuple[int, int]]


def end_offsets(settings: Settings, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
    """End offset of each log, made sure of by reading there.

    Not every implementation of the protocol counts its last batch in when it is asked. What an
    open transaction wrote is not counted: it cannot be read yet.

    Raises:
        DependencyError: The broker cannot be reached, or does not answer in time.
    """
    if not places:
        return {}
    with _reader(settings, "where its logs end") as reader:
        return _ends(reader, [kafka.TopicPartition(*place) for place in places])


def topic_log(settings: Settings, topic: str) -> TopicLog:
    """The topic's id and bounds; its ends are made sure of as in `end_offsets`.

    Raises:
        WorkerError: There is no such topic.
        DependencyError: The broker cannot be reached, or does not answer in time.
    """
    with _reader(settings, f"where the logs of `{topic}` begin and end") as reader:
        numbers = sorted(reader.partitions_for_topic(topic))
        if not numbers:
            raise WorkerError(
                f"The broker at {settings.kafka} has no topic `{topic}`. Is its name right, and is "
                "WORKER_KAFKA_BOOTSTRAP_SERVERS?"
            )
        partitions = [kafka.TopicPartition(topic, number) for number in numbers]
        first = reader.beginning_offsets(partitions, timeout_ms=_ANSWER_MS)
        ends = _ends(reader, partitions)
        return TopicLog(
            topic,
            reader._cluster.topic_id(topic) or UUID(int=0),  # noqa: SLF001 - no public door yet
            {p.partition: (first[p], ends[TopicPartition(*p)]) for p in partitions},
        )


def offsets_at(
    settings: Settings,
    log: TopicLog,
    numbers: Sequence[int],
    timestamp_ms: int,
    advance: Callable[[int], None] = lambda _: None,
) -> dict[int, int]:
    """Offset of each partition's first record that is not older; its end if all are.

    The broker's own answer (ListOffsets by timestamp, KIP-79) is only where the search begins:
    some always answer with the start of the log. From there on the records' own timestamps decide.
    They need not rise along a log, so the search reads rather than bisects.

    Args:
        settings: Where the broker is.
        log: As `topic_log` returned it; the search ends where it says that the log does.
        numbers: The partitions.
        timestamp_ms: Epoch milliseconds.
        advance: Told how many offsets the search has gone past, as it goes.

    Raises:
        DependencyError: The broker cannot be reached, or does not answer in time.
    """
    if not numbers:
        return {}
    with _reader(settings, f"which records of `{log.topic}` are of that time") as reader:
        partitions = [kafka.TopicPartition(log.topic, number) for number in numbers]
        hints = reader.offsets_for_times(
            dict.fromkeys(partitions, max(0, timestamp_ms)), timeout_ms=_ANSWER_MS
        )
        found: dict[int, int] = {}
        begin: dict[int, int] = {}
        for partition in partitions:
            (first, end), hint = log.bounds[partition.partition], hints[partition]
            start = end if hint is None else max(first, hint.offset)
            (begin if start < end else found)[partition.partition] = min(start, end)
        return found | _search(reader, log, begin, timestamp_ms, advance)


def read_some(
    settings: Settings, starts: Mapping[Partition, int], most: int, within_s: float = STALL_S
) -> list[Record]:
    """Some records from these offsets on: of each partition about as many, `most` altogether.

    Raises:
        DependencyError: The broker cannot be reached, or does not answer in time.
    """
    records: list[Record] = []
    fair = -(-most // max(1, len(starts)))
    with _reader(settings, "what its logs hold") as reader:
        left = {kafka.TopicPartition(place.topic, place.number): place for place in starts}
        counts = dict.fromkeys(left, 0)
        reader.assign(list(left))
        for partition, place in left.items():
            reader.seek(partition, starts[place])
        deadline = time.monotonic() + within_s
        while len(counts) and time.monotonic() < deadline:
            answer = reader.poll(timeout_ms=500, max_records=most)
            if not answer:
                break
            for partition, raw in answer.items():
                place = left[partition]
                taken = raw[: fair - counts.get(partition, fair)]
                records += [record_of(place, one) for one in taken]
                if partition in counts:
                    counts[partition] += len(taken)
                    if counts[partition] >= fair:
                        reader.pause(partition)
                        del counts[partition]
    return records


def record_of(partition: Partition, raw: Any) -> Record:  # noqa: ANN401
    """What the client returned, as the rest of us knows it."""
    return Record(
        RecordRef(partition.topic, partition.topic_id, partition.number, raw.offset),
        -1 if raw.timestamp is None else raw.timestamp,
        raw.key,
        raw.value,
    )


@contextmanager
def _reader(settings: Settings, what: str) -> Iterator[Any]:
    """A consumer without a group; the client's errors while it is asked `what` become ours."""
    with connecting(settings, timeout_s=_REACH_S):
        reader: Any = kafka.KafkaConsumer(
            **client_config(settings),
            auto_offset_reset="none",
            isolation_level="read_committed",
            allow_auto_create_topics=False,
            fetch_max_wait_ms=50,
            bootstrap_timeout_ms=round(_REACH_S * 1_000),
        )
    reader._cluster.config["allow_auto_create_topics"] = False  # noqa: SLF001 - as in the consumer
    try:
        yield reader
    except errors.KafkaError as error:
        raise SourceUnavailableError(
            f"The broker at {settings.kafka} did not say {what}: {brief(error)}."
        ) from None
    finally:
        reader.close(timeout_ms=1_000)


def _ends(reader: Any, partitions: Sequence[Any]) -> dict[TopicPartition, int]:  # noqa: ANN401
    reported = reader.end_offsets(partitions, timeout_ms=_ANSWER_MS)
    reader.assign(partitions)
    for partition, end in reported.items():
        reader.seek(partition, end)
    return _read_on(reader, {TopicPartition(*key): end for key, end in reported.items()})


def _read_on(reader: Any, ends: dict[TopicPartition, int]) -> dict[TopicPartition, int]:  # noqa: ANN401
    """Moves `ends` past what there is to read, which may take several polls."""
    deadline = time.monotonic() + ANSWER_S
    waiting = set(ends)
    while waiting and time.monotonic() < deadline:
        answered = all(
            reader.highwater(kafka.TopicPartition(*place)) is not None for place in waiting
        )
        try:
            answer = reader.poll(timeout_ms=100)
        except errors.OffsetOutOfRangeError:
            return ends  # the log was cut meanwhile: what was answered must do
        for partition, records in answer.items():
            ends[TopicPartition(*partition)] = records[-1].offset + 1
        if answered and not answer:
            break  # an open transaction: what is left cannot be read yet
        waiting = {place for place in waiting if not _at_end(reader, kafka.TopicPartition(*place))}
    return ends


def _at_end(reader: Any, partition: Any) -> bool:  # noqa: ANN401
    highwater = reader.highwater(partition)
    position = reader.position(partition, timeout_ms=_ANSWER_MS)
    return highwater is not None and position is not None and position >= highwater


def _search(
    reader: Any,  # noqa: ANN401
    log: TopicLog,
    begin: Mapping[int, int],
    timestamp_ms: int,
    advance: Callable[[int], None],
) -> dict[int, int]:
    """Reads each partition from `begin` on to its first record that is not older, or its end."""
    stands = {kafka.TopicPartition(log.topic, number): start for number, start in begin.items()}
    reader.assign(list(stands))
    for partition, start in stands.items():
        reader.seek(partition, start)
    found: dict[int, int] = {}
    moved_at = time.monotonic()
    while stands:
        answer = reader.poll(timeout_ms=100, max_records=_SEARCH_RECORDS)
        for partition, stood in list(stands.items()):
            end = log.bounds[partition.partition][1]
            hit = next(
                (
                    record.offset
                    for record in answer.get(partition, ())
                    if record.timestamp is not None and record.timestamp >= timestamp_ms
                ),
                None,
            )
            # Not the last record's: markers and gaps are gone past, too.
            position = reader.position(partition, timeout_ms=_ANSWER_MS) or stood
            reached = min(end, position if hit is None else hit)
            if reached > stood:
                advance(reached - stood)
                moved_at = time.monotonic()
                stands[partition] = reached
            if hit is not None or reached >= end:
                found[partition.partition] = reached
                reader.pause(partition)
                del stands[partition]
        if time.monotonic() - moved_at > STALL_S:
            raise errors.KafkaTimeoutError(f"no records came for {STALL_S:g} s")
    return found
