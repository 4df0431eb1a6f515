"""What a batch comes to: standings and the ledger's outcomes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from worker.posts import Label, Post, Record, RecordRef, Rejection, Unlabelled, Withdrawal
from worker.posts.order import Standing, merge, standing
from worker.store.fold import Identity, fold, settled
from worker.store.interface import Entry
from worker.store.schema import OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Sequence

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
JOY = Label("joy", 0.9, (20_000, 900_000, 20_000, 20_000, 20_000, 20_000))
TOPIC_ID = UUID(int=1)


def _ref(offset: int) -> RecordRef:
    return RecordRef("posts", TOPIC_ID, 0, offset)


def _entry(offset: int, decoded: Post | Withdrawal | Rejection, *, empty: bool = False) -> Entry:
    label = (Unlabelled("empty") if empty else JOY) if isinstance(decoded, Post) else None
    return Entry(Record(_ref(offset), 0, None, b"{}"), decoded, label)


def _post(offset: int, post_id: str = "1", *, version: int = 0, empty: bool = False) -> Entry:
    time = NOON + timedelta(minutes=version)
    post = Post(_ref(offset), "x", post_id, "text", NOON, time, None, None, ())
    return _entry(offset, post, empty=empty)


def _gone(offset: int, post_id: str = "1") -> Entry:
    return _entry(offset, Withdrawal(_ref(offset), "x", post_id))


def _bad(offset: int) -> Entry:
    return _entry(offset, Rejection(_ref(offset), "bad_json", "It is not JSON.", "bad_json"))


def _outcomes(
    entries: Sequence[Entry], stored: dict[Identity, Standing] | None = None
) -> list[str]:
    folded = fold(entries, range(len(entries)), stored or {}, 0)
    return [folded.outcomes[ordinal] for ordinal in range(len(entries))]


@st.composite
def _sequences(draw: st.DrawFn) -> list[Entry]:
    """Entries of few posts; each place holds one record, and some places are read twice."""
    entries = []
    for offset in range(draw(st.integers(1, 12))):
        kind, post_id = draw(st.integers(0, 5)), draw(st.sampled_from(["1", "2", "3"]))
        if kind == 0:
            entries.append(_gone(offset, post_id))
        else:
            version, empty = draw(st.integers(0, 2)), kind == 1
            entries.append(_post(offset, post_id, version=version, empty=empty))
    entries = draw(st.permutations(entries))
    return entries + draw(st.lists(st.sampled_from(entries), max_size=4))


def _one_by_one(
    entries: Sequence[Entry], generations: Sequence[int]
) -> tuple[dict[Identity, Standing], list[str]]:
    """The oracle: 3.4 over the records in order."""
    states: dict[Identity, Standing] = {}
    outcomes = []
    for entry, generation in zip(entries, generations, strict=True):
        decoded = entry.decoded
        assert not isinstance(decoded, Rejection)
        identity = (decoded.platform, decoded.post_id)
        states[identity], verdict = merge(states.get(identity), standing(decoded, generation))
        if verdict == "first":
            outcomes.append("labelled" if isinstance(entry.label, Label) else "unlabelled")
        else:
            outcomes.append(verdict)
    return states, outcomes


@given(_sequences(), st.data())
def test_any_split_into_batches_gives_the_same_as_all_in_one(
    entries: list[Entry], data: st.DataObject
) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(entries)), max_size=3).map(sorted))
    bounds = [0, *cuts, len(entries)]
    stored: dict[Identity, Standing] = {}
    outcomes: list[str] = []
    generations: list[int] = []
    for start, end in pairwise(bounds):
        batch = entries[start:end]
        generation = data.draw(st.integers(0, 1))
        folded = fold(batch, range(len(batch)), stored, generation)

        assert sorted(folded.outcomes) == list(range(len(batch))), "each record has one outcome"
        assert set(folded.outcomes.values()) <= set(OUTCOMES)
        for identity, ordinal in folded.winners.items():
            decoded = batch[ordinal].decoded
            assert not isinstance(decoded, Rejection)
            assert identity == (decoded.platform, decoded.post_id)
            winner = standing(decoded, generation)
            assert identity not in stored or winner.precedes(stored[identity])
            stored[identity] = winner
        outcomes += [folded.outcomes[ordinal] for ordinal in range(len(batch))]
        generations += [generation] * len(batch)

    assert (stored, outcomes) == _one_by_one(entries, generations)


@given(_sequences(), st.data())
def test_only_the_given_ordinals_count(entries: list[Entry], data: st.DataObject) -> None:
    chosen = sorted(data.draw(st.sets(st.integers(0, len(entries) - 1))))
    folded = fold(entries, chosen, {}, 0)
    assert sorted(folded.outcomes) == chosen
    alone = fold([entries[ordinal] for ordinal in chosen], range(len(chosen)), {}, 0)
    assert [folded.outcomes[o] for o in chosen] == [alone.outcomes[o] for o in range(len(chosen))]
    assert {key: chosen.index(o) for key, o in folded.winners.items()} == dict(alone.winners)


def test_each_outcome() -> None:
    entries = [
        _post(0, "labelled"),
        _post(1, "unlabelled", empty=True),
        _post(2, "labelled"),
        _post(3, "labelled", version=1),
        _post(4, "labelled", version=1, empty=True),
        _post(5, "labelled"),
        _gone(6, "labelled"),
        _gone(7, "labelled"),
        _post(8, "labelled", version=9),
        _gone(9, "never seen"),
    ]
    assert _outcomes(entries) == [
        *("labelled", "unlabelled", "duplicates", "replaced", "duplicates", "stale"),
        *("withdrawn", "withdrawn", "stale", "withdrawn"),
    ]


def test_what_is_stored_decides_too() -> None:
    stored = {("x", "1"): Standing(_ref(5), NOON, NOON)}
    assert _outcomes([_post(9)], stored) == ["duplicates"]
    assert _outcomes([_post(9, version=1)], stored) == ["replaced"]
    assert _outcomes([_post(9, version=-1)], stored) == ["stale"]
    assert _outcomes([_gone(9)], stored) == ["withdrawn"]
    assert _outcomes([_post(9, "2")], stored) == ["labelled"]


def test_a_stored_record_that_goes_on_standing_is_no_winner() -> None:
    stored = {("x", "1"): Standing(_ref(5), NOON, NOON)}
    assert fold([_post(9)], [0], stored, 0).winners == {}
    assert fold([_post(5)], [0], stored, 0).winners == {}, "it is the stored one itself"
    assert fold([_post(3)], [0], stored, 0).winners == {("x", "1"): 0}, "a tie moves the row"


def test_a_higher_generation_replaces_the_same_version() -> None:
    stored = {("x", "1"): Standing(_ref(5), NOON, NOON)}
    folded = fold([_post(5)], [0], stored, 1)
    assert (folded.outcomes, folded.winners) == ({0: "replaced"}, {("x", "1"): 0})


def test_the_winner_is_the_last_to_become_the_maximum() -> None:
    entries = [_post(0), _post(1, version=2), _post(2, version=1)]
    assert fold(entries, [0, 1, 2], {}, 0).winners == {("x", "1"): 1}
    gone = [*entries, _gone(4), _gone(3)]
    assert fold(gone, range(5), {}, 0).winners == {("x", "1"): 4}


def test_stored_states_are_left_as_they_were() -> None:
    stored = {("x", "1"): Standing(_ref(5), NOON, NOON)}
    before = dict(stored)
    fold([_post(9, version=1)], [0], stored, 0)
    assert stored == before


def test_what_no_stored_row_decides() -> None:
    entries = [_bad(0), _post(1), _gone(2), _post(3), _bad(4), _post(5)]
    assert settled(entries, erased=(), floor=None) == {0: "dead_lettered", 4: "dead_lettered"}
    assert settled(entries, erased={1, 2}, floor=None) == {
        0: "dead_lettered",
        1: "erased",
        2: "erased",
        4: "dead_lettered",
    }


def test_what_lies_below_the_floor_is_expired_and_a_withdrawal_never() -> None:
    entries = [_post(0), _gone(1), _bad(2)]
    assert settled(entries, erased=(), floor=NOON) == {2: "dead_lettered"}
    just_above = NOON + timedelta(microseconds=1)
    assert settled(entries, erased=(), floor=just_above) == {0: "expired", 2: "dead_lettered"}


def test_the_first_outcome_that_fits() -> None:
    entries = [_bad(0), _post(1)]
    floor = NOON + timedelta(days=1)
    assert settled(entries, erased={0, 1}, floor=floor) == {0: "dead_lettered", 1: "erased"}


def test_a_late_edit_is_measured_by_its_event_time() -> None:
    floor = NOON + timedelta(minutes=5)
    assert settled([_post(0, version=60)], erased=(), floor=floor) == {0: "expired"}
