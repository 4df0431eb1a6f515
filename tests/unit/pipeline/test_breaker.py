"""The circuit breaker: alone, and in a worker that is started again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.broker import MemoryBroker
from tests.fakes.store import Tables
from worker.batching import Item
from worker.pipeline.breaker import FEWEST, LEAST, WINDOW, Breaker, BreakerTrippedError
from worker.pipeline.suspense import CLAIMS_S, SUSPENSE_S
from worker.posts import Record, RecordRef, Rejection, Withdrawal
from worker.source import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.unit.pipeline.conftest import Rig

SHARE = 0.95
PLACE = TopicPartition("posts", 0)
OTHER = TopicPartition("other", 0)


def _items(rejected: Iterable[bool], reason: str = "bad_json") -> list[Item]:
    items = []
    for offset, bad in enumerate(rejected):
        ref = RecordRef("posts", UUID(int=1), 0, offset)
        decoded = Rejection(ref, reason, "?", "?") if bad else Withdrawal(ref, "x", str(offset))
        items.append(Item(Record(ref, 0, None, b"?"), decoded))
    return items


def _feed(breaker: Breaker, *polls: Sequence[bool], place: TopicPartition = PLACE) -> None:
    for poll in polls:
        breaker.see(place, _items(poll))
        breaker.judge(place.topic)


# Alone


def test_it_trips_once_enough_were_seen() -> None:
    breaker = Breaker(SHARE)
    _feed(breaker, *[[True]] * (LEAST - 1))
    with pytest.raises(BreakerTrippedError) as raised:
        _feed(breaker, [True])
    assert raised.value.topic == "posts"
    assert raised.value.exit_code == 1
    for words in (
        "posts",
        f"{LEAST} of the last {LEAST}",
        "bad_json",
        "offsets set",
        "TOPICS",
        "=0",
    ):
        assert words in str(raised.value)


@pytest.mark.parametrize(("good", "trips"), [(50, True), (51, False)])
def test_the_share_is_of_the_latest_records(good: int, trips: bool) -> None:
    breaker = Breaker(SHARE)
    _feed(breaker, [False] * 3 * WINDOW)
    bad = WINDOW - good
    _feed(breaker, [True] * (bad - 1))
    if trips:
        with pytest.raises(BreakerTrippedError, match=f"{bad} of the last {WINDOW}"):
            _feed(breaker, [True])
    else:
        _feed(breaker, [True])


def test_the_most_frequent_reason_is_of_the_latest_records_too() -> None:
    breaker = Breaker(SHARE)
    breaker.see(PLACE, _items([True, False] * WINDOW, "bad_time"))
    breaker.see(PLACE, _items([True] * 900, "bad_utf8") + _items([True] * 90, "bad_time"))
    with pytest.raises(BreakerTrippedError, match="mostly `bad_utf8`"):
        breaker.judge("posts")


def test_bursts_in_a_good_stream_do_not_trip() -> None:
    breaker = Breaker(SHARE)
    for _ in range(20):
        _feed(breaker, [False] * 500, *[[True] * 50] * 6)


def test_zero_is_never() -> None:
    breaker = Breaker(0.0)
    breaker.probation("posts")
    _feed(breaker, [True] * 10_000)


def test_topics_are_judged_each_for_itself() -> None:
    breaker = Breaker(SHARE)
    for _ in range(10):
        _feed(breaker, [False] * 100)
        _feed(breaker, [True] * 19, place=OTHER)
    with pytest.raises(BreakerTrippedError) as raised:
        _feed(breaker, [True] * 10, place=OTHER)
    assert raised.value.topic == "other"


@pytest.mark.parametrize(
    ("first", "trips"),
    [
        ([True], True),
        ([False], False),
        ([True] * 19 + [False], True),
        ([True] * 18 + [False], False),
    ],
)
def test_on_probation_the_first_records_decide(first: list[bool], trips: bool) -> None:
    breaker = Breaker(SHARE)
    breaker.probation("posts")
    _feed(breaker, [True], place=OTHER)  # says nothing of it
    if trips:
        with pytest.raises(BreakerTrippedError, match="stopped a worker before"):
            _feed(breaker, first)
        return
    _feed(breaker, first)
    _feed(breaker, [True] * (LEAST - 1 - len(first)))  # as any other topic from now on


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from([0, 1, 7, 60, 500]), st.booleans()),
        max_size=15,
    ),
    st.integers(1, 8),
    st.floats(0.01, 1.0),
)
def test_it_trips_where_a_recount_says_so(
    polls: list[tuple[int, int, bool]], partitions: int, share: float
) -> None:
    places = [TopicPartition("posts", number) for number in range(partitions)]
    seen: dict[TopicPartition, list[bool]] = {place: [] for place in places}
    fair = max(FEWEST, WINDOW // partitions)
    breaker = Breaker(share)
    breaker.owns(places)
    for number, count, bad in polls:
        place = places[number % partitions]
        seen[place] = (seen[place] + [bad] * count)[-WINDOW:]
        level = fair
        while sum(len(one[-level:]) for one in seen.values()) < LEAST and level < WINDOW:
            level += 1
        judged = [bad for one in seen.values() for bad in one[-level:]]
        should = len(judged) >= LEAST and sum(judged) >= max(1, share * len(judged))
        breaker.see(place, _items([bad] * count))
        try:
            breaker.judge("posts")
        except BreakerTrippedError:
            assert should
            return
        assert not should


def test_a_partition_that_is_no_longer_ours_does_not_count() -> None:
    breaker = Breaker(SHARE)
    more = TopicPartition("posts", 1)
    breaker.owns([PLACE, more])
    _feed(breaker, [False] * WINDOW)
    _feed(breaker, [True] * WINDOW, place=more)
    assert not breaker.suspects("posts")
    breaker.owns([more])
    assert breaker.suspects("posts")


def test_ten_partitions_of_which_one_has_records_are_judged_by_it() -> None:
    breaker = Breaker(SHARE)
    breaker.owns([TopicPartition("posts", number) for number in range(10)])
    _feed(breaker, [True] * (LEAST - 1))
    with pytest.raises(BreakerTrippedError, match=f"{LEAST} of the last {LEAST}"):
        _feed(breaker, [True])


# In a worker


def _trip(rig: Rig) -> BreakerTrippedError:
    """As the worker does it: nothing more is turned, then the mark is left."""
    with pytest.raises(BreakerTrippedError) as raised:
        rig.turns(40)
    rig.store.trip(raised.value.claims)
    return raised.value


@pytest.fixture
def start(make_rig: Callable[..., Rig]) -> Callable[..., Rig]:
    """Starts a worker on the same log and tables as the one before."""
    broker, tables = MemoryBroker(), Tables()

    def start(partitions: int = 1, breaker_share: float = SHARE) -> Rig:
        return make_rig(
            partitions=partitions,
            posts=100,
            breaker_share=breaker_share,
            broker=broker,
            tables=tables,
        )

    return start


def _put(rig: Rig, place: TopicPartition, count: int, value: bytes = b"no post") -> None:
    for _ in range(count):
        rig.source.broker.put(place, value)


def _letters(rig: Rig) -> int:
    return len(rig.store.tables.dead_letters)


def test_a_wrong_topic_leaves_no_dead_letter_however_often_it_is_started(
    start: Callable[..., Rig],
) -> None:
    rig = start(partitions=3)
    rig.source.records_a_poll = 2_000
    for place in rig.places:
        _put(rig, place, 3_334)
    for _ in range(5):
        rig = start()
        rig.source.records_a_poll = 2_000
        rig.source.assign(rig.places)
        error = _trip(rig)
        assert {claim.partition.topic for claim in error.claims} == {"posts"}
        assert rig.channels.metrics.breaker_trips.labels("posts")._value.get() == 1
        assert _letters(rig) == 0
        assert rig.channels.batches.empty(), "nothing of it was handed on"


def test_what_one_poll_brings_of_several_partitions_is_judged_together(
    start: Callable[..., Rig],
) -> None:
    rig = start(partitions=2)
    rig.source.assign(rig.places)
    rig.turns()
    for place in rig.places:
        _put(rig, place, LEAST // 2)
    _trip(rig)
    assert _letters(rig) == 0


def test_first_records_that_come_a_few_at_a_time_are_judged_together(
    start: Callable[..., Rig],
) -> None:
    rig = start(partitions=5)
    rig.source.records_a_poll = 1_000
    for place in rig.places:
        _put(rig, place, LEAST // 4 - 1)
        rig.source.assign([place])
        if place == rig.places[-1]:
            _trip(rig)
        else:
            rig.turns(4)
    assert _letters(rig) == 0


def test_what_is_too_little_to_judge_by_waits_a_moment_and_goes_on_in_order(
    start: Callable[..., Rig],
) -> None:
    rig = start()
    [place] = rig.places
    rig.source.assign([place])
    rig.turns()
    _put(rig, place, 3)
    rig.source.skip(place, 2)
    rig.turns(4, seconds=SUSPENSE_S / 8)
    _put(rig, place, 2)
    rig.source.skip(place, 2)
    rig.turns(2, seconds=SUSPENSE_S / 8)
    assert _letters(rig) == 0
    rig.turns(10, seconds=SUSPENSE_S / 4)
    assert rig.stored(place) == [0, 1, 2, 5, 6]
    assert (rig.row(place).next_offset, rig.row(place).epoch) == (9, 1)


def test_what_waits_of_a_partition_that_was_lost_is_dropped(start: Callable[..., Rig]) -> None:
    rig = start()
    [place] = rig.places
    rig.source.assign([place])
    rig.turns()
    _put(rig, place, 3)
    rig.turns(2)
    rig.source.revoke([place])
    rig.source.assign([place])
    rig.turns(10, seconds=SUSPENSE_S / 2)
    assert rig.stored(place) == [0, 1, 2]
    assert rig.row(place).epoch == 2


def test_what_is_read_again_does_not_count_twice(start: Callable[..., Rig]) -> None:
    rig = start()
    [place] = rig.places
    _put(rig, place, LEAST - 1)
    rig.source.records_a_poll = LEAST
    for _ in range(3):
        rig.source.assign([place])
        rig.turns(3)
        rig.source.revoke([place])
    rig.source.assign([place])
    rig.turns(30)
    assert _letters(rig) == LEAST - 1


def test_a_wrong_topic_that_trickles_collects_nothing_once_it_has_tripped(
    start: Callable[..., Rig],
) -> None:
    rig = start(partitions=2)
    rig.source.assign(rig.places)
    for _ in range(LEAST // 2 - 1):
        for place in rig.places:
            _put(rig, place, 1)
        rig.turns(4, seconds=SUSPENSE_S / 2)
    before = _letters(rig)
    assert before >= LEAST - 4, "so few are too few to judge by"
    _put(rig, rig.places[0], 2)
    _trip(rig)
    assert _letters(rig) == before

    for round_ in range(5):
        rig = start()
        rig.source.assign(rig.places)
        _put(rig, rig.places[round_ % 2], 1)
        _trip(rig)
        assert _letters(rig) == before


def test_a_topic_that_was_mended_is_read_again(start: Callable[..., Rig]) -> None:
    rig = start()
    [place] = rig.places
    rig.source.assign([place])
    _put(rig, place, 300)
    rig.source.records_a_poll = 300
    _trip(rig)
    assert rig.row(place).tripped

    rig.row(place).next_offset = 300  # `offsets set`
    rig = start()
    rig.source.assign([place])
    rig.source.append(place, 1)
    rig.turns()
    assert rig.stored(place) == [300]
    assert not rig.row(place).tripped, "what was stored clears the mark"
    _put(rig, place, 10)
    rig.turns(4, seconds=SUSPENSE_S / 2)
    assert _letters(rig) == 10, "and a few bad records are no reason any more"


def test_all_can_be_made_dead_letters_of(start: Callable[..., Rig]) -> None:
    rig = start()
    [place] = rig.places
    rig.source.assign([place])
    _put(rig, place, 300)
    rig.source.records_a_poll = 300
    _trip(rig)

    rig = start(breaker_share=0.0)
    rig.source.assign([place])
    rig.turns()
    assert _letters(rig) == 300
    rig.source.append(place, 1)
    rig.turns()
    assert not rig.row(place).tripped


def test_bursts_of_garbage_in_a_good_stream_become_dead_letters(start: Callable[..., Rig]) -> None:
    rig = start()
    [place] = rig.places
    rig.source.records_a_poll = 37
    rig.source.assign([place])
    for _ in range(4):
        rig.source.append(place, 300)
        _put(rig, place, 300)
    rig.turns(100)
    assert _letters(rig) == 1_200
    assert rig.row(place).next_offset == 2_400


# A backlog, which comes partition by partition


def _first(places: Sequence[TopicPartition]) -> TopicPartition:
    return places[0]


def _last(places: Sequence[TopicPartition]) -> TopicPartition:
    return places[-1]


def _drain(rig: Rig, seconds: float = 0.01) -> None:
    for _ in range(2_000):
        rig.turns(1, seconds=seconds)
        if all(rig.row(p).next_offset == rig.source.logs[p].end for p in rig.places):
            return
    raise AssertionError("it is never read to its end")


@pytest.mark.parametrize("order", [_first, _last])
def test_garbage_in_one_partition_of_four_does_not_trip_in_a_backlog(
    start: Callable[..., Rig], order: Callable[[Sequence[TopicPartition]], TopicPartition]
) -> None:
    rig = start(partitions=4)
    rig.source.records_a_poll, rig.source.hands_out = 2_000, order
    rig.source.assign(rig.places)
    for place in rig.places[:3]:
        rig.source.append(place, 500)
    _put(rig, rig.places[3], 2_500)
    _drain(rig)
    assert _letters(rig) == 2_500
    rig.turns(2)
    assert rig.source.held == set()


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_nor_in_any_other_order(make_rig: Callable[..., Rig], data: st.DataObject) -> None:
    rig = make_rig(partitions=4, posts=500, breaker_share=SHARE)
    bad = data.draw(st.sampled_from(rig.places))
    rig.source.records_a_poll = data.draw(st.sampled_from([1, 40, 300, 900]))
    rig.source.hands_out = lambda places: data.draw(st.sampled_from(places))
    rig.source.assign(rig.places)
    for place in rig.places:
        if place != bad:
            rig.source.append(place, 60)
    _put(rig, bad, 400)
    for _ in range(30):
        rig.turns(1, seconds=0.01)
    rig.source.records_a_poll, rig.source.hands_out = 400, None
    _drain(rig)
    assert _letters(rig) == 400


def test_garbage_in_every_partition_trips_in_a_backlog_in_a_second_run_too(
    start: Callable[..., Rig],
) -> None:
    rig = start(partitions=4)
    for place in rig.places:
        _put(rig, place, 600)
    for _ in range(2):
        rig = start(partitions=4)
        rig.source.records_a_poll, rig.source.hands_out = 400, _first
        rig.source.assign(rig.places)
        assert len(_trip(rig).claims) == 4
        assert _letters(rig) == 0
        assert rig.channels.batches.empty()


def test_partitions_of_which_nothing_comes_are_not_waited_for_for_ever(
    start: Callable[..., Rig],
) -> None:
    rig = start(partitions=4)
    rig.source.assign(rig.places)
    rig.turns(3)
    _put(rig, rig.places[2], 3_000)
    rig.source.records_a_poll = 300
    rig.turns(10, seconds=SUSPENSE_S / 20)
    assert rig.source.held == {rig.places[2]}, "so that what the others have can come"
    assert rig.poll._readings[rig.places[2]].next_offset == 300
    _trip(rig)
    assert _letters(rig) == 0


def test_a_full_queue_does_not_resume_what_is_held_for_the_others(
    start: Callable[..., Rig],
) -> None:
    rig = start(partitions=2)
    one, two = rig.places
    rig.source.make(1, topic_id=7, topic="clicks")
    [other] = [place for place in rig.source.logs if place.topic == "clicks"]
    rig.source.records_a_poll = 600
    rig.source.assign([one, two, other])
    rig.turns(3)
    _put(rig, one, 2_000)
    rig.poll.turn()
    rig.source.append(other, 600)
    for _ in range(3):
        rig.poll.turn()
    assert rig.source.held == set(rig.source.positions), "the queues are full"
    for _ in range(8):  # and as long as they are, nothing that is missed is waited for
        rig.now += SUSPENSE_S
        rig.poll.turn()
    rig.work()
    for _ in range(5):
        rig.poll.turn()
        rig.work()
    assert rig.source.held == {one}
    rig.source.append(two, 600)
    _drain(rig)
    rig.turns(2)
    assert rig.source.held == set()
    assert _letters(rig) == 2_000


def test_what_is_held_for_the_others_is_no_stall(start: Callable[..., Rig]) -> None:
    rig = start(partitions=2)
    rig.source.assign(rig.places)
    rig.turns(3)
    _put(rig, rig.places[0], 2_000)
    rig.source.records_a_poll = 600
    rig.turns(3)
    assert rig.source.held == {rig.places[0]}
    rig.source.resumed.clear()
    rig.poll._watching._progress._stall_s = 0.2
    for _ in range(15):
        rig.turns(1)
        rig.poll._watching.look(rig.poll._holds)
    assert rig.source.held == {rig.places[0]}
    assert rig.source.resumed == []
    assert rig.channels.metrics.stalls.labels("partition")._value.get() == 0


def test_partitions_that_are_yet_to_be_claimed_are_waited_for(start: Callable[..., Rig]) -> None:
    rig = start(partitions=2)
    one, two = rig.places
    _put(rig, one, 2_000)
    rig.source.append(two, 600)
    rig.store.tables.locked.add(rig.source.partition_at(two))  # a frozen worker's transaction
    rig.source.records_a_poll = 600
    rig.source.assign(rig.places)
    rig.turns(80, seconds=CLAIMS_S / 100)
    rig.store.tables.locked.clear()
    _drain(rig, seconds=0.1)
    assert _letters(rig) == 2_000


def test_of_two_topics_the_wrong_one_is_named_and_marked(start: Callable[..., Rig]) -> None:
    rig = start()
    [good] = rig.places
    [wrong] = rig.source.make(1, topic_id=7, topic="clicks")
    rig.source.append(good, 500)
    rig.source.records_a_poll = 250
    rig.source.assign([good])
    rig.turns(10)
    assert len(rig.stored(good)) == 500

    rig.source.assign([wrong])
    _put(rig, wrong, 500)
    rig.source.append(good, 100)
    error = _trip(rig)

    assert error.topic == "clicks"
    assert "clicks" in str(error)
    assert [claim.partition.topic for claim in error.claims] == ["clicks"]
    assert (rig.row(good).tripped, rig.row(wrong).tripped) == (False, True)
    assert _letters(rig) == 0
