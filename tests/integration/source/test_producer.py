from __future__ import annotations

import secrets
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from kafka import KafkaConsumer, TopicPartition

from worker.errors import SettingsError
from worker.settings import Settings
from worker.source.admin import ensure_topic, topic_partitions
from worker.source.producer import Producer

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(kafka_bootstrap: str) -> Settings:
    return Settings(kafka_bootstrap_servers=kafka_bootstrap)


def test_topics(settings: Settings, kafka_admin: Any) -> None:
    topic = f"test-{secrets.token_hex(6)}"
    assert topic_partitions(settings, topic) is None
    assert ensure_topic(settings, topic, 4)
    try:
        assert topic_partitions(settings, topic) == [0, 1, 2, 3]
        assert not ensure_topic(settings, topic, 9)
        assert topic_partitions(settings, topic) == [0, 1, 2, 3]
    finally:
        kafka_admin.delete_topics([topic])


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a:b", "é", "x" * 250, "a\n"])
def test_names_that_no_topic_can_have(settings: Settings, name: str) -> None:
    with pytest.raises(SettingsError, match="cannot be a topic's name"):
        topic_partitions(settings, name)


def test_what_is_flushed_is_there_in_order(
    settings: Settings, kafka_bootstrap: str, make_topic: Callable[..., str]
) -> None:
    topic = make_topic(partitions=3)
    sent = [(f"key {n % 10}".encode(), f"{n}".encode(), 1_000 + n) for n in range(2_000)]
    with Producer(settings) as producer:
        for key, value, timestamp_ms in sent:
            producer.send(topic, key, value, timestamp_ms)
        producer.send(topic, b"key 0", None)
        producer.flush()
        assert producer.delivered == len(sent) + 1
    consumer = KafkaConsumer(bootstrap_servers=kafka_bootstrap.split(","))
    try:
        partitions = [TopicPartition(topic, n) for n in range(3)]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        found: list[Any] = []
        deadline = time.monotonic() + 30
        while len(found) <= len(sent) and time.monotonic() < deadline:
            for batch in consumer.poll(timeout_ms=200).values():
                found += batch
    finally:
        consumer.close()
    for number in range(10):
        key = f"key {number}".encode()
        got = [(r.key, r.value, r.timestamp) for r in found if r.key == key and r.value is not None]
        assert got == [record for record in sent if record[0] == key]
        assert len({r.partition for r in found if r.key == key}) == 1
    assert [r.key for r in found if r.value is None] == [b"key 0"]


def test_more_than_the_buffer_holds_goes_through(
    settings: Settings, make_topic: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.source.producer._MAX_PENDING_BYTES", 10_000)
    topic = make_topic(partitions=1)
    with Producer(settings) as producer:
        for number in range(200):
            producer.send(topic, b"key", b"%d" % number * 500)
            assert number + 1 - producer.delivered <= 30  # 10,000 bytes are under 20 records
        producer.flush()
        assert producer.delivered == 200


BROKER_GOES_AWAY = """
from worker.errors import DependencyError
from worker.local.broker import EmbeddedBroker
from worker.settings import Settings
from worker.source.admin import ensure_topic
from worker.source.producer import Producer

with EmbeddedBroker() as broker:
    settings = Settings(kafka_bootstrap_servers=broker.bootstrap_servers)
    ensure_topic(settings, "posts", 1)
    producer = Producer(settings, delivery_timeout_s=1.0)
    producer.send("posts", b"1", b"there")
    producer.flush()
for _ in range(2):  # what failed once does not go on
    try:
        producer.send("posts", b"2", b"not there")
        producer.flush()
    except DependencyError as error:
        assert settings.kafka in str(error)
        print("error", producer.delivered)
producer.close(0.5)
"""


def test_a_broker_that_goes_away_is_an_error_not_a_loss() -> None:
    # In a process of its own: kafka-python leaves sockets behind that could not connect.
    began = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-c", BROKER_GOES_AWAY],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.stdout, ran.stderr, ran.returncode) == ("error 1\nerror 1\n", "", 0)
    assert time.monotonic() - began < 20
