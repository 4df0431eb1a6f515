"""The poll stage's turns, with the other two stages behind it and both ends in memory."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from worker.errors import SourceUnavailableError, WorkerError
from worker.pipeline.poll import BEAT_S, LOOK_S, MIRROR_S, POLL_S, RECLAIM_S
from worker.posts.place import Partition

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.pipeline.conftest import Rig
    from worker.pipeline.starts import Reset


# Claims


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

    rig.turns(8)

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


# Where a partition begins


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


def test_a_topic_made_anew_is_a_new_log(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    [place] = rig.places
    rig.source.append(place, 4)
    rig.source.assign([place])
    rig.turns()
    old = rig.source.partition_at(place)

    rig.source.make(1, topic_id=2)
    rig.source.append(place, 6)
    rig.now += LOOK_S
    rig.turns(8)

    assert rig.store.stored[old] == [0, 1, 2, 3]
    assert rig.store.rows[old].retired
    assert rig.stored(place) == [0, 1, 2, 3, 4, 5], "its first records are not taken for old ones"
    assert "made anew" in caplog.text


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

    assert rig.row(place).next_offset == 7


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


# Losing a partition


@pytest.mark.parametrize("reached", ["batch", "queue", "store"])
def test_a_partition_revoked_with_work_under_way(
    make_rig: Callable[..., Rig], reached: str
) -> None:
    rig = make_rig(
        partitions=2, posts=1_000 if reached == "batch" else 2, linger_s=0.5 * (reached == "batch")
    )
    gone, kept = rig.places
    rig.source.assign(rig.places)
    rig.turns()
    rig.source.append(gone, 2)
    rig.source.append(kept, 2)
    rig.poll.turn()
    if reached == "store":
        rig.classifying.turn(0)
    rig.source.revoke([gone])

    rig.turns(10)
    assert rig.stored(gone) == [], "its work is dropped wherever it is met"
    assert rig.stored(kept) == [0, 1]

    rig.source.assign([gone])
    rig.turns(10)
    assert rig.stored(gone) == [0, 1]
    assert rig.row(kept).epoch == 1


def test_a_revoked_partition_is_not_mirrored(rig: Rig) -> None:
    [place] = rig.places
    rig.source.append(place, 2)
    rig.source.assign([place])
    rig.turns()
    rig.source.commits.clear()
    rig.source.append(place, 2)
    rig.poll.turn()
    rig.work()
    rig.poll._take_replies()

    rig.source.revoke([place])
    rig.now += MIRROR_S
    rig.turns()

    assert rig.source.commits == {}


def test_a_fenced_partition_is_claimed_again_after_a_wait(rig: Rig) -> None:
    [place] = rig.places
    rig.source.append(place, 2)
    rig.source.assign([place])
    rig.turns()

    waits = []
    for _ in range(3):
        epoch = rig.claim_elsewhere(place).epoch
        rig.source.append(place, 1)
        rig.poll.turn()
        rig.work()
        rig.poll.turn()
        assert place in rig.source.held, "a fenced partition is not read"
        fenced_at = rig.now
        while rig.row(place).epoch == epoch:
            rig.turns(1, seconds=0.05)
        waits.append(rig.now - fenced_at)
        rig.poll.turn()
        rig.source.hold([place])  # nothing gets stored between one fencing and the next
        rig.source.resume([place])

    assert waits[0] == pytest.approx(RECLAIM_S[0], abs=0.2)
    assert waits[1] == pytest.approx(2 * RECLAIM_S[0], abs=0.2)
    assert waits[2] == pytest.approx(4 * RECLAIM_S[0], abs=0.2)
    rig.turns()
    assert rig.stored(place) == [0, 1, 2, 3, 4]


def test_the_wait_begins_anew_once_something_was_stored(rig: Rig) -> None:
    [place] = rig.places
    rig.source.assign([place])
    rig.turns()

    for round_ in range(3):
        rig.claim_elsewhere(place)
        rig.source.append(place)
        rig.turns(3, seconds=0.01)
        assert place in rig.source.held
        rig.now += RECLAIM_S[0]
        rig.turns(6, seconds=0.01)
        assert rig.stored(place) == list(range(round_ + 1))


def test_a_fenced_partition_that_is_revoked_meanwhile_is_not_claimed(rig: Rig) -> None:
    [place] = rig.places
    rig.source.assign([place])
    rig.turns()
    claim = rig.claim_elsewhere(place)
    rig.source.append(place)
    rig.turns(3, seconds=0.01)

    rig.source.revoke([place])
    rig.now += RECLAIM_S[1]
    rig.turns()

    assert rig.row(place).epoch == claim.epoch


def test_what_another_owner_stored_meanwhile_is_not_stored_again(rig: Rig) -> None:
    [place] = rig.places
    rig.source.append(place, 2)
    rig.source.assign([place])
    rig.turns()
    rig.claim_elsewhere(place)
    rig.source.append(place, 4)
    rig.row(place).next_offset = 5  # the other one stored 2, 3 and 4

    rig.turns(3, seconds=0.01)
    rig.now += RECLAIM_S[0]
    rig.turns()

    assert rig.stored(place) == [0, 1, 5]


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
