"""Ends and bounds of logs, as one who is no member of a group finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from kafka import KafkaProducer

from worker.errors import WorkerError
from worker.settings import given_settings
from worker.source import TopicPartition
from worker.source.lookup import end_offsets, offsets_at, topic_log

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.settings import Settings

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(kafka_bootstrap: str) -> Settings:
    return given_settings(kafka_bootstrap_servers=kafka_bootstrap)


def test_the_end_lies_after_a_last_batch_of_many_polls(
    settings: Settings, kafka_bootstrap: str, make_topic: Callable[..., str]
) -> None:
    """Some brokers leave the last batch out of the end that they report."""
    topic = make_topic(partitions=1)
    producer = KafkaProducer(
        bootstrap_servers=kafka_bootstrap.split(","), linger_ms=5_000, batch_size=2**20
    )
    for _ in range(2_300):
        producer.send(topic, value=b"v", partition=0)
    producer.flush(timeout=30)
    producer.close()
    assert end_offsets(settings, [TopicPartition(topic, 0)]) == {TopicPartition(topic, 0): 2_300}


def test_a_log_is_known_by_its_id(
    settings: Settings, make_topic: Callable[..., str], produce: Callable[..., Any]
) -> None:
    topic, other = make_topic(partitions=2), make_topic(partitions=1)
    produce(topic, [(b"k", b"v", 1, None)] * 3)
    log = topic_log(settings, topic)
    assert (log.topic, log.bounds) == (topic, {0: (0, 0), 1: (0, 3)})
    assert log.topic_id.int not in {0, topic_log(settings, other).topic_id.int}
    assert offsets_at(settings, log, [], 0) == {}
    with pytest.raises(WorkerError, match="no topic `no-such-topic`"):
        topic_log(settings, "no-such-topic")
