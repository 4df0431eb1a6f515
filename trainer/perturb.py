"""The perturbation suite: what people do to a post that leaves its emotion as it is."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trainer import augment, metrics
from trainer.evaluate import Model, predict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trainer.data import Split

SEED: Final = 7
_WORD: Final = re.compile(r"[A-Za-z]{2,}")


@dataclass(frozen=True, slots=True)
class Loss:
    """What a perturbation costs.

    Attributes:
        changed: Share of the posts that it changes.
        accuracy: On the changed posts and the others together.
        lost: Points of accuracy lost, as a share.
    """

    changed: float
    accuracy: float
    lost: float

    def rounded(self) -> dict[str, float]:
        """As a mapping, to four decimals: for files."""
        return {
            "changed": round(self.changed, 4),
            "accuracy": round(self.accuracy, 4),
            "lost": round(self.lost, 4),
        }


def _longest(text: str) -> re.Match[str] | None:
    return max(_WORD.finditer(text), key=lambda match: len(match[0]), default=None)


def _swap(text: str, rng: random.Random) -> str:
    match = _longest(text)
    if match is None or len(match[0]) < 4:
        return text
    # Not the first letter, and two that differ: else nothing is mistyped.
    places = [i for i in range(1, len(match[0]) - 1) if match[0][i] != match[0][i + 1]]
    if not places:
        return text
    at = match.start() + rng.choice(places)
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


def _leave_out(text: str, rng: random.Random) -> str:
    match = _longest(text)
    if match is None or len(match[0]) < 4:
        return text
    at = match.start() + rng.randrange(1, len(match[0]))
    return text[:at] + text[at + 1 :]


def _draw_out(text: str, rng: random.Random) -> str:
    match = _longest(text)
    if match is None:
        return text
    vowels = [i for i, letter in enumerate(match[0]) if letter.lower() in "aeiou"]
    at = match.start() + (rng.choice(vowels) if vowels else len(match[0]) - 1)
    return text[:at] + text[at] * rng.randint(4, 8) + text[at + 1 :]


def _tag(text: str, rng: random.Random) -> str:  # noqa: ARG001
    match = _longest(text)
    return text if match is None else f"{text[: match.start()]}#{text[match.start() :]}"


def _tag_behind(text: str, rng: random.Random) -> str:
    return f"{text} #{rng.choice(('MondayMorning', 'news', 'London', 'ThisIsIt'))}"


def _link(text: str, rng: random.Random) -> str:
    path = "".join(rng.choices("abcdefghijkmnopqrstuvwxyzABCDEFGH0123456789", k=10))
    return f"{text} https://t.co/{path}"


def _mention(text: str, rng: random.Random) -> str:
    return f"@{rng.choice(('anna_b', 'TheRealJohn', 'united', 'some1'))} {text}"


SUITE: Final[Mapping[str, Callable[[str, random.Random], str]]] = {
    "letters swapped in the longest word": _swap,
    "a letter left out of the longest word": _leave_out,
    "longest word drawn out": _draw_out,
    "capitals": lambda text, _: text.upper(),
    "first letters in capitals": lambda text, _: text.title(),
    "link": _link,
    "mention": _mention,
    "longest word as a hashtag": _tag,
    "hashtag behind": _tag_behind,
    "no apostrophes": augment.apostrophes,
    "repost prefix": augment.repost,
    "HTML entities": lambda text, _: text.replace("&", "&amp;").replace("'", "&#39;"),
}
"""Each takes a post and a source of chance."""


def measure(model: Model, split: Split) -> dict[str, Loss]:
    """What each perturbation costs a model.

    Args:
        model: It.
        split: Posts with one of the six emotions.
    """
    labels = np.asarray(split.labels)

    def right(texts: list[str]) -> Any:  # noqa: ANN401
        logits = predict(model.network, model.tokenizer, texts, max_length=model.max_length)
        return metrics.six(logits).argmax(axis=-1) == labels

    plain = float(right(list(split.texts)).mean())
    found = {}
    for name, change in SUITE.items():
        rng = random.Random(f"{SEED} {name}")  # noqa: S311
        texts = [change(text, rng) for text in split.texts]
        accuracy = float(right(texts).mean())
        pairs = zip(texts, split.texts, strict=True)
        changed = sum(new != old for new, old in pairs) / len(texts)
        found[name] = Loss(changed=changed, accuracy=accuracy, lost=plain - accuracy)
    return found
