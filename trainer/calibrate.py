"""What is fitted on validation after training: a temperature and a confidence threshold."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from trainer.labels import NEUTRAL_INDEX
from trainer.metrics import log_softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_UNCERTAIN: Final = 0.05
"""Share of the validation posts that the threshold may make `uncertain`."""
MIN_NEUTRAL_UNCERTAIN: Final = 0.90
"""Share of the neutral validation posts that should be `uncertain`."""
MAX_EMOTIONAL_UNCERTAIN: Final = 0.15
"""Share of the validation posts with an emotion that may be `uncertain` for that."""
_RANGE: Final = (0.05, 20.0)
_STEPS: Final = 60


def fit_temperature(
    logits: NDArray[Any], labels: NDArray[Any], weights: NDArray[Any] | None = None
) -> float:
    """Finds the temperature that minimizes the mean negative log likelihood.

    The loss is convex in 1 / temperature, so its slope has one root, found by bisection (Guo et
    al., 2017, "On Calibration of Modern Neural Networks", section 4.2).

    Args:
        logits: Shape (texts, labels).
        labels: Indices of the right labels, shape (texts,).
        weights: How much each text counts, shape (texts,); None counts all alike.

    Returns:
        Between 0.05 and 20, the ends where all or none of the answers are right; four decimals.
    """
    right = logits[np.arange(len(labels)), labels]

    def slope(temperature: float) -> float:
        probabilities = np.exp(log_softmax(logits, temperature))
        slopes = (probabilities * logits).sum(axis=-1) - right
        return float(np.average(slopes, weights=weights))

    low, high = (math.log(end) for end in _RANGE)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        # The slope in 1 / temperature: negative while colder is better.
        if slope(math.exp(middle)) < 0:
            high = middle
        else:
            low = middle
    return round(math.exp((low + high) / 2), 4)


def expect_neutral(network: torch.nn.Module, odds: float) -> None:
    """Shifts the prior of `neutral`: its logit rises by the logarithm of `odds`, in place.

    Training has a share of neutral posts that the data happened to have; a stream has another one
    (Saerens et al., 2002, "Adjusting the Outputs of a Classifier to New a Priori Probabilities").

    Args:
        network: A sequence classifier whose seventh output is `neutral`.
        odds: How many times the odds of `neutral` are what they were.
    """
    heads = [module for module in network.modules() if isinstance(module, torch.nn.Linear)]
    bias = heads[-1].bias
    assert bias.shape == (NEUTRAL_INDEX + 1,), "the last layer is the head"
    with torch.no_grad():
        bias[NEUTRAL_INDEX] += math.log(odds)


def choose_threshold(confidence: NDArray[Any], max_uncertain: float = MAX_UNCERTAIN) -> float:
    """Chooses the confidence below which a post is `uncertain`.

    The rule: the largest multiple of 0.01 that makes at most `max_uncertain` of the validation
    posts uncertain. They are the model's home ground, where it is right nearly always; what the
    threshold is for is posts unlike them, and it should hold back as many of those as it can at
    that fixed price.

    Args:
        confidence: Calibrated probability of each validation post's argmax.
        max_uncertain: The price, as a share.
    """
    for hundredths in range(99, 0, -1):
        if (confidence < hundredths / 100).mean() <= max_uncertain:
            return hundredths / 100
    return 0.0


def choose_neutral_threshold(emotional: NDArray[Any], neutral: NDArray[Any]) -> float:
    """Chooses the confidence below which a post is `uncertain`, where neutral posts are known.

    The rule: the smallest multiple of 0.01 that makes at least 90 % of the neutral posts uncertain;
    where that would make more than 15 % of the emotional ones uncertain, the largest that does not.

    Args:
        emotional: Calibrated confidence of validation posts that have one of the six emotions.
        neutral: Of validation posts that have none.
    """
    allowed = [
        hundredths / 100
        for hundredths in range(100)
        if (emotional < hundredths / 100).mean() <= MAX_EMOTIONAL_UNCERTAIN
    ]
    enough = [one for one in allowed if (neutral < one).mean() >= MIN_NEUTRAL_UNCERTAIN]
    return enough[0] if enough else allowed[-1]
