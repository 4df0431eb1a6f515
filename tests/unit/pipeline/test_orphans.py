"""A partition that the group leaves to nobody is noticed by those who have others."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from worker.errors import SourceUnavailableError
from worker.pipeline.orphans import Orphans
from worker.posts.place import Partition
from worker.source import TopicPartition
from worker.store.interface import Position

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.unit.pipeline.conftest import Rig

STALL_S = 60.0
PLACES = [TopicPartition("posts", number) for number in range(3)]


def row(number: int, next_offset: int | None, epoch: int = 1) -> Position:
    return Position(
        partition=Partition("posts", UUID(int=1), number),
        next_offset=next_offset,
        owner_epoch=epoch,
        owner_id="other",
        watermark=None,
        updated_at=datetime(2026, 3, 1, tzinfo=UTC),
        retired_at=None,
        consumed=0,
        outcomes={},
    )


class Watched:
    def __init__(self) -> None:
        self.now = 0.0
        self.ends = dict.fromkeys(PLACES, 10)
        self.asked: list[Sequence[TopicPartition]] = []
        self.orphans = Orphans(STALL_S, lambda: self.now)

    def look(self, *rows: Position, after: float = 0.0) -> list[int]:
        self.now += after
        return [one.number for one in self.orphans.look(rows, {PLACES[0]}, self._ends)]

    def _ends(self, places: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        self.asked.append(places)
        return {place: self.ends[place] for place in places}


@pytest.fixture
def watched() -> Watched:
    return Watched()


@pytest.mark.parametrize("next_offset", [None, 0, 9])
def test_one_that_stands_with_records_before_it_is_named_once(
    watched: Watched, next_offset: int | None
) -> None:
    stands = row(1, next_offset)
    assert watched.look(stands) == []
    assert watched.look(stands, after=STALL_S - 1) == []
    assert watched.asked == []
    assert watched.look(stands, after=1) == [1]
    assert watched.look(stands, after=STALL_S - 1) == []
    assert watched.look(stands, after=1) == [1]


def test_one_is_named_sooner_where_that_says_enough_and_then_left_in_peace_as_long(
    watched: Watched,
) -> None:
    watched.orphans = Orphans(STALL_S, lambda: watched.now, STALL_S / 4)
    assert watched.orphans.every_s == STALL_S / 16
    assert watched.look(row(1, 5), row(2, 10)) == []
    assert watched.look(row(1, 5), row(2, 10), after=STALL_S / 4) == [1]
    watched.ends[PLACES[2]] = 11
    assert watched.look(row(1, 5), row(2, 10), after=STALL_S / 4) == [2]
    assert watched.look(row(1, 5), after=3 * STALL_S / 4 - 1) == []
    assert watched.look(row(1, 5), after=1) == [1]


def test_it_is_never_later_than_a_stall() -> None:
    assert Orphans(STALL_S, lambda: 0.0, 4 * STALL_S).every_s == STALL_S / 4


def test_ours_those_at_their_end_and_those_that_move_are_none(watched: Watched) -> None:
    for turn in range(5):
        rows = (row(0, 3), row(1, 10), row(2, turn))
        assert watched.look(*rows, after=STALL_S) == []


def test_a_claim_is_a_sign_of_life(watched: Watched) -> None:
    assert watched.look(row(1, 5)) == []
    assert watched.look(row(1, 5, epoch=2), after=STALL_S) == []
    assert watched.look(row(1, 5, epoch=2), after=STALL_S) == [1]


def test_records_that_came_now_have_their_time(watched: Watched) -> None:
    assert watched.look(row(1, 10)) == []
    assert watched.look(row(1, 10), after=STALL_S) == []
    watched.ends[PLACES[1]] = 11
    assert watched.look(row(1, 10), after=1) == []
    assert watched.look(row(1, 10), after=STALL_S - 1) == [1]


def test_one_that_was_ours_meanwhile_begins_anew(watched: Watched) -> None:
    assert watched.look(row(1, 5)) == []
    assert watched.look(after=STALL_S) == []
    assert watched.look(row(1, 5)) == []


def test_the_group_is_asked_to_assign_anew(
    make_rig: Callable[..., Rig], caplog: pytest.LogCaptureFixture
) -> None:
    rig = make_rig(partitions=2)
    ours, nobodys = rig.places
    rig.source.append(ours, 3)
    rig.source.append(nobodys, 3)
    rig.source.assign([ours])
    for _ in range(50):
        rig.turns(4, seconds=0.5)
        assert rig.source.rejoined <= 1
    assert rig.source.rejoined == 1
    assert "read by nobody" in caplog.text
    rig.source.assign([nobodys])
    for _ in range(60):
        rig.turns(4, seconds=0.5)
    assert rig.source.rejoined == 1
    assert rig.stored(nobodys) == [0, 1, 2]


def test_one_whose_end_cannot_be_had_is_not_asked_for_each_time(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaderless(places: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        watched.asked.append(places)
        raise SourceUnavailableError("no leader")

    monkeypatch.setattr(watched, "_ends", leaderless)
    stands = row(1, 0)
    watched.look(stands)
    with pytest.raises(SourceUnavailableError):
        watched.look(stands, after=STALL_S)
    for _ in range(int(STALL_S) - 1):
        assert watched.look(stands, after=1) == []
    assert len(watched.asked) == 1


def test_an_epoch_that_the_group_moved_ends_no_peace(watched: Watched) -> None:
    watched.orphans = Orphans(STALL_S, lambda: watched.now, STALL_S / 4)
    watched.look(row(1, 0))
    assert watched.look(row(1, 0), after=STALL_S / 4) == [1]
    assert watched.look(row(1, 0, epoch=2), after=STALL_S / 4) == []
    assert watched.look(row(1, 0, epoch=2), after=STALL_S / 4) == []
    assert watched.look(row(1, 0, epoch=2), after=STALL_S / 2) == [1]
    # Records that are read do end it.
    watched.look(row(1, 5, epoch=2), after=1)
    assert watched.look(row(1, 5, epoch=2), after=STALL_S / 4) == [1]


def test_what_was_seen_while_nobody_could_read_does_not_count(watched: Watched) -> None:
    watched.look(row(1, 0))
    watched.orphans.forget()
    assert watched.look(row(1, 0), after=STALL_S) == []
    assert watched.look(row(1, 0), after=STALL_S) == [1]
