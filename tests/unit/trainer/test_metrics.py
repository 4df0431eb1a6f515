from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer import metrics
from trainer.calibrate import choose_threshold, fit_temperature


def test_figures_by_hand() -> None:
    probabilities = np.full((4, 6), 0.04)
    for row, (label, confidence) in enumerate([(0, 0.8), (0, 0.8), (1, 0.8), (2, 0.8)]):
        probabilities[row, label] = confidence
    labels = np.array([0, 1, 1, 2])
    figures = metrics.measure(np.log(probabilities), labels)
    assert figures.accuracy == pytest.approx(0.75)
    assert figures.loss == pytest.approx(-(3 * np.log(0.8) + np.log(0.04)) / 4)
    # F1: sadness 2/3 (one of two predictions right), joy 2/3 (one of two found), love 1, others 0
    assert figures.macro_f1 == pytest.approx((2 / 3 + 2 / 3 + 1) / 6)
    assert figures.ece == pytest.approx(0.05)


def test_calibration_error_weighs_bins_by_size() -> None:
    confidence = np.array([0.95, 0.95, 0.95, 0.55, 1.0])
    right = np.array([True, True, False, True, True])
    expected = (abs(2.85 + 1.0 - 3) + abs(0.55 - 1)) / 5
    assert metrics.expected_calibration_error(confidence, right) == pytest.approx(expected)


@pytest.mark.parametrize("truth", [0.5, 1.0, 2.5])
def test_the_temperature_that_made_the_labels_is_found(truth: float) -> None:
    generator = np.random.default_rng(3)
    logits = generator.normal(scale=3, size=(20_000, 6))
    probabilities = np.exp(metrics.log_softmax(logits, truth))
    drawn = generator.random(len(logits))[:, None]
    labels = (probabilities.cumsum(axis=1) < drawn).sum(axis=1).clip(max=5)
    assert fit_temperature(logits, labels) == pytest.approx(truth, rel=0.05)


@given(st.integers(0, 2**32 - 1))
def test_no_other_temperature_has_a_lower_loss(seed: int) -> None:
    generator = np.random.default_rng(seed)
    logits = generator.normal(scale=generator.uniform(0.1, 5), size=(40, 6))
    labels = np.where(
        generator.random(40) < 0.7, logits.argmax(axis=1), generator.integers(0, 6, 40)
    )
    best = fit_temperature(logits, labels)
    loss = metrics.measure(logits, labels, best).loss
    for factor in (0.9, 1.1):
        other = float(np.clip(best * factor, 0.05, 20))
        assert metrics.measure(logits, labels, other).loss >= loss - 1e-6


def test_a_model_that_is_always_right_gets_the_coldest_temperature() -> None:
    logits = np.eye(6)
    assert fit_temperature(logits, np.arange(6)) == pytest.approx(0.05, abs=0.01)


@given(
    st.lists(st.floats(0.17, 1.0), min_size=1, max_size=300),
    st.floats(0.0, 0.5),
)
def test_the_threshold_is_the_largest_within_its_price(values: list[float], price: float) -> None:
    confidence = np.array(values)
    threshold = choose_threshold(confidence, price)
    assert (confidence < threshold).mean() <= price
    if threshold < 0.99:
        assert (confidence < round(threshold + 0.01, 2)).mean() > price
