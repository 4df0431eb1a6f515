"""Dead letters on their way to a topic: never in the stream's way, and counted where they fail."""

from __future__ import annotations

import time
from threading import Event
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from worker.errors import DependencyError
from worker.posts import Record, RecordRef, Rejection
from worker.settings import given_settings
from worker.source.letters import MAX_WAITING, MAX_WAITING_BYTES, LetterTopic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SETTINGS = given_settings(kafka_bootstrap_servers="broker:9092")


class Broker:
    """Makes producers that share a log, and fails when told to.

    Attributes:
        log: What was acknowledged: key, value, timestamp, headers.
        away: How many more producers cannot be made.
        refuses: How many more flushes fail.
        open: Cleared, a flush waits.
        failed: What was counted.
    """

    def __init__(self) -> None:
        self.log: list[tuple[bytes | None, bytes | None, int | None, dict[str, str]]] = []
        self.away = 0
        self.refuses = 0
        self.open = Event()
        self.open.set()
        self.failed = 0
        self.made = 0

    def count(self, letters: int) -> None:
        self.failed += letters

    def make(self, _: object, *, delivery_timeout_s: float) -> Any:
        if self.away:
            self.away -= 1
            raise DependencyError("no broker")
        self.made += 1
        return FakeProducer(self)


class FakeProducer:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._sent: list[Any] = []
        self.delivered = 0

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        timestamp_ms: int | None = None,
        headers: list[tuple[str, bytes]] = [],  # noqa: B006
    ) -> None:
        assert topic == "letters"
        assert key is not None or value is not None
        self._sent.append((key, value, timestamp_ms, {n: v.decode() for n, v in headers}))

    def flush(self) -> None:
        assert self._broker.open.wait(10)
        sent, self._sent = self._sent, []
        if self._broker.refuses:
            self._broker.refuses -= 1
            raise DependencyError("not delivered")
        self._broker.log += sent
        self.delivered += len(sent)

    def close(self, timeout_s: float) -> None:
        pass


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def letters(broker: Broker) -> Iterator[LetterTopic]:
    topic = LetterTopic(SETTINGS, "letters", failed=broker.count, make=broker.make, again_s=0.01)
    yield topic
    broker.open.set()
    topic.close(10)
    assert not topic._thread.is_alive()


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.002)

    return wait


def _letter(
    offset: int, value: bytes | None = b"\xff no post", key: bytes | None = None
) -> tuple[Record, Rejection]:
    ref = RecordRef("posts", UUID(int=1), 3, offset)
    return Record(ref, 1_000 + offset, key, value), Rejection(
        ref, "bad_utf8", "The value is not UTF-8.", "f00d"
    )


def test_a_letter_has_the_raw_record_and_why(
    letters: LetterTopic, broker: Broker, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    letters.send(*_letter(7, key=b"k"))
    letters.send(*_letter(8, value=None))
    eventually(lambda: len(broker.log) == 2)
    headers = {
        "reason": "bad_utf8",
        "detail": "The value is not UTF-8.",
        "fingerprint": "f00d",
        "topic": "posts",
        "partition": "3",
        "offset": "7",
    }
    assert broker.log[0] == (b"k", b"\xff no post", 1_007, headers)
    assert broker.log[1] == (None, b"", 1_008, headers | {"offset": "8"})
    assert broker.failed == 0


def test_a_broker_that_fails_is_said_once_counted_and_tried_again(
    letters: LetterTopic,
    broker: Broker,
    eventually: Callable[[Callable[[], bool]], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker.away, broker.refuses = 2, 1
    for offset in range(3):
        letters.send(*_letter(offset))
        eventually(lambda expected=offset + 1: broker.failed == expected)  # type: ignore[misc]
    letters.send(*_letter(3))
    eventually(lambda: len(broker.log) == 1)
    assert broker.log[0][3]["offset"] == "3"
    assert broker.made == 2, "a producer that failed is not used again"
    eventually(lambda: len(caplog.records) == 2)
    assert [record.getMessage() for record in caplog.records] == [
        "dead letters cannot be sent to their topic (the table has them)",
        "dead letters are sent again",
    ]


@pytest.mark.parametrize(
    ("value", "fit"),
    [(b"", MAX_WAITING), (b"x" * (MAX_WAITING_BYTES // 4), 4)],
    ids=["many", "large"],
)
def test_a_broker_that_takes_nothing_makes_nobody_wait(
    letters: LetterTopic,
    broker: Broker,
    eventually: Callable[[Callable[[], bool]], None],
    value: bytes,
    fit: int,
) -> None:
    broker.open.clear()
    letters.send(*_letter(0))
    eventually(lambda: not letters._waiting)  # it is in the flush that does not end
    for offset in range(1, fit + 4):
        letters.send(*_letter(offset, value))
    assert broker.failed == 3
    broker.open.set()
    eventually(lambda: len(broker.log) == fit + 1)


def test_closing_sends_what_waits(broker: Broker) -> None:
    topic = LetterTopic(SETTINGS, "letters", failed=broker.count, make=broker.make)
    for offset in range(100):
        topic.send(*_letter(offset))
    topic.close(10)
    assert len(broker.log) == 100
    topic.send(*_letter(100))
    assert broker.failed == 1


def test_closing_does_not_wait_for_a_broker_that_is_away(broker: Broker) -> None:
    broker.open.clear()
    topic = LetterTopic(SETTINGS, "letters", failed=broker.count, make=broker.make)
    topic.send(*_letter(0))
    while topic._waiting:
        time.sleep(0.002)
    topic.send(*_letter(1))
    before = time.monotonic()
    topic.close(0.05)
    assert time.monotonic() - before < 5
    assert broker.failed == 1
    broker.open.set()
    topic._thread.join(10)
