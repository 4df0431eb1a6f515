"""Everything that is measured of a model on a split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trainer import bootstrap, metrics
from trainer.evaluate import Model, predict
from trainer.labels import NEUTRAL_INDEX
from trainer.slices import slices
from trainer.sources import emotional
from worker.errors import SettingsError
from worker.posts import LABELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trainer.data import Split

_WORST: Final = 10


@dataclass(frozen=True, slots=True)
class Mistake:
    """A wrong answer.

    Attributes:
        text: The post.
        right: Its label.
        predicted: The model's.
        confidence: How sure the model was.
    """

    text: str
    right: str
    predicted: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of the split.

    Attributes:
        posts: How many it has.
        figures: On those alone.
    """

    posts: int
    figures: metrics.Figures


@dataclass(frozen=True, slots=True)
class Report:
    """What a model does on a split.

    Attributes:
        figures: The four headline figures, on the posts that have one of the six emotions.
        intervals: Their 95 % intervals.
        confusion: Counts by (right label, predicted label), shape (labels, labels).
        f1: By label, shape (labels,).
        reliability: Confidence against accuracy.
        coverage: Share of the posts, lowest confidence, accuracy; the most confident posts first.
        slices: By name.
        mistakes: The most confident ones.
        uncertain: Share of the posts below the threshold.
        neutral: Posts that are neutral, which no other figure counts.
        neutral_uncertain: Share of those below the threshold; None if there are none.
    """

    figures: metrics.Figures
    intervals: dict[str, bootstrap.Interval]
    confusion: NDArray[np.int64]
    f1: NDArray[np.float64]
    reliability: metrics.Reliability
    coverage: list[tuple[float, float, float]]
    slices: dict[str, Slice]
    mistakes: tuple[Mistake, ...]
    uncertain: float
    neutral: int
    neutral_uncertain: float | None


def evaluate(model: Model, split: Split) -> Report:
    """Measures a model on a split, its temperature applied.

    Raises:
        SettingsError: No post has one of the six emotions.
    """
    posts = emotional(split)
    if not len(posts):
        raise SettingsError("no post of this split has one of the six emotions")
    logits = _logits(model, posts.texts)
    labels = np.asarray(posts.labels)
    probabilities = metrics.six(np.exp(metrics.log_softmax(logits, model.temperature)))
    predicted = probabilities.argmax(axis=-1)
    confidence = probabilities.max(axis=-1)
    right = predicted == labels
    confusion = metrics.confusion_matrix(labels, predicted)
    wrong = np.flatnonzero(~right)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:_WORST]
    neutral = [
        text
        for text, label in zip(split.texts, split.labels, strict=True)
        if label == NEUTRAL_INDEX
    ]
    return Report(
        figures=metrics.measure(logits, labels, model.temperature),
        intervals=bootstrap.intervals(logits, labels, model.temperature),
        confusion=confusion,
        f1=metrics.f1_by_label(confusion),
        reliability=metrics.reliability(confidence, right),
        coverage=metrics.coverage_curve(confidence, right),
        slices={
            name: Slice(
                int(mask.sum()), metrics.measure(logits[mask], labels[mask], model.temperature)
            )
            for name, mask in slices(posts).items()
        },
        mistakes=tuple(
            Mistake(
                posts.texts[index],
                LABELS[labels[index]],
                LABELS[predicted[index]],
                float(confidence[index]),
            )
            for index in worst
        ),
        uncertain=float((confidence < model.threshold).mean()),
        neutral=len(neutral),
        neutral_uncertain=(
            float((confidences(model, _logits(model, neutral)) < model.threshold).mean())
            if neutral
            else None
        ),
    )


def confidences(model: Model, logits: NDArray[Any]) -> NDArray[Any]:
    """Calibrated probability of the most probable of the six, shape (texts,)."""
    best: NDArray[Any] = metrics.six(np.exp(metrics.log_softmax(logits, model.temperature))).max(
        axis=-1
    )
    return best


def _logits(model: Model, texts: tuple[str, ...] | list[str]) -> NDArray[np.float64]:
    return predict(model.network, model.tokenizer, texts, max_length=model.max_length)
