"""From logits to calibrated labels, in numbers that add up exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from worker.errors import ClassifierError
from worker.posts import LABELS, Label

if TYPE_CHECKING:
    from numpy.typing import NDArray

MILLION: Final = 1_000_000
UNCERTAIN: Final = "uncertain"


def calibrate(logits: NDArray[np.float64], *, temperature: float, threshold: float) -> list[Label]:
    """Turns logits into labels: softmax(logits / temperature), then the most probable of the six.

    Everything else is decided on the probabilities rounded to millionths, so that what is stored
    says the same: the emotion is the first of the highest, the confidence is its probability, and
    it is `uncertain` where that is below the threshold.

    Temperature scaling: Guo et al., "On Calibration of Modern Neural Networks", 2017.

    Args:
        logits: Shape (texts, 6), or (texts, 7) with `neutral` last: it takes part in the softmax
            and gets no score.
        temperature: Over 0.
        threshold: 0 to 1.

    Raises:
        ClassifierError: A logit is not finite.
    """
    if not bool(np.isfinite(logits).all()):
        bad = int((~np.isfinite(logits)).any(axis=1).sum())
        raise ClassifierError(
            f"The model gave a score that is no number for {bad} of {len(logits)} texts."
        )
    scaled = logits / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    millionths = np.rint(probabilities[:, : len(LABELS)] * MILLION).astype(np.int64)
    labels = []
    for row in millionths.tolist():
        best = max(row)
        confidence = best / MILLION
        emotion = UNCERTAIN if confidence < threshold else LABELS[row.index(best)]
        labels.append(Label(emotion=emotion, confidence=confidence, scores=tuple(row)))
    return labels
