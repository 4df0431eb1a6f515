"""Sends records to Kafka: every one acknowledged by all replicas in sync, or an error."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from kafka import KafkaProducer
from kafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    UnknownError,
)

from worker.errors import DependencyError, WorkerError
from worker.source.config import client_config
from worker.source.reach import brief, broker_errors, connecting

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from worker.settings import Settings

_MAX_PENDING_BYTES: Final = 32 * 1024 * 1024
_MAX_RECORD_BYTES: Final = 64 * 1024 * 1024  # the broker's own limit is the one that counts


class Producer:
    """An idempotent producer whose errors surface, and whose buffer is bounded.

    kafka-python's own buffer is not: without a bound, a file larger than memory would fill it.
    It is used from one thread, and as a context manager.

    Args:
        settings: Where the broker is.
        timeout_s: Seconds to wait for it at first.
        delivery_timeout_s: Seconds that a record may take, retries included.

    Raises:
        SettingsError: The settings are wrong.
        DependencyError: The broker could not be reached in time.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        timeout_s: float = 10.0,
        delivery_timeout_s: float = 60.0,
    ) -> None:
        self._settings = settings
        self._delivery_timeout_s = delivery_timeout_s
        self._space = threading.Condition()
        self._pending = 0
        self._pending_bytes = 0
        self._delivered = 0
        self._error: BaseException | None = None
        config = client_config(settings)
        with connecting(settings, timeout_s=timeout_s):
            self._producer = KafkaProducer(
                **config,
                acks="all",
                enable_idempotence=True,
                compression_type="lz4",
                linger_ms=20,
                batch_size=128 * 1024,
                max_request_size=_MAX_RECORD_BYTES,
                max_block_ms=round(timeout_s * 1_000),
                delivery_timeout_ms=round(delivery_timeout_s * 1_000),
                request_timeout_ms=round(min(30.0, delivery_timeout_s / 2) * 1_000),
                bootstrap_timeout_ms=round(timeout_s * 1_000),
                allow_auto_create_topics=False,
                metrics_enabled=False,
            )

    @property
    def delivered(self) -> int:
        """How many records have been acknowledged so far."""
        return self._delivered

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        timestamp_ms: int | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Queues a record; it waits while too much is under way. `flush` tells when it is there.

        Args:
            topic: A topic that exists.
            key: Records with equal keys go to the same partition, chosen as by Kafka's own clients.
            value: None is a tombstone, and needs a key.
            timestamp_ms: Milliseconds since the epoch; None: now.
            headers: Names and values.

        Raises:
            DependencyError: This or an earlier record could not be delivered.
            WorkerError: This or an earlier record is too large for the broker.
        """
        size = len(key or b"") + len(value or b"")
        with self._space:
            if self._pending_bytes > _MAX_PENDING_BYTES:
                # Each record is delivered or fails in time: an error is what else ends the wait.
                self._space.wait_for(
                    lambda: self._error is not None or self._pending_bytes <= _MAX_PENDING_BYTES,
                    timeout=self._delivery_timeout_s,
                )
            self._raise_error()
            self._pending += 1
            self._pending_bytes += size
        try:
            future = self._producer.send(
                topic, value=value, key=key, timestamp_ms=timestamp_ms, headers=list(headers)
            )
        except KafkaError as error:
            self._failed(size, error)
            self._raise_error()
        else:
            future.add_callback(self._succeeded, size)
            future.add_errback(self._failed, size)

    def flush(self, timeout_s: float | None = None) -> None:
        """Returns once every record sent so far has been acknowledged.

        Args:
            timeout_s: Seconds to wait; None: as long as a record may take.

        Raises:
            DependencyError: One was not, or not in time.
            WorkerError: One is too large for the broker.
        """
        deadline = time.monotonic() + (timeout_s or self._delivery_timeout_s + 1.0)
        while self._error is None and self._pending > 0:
            # A batch too large for the broker is split: then the wait for it ends early.
            left = deadline - time.monotonic()
            with broker_errors(self._settings, "taking records"), suppress(UnknownError):
                if left <= 0:
                    raise KafkaTimeoutError(f"{self._pending} records are not acknowledged")
                self._producer.flush(left)
        self._raise_error()

    def close(self, timeout_s: float = 5.0) -> None:
        """Sends what is queued, for at most `timeout_s` seconds, and disconnects; it never raises.

        Call `flush` before it to know that everything was delivered.
        """
        try:
            self._producer.close(timeout_s)
        except KafkaError:
            self._producer.close(0)

    def _succeeded(self, size: int, _metadata: object) -> None:
        with self._space:
            self._pending -= 1
            self._pending_bytes -= size
            self._delivered += 1
            self._space.notify()

    def _failed(self, size: int, error: BaseException) -> None:
        with self._space:
            self._pending -= 1
            self._pending_bytes -= size
            self._error = self._error or error
            self._space.notify()

    def _raise_error(self) -> None:
        error = self._error
        if error is None:
            return
        if isinstance(error, (MessageSizeTooLargeError, RecordListTooLargeError)):
            raise WorkerError(
                "A record is larger than the Kafka broker takes: raise the topic's "
                f"max.message.bytes, or leave the record out ({brief(error)})."
            ) from error
        raise DependencyError(
            f"The Kafka broker at {self._settings.kafka} did not take a record: {brief(error)}."
        ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
