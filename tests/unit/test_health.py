"""Liveness, readiness, and where the threads stand."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.clock import ManualClock
from worker.health import Health, Pulse, Stall, stacks
from worker.source import TopicPartition

if TYPE_CHECKING:
    from worker.health import Dependency

STALL_S = 60.0
P0, P1, P2 = (TopicPartition("posts", number) for number in range(3))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def health(clock: ManualClock) -> Health:
    return Health(STALL_S, clock)


def working(health: Health) -> Health:
    """All that readiness asks for."""
    health.up("broker")
    health.up("database")
    health.assigned([P0, P1], [P0, P1])
    return health


def test_a_pulse_ages_until_it_beats(clock: ManualClock) -> None:
    pulse = Pulse(clock)
    clock.now += 5
    assert pulse.age_s() == 5
    pulse.beat()
    assert pulse.age_s() == 0


def test_a_thread_that_waits_on_purpose_beats_meanwhile() -> None:
    clock = ManualClock()
    pulse = Pulse(clock)
    waits: list[float] = []

    class Event(threading.Event):
        set_after = 99

        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None
            waits.append(timeout)
            assert pulse.age_s() == 0
            clock.now += timeout
            return len(waits) >= self.set_after

    assert not pulse.wait(Event(), 1.25)
    assert waits == [0.5, 0.5, 0.25]
    assert pulse.age_s() == 0
    waits.clear()
    event = Event()
    event.set_after = 2
    assert pulse.wait(event, 5)
    assert waits == [0.5, 0.5]
    waits.clear()
    assert not pulse.wait(Event(), 0)
    assert waits == []


# Liveness


def test_nothing_is_live_where_nothing_is_to_move(health: Health, clock: ManualClock) -> None:
    clock.now += 10 * STALL_S
    assert health.live() == []


def test_a_stage_that_stands_still_is_named_until_it_goes_on(
    health: Health, clock: ManualClock
) -> None:
    poll, store = health.pulse("poll"), health.pulse("store")
    clock.now += STALL_S
    poll.beat()
    assert health.live() == []
    clock.now += 1
    assert health.live() == ["the store stage has not moved for 61 s"]
    assert health.stages() == {"poll": True, "store": False}
    assert [(stall.what, stall.where) for stall in health.stalls()] == [("store", "store")]
    store.beat()
    assert health.live() == []
    assert health.stages() == {"poll": True, "store": True}


def test_a_stage_that_ended_need_not_move(health: Health, clock: ManualClock) -> None:
    health.pulse("classify")
    health.ended("classify")
    health.ended("classify")
    clock.now += 2 * STALL_S
    assert health.live() == []
    assert health.stages() == {}


def test_a_partition_that_nothing_mends_is_a_stall_until_it_moves(health: Health) -> None:
    working(health)
    health.lost({P1: "was not read on", P0: "was not claimed"})
    assert health.stalls() == (
        Stall("partition", "posts/0", "posts/0 was not claimed"),
        Stall("partition", "posts/1", "posts/1 was not read on"),
    )
    assert health.ready() == health.live()
    health.lost({})
    assert health.live() == []


def test_a_worker_that_stops_has_lost_no_partition(health: Health) -> None:
    health.lost({P0: "was not read on"})
    health.stopping()
    health.lost({P0: "was not read on"})
    assert health.live() == []


@pytest.mark.parametrize("dependency", ["broker", "database"])
def test_what_a_restart_does_not_mend_is_no_reason_to_restart(
    health: Health, dependency: Dependency
) -> None:
    working(health).down(dependency, "no answer")
    assert health.live() == []
    assert health.ready() == [f"the {dependency} is away: no answer"]
    assert health.dependencies() == {"broker": True, "database": True} | {dependency: False}
    health.up(dependency)
    assert health.ready() == []


@given(
    beats=st.lists(st.floats(min_value=0.1, max_value=2 * STALL_S), max_size=20),
    stages=st.sets(st.sampled_from(["poll", "classify", "store"]), min_size=1),
)
def test_live_is_exactly_that_no_pulse_is_older_than_the_limit(
    beats: list[float], stages: set[str]
) -> None:
    clock = ManualClock()
    health = Health(STALL_S, clock)
    pulses = {stage: health.pulse(stage) for stage in sorted(stages)}
    last = dict.fromkeys(pulses, clock.now)
    for number, wait in enumerate(beats):
        clock.now += wait
        stage = sorted(stages)[number % len(stages)]
        pulses[stage].beat()
        last[stage] = clock.now
        old = {stage for stage, at in last.items() if clock.now - at > STALL_S}
        assert {stall.where for stall in health.stalls()} == old
        assert bool(health.live()) == bool(old)
        assert {stage for stage, moves in health.stages().items() if not moves} == old


# Readiness


def test_a_worker_gets_ready_step_by_step(health: Health) -> None:
    assert health.ready() == [
        "the consumer group is not joined yet",
        "the database has not answered yet",
    ]
    health.up("database")
    health.assigned([P2, P0, P1], [])
    assert health.ready() == ["assigned but not claimed yet: posts/0, posts/1, posts/2"]
    health.assigned([P0, P1, P2], [P1])
    assert health.ready() == ["assigned but not claimed yet: posts/0, posts/2"]
    health.assigned([P0, P1, P2], [P0, P1, P2])
    assert health.ready() == []


def test_a_worker_that_the_group_has_no_partition_for_is_ready(health: Health) -> None:
    health.up("database")
    assert health.ready() == ["the consumer group is not joined yet"]
    health.assigned([], [])
    assert health.ready() == []


def test_a_worker_that_its_group_has_put_out_is_not_ready(health: Health) -> None:
    working(health).left()
    assert health.ready() == ["the consumer group is not joined any more"]
    assert health.live() == []
    health.assigned([P0], [P0])
    assert health.ready() == []


def test_a_stage_can_be_beaten_for_from_within_a_long_call(
    health: Health, clock: ManualClock
) -> None:
    health.pulse("store")
    clock.now += STALL_S + 1
    health.beat("poll")
    assert health.live() == ["the store stage has not moved for 61 s"]
    health.beat("store")
    assert health.live() == []
    assert health.stages() == {"store": True}


def test_a_worker_that_stops_is_not_ready_but_live(health: Health, clock: ManualClock) -> None:
    working(health)
    health.stopping()
    assert health.live() == []
    assert health.ready() == ["the worker is stopping"]


def test_a_stalled_worker_is_not_ready(health: Health, clock: ManualClock) -> None:
    working(health).pulse("classify")
    clock.now += STALL_S + 1
    assert health.ready() == health.live() == ["the classify stage has not moved for 61 s"]


def test_a_reason_is_one_line(health: Health) -> None:
    working(health).down("database", "it said:\n  FATAL,\nand more")
    assert health.ready() == ["the database is away: it said: FATAL, and more"]


# Stacks


def test_stacks_show_every_thread_and_no_value() -> None:
    go_on, started = threading.Event(), threading.Event()

    def stuck_in_a_forward_pass(post: str) -> None:
        copy = post.upper()
        started.set()
        go_on.wait(30)
        del copy

    text = "canary-" + "of-a-post"
    thread = threading.Thread(target=stuck_in_a_forward_pass, args=(text,), name="classify")
    thread.start()
    try:
        assert started.wait(10)
        shown = stacks()
    finally:
        go_on.set()
        thread.join()
    assert "classify:\n" in shown
    assert "MainThread:\n" in shown
    assert "in stuck_in_a_forward_pass" in shown
    assert "go_on.wait(30)" in shown
    assert shown.index("stuck_in_a_forward_pass") < shown.index("go_on.wait"), "oldest call first"
    assert text not in shown
    assert text.upper() not in shown
