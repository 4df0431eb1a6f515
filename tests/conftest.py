"""Fixtures for every room: a broker, a Postgres, a fresh migrated database, topics and records.

`WORKER_KAFKA_BOOTSTRAP_SERVERS` and `WORKER_DATABASE_URL` (a role with CREATEDB) name servers to
test against; the embedded ones start where they are not set.
"""

# ruff: noqa: PLC0415 (imported where needed: a unit test waits for none of them)
from __future__ import annotations

import ctypes
import os
import secrets
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

Record = tuple[bytes | None, bytes | None, int | None, int | None]
"""Key, value, partition (None: by the key), timestamp in epoch milliseconds (None: now)."""

_PR_SET_CHILD_SUBREAPER = 36
_GRACE_SECONDS = 10.0


# Processes


def _descendants() -> Mapping[int, str]:
    """Command lines of the processes below this one that have not ended, by process id."""
    parents, commands = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, ValueError):
            continue
        if state != "Z":
            parents[int(folder.name)] = int(parent)
            commands[int(folder.name)] = command.strip()
    below = {os.getpid()}
    while found := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= found
    # Python's own helper of multiprocessing lives as long as we do.
    return {
        pid: commands[pid]
        for pid in below - {os.getpid()}
        if "multiprocessing.resource_tracker" not in commands[pid]
    }


@pytest.fixture(scope="session", autouse=True)
def _no_process_left_behind() -> Iterator[None]:
    """Fails the session if a process that a test started, directly or not, outlives it.

    The kernel hands orphans to us rather than to init, so none is out of sight.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before = _descendants()
    yield
    deadline = time.monotonic() + _GRACE_SECONDS
    while left := {pid: cmd for pid, cmd in _descendants().items() if pid not in before}:
        if time.monotonic() > deadline:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            pytest.fail(f"processes outlived the tests: {left}")
        time.sleep(0.1)


@pytest.fixture
def descendants() -> Callable[[], Mapping[int, str]]:
    """Looks up the running processes below this one: their command lines by process id."""
    return _descendants


# Postgres


@dataclass(frozen=True, slots=True)
class DatabaseServer:
    """A Postgres on which tests make databases of their own.

    Attributes:
        url: URL of a database that exists there, for connecting only.
    """

    url: str

    def url_of(self, database: str) -> str:
        return urlsplit(self.url)._replace(path=f"/{database}").geturl()

    def create(self, template: str | None = None) -> str:
        """Makes a database, empty or a clone of `template`; returns its name."""
        name = f"test_{secrets.token_hex(6)}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {template or 'template0'}")
        return name

    def drop(self, database: str) -> None:
        self._run(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def _run(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[DatabaseServer]:
    """The Postgres of WORKER_DATABASE_URL, else an embedded one."""
    given = os.environ.get("WORKER_DATABASE_URL")
    if given:
        from worker.store.connection import libpq_url

        yield DatabaseServer(libpq_url(given))
        return
    from worker.local.postgres import EmbeddedPostgres

    with EmbeddedPostgres(durable=False) as server:
        yield DatabaseServer(server.url)


@pytest.fixture(scope="session")
def migrated_template(postgres_server: DatabaseServer) -> Iterator[str]:
    """The name of a database at the newest schema, to be cloned; nothing may stay connected."""
    from worker.store.migrate import upgrade

    name = postgres_server.create()
    upgrade(postgres_server.url_of(name))
    yield name
    postgres_server.drop(name)


@pytest.fixture
def database_url(postgres_server: DatabaseServer, migrated_template: str) -> Iterator[str]:
    """URL of a fresh database at the newest schema."""
    name = postgres_server.create(migrated_template)
    yield postgres_server.url_of(name)
    postgres_server.drop(name)


@pytest.fixture
def empty_database_url(postgres_server: DatabaseServer) -> Iterator[str]:
    """URL of a fresh database without a schema of ours."""
    name = postgres_server.create()
    yield postgres_server.url_of(name)
    postgres_server.drop(name)


# Kafka


@pytest.fixture(scope="session")
def kafka_bootstrap() -> Iterator[str]:
    """The brokers of WORKER_KAFKA_BOOTSTRAP_SERVERS, else an embedded one."""
    given = os.environ.get("WORKER_KAFKA_BOOTSTRAP_SERVERS")
    if given:
        yield given
        return
    from worker.local.broker import EmbeddedBroker

    with EmbeddedBroker() as broker:
        yield broker.bootstrap_servers


@pytest.fixture(scope="session")
def kafka_admin(kafka_bootstrap: str) -> Iterator[Any]:
    """A KafkaAdminClient."""
    from kafka import KafkaAdminClient

    admin = KafkaAdminClient(bootstrap_servers=kafka_bootstrap.split(","))
    yield admin
    admin.close()


@pytest.fixture
def make_topic(kafka_admin: Any) -> Iterator[Callable[..., str]]:
    """Makes a topic of its own: `make_topic(partitions=6)` returns its name."""
    made: list[str] = []

    def make(partitions: int = 6) -> str:
        name = f"test-{secrets.token_hex(6)}"
        options = {"num_partitions": partitions, "replication_factor": 1}
        kafka_admin.create_topics({name: options}, wait_for_metadata=True)
        made.append(name)
        return name

    yield make
    if made:
        kafka_admin.delete_topics(made, raise_errors=False)


@pytest.fixture(scope="session")
def produce(kafka_bootstrap: str) -> Iterator[Callable[[str, Iterable[Record]], Any]]:
    """Writes records: `produce(topic, [(key, value, partition, timestamp_ms), ...])`.

    It returns their partitions and offsets, in the order given. Key and value may both be None.
    """
    from kafka import KafkaProducer
    from kafka.serializer import Serializer

    null = object()  # kafka-python itself refuses a record with neither key nor value

    class NullSerializer(Serializer):  # type: ignore[misc]
        def serialize(self, topic: str, headers: Any, data: Any) -> bytes | None:
            return None if data is null else data

    producer = KafkaProducer(
        bootstrap_servers=kafka_bootstrap.split(","),
        value_serializer=NullSerializer(),
        max_request_size=32 * 2**20,
    )

    def write(topic: str, records: Iterable[Record]) -> list[tuple[int, int]]:
        futures = [
            producer.send(
                topic,
                key=key,
                value=null if value is None else value,
                partition=partition,
                timestamp_ms=timestamp_ms,
            )
            for key, value, partition, timestamp_ms in records
        ]
        producer.flush(timeout=60)
        done = [future.get(timeout=10) for future in futures]
        return [(metadata.partition, metadata.offset) for metadata in done]

    yield write
    producer.close(timeout=10)
