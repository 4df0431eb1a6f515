from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer import bootstrap, data, metrics, negation, perturb, plot, report, robustness
from trainer.calibrate import choose_neutral_threshold, fit_temperature
from trainer.compare import compare
from trainer.data import Split
from trainer.evaluate import load
from trainer.measuring import evaluate
from trainer.slices import slices
from worker.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.evaluate import Model
    from trainer.run import Run


@pytest.fixture(scope="module")
def model(run: Run) -> Model:
    return load(str(run.folder))


@pytest.fixture(scope="module")
def split(posts: Path) -> Split:
    return data.load_split(str(posts), "test")


def test_neutral_takes_part_in_the_softmax_but_is_never_predicted() -> None:
    logits = np.log(np.array([[0.1, 0.2, 0.05, 0.05, 0.05, 0.05, 0.5]]))
    figures = metrics.measure(logits, np.array([1]))
    assert figures.accuracy == 1.0
    assert figures.loss == pytest.approx(-np.log(0.2))
    assert figures.ece == pytest.approx(0.8)


def test_reliability_and_coverage_by_hand() -> None:
    confidence = np.array([0.95, 0.95, 0.55, 0.35])
    right = np.array([True, False, True, False])
    found = metrics.reliability(confidence, right)
    assert found.posts == (1, 1, 2)
    assert found.confidence == pytest.approx((0.35, 0.55, 0.95))
    assert found.accuracy == pytest.approx((0.0, 1.0, 0.5))
    curve = metrics.coverage_curve(confidence, right, points=4)
    assert curve == [
        (0.25, 0.95, 1.0),
        (0.5, 0.95, 0.5),
        (0.75, 0.55, pytest.approx(2 / 3)),
        (1.0, 0.35, 0.5),
    ]


def test_slices_are_by_length_negation_hashtag_and_language() -> None:
    texts = ("I don't like it", "word " * 20, "see #this now", "no", "e\u0301 cannot")
    found = slices(Split(texts, (0,) * 5, ("en", "en", None, "de", None)))
    rows = {name: np.flatnonzero(mask).tolist() for name, mask in found.items()}
    assert rows == {
        "0 to 8 words": [0, 2, 3, 4],
        "17 to 32 words": [1],
        "negation": [0, 3, 4],
        "no negation": [1, 2],
        "hashtag": [2],
        "no hashtag": [0, 1, 3, 4],
        "language de": [3],
        "language en": [0, 1],
    }


def test_an_interval_holds_the_figure_and_narrows_with_more_posts() -> None:
    generator = np.random.default_rng(5)

    def width(posts: int) -> float:
        logits = generator.normal(size=(posts, 6))
        labels = np.where(generator.random(posts) < 0.7, logits.argmax(axis=1), 0)
        figures = metrics.measure(logits, labels)
        found = bootstrap.intervals(logits, labels, 1.0)
        for name in ("accuracy", "macro_f1", "loss"):
            assert found[name][0] <= getattr(figures, name) <= found[name][1]
        return found["accuracy"][1] - found["accuracy"][0]

    few, many = width(100), width(1600)
    # 1.96 standard errors either side: 2 * 1.96 * sqrt(0.75 * 0.25 / n).
    assert few == pytest.approx(0.17, abs=0.04)
    assert many == pytest.approx(few / 4, rel=0.25)


def test_mcnemar_by_hand() -> None:
    a = np.array([True] * 9 + [False] * 1 + [True] * 5)
    b = np.array([False] * 9 + [True] * 1 + [True] * 5)
    only_a, only_b, p_value = bootstrap.mcnemar(a, b)
    assert (only_a, only_b) == (9, 1)
    assert p_value == pytest.approx(2 * (1 + 10) / 2**10)
    assert bootstrap.mcnemar(a, a) == (0, 0, 1.0)
    many = np.arange(6000) % 2 == 0
    assert 0 < bootstrap.mcnemar(many, ~many)[2] <= 1


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=60),
    st.lists(st.floats(0, 1), min_size=1, max_size=60),
)
def test_the_neutral_threshold_keeps_its_rule(emotional: list[float], neutral: list[float]) -> None:
    ours, theirs = np.array(emotional), np.array(neutral)
    threshold = choose_neutral_threshold(ours, theirs)
    assert (ours < threshold).mean() <= 0.15
    below = round(threshold - 0.01, 2)
    if (theirs < threshold).mean() >= 0.9:
        assert threshold == 0 or (theirs < below).mean() < 0.9
    elif threshold < 0.99:
        assert (ours < round(threshold + 0.01, 2)).mean() > 0.15


def test_weights_decide_whose_temperature_it_is() -> None:
    generator = np.random.default_rng(3)
    logits = generator.normal(scale=3, size=(4000, 6))

    def drawn(temperature: float) -> Any:
        chances = np.exp(metrics.log_softmax(logits, temperature)).cumsum(axis=1)
        return (chances < generator.random(len(logits))[:, None]).sum(axis=1).clip(max=5)

    both, labels = np.concatenate([logits, logits]), np.concatenate([drawn(0.5), drawn(2.0)])
    only_first = np.repeat([1.0, 0.0], len(logits))
    assert fit_temperature(both, labels, only_first) == pytest.approx(0.5, rel=0.08)
    assert fit_temperature(both, labels, 1 - only_first) == pytest.approx(2.0, rel=0.08)


def test_a_report_counts_neutral_posts_apart(model: Model, split: Split) -> None:
    plain = evaluate(model, split)
    mixed = Split((*split.texts, "today", "and so"), (*split.labels, 6, 6))
    found = evaluate(model, mixed)
    assert found.figures == plain.figures
    assert (plain.neutral, plain.neutral_uncertain) == (0, None)
    assert found.neutral == 2
    assert found.neutral_uncertain == 0.0, "this model has no threshold"
    assert int(found.confusion.sum()) == len(split)
    assert sum(one.posts for name, one in found.slices.items() if "words" in name) == len(split)
    with pytest.raises(SettingsError, match="has one of the six"):
        evaluate(model, Split(("a",), (6,)))


def test_the_most_confident_mistakes_come_first(model: Model, split: Split) -> None:
    wrong = Split(split.texts, tuple((label + 1) % 6 for label in split.labels))
    mistakes = evaluate(model, wrong).mistakes
    assert len(mistakes) == 10
    assert [one.confidence for one in mistakes] == sorted(
        (one.confidence for one in mistakes), reverse=True
    )
    assert all(one.right != one.predicted for one in mistakes)


def test_perturbations_that_the_clean_up_undoes_cost_nothing(model: Model, split: Split) -> None:
    found = perturb.measure(model, split)
    assert set(found) == set(perturb.SUITE)
    for name in ("capitals", "link", "mention", "longest word as a hashtag", "repost prefix"):
        assert found[name].changed == 1.0
        assert found[name].lost == 0.0
    assert found["letters swapped in the longest word"].lost >= 0
    assert found["no apostrophes"].changed == 0.0


def test_a_negation_is_right_where_its_answer_is_accepted(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        robustness, "label", lambda _, texts, **__: ["anger"] * (len(texts) - 1) + ["love"]
    )
    found = robustness.measure_negation(model)
    expected = sum("anger" in item.accepted for item in negation.load()[:-1]) + 1
    assert (found.posts, found.right) == (60, expected)
    assert len(found.wrong) == 60 - expected


def test_under_the_threshold_is_uncertain(model: Model) -> None:
    texts = ["i feel so merry today", "i feel so livid today"]
    assert robustness.label(model, texts) == ["joy", "anger"]
    assert robustness.label(model, texts, threshold=1.01) == ["uncertain"] * 2


def test_a_model_compared_with_itself_is_the_same(model: Model, split: Split) -> None:
    found = compare(model, model, split)
    assert (found.only_a, found.only_b, found.p_value) == (0, 0, 1.0)
    assert found.agreement == 1.0
    assert set(found.difference.values()) == {0.0}
    assert set(found.intervals.values()) == {(0.0, 0.0)}


def test_a_comparison_is_paired(model: Model, run: Run, split: Split) -> None:
    other = load(str(run.model_folder(3)))
    wrong = Split(split.texts, tuple((label + (i % 2)) % 6 for i, label in enumerate(split.labels)))
    found = compare(model, other, wrong)
    assert found.b.accuracy - found.a.accuracy == pytest.approx(
        (found.only_b - found.only_a) / len(split)
    )
    answer = json.loads(report.comparison_as_json(found, split="test"))
    assert answer["difference"]["accuracy"] == pytest.approx(found.difference["accuracy"], abs=1e-5)


def test_a_picture_is_drawn_whole_or_not_at_all(model: Model, split: Split, tmp_path: Path) -> None:
    found = evaluate(model, split)
    path = tmp_path / "report.png"
    plot.draw(found, path, title="a $ign and more")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.png"]
    with pytest.raises(SettingsError, match=r"--plot .*cannot be written"):
        plot.draw(found, tmp_path / "nowhere" / "report.png", title="")
