"""Colours of the emotions, the same in every picture."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

STACK: Final = ("anger", "fear", "sadness", "surprise", "love", "joy", "uncertain")
"""From the bottom up: what hurts stands on the base line, where its height is easiest to read."""

COLOURS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "anger": "#D55E00",
        "fear": "#5B2A86",
        "sadness": "#0072B2",
        "surprise": "#56B4E9",
        "love": "#CC79A7",
        "joy": "#F0C93A",
        "uncertain": "#B8B8B8",
        "unlabelled": "#DDDDDD",
    }
)
"""After Okabe and Ito's palette (https://jfly.uni-koeln.de/color/), which stays distinct under the
common colour vision deficiencies; neighbours in the stack also differ in lightness."""

VOLUME: Final = "#4A4A4A"
"""Labelled posts in the volume chart."""
