from __future__ import annotations

import socket
import time

import pytest
from kafka.errors import KafkaTimeoutError, NotLeaderForPartitionError

from worker.errors import DependencyError, WorkerError
from worker.settings import Settings
from worker.source.reach import await_broker, brief, broker_errors, connecting


def test_a_listener_is_found_behind_a_dead_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        await_broker(Settings(kafka_bootstrap_servers=f"127.0.0.1:1,127.0.0.1:{port}"), timeout_s=5)


def test_who_cannot_be_reached_is_named_in_time() -> None:
    settings = Settings(kafka_bootstrap_servers="127.0.0.1:1,127.0.0.1:2")
    began = time.monotonic()
    with pytest.raises(DependencyError, match=r"127.0.0.1:1: .*refused; 127.0.0.1:2: ") as e:
        await_broker(settings, timeout_s=0.3)
    assert time.monotonic() - began < 5
    assert e.value.exit_code == 3
    assert "WORKER_KAFKA_BOOTSTRAP_SERVERS" in str(e.value)


def test_a_listener_that_is_no_broker_is_told_from_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings = Settings(kafka_bootstrap_servers=f"127.0.0.1:{server.getsockname()[1]}")
        with (
            pytest.raises(DependencyError, match=r"WORKER_KAFKA_SECURITY_PROTOCOL .now PLAINTEXT"),
            connecting(settings, timeout_s=1),
        ):
            raise KafkaTimeoutError("Unable to bootstrap")


def test_errors_of_the_client_become_ours_and_others_pass() -> None:
    settings = Settings(kafka_bootstrap_servers="a:1")
    with (
        pytest.raises(DependencyError, match=r"broker at a:1 failed while counting: NotLeader"),
        broker_errors(settings, "counting"),
    ):
        raise NotLeaderForPartitionError
    with pytest.raises(WorkerError, match=r"^mine$"), broker_errors(settings, "counting"):
        raise WorkerError("mine")


def test_brief_is_brief() -> None:
    assert brief(KafkaTimeoutError("a\n  b.")) == "KafkaTimeoutError: a b"
    assert len(brief(KafkaTimeoutError("x" * 5_000))) < 300
