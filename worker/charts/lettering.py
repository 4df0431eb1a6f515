"""Words in a picture: fonts that can spell them, and how much room they take."""

from __future__ import annotations

import logging
import unicodedata
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import matplotlib as mpl
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from matplotlib.backend_bases import RendererBase
    from matplotlib.font_manager import FontEntry

_BASE: Final = "DejaVu Sans"
"""Comes with matplotlib: Latin, Greek, Cyrillic, Arabic, Hebrew and more, but neither the scripts
of East and South Asia nor most emoji."""
_BOXES: Final = "Last Resort"
"""Has every character, as a box that says which script it is of: matplotlib falls back on it."""
_MARKS: Final = frozenset({"Cc", "Cf", "Mn", "Me", "Zs", "Sk"})
"""Categories of characters that may go missing without anybody missing them."""


@dataclass(frozen=True, slots=True)
class Lettering:
    """Fonts for some words.

    Attributes:
        families: Names for matplotlib's `font.family`, the first with the character draws it.
        spelt: Characters that no font here has, and what to write instead.
        missing: Characters for which there is neither: they are drawn as boxes.
    """

    families: tuple[str, ...]
    spelt: Mapping[str, str]
    missing: frozenset[str]

    def spell(self, text: str) -> str:
        """`text` as these fonts can draw it: an emoji that none has becomes its name."""
        return "".join(self.spelt.get(character, character) for character in text)


def lettering(texts: Iterable[str]) -> Lettering:
    """Fonts of this machine that can spell `texts`, as far as there are any."""
    left = {c for text in texts for c in text} - _characters(findfont(_BASE))
    families = [_BASE]
    # Only where something is missing: opening every font of a machine takes a while.
    if left - _unmissed(left):
        for font in sorted(fontManager.ttflist, key=_preference):
            if font.name in families or font.name.startswith(_BOXES):
                continue
            if left & (found := _characters(font.fname)):
                families.append(font.name)
                left -= found
    left -= _unmissed(left)
    spelt = {c: f":{_name(c)}:" for c in left if unicodedata.category(c) == "So" and _name(c)}
    return Lettering(tuple(families), spelt, frozenset(left - spelt.keys()))


def _preference(font: FontEntry) -> tuple[bool, bool, str, str]:
    upright = (font.style, str(font.weight)) == ("normal", "400")
    return "Sans" not in font.name, not upright, font.name, font.fname


@contextmanager
def written_in(letters: Lettering) -> Iterator[None]:
    """Within it, matplotlib writes in these fonts, and says nothing of what they lack."""
    finder = logging.getLogger("matplotlib.font_manager")
    level = finder.level
    finder.setLevel(logging.ERROR)  # a font without a bold face
    try:
        with (
            mpl.rc_context({"font.family": list(letters.families)}),
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", message="Glyph")
            yield
    finally:
        finder.setLevel(level)


def isolate(text: str) -> str:
    """`text` so that what surrounds it keeps its order, whichever way it is written (UAX #9)."""
    return f"\N{FIRST STRONG ISOLATE}{text}\N{POP DIRECTIONAL ISOLATE}"


def text_width(renderer: RendererBase, text: str, points: float) -> float:
    """How wide `text` is, in pixels."""
    width, _, _ = renderer.get_text_width_height_descent(
        text, FontProperties(size=points), ismath=False
    )
    return float(width)


def shorten(renderer: RendererBase, text: str, points: float, room: float) -> str:
    """`text`, cut with an ellipsis where it is wider than `room` pixels."""
    if text_width(renderer, text, points) <= room:
        return text
    fits, too_many = 0, len(text)
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if text_width(renderer, f"{text[:middle]}…", points) <= room:
            fits = middle
        else:
            too_many = middle
    return f"{text[:fits]}…"


def _unmissed(characters: set[str]) -> set[str]:
    return {c for c in characters if unicodedata.category(c) in _MARKS}


def _name(character: str) -> str:
    return unicodedata.name(character, "").lower().replace(" ", "_")


def _characters(path: str) -> set[str]:
    """What a font file can draw; nothing where it cannot be used, as a bitmap font."""
    try:
        return set(map(chr, get_font(path).get_charmap()))
    except (OSError, RuntimeError):
        return set()
