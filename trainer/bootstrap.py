"""Intervals by resampling posts, and whether two models differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trainer import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

RESAMPLES: Final = 1000
_SEED: Final = 11
_LEVEL: Final = 95.0

Interval = tuple[float, float]


def _draws(size: int) -> Iterator[NDArray[Any]]:
    rng = np.random.default_rng(_SEED)
    for _ in range(RESAMPLES):
        yield rng.integers(0, size, size)


def _ends(values: list[float]) -> Interval:
    low, high = np.percentile(values, [(100 - _LEVEL) / 2, (100 + _LEVEL) / 2])
    return float(low), float(high)


def intervals(
    logits: NDArray[Any], labels: NDArray[Any], temperature: float
) -> dict[str, Interval]:
    """95 % percentile intervals of the four figures (Efron and Tibshirani, 1993, chapter 13).

    Args:
        logits: Shape (posts, outputs).
        labels: Indices of the right labels, shape (posts,).
        temperature: What the logits are divided by.
    """
    scaled = np.asarray(logits) / temperature
    found = [metrics.measure(scaled[rows], labels[rows]) for rows in _draws(len(labels))]
    names = metrics.FIGURES
    return {name: _ends([getattr(figures, name) for figures in found]) for name in names}


def difference(
    a: Callable[[NDArray[Any]], metrics.Figures],
    b: Callable[[NDArray[Any]], metrics.Figures],
    posts: int,
) -> dict[str, Interval]:
    """95 % intervals of each figure of `b` minus that of `a`, both on the same posts.

    Args:
        a: Gives a model's figures on the posts at the given places.
        b: The other's.
        posts: How many there are.
    """
    pairs = [(a(rows), b(rows)) for rows in _draws(posts)]
    return {
        name: _ends([getattr(two, name) - getattr(one, name) for one, two in pairs])
        for name in metrics.FIGURES
    }


def mcnemar(right_a: NDArray[Any], right_b: NDArray[Any]) -> tuple[int, int, float]:
    """McNemar's exact test of two models on the same posts (Dietterich, 1998, section 3.1).

    Args:
        right_a: Whether one is right, shape (posts,).
        right_b: Whether the other is.

    Returns:
        Posts that only the one gets right, posts that only the other does, and the two-sided
        binomial p-value.
    """
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    total = only_a + only_b
    # Integers of any size: a float would overflow with a thousand posts.
    ways, tail = 1, 1
    for k in range(min(only_a, only_b)):
        ways = ways * (total - k) // (k + 1)
        tail += ways
    return only_a, only_b, min(1.0, 2 * tail / 2**total)
