"""Slices of a split: posts of a kind, on which a model may do worse than on all."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trainer.data import Split

_NEGATION: Final = re.compile(
    r"\b(?:no|not|never|nobody|nothing|none|nor|neither|without|hardly|cannot|"
    r"(?:do|does|did|is|are|was|were|ca|wo|would|could|should|have|has|had|ai)n['\u2019]?t)\b",
    re.IGNORECASE,
)
_HASHTAG: Final = re.compile(r"(?<!\w)#\w")
_LENGTHS: Final = ((0, 8), (9, 16), (17, 32), (33, None))


def slices(split: Split) -> dict[str, NDArray[np.bool_]]:
    """Masks of the slices that have any post, by name; each has shape (texts,)."""
    texts = split.texts
    words = np.array([len(text.split()) for text in texts])
    found: dict[str, NDArray[Any]] = {}
    for low, high in _LENGTHS:
        name = f"{low} to {high} words" if high is not None else f"{low} words or more"
        found[name] = (words >= low) & (words <= (high if high is not None else words.max()))
    for name, pattern in (("negation", _NEGATION), ("hashtag", _HASHTAG)):
        mask = np.array([pattern.search(text) is not None for text in texts])
        found |= {name: mask, f"no {name}": ~mask}
    for lang in sorted({lang for lang in split.langs if lang is not None}):
        found[f"language {lang}"] = np.array([one == lang for one in split.langs])
    return {name: mask for name, mask in found.items() if mask.any()}
