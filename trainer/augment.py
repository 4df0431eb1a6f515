"""Changes to training posts that leave their emotion as it is: how people really write."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from trainer.labels import UNLABELLED, outputs

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from trainer.recipe import Augment

_WORD: Final = re.compile(r"[A-Za-z']{2,}")
_LONG: Final = 4
_NEIGHBOURS: Final = {
    "q": "wa", "w": "qes", "e": "wrd", "r": "etf", "t": "ryg", "y": "tuh", "u": "yij", "i": "uok",
    "o": "ipl", "p": "ol", "a": "qsz", "s": "adwx", "d": "sfec", "f": "dgrv", "g": "fhtb",
    "h": "gjyn", "j": "hkum", "k": "jlim", "l": "kop", "z": "asx", "x": "zsc", "c": "xdv",
    "v": "cfb", "b": "vgn", "n": "bhm", "m": "njk",
}  # fmt: skip
_NAMES: Final = ("ann", "mike_92", "TheRealSam", "jenny", "united", "K8lyn", "some_one", "news")
EMOJI: Final[Mapping[str, str]] = {
    "sadness": "😢😭😞😔🙁💔😥😿",
    "joy": "😀😁😂🤣😃😄😊😆🎉🥳😎",
    "love": "❤😍🥰😘💕💖💗💞💙",
    "anger": "😠😡🤬😤👿💢",
    "fear": "😱😨😰😧😬",
    "surprise": "😮😲😯🤯😳",
    "neutral": "📅📎📌🚌💻📦",
}
"""Emoji that people put behind a post of an emotion; ours, few and plain."""


def typo(text: str, rng: random.Random) -> str:
    """One slip of the fingers in one of the post's longer words."""
    words = [match for match in _WORD.finditer(text) if len(match[0]) >= _LONG]
    if not words:
        return text
    words.sort(key=lambda match: -len(match[0]))
    # Long words carry the emotion, and are mistyped most.
    match = words[min(int(rng.expovariate(0.7)), len(words) - 1)]
    return text[: match.start()] + _slip(match[0], rng) + text[match.end() :]


def _slip(word: str, rng: random.Random) -> str:
    at = rng.randrange(1, len(word) - 1)
    kind = rng.random()
    if kind < 0.45:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind < 0.65:
        return word[:at] + word[at + 1 :]
    if kind < 0.8:
        return word[:at] + word[at] + word[at:]
    near = _NEIGHBOURS.get(word[at].lower())
    return word[:at] + (rng.choice(near) if near else word[at]) + word[at + 1 :]


def elongation(text: str, rng: random.Random) -> str:
    """One word drawn out."""
    words = list(_WORD.finditer(text))
    if not words:
        return text
    match = rng.choice(words)
    word = match[0]
    places = [i for i, letter in enumerate(word) if letter.lower() in "aeiou"] + [len(word) - 1]
    at = rng.choice(places)
    drawn = word[:at] + word[at] * rng.randint(3, 7) + word[at + 1 :]
    return text[: match.start()] + drawn + text[match.end() :]


def mention(text: str, rng: random.Random) -> str:
    """A mention in front or behind."""
    name = f"@{rng.choice(_NAMES)}"
    return f"{name} {text}" if rng.random() < 0.7 else f"{text} {name}"


def capitals(text: str, rng: random.Random) -> str:
    """All of it, one word, or the first letters in capitals."""
    kind = rng.random()
    if kind < 0.4:
        return text.upper()
    if kind < 0.7:
        return text.title() if kind < 0.55 else text.capitalize()
    words = text.split(" ")
    at = rng.randrange(len(words))
    words[at] = words[at].upper()
    return " ".join(words)


def apostrophes(text: str, rng: random.Random) -> str:  # noqa: ARG001
    """No apostrophes."""
    return re.sub(r"(?<=\w)['\u2019](?=\w)", "", text)


def repost(text: str, rng: random.Random) -> str:
    """The prefix of an old-style repost."""
    return f"RT @{rng.choice(_NAMES)}: {text}"


def hashtag(text: str, rng: random.Random) -> str:
    """One of the longer words as a hashtag."""
    words = [match for match in _WORD.finditer(text) if len(match[0]) >= _LONG]
    if not words:
        return text
    match = rng.choice(words)
    return f"{text[: match.start()]}#{text[match.start() :]}"


def punctuation(text: str, rng: random.Random) -> str:
    """A full stop or exclamation marks behind."""
    return text if text[-1:] in ".!?" else text + rng.choice((".", ".", "!", "!!", "..."))


_CHANGES: Final[Mapping[str, Callable[[str, random.Random], str]]] = {
    "typo": typo,
    "elongation": elongation,
    "apostrophes": apostrophes,
    "hashtag": hashtag,
    "capitals": capitals,
    "punctuation": punctuation,
    "mention": mention,
    "repost": repost,
}


def augment(text: str, label: int, shares: Augment, rng: random.Random) -> str:
    """A post as someone else might have typed it.

    Args:
        text: The post.
        label: Its label's index among the outputs with `neutral`, or `UNLABELLED`.
        shares: How often each change is made.
        rng: Where chance comes from.
    """
    for name, change in _CHANGES.items():
        if rng.random() < getattr(shares, name):
            text = change(text, rng)
    if rng.random() < shares.emoji and label != UNLABELLED:
        text = f"{text} {emoji_of(label, rng)}"
    return text


def emoji_of(label: int, rng: random.Random) -> str:
    """One emoji that goes with a label."""
    name = outputs(neutral=True)[label]
    return rng.choice(EMOJI[name])
