"""Posts without a label, for teachers to say something about: the halves of two real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

_LEAST: Final = 0.3
_MOST: Final = 0.7


def cross(texts: Sequence[str], count: int, rng: random.Random) -> tuple[str, ...]:
    """The beginning of one post and the end of another, again and again.

    On the posts that teachers were trained on they say little but the label; what they know beyond
    it shows on others (Jiao et al., 2020, "TinyBERT", section 3.3, makes such posts of single
    words).

    Args:
        texts: Real posts.
        count: How many to make.
        rng: Where chance comes from.
    """
    return tuple(_crossed(rng.choice(texts), rng.choice(texts), rng) for _ in range(count))


def _crossed(first: str, second: str, rng: random.Random) -> str:
    head, tail = first.split(), second.split()
    kept = max(1, round(len(head) * rng.uniform(_LEAST, _MOST)))
    left_out = round(len(tail) * rng.uniform(_LEAST, _MOST))
    return " ".join(head[:kept] + tail[left_out:])
