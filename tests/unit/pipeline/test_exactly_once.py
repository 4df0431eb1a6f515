"""Whatever happens to broker, database and group: each record is stored once, in order."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from worker.errors import SourceUnavailableError
from worker.pipeline.channels import WAITING_BATCHES
from worker.pipeline.claiming import RECLAIM_S
from worker.pipeline.poll import LOOK_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.pipeline.conftest import Rig
    from worker.source import TopicPartition


class Troubles:
    """What may happen: each method once, to one partition, some number of times."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.source = rig.source

    def append(self, place: TopicPartition, count: int) -> None:
        self.source.append(place, count)

    def skip(self, place: TopicPartition, count: int) -> None:
        self.source.skip(place, count)

    def poll(self, place: TopicPartition, count: int) -> None:
        with suppress(SourceUnavailableError):
            self.rig.poll.turn()

    def classify(self, place: TopicPartition, count: int) -> None:
        if not self.rig.channels.batches.empty() and len(self.rig.channels.inbox) < WAITING_BATCHES:
            self.rig.classifying.turn(0)

    def store(self, place: TopicPartition, count: int) -> None:
        self.rig.storing.turn(0)

    def rebalance(self, place: TopicPartition, count: int) -> None:
        """An eager one: all is given up and given back."""
        places = list(self.source.positions)
        self.source.revoke(places)
        self.source.assign(places)

    def revoke(self, place: TopicPartition, count: int) -> None:
        self.source.revoke([place])

    def assign(self, place: TopicPartition, count: int) -> None:
        if place not in self.source.positions:
            self.source.assign([place])

    def fence(self, place: TopicPartition, count: int) -> None:
        self.rig.store.away = self.rig.store.busy = 0  # the other one's claim is made
        self.rig.claim_elsewhere(place)

    def rewind(self, place: TopicPartition, count: int) -> None:
        if place in self.source.positions:
            self.source.positions[place] = max(0, self.source.positions[place] - count)

    def later(self, place: TopicPartition, count: int) -> None:
        self.rig.now += count

    def lose_the_database(self, place: TopicPartition, count: int) -> None:
        self.rig.store.away += count

    def lose_an_answer(self, place: TopicPartition, count: int) -> None:
        self.rig.store.lost += 1

    def find_the_position_locked(self, place: TopicPartition, count: int) -> None:
        self.rig.store.busy += 1

    def lose_the_broker(self, place: TopicPartition, count: int) -> None:
        self.source.away[("bounds", "committed", "ends")[place.number]] += 1


# What moves things on comes oftener than each trouble.
NAMES = [name for name in vars(Troubles) if not name.startswith("_")]
EVENTS = st.lists(
    st.tuples(
        st.sampled_from([*NAMES, *("append", "poll") * 3, "classify", "store"]),
        st.integers(0, 2),
        st.integers(1, 5),
    ),
    max_size=80,
)


@settings(max_examples=150, deadline=None)
@given(EVENTS, st.booleans(), st.integers(1, 7), st.sampled_from([0.0, 2.0]))
def test_each_record_is_stored_once_and_in_order(
    make_rig: Callable[..., Rig],
    events: list[tuple[str, int, int]],
    markers_at_once: bool,
    records_a_poll: int,
    linger_s: float,
) -> None:
    rig = make_rig(partitions=3, linger_s=linger_s)
    rig.source.markers_at_once = markers_at_once
    rig.source.records_a_poll = records_a_poll
    rig.source.assign(rig.places[:2])
    troubles = Troubles(rig)
    for name, number, count in events:
        getattr(troubles, name)(rig.places[number], count)

    # All is well again: this member has every partition, and time goes on.
    rig.source.away.clear()
    rig.source.assign([place for place in rig.places if place not in rig.source.positions])
    rig.turns(60, seconds=max(LOOK_S, RECLAIM_S[1] / 10))

    for place in rig.places:
        log = rig.source.logs[place]
        assert rig.stored(place) == sorted(log.records)
        assert rig.row(place).next_offset == log.end
        assert rig.source.commits.get(place, 0) == log.end
