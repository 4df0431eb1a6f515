"""Micro-batches: where they are cut, and that nothing falls between them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.batching import (
    CHARS_PER_TOKEN,
    MAX_BYTES,
    MAX_TOKENS,
    Batcher,
    Item,
    Limits,
    MicroBatch,
    estimated_tokens,
    event_time,
)
from worker.posts import Post, Record, RecordRef, Rejection, Withdrawal
from worker.posts.place import Partition, Span, partition_of

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TOPIC_ID = UUID(int=1)
ONE, TWO = (Partition("posts", TOPIC_ID, number) for number in (1, 2))
LATENESS = timedelta(seconds=60)
NO_LIMIT = Limits(tokens=10**9, posts=10**9, linger_s=10.0)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _ms(time: datetime) -> int:
    return round(time.timestamp() * 1_000)


def _post(
    partition: Partition,
    offset: int,
    *,
    text: str = "text",
    created: datetime = NOON,
    written: datetime | None = NOON,
    value: bytes = b"{}",
) -> Item:
    ref = RecordRef(partition.topic, partition.topic_id, partition.number, offset)
    post = Post(ref, "x", str(offset), text, created, created, None, None, ())
    return Item(Record(ref, -1 if written is None else _ms(written), None, value), post)


def _gone(partition: Partition, offset: int) -> Item:
    ref = RecordRef(partition.topic, partition.topic_id, partition.number, offset)
    return Item(Record(ref, _ms(NOON), None, None), Withdrawal(ref, "x", str(offset)))


def _bad(partition: Partition, offset: int) -> Item:
    ref = RecordRef(partition.topic, partition.topic_id, partition.number, offset)
    return Item(Record(ref, _ms(NOON), None, b"?"), Rejection(ref, "bad_json", "?", "?"))


def _batcher(limits: Limits = NO_LIMIT, clock: Clock | None = None) -> Batcher:
    return Batcher(limits, LATENESS.total_seconds(), clock or Clock())


def _flushed(batcher: Batcher) -> MicroBatch:
    batch = batcher.flush()
    assert batch is not None
    return batch


@st.composite
def _reads(draw: st.DrawFn) -> list[tuple[Partition, int, list[Item], int, float]]:
    """What successive polls returned: partition, start, items, end, seconds since the last one."""
    positions = {ONE: draw(st.integers(0, 5)), TWO: draw(st.integers(0, 5))}
    reads = []
    for _ in range(draw(st.integers(1, 8))):
        partition = draw(st.sampled_from([ONE, TWO]))
        start = offset = positions[partition]
        items = []
        for _ in range(draw(st.integers(0, 6))):
            offset += draw(st.sampled_from([0, 0, 0, 2]))
            kind = draw(st.integers(0, 5))
            if kind == 0:
                items.append(_gone(partition, offset))
            elif kind == 1:
                items.append(_bad(partition, offset))
            else:
                created = NOON + timedelta(minutes=draw(st.integers(-5, 5)))
                written = None if kind == 2 else NOON + timedelta(minutes=draw(st.integers(-5, 5)))
                text = "x" * draw(st.integers(0, 400))
                items.append(_post(partition, offset, text=text, created=created, written=written))
            offset += 1
        end = offset + draw(st.sampled_from([0, 0, 3]))
        positions[partition] = end
        reads.append((partition, start, items, end, draw(st.sampled_from([0.0, 0.4, 1.1]))))
    return reads


@given(_reads(), st.integers(1, 150), st.integers(1, 5))
def test_nothing_falls_between_batches(
    reads: list[tuple[Partition, int, list[Item], int, float]], tokens: int, posts: int
) -> None:
    clock = Clock()
    batcher = _batcher(Limits(tokens, posts, 1.0), clock)
    batches: list[MicroBatch] = []
    for partition, start, items, end, seconds in reads:
        batches += batcher.add(partition, 7, start, items, end)
        clock.now += seconds
        due = batcher.due()
        if due is not None:
            batches.append(due)
    last = batcher.flush()
    if last is not None:
        batches.append(last)
    assert batcher.flush() is None

    for partition in (ONE, TWO):
        mine = [read for read in reads if read[0] == partition]
        spans = [span for batch in batches for span in batch.spans if span.partition == partition]
        if spans:
            assert spans[0].start == mine[0][1]
            assert spans[-1].end == mine[-1][3]
        else:
            assert all(start == end for _, start, _, end, _ in mine)
        for before, after in pairwise(spans):
            assert before.end == after.start
        given_items = [item for _, _, items, _, _ in mine for item in items]
        cut = [
            item
            for batch in batches
            for item in batch.items
            if partition_of(item.record.ref) == partition
        ]
        assert cut == given_items
    for batch in batches:
        partitions = [span.partition for span in batch.spans]
        assert len(partitions) == len(set(partitions)), "one span for each partition"
        assert len(batch.items) <= posts
        total = sum(estimated_tokens(item.decoded) for item in batch.items)
        assert total <= tokens or len(batch.items) == 1
        for span in batch.spans:
            inside = [i for i in batch.items if partition_of(i.record.ref) == span.partition]
            assert all(span.start <= item.record.ref.offset < span.end for item in inside)
            assert span.start < span.end
            assert span.epoch == 7
            assert span.watermark == _watermark(inside)


def _watermark(items: list[Item]) -> datetime | None:
    times = []
    for item in items:
        if isinstance(item.decoded, Post):
            written = item.record.timestamp_ms / 1_000
            stamp = datetime.fromtimestamp(written, UTC) if written >= 0 else None
            created = item.decoded.created_at
            times.append(created if stamp is None else min(created, stamp))
    return max(times) - LATENESS if times else None


def test_a_batch_closes_at_its_posts() -> None:
    batcher = _batcher(Limits(10**9, 2, 10.0))
    batches = list(batcher.add(ONE, 1, 0, [_post(ONE, n) for n in range(5)], 5))
    assert [len(batch.items) for batch in batches] == [2, 2]
    assert [item.record.ref.offset for item in _flushed(batcher).items] == [4]


def test_records_that_are_no_posts_count_as_posts_and_cost_no_tokens() -> None:
    batcher = _batcher(Limits(1, 3, 10.0))
    items = [_gone(ONE, 0), _bad(ONE, 1), _gone(ONE, 2), _bad(ONE, 3)]
    [batch] = batcher.add(ONE, 1, 0, items, 4)
    assert list(batch.items) == items[:3]


def test_a_batch_closes_before_the_post_that_would_burst_its_tokens() -> None:
    text = "x" * (CHARS_PER_TOKEN * 8)  # ten tokens with the two special ones
    batcher = _batcher(Limits(30, 10**9, 10.0))
    batches = list(batcher.add(ONE, 1, 0, [_post(ONE, n, text=text) for n in range(7)], 7))
    assert [len(batch.items) for batch in batches] == [3, 3]


def test_a_post_larger_than_the_budget_goes_alone() -> None:
    batcher = _batcher(Limits(10, 10**9, 10.0))
    items = [_post(ONE, 0), _post(ONE, 1, text="x" * 1_000), _post(ONE, 2)]
    batches = [*batcher.add(ONE, 1, 0, items, 3), _flushed(batcher)]
    assert [[i.record.ref.offset for i in batch.items] for batch in batches] == [[0], [1], [2]]


@pytest.mark.parametrize(
    ("characters", "tokens"), [(0, 2), (4, 3), (7, 3), (247, 63), (248, MAX_TOKENS), (20_000, 64)]
)
def test_tokens_are_estimated_and_a_long_text_is_cut(characters: int, tokens: int) -> None:
    assert estimated_tokens(_post(ONE, 0, text="x" * characters).decoded) == tokens


def test_a_batch_closes_at_its_bytes() -> None:
    half = b"x" * (MAX_BYTES // 2)
    batcher = _batcher()
    items = [_post(ONE, n, value=half) for n in range(5)]
    batches = list(batcher.add(ONE, 1, 0, items, 5))
    assert [len(batch.items) for batch in batches] == [2, 2]


def test_a_batch_lingers_from_its_first_record_on() -> None:
    clock = Clock()
    batcher = _batcher(clock=clock)
    assert batcher.wait_s() is None
    assert batcher.due() is None

    clock.now += 50
    assert list(batcher.add(ONE, 1, 0, [_post(ONE, 0)], 1)) == []
    assert batcher.wait_s() == 10.0
    clock.now += 9.5
    assert list(batcher.add(ONE, 1, 1, [_post(ONE, 1)], 2)) == []
    assert batcher.wait_s() == 0.5
    assert batcher.due() is None
    clock.now += 0.5
    assert batcher.wait_s() == 0.0
    batch = batcher.due()
    assert batch is not None
    assert batch.spans == (Span(ONE, 1, 0, 2, NOON - LATENESS),)
    assert batcher.due() is None
    assert batcher.wait_s() is None


def test_a_batch_that_is_long_overdue_is_not_waited_for() -> None:
    clock = Clock()
    batcher = _batcher(clock=clock)
    list(batcher.add(ONE, 1, 0, [_post(ONE, 0)], 1))
    clock.now += 60
    assert batcher.wait_s() == 0.0


def test_a_gap_without_records() -> None:
    batcher = _batcher()
    assert list(batcher.add(ONE, 1, 5, [], 9)) == []
    batch = _flushed(batcher)
    assert batch == MicroBatch((Span(ONE, 1, 5, 9, None),), ())


def test_nothing_read_opens_nothing() -> None:
    batcher = _batcher()
    assert list(batcher.add(ONE, 1, 5, [], 5)) == []
    assert batcher.wait_s() is None
    assert batcher.flush() is None


def test_a_span_starts_where_the_one_before_ended_not_at_its_first_record() -> None:
    batcher = _batcher(Limits(10**9, 1, 10.0))
    items = [_post(ONE, 3), _post(ONE, 8)]
    batches = [*batcher.add(ONE, 1, 0, items, 12), _flushed(batcher)]
    spans = [span for batch in batches for span in batch.spans]
    assert [(span.start, span.end) for span in spans] == [(0, 4), (4, 9), (9, 12)]


def test_drop_forgets_that_partition_only() -> None:
    batcher = _batcher(Limits(tokens=30, posts=10, linger_s=10.0))
    text = "x" * (CHARS_PER_TOKEN * 8)
    assert not list(batcher.add(ONE, 1, 0, [_post(ONE, 0, text=text)], 1))
    kept = _post(TWO, 4, text=text)
    assert not list(batcher.add(TWO, 2, 4, [kept], 5))

    batcher.drop(ONE)

    more = [_post(TWO, 5, text=text), _post(TWO, 6, text=text)]
    assert not list(batcher.add(TWO, 2, 5, more, 7)), "the dropped one's tokens are free again"
    assert _flushed(batcher) == MicroBatch((Span(TWO, 2, 4, 7, NOON - LATENESS),), (kept, *more))


def test_drop_gives_the_bytes_back() -> None:
    half = b"x" * (MAX_BYTES // 2)
    batcher = _batcher()
    list(batcher.add(ONE, 1, 0, [_post(ONE, 0, value=half)], 1))
    batcher.drop(ONE)
    assert list(batcher.add(TWO, 1, 0, [_post(TWO, 0, value=half)], 1)) == []


def test_drop_of_all_leaves_nothing_open() -> None:
    clock = Clock()
    batcher = _batcher(clock=clock)
    list(batcher.add(ONE, 1, 0, [_post(ONE, 0)], 1))
    batcher.drop(TWO)
    assert batcher.wait_s() is not None
    batcher.drop(ONE)
    assert batcher.wait_s() is None
    assert batcher.flush() is None
    clock.now += 5
    list(batcher.add(TWO, 1, 0, [_post(TWO, 0)], 1))
    assert batcher.wait_s() == 10.0, "the next batch lingers from its own first record on"


def test_drop_then_the_same_partition_under_another_claim() -> None:
    batcher = _batcher()
    list(batcher.add(ONE, 1, 0, [_post(ONE, 0)], 1))
    batcher.drop(ONE)
    again = _post(ONE, 0)
    list(batcher.add(ONE, 2, 0, [again], 1))
    assert _flushed(batcher) == MicroBatch((Span(ONE, 2, 0, 1, NOON - LATENESS),), (again,))


HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("created", "written", "time"),
    [
        (NOON, NOON + HOUR, NOON),
        (NOON + HOUR, NOON, NOON),
        (NOON, None, NOON),
    ],
)
def test_event_time_is_never_later_than_the_records_own(
    created: datetime, written: datetime | None, time: datetime
) -> None:
    assert event_time(_post(ONE, 0, created=created, written=written)) == time


def test_an_absurd_record_time_is_passed_over() -> None:
    item = _post(ONE, 0)
    for milliseconds in (2**62, 10**17):
        record = Record(item.record.ref, milliseconds, None, b"{}")
        assert event_time(Item(record, item.decoded)) == NOON


def test_what_is_no_post_says_nothing_of_time() -> None:
    assert event_time(_gone(ONE, 0)) is None
    assert event_time(_bad(ONE, 0)) is None


def test_the_watermark_is_the_maximum_less_the_lateness() -> None:
    batcher = _batcher()
    items = [
        _post(ONE, 0, created=NOON + timedelta(minutes=m), written=NOON + HOUR) for m in (1, 7, 3)
    ]
    list(batcher.add(ONE, 1, 0, [*items, _gone(ONE, 3)], 9))
    [span] = _flushed(batcher).spans
    assert span.watermark == NOON + timedelta(minutes=7) - LATENESS
