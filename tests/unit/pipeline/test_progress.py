"""Partitions that silently stop: what is noticed, what is done, and what is nobody's fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes.clock import ManualClock
from worker.errors import SourceUnavailableError
from worker.pipeline.channels import STALL_S
from worker.pipeline.progress import CHANCES, OVERTAKEN, Cure, Progress
from worker.source import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.unit.pipeline.conftest import Rig

P0, P1 = (TopicPartition("posts", number) for number in range(2))


class Watched:
    """Progress under a clock, with what the broker says of ends."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.progress = Progress(STALL_S, self.clock)
        self.end = 9
        self.asked: list[list[TopicPartition]] = []

    def ends(self, places: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        self.asked.append(list(places))
        return dict.fromkeys(places, self.end)

    def looks(
        self,
        count: int,
        reading: Mapping[TopicPartition, int],
        *,
        assigned: Sequence[TopicPartition] = (P0,),
        polls: int = CHANCES,
        empty: bool = True,
        every_s: float | None = None,
    ) -> list[tuple[TopicPartition, Cure]]:
        stuck = []
        for _ in range(count):
            self.clock.now += self.progress.every_s if every_s is None else every_s
            for _ in range(polls):
                self.progress.polled(len(reading), empty=empty)
            stuck += [
                (one.place, one.cure) for one in self.progress.look(assigned, reading, self.ends)
            ]
        return stuck


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_it_is_sought_then_claimed_then_lost_until_it_moves(watched: Watched) -> None:
    assert watched.looks(3, {P0: 5}) == []  # first seen, first behind, a quarter after that
    assert watched.looks(1, {P0: 5}) == [(P0, Cure.SEEK)]
    assert watched.looks(2, {P0: 5}) == [(P0, Cure.CLAIM)]
    assert watched.looks(1, {}) == []  # while it is claimed
    assert watched.looks(3, {P0: 5}) == []
    assert watched.progress.lost == frozenset()
    assert watched.looks(1, {P0: 5}) == [(P0, Cure.NONE)]
    assert watched.progress.lost == {P0}
    assert watched.looks(20, {P0: 5}) == [], "said once"
    assert watched.looks(1, {P0: 6}) == []
    assert watched.progress.lost == frozenset()
    assert watched.looks(3, {P0: 6}) == [(P0, Cure.SEEK)], "from the beginning again"


def test_what_is_not_begun_is_claimed_again_and_then_lost(watched: Watched) -> None:
    assert watched.looks(4, {}, polls=0) == []
    assert watched.looks(1, {}, polls=0) == [(P0, Cure.CLAIM)]
    assert watched.looks(3, {}, polls=0) == []
    assert watched.looks(1, {}, polls=0) == [(P0, Cure.NONE)]
    assert watched.progress.lost == {P0}
    watched.looks(1, {P0: 9})
    watched.looks(2, {P0: 9})
    assert watched.progress.lost == frozenset(), "read to its end"


def test_what_was_mended_begins_anew(watched: Watched) -> None:
    assert watched.looks(4, {P0: 5}) == [(P0, Cure.SEEK)]
    assert watched.looks(1, {P0: 7}) == []
    assert watched.looks(3, {P0: 7}) == [(P0, Cure.SEEK)], "not the next step"


def test_one_that_moves_does_not_hide_one_that_stands(watched: Watched) -> None:
    stuck = []
    for offset in range(8):
        stuck += watched.looks(1, {P0: offset, P1: 3}, assigned=(P0, P1))
    assert [place for place, _ in stuck] == [P1, P1, P1]


def test_it_is_said_to_be_lost_although_others_move(watched: Watched) -> None:
    for offset in range(12):
        watched.looks(1, {P0: offset, P1: 3}, assigned=(P0, P1))
    assert watched.progress.lost == {P1}


def test_only_suspects_are_asked_for(watched: Watched) -> None:
    for offset in range(8):
        watched.looks(1, {P0: offset, P1: 9}, assigned=(P0, P1))
    assert watched.asked
    assert {place for places in watched.asked for place in places} == {P1}


# What is nobody's fault


def test_read_to_its_end(watched: Watched) -> None:
    assert watched.looks(50, {P0: 9}) == []
    watched.end = 12
    assert watched.looks(2, {P0: 9}) == [], "its records came a moment ago"
    assert watched.looks(1, {P0: 9}) == [(P0, Cure.SEEK)]


def test_slow_but_going_on(watched: Watched) -> None:
    for offset in range(9):
        assert watched.looks(2, {P0: offset}) == []


def test_held_back_all_the_time(watched: Watched) -> None:
    """Full queues: no poll could bring anything."""
    assert watched.looks(50, {P0: 5}, polls=0) == []


def test_others_that_keep_the_consumer_busy(watched: Watched) -> None:
    reading = {P0: 5, P1: 0}
    one_chance = OVERTAKEN * len(reading)
    assert watched.looks(6, reading, polls=one_chance // 4, empty=False) == []
    stuck = watched.looks(3, reading, polls=one_chance, empty=False)
    assert (P0, Cure.SEEK) in stuck, "the other one was served many times, this one never"


def test_a_worker_that_was_frozen_or_had_no_broker(watched: Watched) -> None:
    watched.looks(1, {P0: 5})
    assert watched.looks(1, {P0: 5}, every_s=10 * STALL_S) == []


def test_a_broker_that_is_away(watched: Watched) -> None:
    assert watched.looks(2, {P0: 5}) == []
    ends = watched.ends

    def away(places: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        raise SourceUnavailableError("away")

    watched.ends = away  # type: ignore[method-assign]
    for _ in range(20):
        with pytest.raises(SourceUnavailableError):
            watched.looks(1, {P0: 5})
    watched.ends = ends  # type: ignore[method-assign]
    assert watched.looks(1, {P0: 5}) == []


def test_a_partition_that_was_given_up(watched: Watched) -> None:
    watched.looks(2, {P0: 5})
    watched.looks(1, {}, assigned=())
    assert watched.looks(3, {P0: 5}) == []
    watched.looks(20, {P0: 5})
    assert watched.progress.lost == {P0}
    watched.looks(1, {}, assigned=())
    assert watched.progress.lost == frozenset()


# In a worker


def _deafen(rig: Rig, place: TopicPartition, starts: float) -> None:
    """The consumer goes on polling and brings nothing of `place`, until it was started so often."""
    start, left = rig.source.start, starts

    def started(one: TopicPartition, offset: int) -> bool:
        nonlocal left
        answer = start(one, offset)
        if one == place:
            left -= 1
            if left >= 0:
                rig.source.held.add(place)
        return answer

    rig.source.held.add(place)
    rig.source.start = started  # type: ignore[method-assign,assignment]


def _stalls(rig: Rig) -> float:
    value: float = rig.channels.metrics.stalls.labels("partition")._value.get()
    return value


@pytest.fixture
def silent(make_rig: Callable[..., Rig]) -> Callable[[float], Rig]:
    """A worker with two partitions, of which the first silently stopped with records before it."""

    def silent(starts: float) -> Rig:
        rig = make_rig(partitions=2)
        for place in rig.places:
            rig.source.append(place, 2)
        rig.source.assign(rig.places)
        rig.turns()
        _deafen(rig, rig.places[0], starts)
        rig.source.append(rig.places[0], 2)
        return rig

    return silent


def test_a_silent_partition_is_sought(
    silent: Callable[[float], Rig], caplog: pytest.LogCaptureFixture
) -> None:
    rig = silent(0)
    rig.turns(24, seconds=STALL_S / 40)
    assert rig.stored(rig.places[0]) == [0, 1]
    rig.turns(36, seconds=STALL_S / 40)
    assert rig.stored(rig.places[0]) == [0, 1, 2, 3]
    assert rig.row(rig.places[0]).epoch == 1
    assert "a partition stands still" in caplog.text
    assert _stalls(rig) == 1


def test_a_silent_partition_that_seeking_does_not_mend_is_claimed_again(
    silent: Callable[[float], Rig],
) -> None:
    rig = silent(1)
    rig.turns(90, seconds=STALL_S / 40)
    assert rig.stored(rig.places[0]) == [0, 1, 2, 3]
    assert (rig.row(rig.places[0]).epoch, rig.row(rig.places[1]).epoch) == (2, 1)
    assert _stalls(rig) == 1
    assert rig.channels.health.live() == []


def test_a_silent_partition_that_nothing_mends_fails_liveness(
    silent: Callable[[float], Rig],
) -> None:
    rig = silent(float("inf"))
    rig.turns(60, seconds=STALL_S / 40)
    assert rig.channels.health.live() == []
    rig.turns(60, seconds=STALL_S / 40)
    [reason] = rig.channels.health.live()
    assert "posts/0" in reason
    rig.source.append(rig.places[1], 2)
    rig.turns()
    assert rig.stored(rig.places[1]) == [0, 1, 2, 3], "its neighbour is read on"

    rig.source.held.clear()
    rig.turns(30, seconds=STALL_S / 40)
    assert rig.stored(rig.places[0]) == [0, 1, 2, 3]
    assert rig.channels.health.live() == []


def test_a_partition_whose_claim_was_lost_is_claimed_again(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(partitions=1)
    [place] = rig.places
    rig.source.append(place, 2)
    rig.source.assign([place])
    rig.poll.turn()
    rig.storing.turn(0)
    rig.channels.replies.get_nowait()  # the answer never comes

    rig.turns(39, seconds=STALL_S / 40)
    assert rig.stored(place) == []
    rig.turns(30, seconds=STALL_S / 40)
    assert rig.stored(place) == [0, 1]
    assert rig.row(place).epoch == 2


def test_a_claim_that_waits_for_the_database_is_no_stall(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(partitions=1)
    rig.channels.health.down("database", "away")
    rig.source.assign(rig.places)
    for _ in range(400):
        rig.poll.turn()
        rig.now += STALL_S / 40
    assert _stalls(rig) == 0
    rig.turns()
    assert rig.row(rig.places[0]).epoch == 1
    assert rig.channels.health.dependencies()["database"]


def test_a_fenced_partition_that_waits_for_its_next_claim_is_no_stall(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(partitions=1)
    [place] = rig.places
    rig.source.assign([place])
    rig.turns()
    for _ in range(6):
        rig.claim_elsewhere(place)
        rig.source.append(place)
        rig.turns(16, seconds=1.0)
    assert _stalls(rig) == 0


def test_full_queues_are_no_stall(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(partitions=1, posts=1)
    [place] = rig.places
    rig.source.append(place, 200)
    rig.source.assign([place])
    rig.turns(4)
    for _ in range(400):  # the database is slow: one batch in three minutes
        rig.poll.turn()
        rig.now += STALL_S / 40
        if _ % 120 == 0:
            rig.classifying.turn(0)
            rig.storing.turn(0)
    assert _stalls(rig) == 0
    assert rig.row(place).epoch == 1
