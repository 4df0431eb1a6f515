from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.trends import Events, ModelRun, Spike, episodes

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SPIKE = Spike(
    START, "hashtag", "news", "anger", 120, 20.0, 5.0, 35.0, 9.0, 0.6, 0.2, (), (), (), None, None
)


def _at(hours: float, **changed: object) -> Spike:
    return replace(SPIKE, at=START + hours * HOUR, **changed)  # type: ignore[arg-type]


def test_hours_that_touch_are_one_episode_of_which_the_highest_score_speaks() -> None:
    found = episodes([_at(2, score=7.0), _at(1, score=11.0, posts=200), _at(2.3), _at(5)])
    assert [(one.since, one.until, one.peak.score) for one in found] == [
        (START, START + 2.3 * HOUR, 11.0),
        (START + 4 * HOUR, START + 5 * HOUR, 9.0),
    ]
    assert found[0].rise == "anger 10x"
    assert found[1].rise == "anger 6.0x"


def test_other_values_and_emotions_are_other_episodes() -> None:
    found = episodes([_at(1), _at(1, value="cats"), _at(1, emotion="joy"), _at(1, dimension="all")])
    assert len(found) == 4
    assert sum(one.of("hashtag", "news") for one in found) == 2


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from("ab")), unique=True))
def test_every_spike_is_in_one_episode_and_these_do_not_touch(
    places: list[tuple[int, str]],
) -> None:
    found = episodes(_at(hours, value=value) for hours, value in places)
    covered = [
        (one.since + n * HOUR, one.peak.value)
        for one in found
        for n in range(1, 1 + (one.until - one.since) // HOUR)
    ]
    assert sorted(covered) == sorted((START + hours * HOUR, value) for hours, value in places)
    for one in found:
        assert one.peak.value not in {o.peak.value for o in found if o.since == one.until}


@pytest.mark.parametrize(
    ("dimension", "value", "name", "title"),
    [
        ("all", "*", "all posts", "all posts"),
        ("hashtag", "news", "#news", "#news"),
        ("platform", "tw", "tw", "platform tw"),
        ("lang", "und", "unknown", "lang unknown"),
    ],
)
def test_names(dimension: str, value: str, name: str, title: str) -> None:
    [one] = episodes([replace(SPIKE, dimension=dimension, value=value)])
    assert (one.name, one.title) == (name, title)


def test_expecting_nothing_is_no_division_by_zero() -> None:
    [one] = episodes([replace(SPIKE, expected=0.0, posts=40)])
    assert one.times == 40


def _run(model: int, since: int, until: int) -> ModelRun:
    return ModelRun(model, "m", str(model), START + since * HOUR, START + until * HOUR, 5, True)


def test_a_change_is_where_another_model_takes_over_within_the_range() -> None:
    runs = (_run(1, 0, 3), _run(2, 3, 5), _run(2, 8, 9), _run(1, 9, 12))
    assert [run.since for run in Events(runs=runs).changes(START)] == [
        START + 3 * HOUR,
        START + 9 * HOUR,
    ]
    assert Events(runs=runs).changes(START + 10 * HOUR) == ()
    assert Events(runs=runs[:1]).changes(START - HOUR) == ()


def test_a_model_that_is_not_registered_has_a_number() -> None:
    assert _run(7, 0, 1).title == "m 7"
    assert replace(_run(7, 0, 1), name=None, version=None).title == "model 7"
    assert replace(_run(7, 0, 1), version=None).title == "m"
