"""The outputs of a model: the six emotions and, where it was trained for it, `neutral`."""

from __future__ import annotations

from typing import Final

from worker.posts import LABELS

NEUTRAL: Final = "neutral"
NEUTRAL_INDEX: Final = len(LABELS)
UNLABELLED: Final = -100
"""Of a post that only teachers say something about; what torch's cross entropy leaves out."""


def outputs(*, neutral: bool) -> tuple[str, ...]:
    """Names of a model's outputs, in the order of its logits."""
    return (*LABELS, NEUTRAL) if neutral else LABELS
