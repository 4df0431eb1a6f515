"""Partitions that are revoked, or fenced by another worker, with work under way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from worker.pipeline.claiming import RECLAIM_S
from worker.pipeline.poll import MIRROR_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.pipeline.conftest import Rig


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


def test_what_was_read_of_a_revoked_partition_is_not_even_handed_on(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(linger_s=10.0, posts=100)
    [place] = rig.places
    rig.source.append(place, 2)
    rig.source.assign([place])
    rig.turns()
    rig.source.revoke([place])

    rig.poll.turn()
    rig.now += 10
    rig.poll.turn()

    assert rig.channels.batches.empty()


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
