from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.classifier.calibration import calibrate
from worker.errors import ClassifierError
from worker.posts import LABELS

logit = st.floats(-50, 50)


@given(
    rows=st.lists(st.lists(logit, min_size=6, max_size=6), max_size=5),
    temperature=st.floats(0.1, 10),
)
def test_scores_are_the_softmax_in_millionths(rows: list[list[float]], temperature: float) -> None:
    labels = calibrate(np.array(rows).reshape(-1, 6), temperature=temperature, threshold=0.0)

    for row, label in zip(rows, labels, strict=True):
        powers = [math.exp((value - max(row)) / temperature) for value in row]
        for score, power in zip(label.scores, powers, strict=True):
            assert abs(score - 1e6 * power / sum(powers)) <= 0.5001
        assert abs(sum(label.scores) - 1_000_000) <= 3
        assert label.confidence == max(label.scores) / 1e6
        assert label.emotion == LABELS[label.scores.index(max(label.scores))]


@given(rows=st.lists(st.lists(logit, min_size=7, max_size=7), min_size=1, max_size=5))
def test_neutral_takes_its_share_and_has_no_score(rows: list[list[float]]) -> None:
    for row, label in zip(
        rows, calibrate(np.array(rows), temperature=1.0, threshold=0.5), strict=True
    ):
        neutral = math.exp(row[6] - max(row)) / sum(math.exp(value - max(row)) for value in row)
        assert sum(label.scores) == pytest.approx(1e6 * (1 - neutral), abs=4)
        assert (label.emotion == "uncertain") == (label.confidence < 0.5)


def test_a_tie_goes_to_the_first() -> None:
    logits = np.array([[0.0, 1.0, 0.0, 1.0, 1.0, 0.0]])

    assert calibrate(logits, temperature=1.0, threshold=0.0)[0].emotion == "joy"


def test_huge_logits_do_not_overflow() -> None:
    label = calibrate(np.array([[1e4, -1e4, 0, 0, 0, 0]]), temperature=0.01, threshold=0.5)[0]

    assert label.scores == (1_000_000, 0, 0, 0, 0, 0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_refuses_what_is_no_number(value: float) -> None:
    logits = np.zeros((3, 6))
    logits[1, 4] = value

    with pytest.raises(ClassifierError, match="1 of 3"):
        calibrate(logits, temperature=1.0, threshold=0.0)
