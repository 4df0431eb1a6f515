"""The texts of the demo's feed: a day in the life of people who happen to use one app.

Written by hand for this repository, without looking at any model's answers. A text is a core with
slots (`"{club} won and I am still buzzing"`), filled at random and dressed up by `surface`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from worker.local.story import launch, life, outage, recovery, surface

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

ARCS: Final = ("life", "launch", "outage", "recovery")
MOODS: Final = ("joy", "sadness", "anger", "love", "fear", "surprise", "neutral", "mixed")

_CORES: Final = {
    "life": life.CORES,
    "launch": launch.CORES,
    "outage": outage.CORES,
    "recovery": recovery.CORES,
}
_SLOTS: Final = {
    "life": life.SLOTS,
    "launch": launch.SLOTS,
    "outage": outage.SLOTS,
    "recovery": recovery.SLOTS,
}
_SLOT: Final = re.compile(r"\{(\w+)\}")


def core(arc: str, mood: str, rng: random.Random) -> str:
    """A core of the arc in the mood, its slots filled."""
    slots: Mapping[str, tuple[str, ...]] = _SLOTS[arc]
    return _SLOT.sub(lambda slot: rng.choice(slots[slot[1]]), rng.choice(_CORES[arc][mood]))


def english(arc: str, mood: str, rng: random.Random) -> tuple[str, tuple[str, ...]]:
    """An English text of the arc in the mood, and the hashtags in it (lower case, without `#`)."""
    text = core(arc, mood, rng)
    if rng.random() < 0.1:  # some people have more to say
        text = f"{text}{rng.choice(('. ', ', ', '. also ', ' - '))}{core(arc, mood, rng)}"
    text = surface.write(text, mood, rng)
    if rng.random() >= (0.2 if arc == "life" else 0.45):
        return text, ()
    pool = surface.HASHTAGS[arc]
    tags = tuple(dict.fromkeys(rng.choice(pool) for _ in range(rng.choice((1, 1, 1, 2, 2, 3)))))
    return surface.tag(text, tags, rng), tags


def missing_slots() -> list[str]:
    """The slots that some core names and no list fills: empty, or a text is broken."""
    return [
        f"{arc}/{mood}: {name}"
        for arc, moods in _CORES.items()
        for mood, cores in moods.items()
        for text in cores
        for name in _SLOT.findall(text)
        if name not in _SLOTS[arc]
    ]
