"""The poll stage's turns, the other two behind it: claims, reading, what is due now and then."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from worker.errors import SourceUnavailableError
from worker.pipeline.poll import BEAT_S, LOOK_S, MIRROR_S, POLL_S
from worker.posts.place import Partition

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.pipeline.conftest import Rig


def test_a_partition_is_claimed_settled_read_stored_and_mirrored(rig: Rig) -> None:
    [place] = rig.places
    rig.source.append(place, 7)
    rig.source.assign(rig.places)

    rig.poll.turn()
    assert rig.source.held == {place}, "nothing is fetched before the claim"

    rig.turns(4)
    assert rig.stored(place) == [0, 1, 2, 3, 4, 5, 6]
    row = rig.row(place)
    assert (row.epoch, row.owner, row.next_offset) == (1, "us", 7)
    assert [type(entry.label).__name__ for entry in rig.store.entries] == ["Label"] * 7

    rig.now += MIRROR_S
    rig.turns(1)
    assert rig.source.commits == {place: 7}


def test_a_partition_goes_on_at_its_stored_position(rig: Rig) -> None:
    [place] = rig.places
    rig.source.append(place, 5)
    claim = rig.claim_elsewhere(place)
    assert rig.store.settle(claim, 3)

    rig.source.assign([place])
    rig.turns()

    assert rig.stored(place) == [3, 4]


def test_a_topic_that_is_not_known_yet_is_claimed_later(rig: Rig) -> None:
    [place] = rig.places
    rig.source.append(place, 2)
    rig.source.unknown.add(place.topic)
    rig.source.assign([place])
    rig.turns()
    assert rig.store.claims == 0

    rig.source.unknown.clear()
    rig.turns()
    assert rig.stored(place) == [0, 1]


def test_a_claim_waits_for_the_old_owners_transaction(rig: Rig) -> None:
    [place] = rig.places
    rig.source.append(place, 2)
    rig.store.busy = 3
    rig.source.assign([place])

    rig.turns(12, seconds=1.0)

    assert rig.store.busy == 0
    assert rig.store.claims == 1
    assert rig.stored(place) == [0, 1]


def test_the_answer_to_a_claim_of_before_a_rebalance_is_not_taken(rig: Rig) -> None:
    [place] = rig.places
    rig.source.append(place, 2)
    rig.source.assign([place])
    rig.poll.turn()
    rig.storing.turn(0)  # claimed, but the poll stage has not heard of it

    rig.source.revoke([place])
    rig.turns()
    assert rig.stored(place) == []
    assert rig.row(place).next_offset is None, "no position is settled for a partition given up"

    rig.source.assign([place])
    rig.turns()
    assert rig.row(place).epoch == 2
    assert rig.stored(place) == [0, 1]


def test_the_answer_to_a_settling_of_before_a_rebalance_starts_nothing(rig: Rig) -> None:
    [place] = rig.places
    rig.source.append(place, 2)
    rig.source.assign([place])
    for _ in range(2):
        rig.poll.turn()
        rig.storing.turn(0)
    assert rig.row(place).next_offset == 0, "settled, but the poll stage has not heard of it"
    rig.source.revoke([place])
    rig.source.assign([place])

    rig.poll.turn()
    assert place in rig.source.held
    rig.turns()
    assert rig.row(place).epoch == 2
    assert rig.stored(place) == [0, 1]


def test_another_owners_claim_between_claim_and_settling(rig: Rig) -> None:
    [place] = rig.places
    rig.source.append(place, 2)
    rig.source.assign([place])
    rig.poll.turn()
    rig.storing.turn(0)
    rig.claim_elsewhere(place)

    rig.turns(8)

    assert rig.row(place).epoch == 3
    assert rig.stored(place) == [0, 1]


def test_a_new_reading_starts_without_what_the_one_before_left_in_the_batch(
    make_rig: Callable[..., Rig],
) -> None:
    """A rebalance in mid-turn: what was read under the old claim lies in the open batch still."""
    rig = make_rig(linger_s=10.0, posts=100)
    [place] = rig.places
    rig.source.append(place, 2)
    rig.source.assign([place])
    rig.turns()

    ask, source = rig.channels.inbox.ask, rig.source
    take = rig.assignment.take_unclaimed

    def rebalance() -> dict[object, int]:
        source.revoke([place])
        source.assign([place])
        rig.assignment.take_unclaimed = take  # type: ignore[method-assign]
        return dict(take())

    def answered_at_once(request: object) -> None:
        ask(request)  # type: ignore[arg-type]
        rig.storing.turn(0)

    rig.assignment.take_unclaimed = rebalance  # type: ignore[method-assign,assignment]
    rig.channels.inbox.ask = answered_at_once  # type: ignore[method-assign]
    rig.turns(2)
    rig.now += 10
    rig.turns(3)

    assert rig.row(place).epoch == 2
    assert rig.stored(place) == [0, 1]


def test_a_poll_waits_less_while_a_claim_is_to_be_answered(rig: Rig) -> None:
    [place] = rig.places
    rig.poll.turn()
    rig.source.assign([place])
    rig.poll.turn()
    rig.source.revoke([place])  # its claim gets no answer
    rig.turns(2)

    first, while_asking, *after = rig.source.waits
    assert while_asking < first
    assert [first, *after] == [POLL_S] * 3


# Reading


def test_gaps_move_the_position_without_records(rig: Rig) -> None:
    [place] = rig.places
    rig.source.skip(place, 2)
    rig.source.append(place, 2)
    rig.source.skip(place, 3)
    rig.source.append(place, 1)
    rig.source.skip(place, 4)
    rig.source.assign([place])

    rig.turns(3)
    rig.now += LOOK_S
    rig.turns(3)

    assert rig.stored(place) == [2, 3, 7]
    assert rig.row(place).next_offset == 12


def test_a_gap_that_came_with_the_records(rig: Rig) -> None:
    [place] = rig.places
    rig.source.markers_at_once = True
    rig.source.append(place, 2)
    rig.source.skip(place, 5)
    rig.source.assign([place])

    rig.turns()
    rig.now += LOOK_S
    rig.turns()

    assert (rig.row(place).next_offset, rig.row(place).epoch) == (7, 1)


def test_a_full_queue_holds_the_partitions_and_the_polling_goes_on(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(partitions=2, posts=1)
    early, late = rig.places
    rig.source.records_a_poll = 3
    rig.source.append(early, 12)
    rig.source.append(late, 4)
    rig.source.assign([early])
    rig.poll.turn()
    rig.work()
    rig.poll.turn()  # the position is settled
    rig.work()
    for _ in range(5):  # the other stages do nothing
        rig.poll.turn()

    assert early in rig.source.held
    assert not rig.poll.idle
    read, polls = rig.source.positions[early], len(rig.source.waits)
    assert read < 12
    for _ in range(10):
        rig.poll.turn()
    assert len(rig.source.waits) == polls + 10
    assert rig.source.positions[early] == read

    # One that is claimed meanwhile waits as well.
    rig.source.assign([late])
    for _ in range(3):
        rig.poll.turn()
        while rig.storing.turn(0):
            pass
    assert late in rig.source.held
    assert rig.row(late).epoch == 1

    rig.turns(20)
    assert rig.stored(early) == list(range(12))
    assert rig.stored(late) == list(range(4))
    assert rig.source.held == set()
    assert rig.poll.idle


def test_finish_hands_on_what_was_read(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(linger_s=1_000.0, posts=1_000)
    [place] = rig.places
    rig.source.append(place, 5)
    rig.source.assign([place])
    rig.turns()
    assert rig.stored(place) == []

    rig.poll.finish()
    rig.work()
    rig.poll.finish()
    rig.poll.mirror()

    assert rig.stored(place) == [0, 1, 2, 3, 4]
    assert rig.source.commits == {place: 5}


# What is due now and then


def test_watermarks_of_idle_partitions_are_raised(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(partitions=2, reset="latest")
    idle, busy = rig.places
    rig.source.assign(rig.places)
    rig.turns()
    assert rig.row(idle).watermark is None or rig.row(idle).watermark != rig.poll._wall()

    rig.now += BEAT_S
    rig.source.said_end[busy] = 1  # there is a record that the consumer has not been given
    before = rig.row(busy).watermark
    asked_at = rig.poll._wall()
    rig.turns(1)
    assert rig.row(idle).watermark == asked_at - timedelta(seconds=60)
    assert rig.row(busy).watermark == before

    rig.turns(10, seconds=BEAT_S / 20)
    assert rig.row(idle).watermark == asked_at - timedelta(seconds=60), "at most every 5 s"


def test_no_heartbeat_goes_past_records_that_are_not_stored(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(linger_s=1_000.0, posts=1_000)
    [place] = rig.places
    rig.source.assign([place])
    rig.turns()
    rig.source.append(place)
    rig.turns()
    before = rig.row(place).watermark

    rig.source.said_end[place] = 0  # as if the broker did not know of the record yet
    rig.now += 2 * BEAT_S
    rig.turns()

    assert rig.row(place).watermark == before


def test_drained_once_the_group_has_reached_the_ends(make_rig: Callable[..., Rig]) -> None:
    targets = {Partition("posts", UUID(int=1), number): end for number, end in ((0, 3), (1, 0))}
    rig = make_rig(partitions=2, targets=targets)
    ours, theirs = rig.places
    rig.source.append(ours, 5)
    rig.source.assign([ours])
    rig.turns(10, seconds=LOOK_S)
    assert rig.stored(ours) == [0, 1, 2, 3, 4]
    assert not rig.poll.drained, "nobody has settled the other one's position"

    assert rig.store.settle(rig.claim_elsewhere(theirs), 0)
    rig.turns(2, seconds=LOOK_S)
    assert rig.poll.drained


def test_drained_by_another_member(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(targets={Partition("posts", UUID(int=1), 0): 4})
    [place] = rig.places
    rig.source.append(place, 4)
    claim = rig.claim_elsewhere(place)
    assert rig.store.settle(claim, 3)
    rig.turns(3, seconds=LOOK_S)
    assert not rig.poll.drained

    rig.row(place).next_offset = 4
    rig.turns(3, seconds=LOOK_S)
    assert rig.poll.drained


def test_without_targets_it_is_never_drained(rig: Rig) -> None:
    rig.source.assign(rig.places)
    rig.turns(10, seconds=LOOK_S)
    assert not rig.poll.drained


def test_a_question_without_an_answer_is_asked_again_at_once(rig: Rig) -> None:
    """Or the broker would be said to be back at each turn that has nothing to ask."""
    [place] = rig.places
    rig.source.assign([place])
    rig.turns()
    rig.now += BEAT_S
    rig.source.away["ends"] = 4
    for _ in range(4):
        rig.source.append(place)
        with pytest.raises(SourceUnavailableError):
            rig.poll.turn()
        rig.work()
    rig.turns()
    assert rig.stored(place) == [0, 1, 2, 3], "and the polling goes on meanwhile"


def test_a_worker_is_ready_once_its_group_has_taken_it_in_also_without_a_partition(
    rig: Rig,
) -> None:
    health = rig.channels.health
    health.up("database")
    rig.turns(2, seconds=LOOK_S)
    assert health.ready() == ["the consumer group is not joined yet"]
    rig.source.assign([])  # of which kafka-python's listener hears nothing
    rig.turns(2, seconds=LOOK_S)
    assert rig.assignment.rebalances == 0
    assert health.ready() == []
    rig.source.in_group = False
    rig.turns(2, seconds=LOOK_S)
    assert health.ready() == ["the consumer group is not joined any more"]


def test_a_partition_without_a_leader_keeps_no_other_from_beginning_or_going_on(
    make_rig: Callable[..., Rig], caplog: pytest.LogCaptureFixture
) -> None:
    rig = make_rig(partitions=3)
    led, unled, lost = rig.places
    for place in rig.places:
        rig.source.append(place, 3)
    rig.source.assign([lost])
    rig.turns()
    rig.source.leaderless = {unled, lost}
    rig.source.assign([led, unled])
    rig.turns(50, seconds=BEAT_S)
    assert rig.stored(led) == [0, 1, 2]
    assert rig.stored(unled) == []
    assert rig.channels.health.live() == []
    said = [r for r in caplog.records if r.getMessage().startswith("a partition has no leader")]
    assert len(said) == 1
    rig.source.leaderless.clear()
    rig.turns()
    assert rig.stored(unled) == [0, 1, 2]
