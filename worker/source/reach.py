"""Whether a broker can be reached, and words for when it cannot."""

from __future__ import annotations

import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kafka.errors import KafkaError

from worker.errors import DependencyError
from worker.source.config import bootstrap_servers
from worker.source.tls import greet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.settings import Settings


def await_broker(settings: Settings, *, timeout_s: float) -> None:
    """Returns once a bootstrap server accepts connections.

    kafka-python's own bootstrap says neither what went wrong nor closes its sockets then. With TLS
    the connection also shakes hands, for the client would not say why that failed.

    Raises:
        SettingsError: The servers are not set, or not `host:port`.
        DependencyError: None accepted within `timeout_s` seconds, or one does not speak TLS with
            us.
    """
    servers = bootstrap_servers(settings)
    deadline = time.monotonic() + timeout_s
    while True:
        problems = []
        for server in servers:
            host, _, port = server.rpartition(":")
            left = max(0.1, min(3.0, deadline - time.monotonic()))
            try:
                with socket.create_connection((host.strip("[]"), int(port)), timeout=left) as one:
                    if settings.kafka_security_protocol.endswith("SSL"):
                        greet(one, server, settings)
                    return
            except OSError as error:
                problems.append(f"{server}: {error.strerror or error}")
        if time.monotonic() + 0.2 >= deadline:
            raise DependencyError(
                f"No Kafka broker could be reached within {timeout_s:g} s ({'; '.join(problems)}). "
                "Is it running, and is WORKER_KAFKA_BOOTSTRAP_SERVERS right?"
            )
        time.sleep(0.2)


@contextmanager
def connecting(settings: Settings, *, timeout_s: float) -> Iterator[None]:
    """Waits for a broker, then turns the errors of a Kafka client being made into ours.

    Raises:
        SettingsError: The servers are not set, or not `host:port`.
        DependencyError: None could be reached within `timeout_s` seconds, or none speaks as set.
    """
    await_broker(settings, timeout_s=timeout_s)
    try:
        yield
    except KafkaError as error:
        # What SASL had to say is gone by now: the client logs it and tries until it is late.
        protocol = settings.kafka_security_protocol
        if protocol.startswith("SASL"):
            doubt = (
                "Are WORKER_KAFKA_SASL_MECHANISM, WORKER_KAFKA_SASL_USER and "
                f"WORKER_KAFKA_SASL_PASSWORD right, and is WORKER_KAFKA_SECURITY_PROTOCOL "
                f"(now {protocol})?"
            )
        else:
            doubt = f"Does WORKER_KAFKA_SECURITY_PROTOCOL (now {protocol}) fit its listener?"
        raise DependencyError(
            f"What listens at {settings.kafka} did not answer as a Kafka broker within "
            f"{timeout_s:g} s ({brief(error)}). {doubt}"
        ) from error


@contextmanager
def broker_errors(settings: Settings, doing: str) -> Iterator[None]:
    """Turns the Kafka client's errors into ours; `doing` completes "while ...".

    Raises:
        DependencyError: The client raised an error.
    """
    try:
        yield
    except KafkaError as error:
        raise DependencyError(
            f"The Kafka broker at {settings.kafka} failed while {doing}: {brief(error)}."
        ) from error


def brief(error: BaseException) -> str:
    """The error's name and the beginning of its message: kafka-python puts whole requests there."""
    text = " ".join(str(error.args[0]).split()) if error.args else ""
    name = type(error).__name__
    return f"{name}: {text[:200].rstrip('.')}" if text else name
