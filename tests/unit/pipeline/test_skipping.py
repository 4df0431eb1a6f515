"""Records that are none of a post's business: gaps in the log, whatever else lies around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from worker.pipeline.breaker import LEAST, BreakerTrippedError
from worker.posts import Record, Rejection, Skipped
from worker.posts.decode import decode

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.pipeline.conftest import Rig
    from worker.posts.formats import Decoded


def with_likes(record: Record) -> Decoded:
    if b"a like" in (record.value or b""):
        return Skipped(record.ref, "like")
    if b"a mistake" in (record.value or b""):
        return Rejection(record.ref, "bad_event", "It is wrong.", "f" * 16)
    return decode(record)


def begun(make_rig: Callable[..., Rig], *texts: tuple[str, int], share: float = 0.0) -> Rig:
    """Reads a partition that holds so many records with each text, in order."""
    rig = make_rig(breaker_share=share, posts=100)
    rig.poll._intake._decode = with_likes
    [place] = rig.places
    for text, count in texts:
        rig.source.append(place, count, text)
    rig.source.assign([place])
    return rig


def turns(rig: Rig, count: int) -> None:
    """Turns, half a second after each other."""
    for _ in range(count):
        rig.now += 0.5
        rig.turns(1)


def skipped(rig: Rig) -> float:
    return sum(
        sample.value
        for metric in rig.channels.metrics.records_skipped.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    )


def test_they_are_in_no_ledger_and_the_position_goes_past_them(
    make_rig: Callable[..., Rig],
) -> None:
    rig = begun(make_rig, ("a like", 5), ("what a day", 2), ("a like", 3), ("so it is", 1))
    rig.source.append(rig.places[0], 4, "a like")
    rig.turns(6)
    assert rig.stored(rig.places[0]) == [5, 6, 10]
    assert rig.row(rig.places[0]).next_offset == 15
    assert skipped(rig) == 12


def test_where_there_is_nothing_else_the_position_moves_all_the_same(
    make_rig: Callable[..., Rig],
) -> None:
    rig = begun(make_rig, ("a like", 50))
    rig.turns(6)
    assert rig.stored(rig.places[0]) == []
    assert rig.row(rig.places[0]).next_offset == 50


def test_they_never_trip_the_breaker(make_rig: Callable[..., Rig]) -> None:
    rig = begun(make_rig, ("a like", 3 * LEAST), share=0.9)
    turns(rig, 12)
    assert rig.row(rig.places[0]).next_offset == 3 * LEAST


def test_nor_hide_from_it_that_all_else_is_wrong(make_rig: Callable[..., Rig]) -> None:
    rig = begun(make_rig, ("a like", 500), ("a mistake", LEAST), ("a like", 500), share=0.9)
    with pytest.raises(BreakerTrippedError):
        turns(rig, 60)
    assert rig.store.entries == []
    assert rig.stored(rig.places[0]) == []
