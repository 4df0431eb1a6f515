"""Figures of a classifier of the six emotions. Arrays are numpy, float64.

A model may have `neutral` as a seventh output: it takes part in the softmax, but what is predicted
is the most probable of the six, with that one's probability as confidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from worker.posts import LABELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

ECE_BINS = 15
FIGURES = ("accuracy", "macro_f1", "loss", "ece")
"""Names of the headline figures."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What is measured of a model on one split.

    Attributes:
        accuracy: Share of right argmaxes.
        macro_f1: Mean F1 over the labels, each with equal weight.
        loss: Mean negative log likelihood of the right label, nats.
        ece: Expected calibration error of the argmax's confidence, 15 bins of equal width
            (Guo et al., 2017, "On Calibration of Modern Neural Networks").
    """

    accuracy: float
    macro_f1: float
    loss: float
    ece: float

    def rounded(self) -> dict[str, float]:
        """As a mapping, to five decimals: for files."""
        return {
            "accuracy": round(self.accuracy, 5),
            "macro_f1": round(self.macro_f1, 5),
            "loss": round(self.loss, 5),
            "ece": round(self.ece, 5),
        }


def log_softmax(logits: NDArray[Any], temperature: float = 1.0) -> NDArray[np.float64]:
    """Log probabilities of `logits / temperature`, shape as `logits` (texts, labels)."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    shifted = scaled - scaled.max(axis=-1, keepdims=True)
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


def confusion_matrix(labels: NDArray[Any], predicted: NDArray[Any]) -> NDArray[np.int64]:
    """Counts by (right label, predicted label), shape (labels, labels)."""
    matrix = np.zeros((len(LABELS), len(LABELS)), dtype=np.int64)
    np.add.at(matrix, (labels, predicted), 1)
    return matrix


def f1_by_label(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """F1 of each label from a confusion matrix; 0 for a label neither there nor predicted."""
    total = matrix.sum(axis=0) + matrix.sum(axis=1)
    result: NDArray[np.float64] = 2 * np.diag(matrix) / np.maximum(total, 1)
    return result


def expected_calibration_error(confidence: NDArray[Any], right: NDArray[Any]) -> float:
    """Mean gap between confidence and accuracy over bins, weighted by their size."""
    bins = _bins(confidence)
    gaps = np.bincount(bins, weights=confidence - right, minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def _bins(confidence: NDArray[Any]) -> NDArray[np.int64]:
    return np.minimum((confidence * ECE_BINS).astype(np.int64), ECE_BINS - 1)


@dataclass(frozen=True, slots=True)
class Reliability:
    """A reliability diagram: one entry for each of the bins of equal width that holds any post.

    Attributes:
        posts: How many are in it.
        confidence: Their mean confidence.
        accuracy: The share that is right.
    """

    posts: tuple[int, ...]
    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]


def reliability(confidence: NDArray[Any], right: NDArray[Any]) -> Reliability:
    """Confidence against accuracy by bin (Guo et al., 2017, section 2)."""
    bins = _bins(confidence)
    counts = np.bincount(bins, minlength=ECE_BINS)
    held = counts > 0
    means = np.bincount(bins, weights=confidence, minlength=ECE_BINS)[held] / counts[held]
    hits = np.bincount(bins, weights=right, minlength=ECE_BINS)[held] / counts[held]
    return Reliability(tuple(counts[held].tolist()), tuple(means.tolist()), tuple(hits.tolist()))


def coverage_curve(
    confidence: NDArray[Any], right: NDArray[Any], points: int = 20
) -> list[tuple[float, float, float]]:
    """Accuracy of the most confident posts.

    Returns:
        For each of `points` shares of the posts, the most confident first: the share, the lowest
        confidence among them, and their accuracy.
    """
    order = np.argsort(-confidence, kind="stable")
    hits = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    curve = []
    for point in range(1, points + 1):
        last = max(1, round(len(order) * point / points)) - 1
        curve.append((point / points, float(confidence[order[last]]), float(hits[last])))
    return curve


def six(log_probabilities: NDArray[Any]) -> NDArray[Any]:
    """The columns of the six emotions, shape (texts, 6)."""
    return log_probabilities[:, : len(LABELS)]


def measure(logits: NDArray[Any], labels: NDArray[Any], temperature: float = 1.0) -> Figures:
    """Measures.

    Args:
        logits: Shape (texts, outputs).
        labels: Indices of the right labels, each one of the six, shape (texts,).
        temperature: What the logits are divided by.
    """
    log_probabilities = six(log_softmax(logits, temperature))
    predicted = log_probabilities.argmax(axis=-1)
    right = predicted == labels
    return Figures(
        accuracy=float(right.mean()),
        macro_f1=float(f1_by_label(confusion_matrix(labels, predicted)).mean()),
        loss=float(-log_probabilities[np.arange(len(labels)), labels].mean()),
        ece=expected_calibration_error(np.exp(log_probabilities.max(axis=-1)), right),
    )
