"""End offsets for whoever is no member of the group."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import kafka
from kafka import errors

from worker.errors import SourceUnavailableError
from worker.source.config import client_config
from worker.source.interface import TopicPartition
from worker.source.reach import brief, connecting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.settings import Settings

ANSWER_S: Final = 2.0
"""For offsets asked of the broker: the poll loop waits for the answer, and SIGTERM for the loop."""
_REACH_S: Final = 5.0


def end_offsets(settings: Settings, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
    """End offset of each log, made sure of by reading there.

    Not every implementation of the protocol counts its last batch in when it is asked. What an
    open transaction wrote is not counted: it cannot be read yet.

    Raises:
        DependencyError: The broker cannot be reached, or does not answer in time.
    """
    if not places:
        return {}
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
        partitions = [kafka.TopicPartition(*place) for place in places]
        reported = reader.end_offsets(partitions, timeout_ms=round(ANSWER_S * 1_000))
        reader.assign(partitions)
        for partition, end in reported.items():
            reader.seek(partition, end)
        return _read_on(reader, {TopicPartition(*key): end for key, end in reported.items()})
    except errors.KafkaError as error:
        raise SourceUnavailableError(
            f"The broker at {settings.kafka} did not say where its logs end: {brief(error)}."
        ) from None
    finally:
        reader.close(timeout_ms=1_000)


def _read_on(reader: Any, ends: dict[TopicPartition, int]) -> dict[TopicPartition, int]:  # noqa: ANN401
    """Moves `ends` past what there is to read; done once every partition has answered."""
    deadline = time.monotonic() + ANSWER_S
    waiting = set(ends)
    while waiting and time.monotonic() < deadline:
        try:
            answer = reader.poll(timeout_ms=100)
        except errors.OffsetOutOfRangeError:
            return ends  # the log was cut meanwhile: what was answered must do
        for partition, records in answer.items():
            ends[TopicPartition(*partition)] = records[-1].offset + 1
        waiting = {
            place for place in waiting if reader.highwater(kafka.TopicPartition(*place)) is None
        }
    return ends
