"""Figures of a six-way classifier, from log probabilities. Arrays are numpy, float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from worker.posts import LABELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

ECE_BINS = 15


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
    bins = np.minimum((confidence * ECE_BINS).astype(np.int64), ECE_BINS - 1)
    gaps = np.bincount(bins, weights=confidence - right, minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def measure(logits: NDArray[Any], labels: NDArray[Any], temperature: float = 1.0) -> Figures:
    """Measures.

    Args:
        logits: Shape (texts, labels).
        labels: Indices of the right labels, shape (texts,).
        temperature: What the logits are divided by; the argmax does not depend on it.
    """
    log_probabilities = log_softmax(logits, temperature)
    predicted = log_probabilities.argmax(axis=-1)
    right = predicted == labels
    return Figures(
        accuracy=float(right.mean()),
        macro_f1=float(f1_by_label(confusion_matrix(labels, predicted)).mean()),
        loss=float(-log_probabilities[np.arange(len(labels)), labels].mean()),
        ece=expected_calibration_error(np.exp(log_probabilities.max(axis=-1)), right),
    )
