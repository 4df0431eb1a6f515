"""The hand-written negations, measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trainer import metrics, negation
from trainer.evaluate import Model, predict
from worker.posts import LABELS

if TYPE_CHECKING:
    from collections.abc import Sequence

UNCERTAIN = "uncertain"


@dataclass(frozen=True, slots=True)
class Negation:
    """What a model makes of the hand-written negations.

    Attributes:
        posts: How many there are.
        right: How many it answers as a person would.
        wrong: The others, each with the model's answer.
    """

    posts: int
    right: int
    wrong: tuple[tuple[str, str], ...]


def measure_negation(model: Model, *, threshold: float | None = None) -> Negation:
    """Measures a model on `trainer.negation.load()`.

    Args:
        model: It.
        threshold: Confidence below which it is uncertain; the model's own if not given.
    """
    items = negation.load()
    answers = label(model, [item.text for item in items], threshold=threshold)
    pairs = list(zip(items, answers, strict=True))
    wrong = tuple((item.text, answer) for item, answer in pairs if answer not in item.accepted)
    return Negation(len(items), len(items) - len(wrong), wrong)


def label(model: Model, texts: Sequence[str], *, threshold: float | None = None) -> list[str]:
    """What the worker would say: one of the six, or `uncertain`."""
    logits = predict(model.network, model.tokenizer, texts, max_length=model.max_length)
    probabilities = metrics.six(np.exp(metrics.log_softmax(logits, model.temperature)))
    limit = model.threshold if threshold is None else threshold
    return [UNCERTAIN if row.max() < limit else LABELS[int(row.argmax())] for row in probabilities]
