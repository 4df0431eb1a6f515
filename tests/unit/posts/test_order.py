"""Section 3.4 of the design: what a post's state is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from itertools import pairwise, permutations
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.posts import Post, RecordRef, Withdrawal
from worker.posts.order import Standing, Verdict, merge, standing

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def _ref(offset: int = 0, *, topic: str = "a", topic_id: int = 1, partition: int = 0) -> RecordRef:
    return RecordRef(topic, UUID(int=topic_id), partition, offset)


def _live(minutes: int, ref: RecordRef, generation: int = 0) -> Standing:
    return Standing(ref, NOON, NOON + timedelta(minutes=minutes), generation)


def _withdrawn(ref: RecordRef) -> Standing:
    return Standing(ref, None, None)


REFS = st.builds(
    RecordRef,
    st.sampled_from(["a", "b"]),
    st.sampled_from([UUID(int=1), UUID(int=2)]),
    st.integers(0, 1),
    st.integers(0, 3),
)


@st.composite
def _records(draw: st.DrawFn) -> list[Standing]:
    """Records of one post, few values so that ties are common; a place holds one record."""
    refs = draw(st.lists(REFS, min_size=1, max_size=8, unique=True))
    records = []
    for ref in refs:
        if draw(st.integers(0, 3)) == 0:
            records.append(_withdrawn(ref))
        else:
            version = draw(st.integers(0, 2))
            records.append(_live(version, ref, draw(st.integers(0, 2))))
    return records


def _fold(records: list[Standing]) -> tuple[Standing, list[Verdict]]:
    state: Standing | None = None
    verdicts = []
    for record in records:
        state, verdict = merge(state, record)
        verdicts.append(verdict)
    assert state is not None
    return state, verdicts


def _maximum(records: list[Standing]) -> Standing:
    """The order in words: withdrawn first, then version, then generation, then the smallest ref."""
    withdrawn = [record for record in records if record.version is None]
    if withdrawn:
        return min(withdrawn, key=lambda record: record.ref)
    newest = max(record.version for record in records if record.version is not None)
    records = [record for record in records if record.version == newest]
    highest = max(record.generation for record in records)
    return min(
        (record for record in records if record.generation == highest),
        key=lambda record: record.ref,
    )


@given(_records(), st.data())
def test_any_order_and_any_duplicates_give_the_maximum(
    records: list[Standing], data: st.DataObject
) -> None:
    repeated = records + data.draw(st.lists(st.sampled_from(records), max_size=6))
    arrival = data.draw(st.permutations(repeated))

    state, verdicts = _fold(arrival)

    assert state == _maximum(records)
    assert len(verdicts) == len(arrival)
    for record, verdict in zip(arrival, verdicts, strict=True):
        assert (verdict == "withdrawn") == (not record.live)
    assert verdicts.count("first") == (1 if arrival[0].live else 0)


@given(_records(), st.data())
def test_states_merge_in_any_grouping(records: list[Standing], data: st.DataObject) -> None:
    """Associative: batches folded apart come to the same as all in one."""
    cut = data.draw(st.integers(0, len(records)))
    parts = [part for part in (records[:cut], records[cut:]) if part]
    states = [_fold(part)[0] for part in parts]
    assert reduce(lambda one, two: merge(one, two)[0], states) == _fold(records)[0]


@given(_records())
def test_seen_again_nothing_changes(records: list[Standing]) -> None:
    state, _ = _fold(records)
    for record in records:
        again, verdict = merge(state, record)
        assert again == state
        assert verdict != "first"
        assert verdict != "replaced"


@given(REFS, REFS, st.integers(0, 1), st.integers(0, 1))
def test_of_two_records_one_precedes_the_other(
    one: RecordRef, two: RecordRef, first: int, second: int
) -> None:
    a, b = _live(first, one), _live(second, two)
    assert not a.precedes(a)
    assert a.precedes(b) + b.precedes(a) == (0 if a == b else 1)


def test_the_first_record_stands() -> None:
    record = _live(0, _ref())
    assert merge(None, record) == (record, "first")
    gone = _withdrawn(_ref())
    assert merge(None, gone) == (gone, "withdrawn")


def test_a_later_version_replaces_an_earlier_one() -> None:
    old, new = _live(0, _ref(0)), _live(1, _ref(1))
    assert merge(old, new) == (new, "replaced")
    assert merge(new, old) == (new, "stale")


def test_a_version_goes_before_a_generation() -> None:
    replayed, edited = _live(0, _ref(0), generation=5), _live(1, _ref(1))
    assert merge(replayed, edited) == (edited, "replaced")
    assert merge(edited, replayed) == (edited, "stale")


def test_of_a_version_the_higher_generation_stands() -> None:
    live, replayed = _live(0, _ref(0)), _live(0, _ref(0), generation=1)
    assert merge(live, replayed) == (replayed, "replaced")
    assert merge(replayed, live) == (replayed, "stale")


def test_the_same_version_and_generation_again_is_a_duplicate_even_where_the_row_moves() -> None:
    early, late = _live(0, _ref(3)), _live(0, _ref(7))
    assert merge(early, late) == (early, "duplicates")
    assert merge(late, early) == (early, "duplicates")
    assert merge(early, early) == (early, "duplicates")


def test_a_withdrawal_goes_before_everything_live_and_for_good() -> None:
    gone = _withdrawn(_ref(0))
    live = _live(1_000, _ref(1), generation=9)
    assert merge(live, gone) == (gone, "withdrawn")
    assert merge(gone, live) == (gone, "stale")


def test_of_withdrawals_the_first_in_tie_order_stands() -> None:
    early, late = _withdrawn(_ref(1)), _withdrawn(_ref(2))
    assert merge(late, early) == (early, "withdrawn")
    assert merge(early, late) == (early, "withdrawn")


def test_ties_go_by_topic_then_its_id_then_partition_then_offset() -> None:
    ordered = [
        _live(0, _ref(9, topic="a", topic_id=9, partition=8)),
        _live(0, _ref(8, topic="b", topic_id=1, partition=7)),
        _live(0, _ref(7, topic="b", topic_id=2, partition=0)),
        _live(0, _ref(1, topic="b", topic_id=2, partition=1)),
        _live(0, _ref(2, topic="b", topic_id=2, partition=1)),
    ]
    for arrival in permutations(ordered):
        assert _fold(list(arrival))[0] == ordered[0]
    for one, two in pairwise(ordered):
        assert one.precedes(two)


@pytest.mark.parametrize("generation", [0, 3])
def test_what_a_record_says_by_itself(generation: int) -> None:
    post = Post(
        ref=_ref(4),
        platform="x",
        post_id="1",
        text="text",
        created_at=NOON,
        version=NOON + timedelta(hours=1),
        lang=None,
        author_id=None,
        hashtags=(),
    )
    assert standing(post, generation) == Standing(post.ref, NOON, post.version, generation)
    assert standing(post, generation).live
    withdrawal = Withdrawal(_ref(5), "x", "1")
    assert standing(withdrawal, generation) == Standing(withdrawal.ref, None, None, 0)
    assert not standing(withdrawal, generation).live


def test_another_event_time_alone_is_no_other_version() -> None:
    one = _live(0, _ref(1))
    moved = replace(one, ref=_ref(2), created_at=NOON - timedelta(days=1))
    assert merge(one, moved) == (one, "duplicates")
