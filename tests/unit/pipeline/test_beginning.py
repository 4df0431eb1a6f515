"""Where the poll stage begins to read, and what becomes of a position that is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from worker.errors import SourceUnavailableError, WorkerError
from worker.pipeline.poll import LOOK_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.pipeline.conftest import Rig
    from worker.pipeline.starts import Reset


@pytest.mark.parametrize(("reset", "stored"), [("earliest", [2, 3, 4]), ("latest", [])])
def test_without_a_position_the_settings_decide(
    make_rig: Callable[..., Rig], reset: Reset, stored: list[int]
) -> None:
    rig = make_rig(reset=reset)
    [place] = rig.places
    rig.source.append(place, 5)
    rig.source.cut(place, 2)
    rig.source.assign([place])
    rig.turns()
    assert rig.stored(place) == stored

    rig.source.append(place)
    rig.turns()
    assert rig.stored(place) == [*stored, 5]


def test_the_latest_position_is_made_sure_of_by_reading(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(reset="latest")
    [place] = rig.places
    rig.source.append(place, 5)
    rig.source.said_end[place] = 3
    rig.source.assign([place])

    rig.turns()

    assert rig.row(place).next_offset == 5
    assert rig.stored(place) == []


def test_a_brokers_stale_end_is_no_reason_to_leave_the_stored_position(rig: Rig) -> None:
    [place] = rig.places
    rig.source.append(place, 5)
    assert rig.store.settle(rig.claim_elsewhere(place), 5)
    rig.source.said_end[place] = 3
    rig.source.assign([place])

    rig.turns()

    assert rig.row(place).next_offset == 5
    assert rig.stored(place) == []


@pytest.mark.parametrize(("adopt", "stored"), [(True, [3, 4]), (False, [0, 1, 2, 3, 4])])
def test_the_groups_commit_is_adopted_if_asked_for(
    make_rig: Callable[..., Rig],
    adopt: bool,
    stored: list[int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = make_rig(adopt=adopt)
    [place] = rig.places
    rig.source.append(place, 5)
    rig.source.commits[place] = 3
    rig.source.assign([place])

    rig.turns()

    assert rig.stored(place) == stored
    assert "WORKER_ADOPT_COMMITTED" in caplog.text or adopt
    assert ("adopted the group's Kafka commit 3" in caplog.text) == adopt


@pytest.mark.parametrize(
    ("reset", "stored", "next_offset"), [("earliest", [4, 5, 6], 7), ("latest", [], 7)]
)
def test_a_stored_position_that_retention_took(
    make_rig: Callable[..., Rig],
    reset: Reset,
    stored: list[int],
    next_offset: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = make_rig(reset=reset)
    [place] = rig.places
    rig.source.append(place, 7)
    rig.source.cut(place, 4)
    assert rig.store.settle(rig.claim_elsewhere(place), 1)
    rig.source.assign([place])

    rig.turns()

    assert rig.stored(place) == stored
    assert rig.row(place).next_offset == next_offset
    assert "3 records from 1 on are gone" in caplog.text


@pytest.mark.parametrize("position", [None, 1, 9])
def test_without_a_usable_position_and_fail_the_worker_ends(
    make_rig: Callable[..., Rig], position: int | None
) -> None:
    rig = make_rig(reset="fail")
    [place] = rig.places
    rig.source.append(place, 7)
    rig.source.cut(place, 4)
    claim = rig.claim_elsewhere(place)
    if position is not None:
        assert rig.store.settle(claim, position)
    rig.source.assign([place])

    with pytest.raises(WorkerError, match="WORKER_AUTO_OFFSET_RESET"):
        rig.turns()
    assert rig.row(place).next_offset == position


@pytest.mark.parametrize(("reset", "after"), [("earliest", [6, 7]), ("latest", [])])
def test_a_log_cut_under_a_running_worker(
    make_rig: Callable[..., Rig], reset: Reset, after: list[int]
) -> None:
    rig = make_rig(reset=reset)
    [place] = rig.places
    rig.source.append(place, 2)
    assert rig.store.settle(rig.claim_elsewhere(place), 0)
    rig.source.assign([place])
    rig.turns()
    assert rig.stored(place) == [0, 1]

    rig.source.append(place, 6)
    rig.source.cut(place, 6)
    rig.turns(8)

    assert rig.stored(place) == [0, 1, *after]
    assert rig.row(place).next_offset == 8


def test_a_position_lost_elsewhere_leaves_the_neighbour_alone(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(partitions=2)
    lost, good = rig.places
    for place in rig.places:
        rig.source.append(place, 2)
    rig.source.assign(rig.places)
    rig.turns()
    rig.source.append(lost, 6)
    rig.source.cut(lost, 6)
    rig.source.append(good, 2)

    rig.turns(8)

    assert rig.row(good).epoch == 1
    assert rig.stored(good) == [0, 1, 2, 3]
    assert rig.stored(lost) == [0, 1, 6, 7]


@pytest.mark.parametrize(
    ("records", "wait_s"),
    [(6, 0.0), (4, LOOK_S), (0, 0.0)],
    ids=["seen in what is read", "looked for", "position above the end"],
)
def test_a_topic_made_anew_is_a_new_log(
    rig: Rig, records: int, wait_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    [place] = rig.places
    rig.source.append(place, 4)
    rig.source.assign([place])
    rig.turns()
    rig.now += LOOK_S
    rig.turns(1, seconds=0)
    old = rig.source.partition_at(place)

    rig.source.make(1, topic_id=2)
    rig.source.append(place, records)
    rig.now += wait_s
    rig.turns(8, seconds=0.01)
    rig.source.append(place, 1)
    rig.turns(2, seconds=0.01)

    assert rig.store.stored[old] == [0, 1, 2, 3]
    assert rig.store.rows[old].next_offset == 4
    assert rig.store.rows[old].retired
    assert rig.stored(place) == list(range(records + 1)), "its first records are not old ones"
    assert "made anew" in caplog.text or not records


def test_a_topic_made_anew_while_a_claim_waits_for_the_broker(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bounds are then another log's: they must not move the position of the one claimed."""
    [place] = rig.places
    rig.source.append(place, 4)
    rig.source.assign([place])
    rig.turns()
    old = rig.source.partition_at(place)
    rig.source.revoke([place])
    rig.turns()
    ask = rig.source.bounds

    def made_anew(places: Any) -> Any:
        monkeypatch.setattr(rig.source, "bounds", ask)
        rig.source.make(1, topic_id=2)
        rig.source.append(place, 2)
        return ask(places)

    monkeypatch.setattr(rig.source, "bounds", made_anew)
    rig.source.assign([place])
    rig.turns()

    assert rig.store.stored[old] == [0, 1, 2, 3]
    assert rig.store.rows[old].next_offset == 4
    assert rig.stored(place) == [0, 1]


def test_a_consumer_that_goes_back_by_itself_stores_nothing_twice(rig: Rig) -> None:
    [place] = rig.places
    rig.source.append(place, 4)
    rig.source.assign([place])
    rig.turns()

    rig.source.positions[place] = 1
    rig.turns(8)

    assert rig.stored(place) == [0, 1, 2, 3]
    assert rig.row(place).epoch == 2


@pytest.mark.parametrize("call", ["bounds", "committed", "ends_by_reading"])
def test_a_broker_that_is_away_while_partitions_begin(
    make_rig: Callable[..., Rig], call: str
) -> None:
    rig = make_rig(partitions=3, reset="latest", posts=100)
    rig.source.assign(rig.places)
    reach, asked = rig.source._reach, 0

    def second_time(what: str) -> None:
        nonlocal asked
        if what == call:
            asked += 1
            if asked == (1 if call == "bounds" else 2):
                raise SourceUnavailableError("away")
        reach(what)

    rig.source._reach = second_time  # type: ignore[method-assign]
    rig.poll.turn()
    rig.work()
    with pytest.raises(SourceUnavailableError):
        rig.poll.turn()
    rig.work()
    rig.turns(2)
    for place in rig.places:
        rig.source.append(place, 3)
    rig.turns(8)

    assert [rig.stored(place) for place in rig.places] == [[0, 1, 2]] * 3
    assert [rig.row(place).epoch for place in rig.places] == [1, 1, 1], "each was claimed once"
