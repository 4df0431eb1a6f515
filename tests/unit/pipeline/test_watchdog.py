"""A thread that stands still: said once with where all threads are, counted, and said when over."""

from __future__ import annotations

import time
from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest

from tests.fakes.clock import ManualClock
from worker.errors import StoreUnavailableError
from worker.health import Health
from worker.metrics import Metrics
from worker.pipeline.channels import Backoff, Channels
from worker.pipeline.messages import Ask
from worker.pipeline.watchdog import Watchdog
from worker.source import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.pipeline.conftest import Rig

STALL_S = 60.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def health(clock: ManualClock) -> Health:
    return Health(STALL_S, clock)


def _stalls(metrics: Metrics, what: str) -> float:
    value: float = metrics.stalls.labels(what)._value.get()
    return value


def test_a_stalled_stage_is_said_once_and_counted(
    health: Health, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Metrics()
    dog = Watchdog(health, metrics, 15.0)
    poll, store = health.pulse("poll"), health.pulse("store")
    for _ in range(8):
        clock.now += 15
        store.beat()
        dog.look()
    assert [record.getMessage() for record in caplog.records] == [
        "stalled: liveness fails until it goes on"
    ]
    [record] = caplog.records
    assert record.__dict__["what"] == "poll"
    assert "MainThread:" in record.__dict__["stacks"]
    assert "test_watchdog.py" in record.__dict__["stacks"]
    assert (_stalls(metrics, "poll"), _stalls(metrics, "store")) == (1, 0)
    assert health.live()

    poll.beat()
    dog.look()
    dog.look()
    assert [record.getMessage() for record in caplog.records[1:]] == ["no longer stalled"]
    assert not health.live()

    for _ in range(5):
        clock.now += 15
        store.beat()
        dog.look()
    assert _stalls(metrics, "poll") == 2


def test_a_partition_is_counted_where_it_is_mended(
    health: Health, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Metrics()
    dog = Watchdog(health, metrics, 15.0)
    health.lost({TopicPartition("posts", 3): "was not read on"})
    dog.look()
    assert "posts/3" in str(caplog.records[0].__dict__["what"])
    assert _stalls(metrics, "partition") == 0


def test_it_runs_until_it_is_closed(health: Health, clock: ManualClock) -> None:
    metrics = Metrics()
    with Watchdog(health, metrics, 0.005):
        health.pulse("poll")
        clock.now += 2 * STALL_S
        deadline = time.monotonic() + 10
        while not _stalls(metrics, "poll"):
            assert time.monotonic() < deadline
            time.sleep(0.005)


def _on_a_thread(run: Callable[[], object]) -> Thread:
    thread = Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_a_store_that_waits_for_the_database_turns_and_is_not_ready(rig: Rig) -> None:
    clock = ManualClock()
    health = Health(STALL_S, clock)
    rig.channels = channels = Channels(health=health)
    rig.storing._channels = channels
    rig.storing._backoff = Backoff(0.001, 0.001)
    rig.storing._store = rig.store
    rig.store.away = 10**9
    rig.source.assign(rig.places)
    rig.poll._channels = channels
    rig.poll._claiming._channels = channels
    thread = _on_a_thread(rig.storing.run)
    try:
        rig.poll.turn()
        deadline = time.monotonic() + 10
        while health.dependencies().get("database", True):
            assert time.monotonic() < deadline
            time.sleep(0.002)
        for _ in range(5):
            clock.now += STALL_S / 2
            time.sleep(0.05)
        assert health.live() == []
        assert any("database is away" in reason for reason in health.ready())

        rig.store.away = 0
        while not health.dependencies()["database"]:
            assert time.monotonic() < deadline
            clock.now += 0.01
            time.sleep(0.002)
    finally:
        channels.abandoned.set()
        thread.join(10)
    assert not thread.is_alive()
    assert health.stages() == {}, "it came to its proper end"


def test_a_store_that_hangs_in_a_write_is_stalled(rig: Rig) -> None:
    clock = ManualClock()
    health = Health(STALL_S, clock)
    rig.storing._channels = channels = Channels(health=health)
    hangs, release = Event(), Event()

    def hang(*_: object) -> list[object]:
        hangs.set()
        release.wait(10)
        raise StoreUnavailableError("away")

    rig.store.positions = hang  # type: ignore[method-assign,assignment]
    channels.inbox.ask(Ask())
    thread = _on_a_thread(rig.storing.run)
    try:
        assert hangs.wait(10)
        clock.now += STALL_S + 1
        assert [stall.what for stall in health.stalls()] == ["store"]
    finally:
        channels.abandoned.set()
        release.set()
        thread.join(10)
    assert not thread.is_alive()
