"""The store stage's turns over a store in memory."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from worker.errors import WorkerError
from worker.health import Pulse
from worker.pipeline.channels import Backoff
from worker.pipeline.messages import (
    Ask,
    Beat,
    Claimed,
    Fenced,
    Settle,
    Settled,
    Standings,
    Stored,
    Want,
)
from worker.posts import Record, RecordRef, Rejection
from worker.posts.place import Span
from worker.store.interface import Claim, Entry, LabelledBatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.pipeline.conftest import Rig
    from worker.pipeline.messages import Reply
    from worker.source import TopicPartition

TIME = datetime(2026, 3, 1, tzinfo=UTC)


def _replies(rig: Rig) -> list[Reply]:
    return [rig.channels.replies.get_nowait() for _ in range(rig.channels.replies.qsize())]


def _claimed(rig: Rig, place: TopicPartition, offset: int = 0) -> Claim:
    """Claims, confirms and settles a partition."""
    rig.source.assign([place])
    [token] = rig.assignment.take_unclaimed().values()
    claim = rig.store.claim(rig.source.partition_at(place), len(rig.places), "us")
    assert rig.store.settle(claim, offset)
    assert rig.assignment.confirm(place, token, claim.epoch)
    return claim


def _span(claim: Claim, start: int, end: int) -> Span:
    return Span(claim.partition, claim.epoch, start, end, None)


def _batch(*spans: Span) -> LabelledBatch:
    entries = []
    for span in spans:
        for offset in range(span.start, span.end):
            partition = span.partition
            ref = RecordRef(partition.topic, partition.topic_id, partition.number, offset)
            entries.append(Entry(Record(ref, 0, None, b"?"), Rejection(ref, "bad_json", "?", "?")))
    return LabelledBatch(spans, tuple(entries), 1)


def _turn(rig: Rig, batch: LabelledBatch) -> list[Reply]:
    assert rig.channels.inbox.put(batch, 0)
    assert rig.storing.turn(0)
    return _replies(rig)


def test_nothing_to_do(rig: Rig) -> None:
    assert not rig.storing.turn(0)


def test_a_batch_is_written_and_confirmed(rig: Rig) -> None:
    [place] = rig.places
    span = _span(_claimed(rig, place), 0, 3)
    assert _turn(rig, _batch(span)) == [Stored((span,))]
    assert rig.stored(place) == [0, 1, 2]


@pytest.mark.parametrize("times", [1, 7])
def test_while_the_database_is_away_nothing_is_lost_or_repeated(rig: Rig, times: int) -> None:
    [place] = rig.places
    claim = _claimed(rig, place)
    first, second = _span(claim, 0, 2), _span(claim, 2, 4)
    assert rig.channels.inbox.put(_batch(first), 0)
    assert rig.channels.inbox.put(_batch(second), 0)
    rig.store.away = times

    assert rig.storing.turn(0)
    assert rig.storing.turn(0)

    assert _replies(rig) == [Stored((first,)), Stored((second,))]
    assert rig.stored(place) == [0, 1, 2, 3]


def test_an_outage_is_said_once(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    span = _span(_claimed(rig, rig.places[0]), 0, 1)
    rig.store.away = 5
    _turn(rig, _batch(span))
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["the database is away; waiting for it", "the database is back"]


def test_the_wait_for_the_database_begins_anew_after_a_success(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = _claimed(rig, rig.places[0])
    waits: list[float] = []
    monkeypatch.setattr(Pulse, "wait", lambda _, event, seconds: waits.append(seconds))
    rig.storing._backoff = Backoff(0.1, 5.0)
    for start in range(2):
        rig.store.away = 3
        _turn(rig, _batch(_span(claim, start, start + 1)))
    assert waits == [0.1, 0.2, 0.4] * 2


def test_a_commit_whose_answer_was_lost_counts_as_stored(rig: Rig) -> None:
    [place] = rig.places
    span = _span(_claimed(rig, place), 0, 3)
    rig.store.lost = 1
    assert _turn(rig, _batch(span)) == [Stored((span,))]
    assert rig.stored(place) == [0, 1, 2]


def test_a_fenced_span_does_not_keep_its_neighbour_out(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(partitions=2)
    good, bad = rig.places
    ours, theirs = _span(_claimed(rig, good), 0, 2), _span(_claimed(rig, bad), 0, 2)
    rig.claim_elsewhere(bad)

    assert _turn(rig, _batch(ours, theirs)) == [Stored((ours,)), Fenced((theirs,))]
    assert rig.stored(good) == [0, 1]
    assert rig.stored(bad) == []


def test_a_span_that_was_revoked_is_not_even_tried(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(partitions=2)
    kept, gone = rig.places
    ours, lost = _span(_claimed(rig, kept), 0, 2), _span(_claimed(rig, gone), 0, 2)
    rig.source.revoke([gone])

    assert _turn(rig, _batch(ours, lost)) == [Stored((ours,))]
    assert rig.stored(gone) == []

    rig.source.revoke([kept])
    rig.store.away = 1
    assert _turn(rig, _batch(ours)) == []
    assert rig.store.away == 1, "nothing of it is ours, so the store was left alone"


def test_a_claim_is_made_and_answered(rig: Rig) -> None:
    [place] = rig.places
    rig.source.assign([place])
    [token] = rig.assignment.take_unclaimed().values()
    partition = rig.source.partition_at(place)
    rig.channels.inbox.ask(Want(place, token, partition, 1))
    assert rig.storing.turn(0)
    assert _replies(rig) == [Claimed(place, token, Claim(partition, 1, None))]
    assert rig.row(place).owner == "us"


def test_a_partition_given_up_is_not_claimed(rig: Rig) -> None:
    [place] = rig.places
    rig.source.assign([place])
    [token] = rig.assignment.take_unclaimed().values()
    rig.source.revoke([place])
    rig.channels.inbox.ask(Want(place, token, rig.source.partition_at(place), 1))
    assert rig.storing.turn(0)
    assert _replies(rig) == []
    assert rig.store.claims == 0, "its new owner must not be fenced"


def test_a_busy_claim_goes_back_and_holds_nobody_up(rig: Rig) -> None:
    [place] = rig.places
    rig.source.assign([place])
    unclaimed = rig.assignment.take_unclaimed()
    rig.store.busy = 1
    rig.channels.inbox.ask(Want(place, unclaimed[place], rig.source.partition_at(place), 1))
    assert rig.storing.turn(0)
    assert _replies(rig) == []
    assert not rig.storing.turn(0)
    assert rig.assignment.take_unclaimed() == {}, "other partitions' batches go on meanwhile"
    rig.now += 1
    assert not rig.storing.turn(0)
    assert rig.assignment.take_unclaimed() == unclaimed


def test_settling_says_whether_the_claim_was_the_newest(rig: Rig) -> None:
    [place] = rig.places
    partition = rig.source.partition_at(place)
    old = rig.store.claim(partition, 1, "us")
    new = rig.claim_elsewhere(place)
    for claim, moved in ((old, False), (new, True)):
        request = Settle(place, 1, claim, 5)
        rig.channels.inbox.ask(request)
        assert rig.storing.turn(0)
        assert _replies(rig) == [Settled(request, moved)]
    assert rig.row(place).next_offset == 5


def test_a_heartbeat_of_what_is_no_longer_ours_is_not_sent(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(partitions=2)
    kept, gone = rig.places
    beats = [
        Span(claim.partition, claim.epoch, 0, 0, TIME)
        for claim in (_claimed(rig, kept), _claimed(rig, gone))
    ]
    rig.source.revoke([gone])
    rig.channels.inbox.ask(Beat(tuple(beats)))
    assert rig.storing.turn(0)
    assert rig.row(kept).watermark == TIME
    assert rig.row(gone).watermark is None

    rig.source.revoke([kept])
    rig.store.away = 1
    rig.channels.inbox.ask(Beat((beats[0],)))
    assert rig.storing.turn(0)
    assert rig.store.away == 1


def test_a_heartbeat_tells_an_idle_partition_that_it_was_moved(
    make_rig: Callable[..., Rig],
) -> None:
    """As `offsets set` does: no batch of it would meet the fence."""
    rig = make_rig(partitions=3)
    moved, still, read_on = rig.places
    beats = [_claimed(rig, place) for place in rig.places]
    spans = tuple(Span(claim.partition, claim.epoch, 0, 0, TIME) for claim in beats)
    rig.claim_elsewhere(moved)
    # Not fenced: a batch of it was stored since the heartbeat was asked for.
    rig.row(read_on).next_offset = 1
    rig.channels.inbox.ask(Beat(spans))
    assert rig.storing.turn(0)
    assert [reply for reply in _replies(rig) if isinstance(reply, Fenced)] == [Fenced(spans[:1])]
    assert rig.row(still).watermark == TIME


def test_standings(rig: Rig) -> None:
    [place] = rig.places
    _claimed(rig, place, offset=4)
    rig.channels.inbox.ask(Ask())
    assert rig.storing.turn(0)
    [answer] = _replies(rig)
    assert isinstance(answer, Standings)
    assert [(row.partition.number, row.next_offset) for row in answer.positions] == [(0, 4)]


def test_the_stage_ends_once_all_is_stored(rig: Rig) -> None:
    [place] = rig.places
    claim = _claimed(rig, place)
    for start in range(2):
        assert rig.channels.inbox.put(_batch(_span(claim, start, start + 1)), 0)
    rig.channels.stopping.set()
    rig.channels.classified.set()
    rig.storing.run()
    assert rig.stored(place) == [0, 1]


def test_the_stage_waits_for_the_classify_stage(rig: Rig) -> None:
    [place] = rig.places
    claim = _claimed(rig, place)
    rig.channels.stopping.set()
    thread = Thread(target=rig.storing.run)
    thread.start()
    time.sleep(0.25)
    assert thread.is_alive()
    assert rig.channels.inbox.put(_batch(_span(claim, 0, 2)), 0)
    rig.channels.classified.set()
    thread.join(10)
    assert not thread.is_alive()
    assert rig.stored(place) == [0, 1]


def test_an_abandoned_stage_does_not_wait_for_the_database(rig: Rig) -> None:
    [place] = rig.places
    rig.storing._backoff = Backoff(60.0, 60.0)
    assert rig.channels.inbox.put(_batch(_span(_claimed(rig, place), 0, 1)), 0)
    rig.store.away = 1_000
    thread = Thread(target=rig.storing.run)
    thread.start()
    time.sleep(0.05)
    rig.channels.abandoned.set()
    thread.join(10)
    assert not thread.is_alive()
    assert rig.stored(place) == []


# Dead letters' own topic


class Letters:
    def __init__(self) -> None:
        self.offsets: list[int] = []

    def send(self, record: Record, rejection: Rejection) -> None:
        assert record.ref == rejection.ref
        self.offsets.append(record.ref.offset)


@pytest.mark.parametrize("lost", [0, 1], ids=["answered", "answer lost"])
def test_dead_letters_are_sent_on_once_they_are_stored(
    make_rig: Callable[..., Rig], lost: int
) -> None:
    rig = make_rig(partitions=2)
    ours, theirs = (_claimed(rig, place) for place in rig.places)
    letters = rig.storing._letters = Letters()
    rig.store.lost = lost
    rig.store.claim(theirs.partition, 2, "another")  # a fenced partition's are not ours to send
    rig.channels.inbox.put(_batch(_span(ours, 0, 3), _span(theirs, 0, 2)), 0)

    rig.storing.turn(0)

    assert letters.offsets == [0, 1, 2]


def test_no_dead_letter_is_sent_before_it_is_stored(rig: Rig) -> None:
    claim = _claimed(rig, rig.places[0])
    letters = rig.storing._letters = Letters()
    rig.channels.inbox.put(_batch(_span(claim, 0, 3)), 0)

    def fail(_: object) -> None:
        raise WorkerError("no")

    rig.store.write = fail  # type: ignore[method-assign,assignment]
    with pytest.raises(WorkerError):
        rig.storing.turn(0)
    assert letters.offsets == []
