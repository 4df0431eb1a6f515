"""Logs that are cut, forgotten, restarted, or hold transactions, as a real broker tells of them.

The broker is that of WORKER_KAFKA_BOOTSTRAP_SERVERS, else one that keeps its logs on disk: the
embedded one is wrong about times and positions out of range, and forgets its logs.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from typing import TYPE_CHECKING, Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka import TopicPartition as KafkaPartition

from tests.fakes.store import Tables
from worker.errors import WorkerError
from worker.local.broker import EmbeddedBroker
from worker.settings import given_settings
from worker.source import TopicPartition
from worker.source.lookup import end_offsets, offsets_at, topic_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.source.conftest import DurableBroker

pytestmark = pytest.mark.integration

GIVEN = os.environ.get("WORKER_KAFKA_BOOTSTRAP_SERVERS")


@pytest.fixture
def bootstrap(request: pytest.FixtureRequest) -> str:
    if GIVEN:
        return GIVEN
    broker: DurableBroker = request.getfixturevalue("durable_broker")
    return broker.bootstrap_servers


@pytest.fixture
def topic(bootstrap: str) -> Iterator[str]:
    """A fresh topic of one partition."""
    name = f"test-{secrets.token_hex(6)}"
    _make(bootstrap, name)
    yield name
    with_admin(bootstrap, lambda admin: admin.delete_topics([name], raise_errors=False))


def with_admin(bootstrap: str, do: Callable[[Any], object]) -> None:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap.split(","))
    try:
        do(admin)
    finally:
        admin.close()


def _make(bootstrap: str, topic: str) -> None:
    options = {"num_partitions": 1, "replication_factor": 1}
    with_admin(
        bootstrap, lambda admin: admin.create_topics({topic: options}, wait_for_metadata=True)
    )


def cut(bootstrap: str, topic: str, first: int) -> None:
    """Retention: the log begins at `first`."""
    with_admin(bootstrap, lambda admin: admin.delete_records({KafkaPartition(topic, 0): first}))


def post(number: int) -> bytes:
    created = int(time.time()) - 3_600
    said = {"id": str(number), "text": f"post {number}", "platform": "tw", "created_at": created}
    return json.dumps(said).encode()


def publish(bootstrap: str, topic: str, first: int, last: int, at_ms: int | None = None) -> None:
    """Posts `first` to `last`; with `at_ms` each a second after the one before."""
    producer = KafkaProducer(bootstrap_servers=bootstrap.split(","))
    for number in range(first, last):
        timestamp_ms = None if at_ms is None else at_ms + 1_000 * (number - first)
        producer.send(topic, value=post(number), partition=0, timestamp_ms=timestamp_ms)
    producer.flush(timeout=30)
    producer.close(timeout=5)


def test_a_position_below_the_start_of_the_log(
    bootstrap: str,
    topic: str,
    reader: Callable[..., Any],
    new_group: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    publish(bootstrap, topic, 0, 10)
    cut(bootstrap, topic, 6)
    one = reader(bootstrap, topic, Tables(), group=new_group)
    one.stand_at(2)

    one.reaches(10)

    assert one.stored() == [6, 7, 8, 9]
    assert "4 records from 2 on are gone from the log, which now begins at 6" in caplog.text
    assert "reading on from 6 (earliest)" in caplog.text
    assert one.moves("gap") == 1


def test_a_log_cut_under_a_running_worker(
    bootstrap: str,
    topic: str,
    reader: Callable[..., Any],
    new_group: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    publish(bootstrap, topic, 0, 3)
    one = reader(bootstrap, topic, Tables(), group=new_group)
    one.reaches(3)
    place = TopicPartition(topic, 0)
    one.source.hold([place])  # it falls behind
    publish(bootstrap, topic, 3, 9)
    cut(bootstrap, topic, 7)
    # What the client had fetched ahead is no longer what the broker has.
    one.source.start(place, 3)

    one.reaches(9)

    assert one.stored()[:3] == [0, 1, 2]
    assert one.stored()[3:] in ([7, 8], [3, 4, 5, 6, 7, 8]), "nothing twice"
    if len(one.stored()) == 5:
        assert "a position lies outside its log" in caplog.text
        assert "4 records from 3 on are gone" in caplog.text


@pytest.mark.parametrize(("reset", "stored"), [("earliest", [0, 1, 2, 3]), ("latest", [])])
def test_a_position_above_the_end_of_the_log(
    bootstrap: str,
    topic: str,
    reader: Callable[..., Any],
    new_group: str,
    caplog: pytest.LogCaptureFixture,
    reset: str,
    stored: list[int],
) -> None:
    publish(bootstrap, topic, 0, 4)
    one = reader(bootstrap, topic, Tables(), group=new_group, reset=reset)
    one.stand_at(50)

    one.reaches(4)

    assert one.stored() == stored
    assert "the stored position 50 lies above the end of the log, 4" in caplog.text
    assert one.moves("above_end") == 1


def test_a_position_outside_the_log_ends_the_worker_where_the_settings_say_so(
    bootstrap: str, topic: str, reader: Callable[..., Any], new_group: str
) -> None:
    publish(bootstrap, topic, 0, 4)
    one = reader(bootstrap, topic, Tables(), group=new_group, reset="fail")
    one.stand_at(50)
    with pytest.raises(WorkerError, match=r"50 lies above the end.*WORKER_AUTO_OFFSET_RESET"):
        one.until(lambda: False)
    assert one.position() == 50


@pytest.mark.skipif(bool(GIVEN), reason="the broker that is given is not ours to restart")
def test_a_restart_of_the_broker_goes_unnoticed_by_the_positions(
    durable_broker: DurableBroker,
    topic: str,
    reader: Callable[..., Any],
    new_group: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bootstrap, tables = durable_broker.bootstrap_servers, Tables()
    publish(bootstrap, topic, 0, 5)
    running = reader(bootstrap, topic, tables, group=new_group)
    running.reaches(5)

    durable_broker.restart()
    publish(bootstrap, topic, 5, 8)
    running.reaches(8)
    running.close()
    durable_broker.restart()
    publish(bootstrap, topic, 8, 10)
    after = reader(bootstrap, topic, tables, group=new_group)
    after.reaches(10)

    assert (running.stored(), after.stored()) == ([0, 1, 2, 3, 4, 5, 6, 7], [8, 9])
    assert "gone" not in caplog.text
    assert "above the end" not in caplog.text


def test_times_are_the_records_own(bootstrap: str, topic: str) -> None:
    begin = (int(time.time()) - 1_000) * 1_000
    publish(bootstrap, topic, 0, 20, at_ms=begin)
    settings = given_settings(kafka_bootstrap_servers=bootstrap)
    log = topic_log(settings, topic)
    assert log.bounds == {0: (0, 20)}
    for time_ms, offset in [(0, 0), (begin + 7_000, 7), (begin + 7_001, 8), (begin + 10**6, 20)]:
        assert offsets_at(settings, log, [0], time_ms) == {0: offset}


class Transactions:
    """A producer whose transactions the test ends."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._topic = topic
        self._producer = KafkaProducer(
            bootstrap_servers=bootstrap.split(","), transactional_id=f"test-{secrets.token_hex(4)}"
        )
        self._producer.init_transactions()

    def begin(self, first: int, last: int) -> None:
        self._producer.begin_transaction()
        for number in range(first, last):
            self._producer.send(self._topic, value=post(number), partition=0)
        self._producer.flush(timeout=30)

    def commit(self) -> None:
        self._producer.commit_transaction()

    def abort(self) -> None:
        self._producer.abort_transaction()

    def close(self) -> None:
        self._producer.close(timeout=5)


@pytest.fixture
def transactions(bootstrap: str, topic: str) -> Iterator[Transactions]:
    producer = Transactions(bootstrap, topic)
    yield producer
    producer.close()


def test_markers_move_positions_and_what_was_aborted_is_never_read(
    bootstrap: str,
    topic: str,
    transactions: Transactions,
    reader: Callable[..., Any],
    new_group: str,
) -> None:
    transactions.begin(0, 3)
    transactions.commit()
    transactions.begin(3, 5)
    transactions.abort()
    transactions.begin(5, 6)
    transactions.commit()
    one = reader(bootstrap, topic, Tables(), group=new_group)
    one.reaches(9)  # three, a marker, two, a marker, one, a marker

    assert one.stored() == [0, 1, 2, 7]
    [row] = one.store.rows.values()
    assert row.outcomes == {"labelled": 4}
    settings = given_settings(kafka_bootstrap_servers=bootstrap)
    assert end_offsets(settings, [TopicPartition(topic, 0)]) == {TopicPartition(topic, 0): 9}


def test_an_open_transaction_is_read_once_it_is_committed(
    bootstrap: str,
    topic: str,
    transactions: Transactions,
    reader: Callable[..., Any],
    new_group: str,
) -> None:
    publish(bootstrap, topic, 0, 2)
    transactions.begin(2, 4)
    publish(bootstrap, topic, 4, 5)
    one = reader(bootstrap, topic, Tables(), group=new_group)
    one.reaches(2)
    for _ in range(5):
        one.turn()
    assert one.position() == 2, "neither it nor what lies behind it can be read yet"
    transactions.commit()
    one.reaches(6)
    assert one.stored() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("adopt", "cut_at", "stored", "said"),
    [
        (False, 0, [0, 1, 2, 3, 4, 5, 6], "it is not adopted (WORKER_ADOPT_COMMITTED)"),
        (True, 0, [4, 5, 6], "adopted the group's Kafka commit 4"),
        (True, 6, [6], "the group's Kafka commit 4 lies outside the log (6 to 7)"),
    ],
    ids=["not adopted", "adopted", "adopted, but outside"],
)
def test_a_database_that_was_reset_while_kafka_holds_commits(
    bootstrap: str,
    topic: str,
    reader: Callable[..., Any],
    new_group: str,
    caplog: pytest.LogCaptureFixture,
    adopt: bool,
    cut_at: int,
    stored: list[int],
    said: str,
) -> None:
    publish(bootstrap, topic, 0, 4)
    before = reader(bootstrap, topic, Tables(), group=new_group)
    before.reaches(4)
    before.poll.mirror()
    before.until(lambda: before.source.committed(TopicPartition(topic, 0)) == 4)
    before.close()
    publish(bootstrap, topic, 4, 7)
    if cut_at:
        cut(bootstrap, topic, cut_at)

    after = reader(bootstrap, topic, Tables(), group=new_group, adopt=adopt)
    after.reaches(7)

    assert after.stored() == stored
    assert said in caplog.text
    assert after.moves("not_adopted") == (said[:7] != "adopted")


def test_a_broker_that_forgot_everything(
    reader: Callable[..., Any], new_group: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The embedded one gives its topics ids: the same name is another log there."""
    tables, stored = Tables(), []
    for first in (0, 10):
        with EmbeddedBroker() as broker:
            _make(broker.bootstrap_servers, "forgotten")
            publish(broker.bootstrap_servers, "forgotten", first, first + 3)
            one = reader(
                broker.bootstrap_servers, "forgotten", tables, group=new_group, session_ms=2_000
            )
            one.until(lambda one=one: len(one.stored()) == 3)
            stored.append((one.stored(), one.moves("recreated")))
            one.close()
    assert stored == [([0, 1, 2], 0), ([0, 1, 2], 1)]
    assert "the topic is another log than before; it is read from its start, 0" in caplog.text
    rows = tables.positions["group"].values()
    assert [(row.retired, row.next_offset) for row in rows] == [(True, 3), (False, 3)]


@pytest.mark.skipif(bool(GIVEN), reason="needs a broker that knows no topic ids")
def test_a_forgetful_broker_without_topic_ids_is_found_out_by_the_position(
    bootstrap: str,
    topic: str,
    reader: Callable[..., Any],
    new_group: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Only while the new log is shorter than the old one was: nothing else tells them apart."""
    publish(bootstrap, topic, 0, 5)
    tables = Tables()
    before = reader(bootstrap, topic, tables, group=new_group)
    before.reaches(5)
    before.close()
    with_admin(bootstrap, lambda admin: admin.delete_topics([topic]))
    _make(bootstrap, topic)
    publish(bootstrap, topic, 10, 13)

    after = reader(bootstrap, topic, tables, group=new_group)
    after.reaches(3)

    assert after.stored() == [0, 1, 2]
    assert "the stored position 5 lies above the end of the log, 3" in caplog.text
    assert len(tables.labels) == 8
