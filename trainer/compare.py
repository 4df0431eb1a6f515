"""Two models on the same posts: how much they differ, and whether that is chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trainer import bootstrap, metrics
from trainer.evaluate import Model, predict
from trainer.sources import emotional
from worker.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from trainer.data import Split


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models, A and B, on one split.

    Attributes:
        posts: How many were compared.
        a: A's figures.
        b: B's figures.
        difference: B minus A, by figure.
        intervals: 95 % intervals of those, from paired resampling.
        only_a: Posts that only A gets right.
        only_b: Posts that only B gets right.
        p_value: McNemar's exact test on those two.
        agreement: Share of the posts to which both give the same emotion.
    """

    posts: int
    a: metrics.Figures
    b: metrics.Figures
    difference: dict[str, float]
    intervals: dict[str, bootstrap.Interval]
    only_a: int
    only_b: int
    p_value: float
    agreement: float


def compare(a: Model, b: Model, split: Split) -> Comparison:
    """Compares two models on the posts of a split that have one of the six emotions.

    Raises:
        SettingsError: There are none.
    """
    posts = emotional(split)
    if not len(posts):
        raise SettingsError("no post of this split has one of the six emotions")
    labels = np.asarray(posts.labels)
    scaled = [
        predict(model.network, model.tokenizer, posts.texts, max_length=model.max_length)
        / model.temperature
        for model in (a, b)
    ]
    predicted = [metrics.six(one).argmax(axis=-1) for one in scaled]

    def on(logits: NDArray[np.float64]) -> Callable[[NDArray[np.int64]], metrics.Figures]:
        return lambda rows: metrics.measure(logits[rows], labels[rows])

    figures = [metrics.measure(one, labels) for one in scaled]
    only_a, only_b, p_value = bootstrap.mcnemar(predicted[0] == labels, predicted[1] == labels)
    return Comparison(
        posts=len(posts),
        a=figures[0],
        b=figures[1],
        difference={
            name: getattr(figures[1], name) - getattr(figures[0], name) for name in metrics.FIGURES
        },
        intervals=bootstrap.difference(on(scaled[0]), on(scaled[1]), len(posts)),
        only_a=only_a,
        only_b=only_b,
        p_value=p_value,
        agreement=float((predicted[0] == predicted[1]).mean()),
    )
