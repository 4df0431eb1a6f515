"""A topic that dead letters are also sent to: best effort, beside the stream, never in its way."""

from __future__ import annotations

import logging
from collections import deque
from threading import Condition, Thread
from typing import TYPE_CHECKING, Final

from worker.errors import WorkerError
from worker.source.producer import Producer

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.posts import Record, Rejection
    from worker.settings import Settings

log = logging.getLogger(__name__)

MAX_WAITING: Final = 10_000
MAX_WAITING_BYTES: Final = 32 << 20
"""More than this do not wait for a broker that does not take them: the table has them all."""
DELIVERY_S: Final = 20.0
AGAIN_S: Final = 10.0
"""After a failure, before the topic is tried again."""


class LetterTopic:
    """Sends dead letters from a thread of its own. `send` never waits and never raises.

    A letter has the record's raw key and value, and as headers, in UTF-8: `reason`, `detail` and
    `fingerprint` of its rejection, and `topic`, `partition` and `offset` of the record.

    Args:
        settings: Where the broker is.
        topic: A topic that exists.
        failed: Called with how many letters did not get there.
        make: Makes the producer.
        again_s: Seconds to wait after a failure.
    """

    def __init__(
        self,
        settings: Settings,
        topic: str,
        *,
        failed: Callable[[int], object],
        make: Callable[..., Producer] = Producer,
        again_s: float = AGAIN_S,
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._failed = failed
        self._make = make
        self._again_s = again_s
        self._changed = Condition()
        self._waiting: deque[tuple[Record, Rejection]] = deque()
        self._bytes = 0
        self._closing = False
        self._failing = False
        self._thread = Thread(target=self._run, name="dead letters", daemon=True)
        self._thread.start()

    def send(self, record: Record, rejection: Rejection) -> None:
        """Takes a letter; one too many is dropped, and counted as failed."""
        size = _size(record)
        with self._changed:
            full = len(self._waiting) >= MAX_WAITING or self._bytes + size > MAX_WAITING_BYTES
            if not full and not self._closing:
                self._waiting.append((record, rejection))
                self._bytes += size
                self._changed.notify()
                return
        self._failed(1)

    def close(self, timeout_s: float) -> None:
        """Sends what waits, for at most `timeout_s` seconds; the rest has failed."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_s)
        self._failed(len(self._take()))

    def _take(self) -> list[tuple[Record, Rejection]]:
        with self._changed:
            taken, self._bytes = list(self._waiting), 0
            self._waiting.clear()
            return taken

    def _run(self) -> None:
        producer: Producer | None = None
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
            letters = self._take()
            if not letters:
                break
            try:
                producer = producer or self._make(self._settings, delivery_timeout_s=DELIVERY_S)
                self._deliver(producer, letters)
                if self._failing:
                    log.warning("dead letters are sent again", extra={"to": self._topic})
                self._failing = False
            except WorkerError as error:
                self._say(error)
                if producer is None:
                    self._failed(len(letters))
                else:
                    producer.close(0)
                    producer = None
                with self._changed:
                    self._changed.wait_for(lambda: self._closing, self._again_s)
        if producer is not None:
            producer.close(1.0)

    def _deliver(self, producer: Producer, letters: list[tuple[Record, Rejection]]) -> None:
        before = producer.delivered
        try:
            for record, rejection in letters:
                # Kafka takes no record that has neither.
                value = b"" if record.key is None and record.value is None else record.value
                producer.send(
                    self._topic,
                    record.key,
                    value,
                    record.timestamp_ms if record.timestamp_ms >= 0 else None,
                    headers=_headers(record, rejection),
                )
            producer.flush()
        except WorkerError:
            self._failed(len(letters) - (producer.delivered - before))
            raise

    def _say(self, error: WorkerError) -> None:
        if not self._failing:
            log.warning(
                "dead letters cannot be sent to their topic (the table has them)",
                extra={"to": self._topic, "error": str(error)},
            )
        self._failing = True


def _size(record: Record) -> int:
    return len(record.key or b"") + len(record.value or b"")


def _headers(record: Record, rejection: Rejection) -> list[tuple[str, bytes]]:
    ref = record.ref
    return [
        (name, str(value).encode())
        for name, value in (
            ("reason", rejection.reason),
            ("detail", rejection.detail),
            ("fingerprint", rejection.fingerprint),
            ("topic", ref.topic),
            ("partition", ref.partition),
            ("offset", ref.offset),
        )
    ]
