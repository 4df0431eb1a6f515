"""A broker whose logs outlive it, and a whole pipeline that reads from a real one by hand."""

from __future__ import annotations

import gc
import secrets
import signal
import socket
import time
import warnings
from contextlib import closing, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka import TopicPartition as KafkaPartition

from tests.fakes.store import GROUP, MemoryStore, Tables
from worker.batching import Batcher, Limits
from worker.classifier.stub import StubClassifier
from worker.errors import SourceUnavailableError
from worker.local.ports import HOST, choose_port
from worker.local.process import ServicePlan, SupervisedProcess, minimal_environment
from worker.pipeline.channels import Channels
from worker.pipeline.classify import ClassifyStage
from worker.pipeline.poll import PollStage
from worker.pipeline.store import StoreStage
from worker.settings import given_settings
from worker.source import TopicPartition
from worker.source.assignment import Assignment
from worker.source.consumer import KafkaSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from worker.pipeline.starts import Reset
    from worker.posts import Record

SESSION_MS = 6_000


class DurableBroker:
    """PyPI `noida-db`: right about times, positions out of range, transactions and restarts.

    For those alone: it never expires dead members, knows no topic ids, and goes on telling of
    aborted transactions that end before what is fetched, whose producer is then read no more.
    """

    def __init__(self, folder: Path) -> None:
        spec = find_spec("noida_db")
        assert spec is not None
        assert spec.origin is not None, "pip install noida-db, or `make setup`"
        self._binary = Path(spec.origin).with_name("noida-db")
        self._folder = folder
        self._port = choose_port(0, service="broker", flag="")
        self._process: SupervisedProcess | None = None

    @property
    def bootstrap_servers(self) -> str:
        return f"{HOST}:{self._port}"

    def start(self) -> None:
        port, data = str(self._port), str(self._folder / "data")
        command = [str(self._binary), "start", "--only", "kafka"]
        self._process = SupervisedProcess(
            ServicePlan(
                command=(*command, "--kafka-port", port, "--data-dir", data),
                log=self._folder / "broker.log",
                stop=((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)),
                orphan_signal=signal.SIGKILL,
                environment=minimal_environment(),
                cwd=self._folder,
            )
        )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with suppress(OSError), closing(socket.create_connection((HOST, self._port), 1)):
                return
            time.sleep(0.02)
        pytest.fail("the durable broker did not start")

    def stop(self) -> None:
        """As on SIGTERM: what it holds is on disk then."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()


@pytest.fixture(scope="module")
def durable_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DurableBroker]:
    broker = DurableBroker(tmp_path_factory.mktemp("durable"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def cut_log(durable_broker: DurableBroker) -> TopicPartition:
    """A partition on the durable broker with offsets 4 to 8."""
    place = TopicPartition(f"test-{secrets.token_hex(6)}", 0)
    bootstrap = durable_broker.bootstrap_servers
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    options = {"num_partitions": 1, "replication_factor": 1}
    admin.create_topics({place.topic: options}, wait_for_metadata=True)
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    for _ in range(9):
        producer.send(place.topic, value=b"v", partition=0)
    producer.flush(timeout=30)
    producer.close(timeout=5)
    admin.delete_records({KafkaPartition(*place): 4})
    admin.close()
    return place


class Reader:
    """A worker on a real broker and a store in memory; its stages are turned by hand."""

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        tables: Tables,
        *,
        group: str,
        reset: Reset = "earliest",
        adopt: bool = False,
        session_ms: int = SESSION_MS,
    ) -> None:
        self._topic = topic
        self._closed = False
        self.store = MemoryStore(tables)
        self.assignment = Assignment()
        self.channels = Channels()
        settings = given_settings(
            kafka_bootstrap_servers=bootstrap,
            topics=topic,
            group=group,
            kafka_session_timeout_ms=session_ms,
        )
        self.source = KafkaSource(settings, self.assignment)
        self.poll = PollStage(
            self.source,
            self.assignment,
            Batcher(Limits(10_000, 5, 0.0), 0.0, time.monotonic),
            self.channels,
            reset=reset,
            adopt=adopt,
            lateness_s=0.0,
        )
        self._classifying = ClassifyStage(StubClassifier(), 1, self.assignment, self.channels)
        self._storing = StoreStage(
            self.store,
            group=GROUP,
            topics=[topic],
            owner="us",
            assignment=self.assignment,
            channels=self.channels,
        )

    def stand_at(self, position: int) -> None:
        """Stores the group's position, as a worker did that is gone."""
        places = self.source.siblings(self._topic)
        for place in places:
            known = self.source.partition(place)
            assert known is not None
            store = MemoryStore(self.store.tables)
            assert store.settle(store.claim(*known, "gone"), position)

    def turn(self) -> None:
        with suppress(SourceUnavailableError):
            self.poll.turn()
        while not self.channels.batches.empty() or len(self.channels.inbox):
            self._classifying.turn(0)
            while self._storing.turn(0):
                pass

    def until(self, condition: Callable[[], object], seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"it did not come to pass: {self.store.rows}"
            self.turn()

    def reaches(self, position: int, number: int = 0) -> None:
        """Turns until the stored position of the live log stands there."""
        self.until(lambda: self.position(number) == position)

    def position(self, number: int = 0) -> int | None:
        for partition, row in self.store.rows.items():
            if partition.number == number and not row.retired:
                return row.next_offset
        return None

    def stored(self) -> list[int]:
        """Offsets that this reader stored, in order."""
        return [entry.record.ref.offset for entry in self.store.entries]

    def records(self) -> list[Record]:
        return [entry.record for entry in self.store.entries]

    def moves(self, kind: str) -> float:
        """What the metric of logs that moved says."""
        total = 0.0
        for metric in self.channels.metrics.log_moves.collect():
            for sample in metric.samples:
                if sample.labels.get("kind") == kind and sample.name.endswith("_total"):
                    total += sample.value
        return total

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self.poll.mirror()
        with suppress(SourceUnavailableError):
            self.source.poll(0.2)
        self.source.close(3.0)


@pytest.fixture
def new_group() -> str:
    return f"test-{secrets.token_hex(4)}"


@pytest.fixture
def reader() -> Iterator[Callable[..., Reader]]:
    """Makes readers; those that a test does not close are closed in the end."""
    made: list[Reader] = []

    def make(*arguments: Any, **options: Any) -> Reader:
        made.append(Reader(*arguments, **options))
        return made[-1]

    yield make
    while made:
        made.pop().close()
    with warnings.catch_warnings():
        # kafka-python 3.0.12 leaves the sockets open on which it found no broker.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
