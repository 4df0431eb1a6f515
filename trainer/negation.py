"""Negated emotions: posts that teach them, and a hand-written set that measures them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Final

from trainer.labels import outputs

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "joy": (
        "happy", "glad", "excited", "cheerful", "pleased", "thrilled", "delighted", "content",
        "optimistic", "hopeful", "satisfied", "impressed", "amused", "proud", "enthusiastic",
    ),
    "love": ("in love", "fond of him", "attached to her", "passionate about it"),
    "sadness": (
        "sad", "unhappy", "lonely", "depressed", "upset", "disappointed", "heartbroken",
        "miserable", "gloomy", "hurt", "homesick", "down",
    ),
    "anger": (
        "angry", "mad", "furious", "annoyed", "irritated", "bitter", "frustrated", "outraged",
        "offended", "bothered",
    ),
    "fear": (
        "afraid", "scared", "frightened", "nervous", "worried", "anxious", "terrified", "concerned",
    ),
    "surprise": ("surprised", "shocked", "amazed", "astonished", "stunned"),
}  # fmt: skip
_NEGATED: Final[Mapping[str, str]] = {
    "joy": "sadness",
    "love": "sadness",
    "sadness": "neutral",
    "anger": "neutral",
    "fear": "neutral",
    "surprise": "neutral",
}
_DENIALS: Final = (
    "I'm not", "i am not", "im not", "I am NOT", "we are not", "we're not", "he is not",
    "she isn't", "he wasn't", "they aren't", "I was not", "I wasn't", "they were not",
    "I don't feel", "i dont feel", "he does not seem", "she didn't look", "nobody here is",
    "I'm no longer", "I have never been", "you're not", "not",
)  # fmt: skip
_CLAIMS: Final = (
    "I'm", "i am", "im so", "I AM", "we are", "we're all", "he is", "she's", "he was", "they are",
    "I was", "they were really", "I feel", "he seems", "she looked", "everybody here is",
    "I'm still", "you're", "so",
)  # fmt: skip
_DEGREES: Final = ("", "", "", "really ", "at all ", "very ", "that ", "even ", "one bit ")
_TAILS: Final = (
    "", "", "", ".", "!", " about it", " about this", " today", " with you", " at the moment",
    " about the new schedule", " these days", " about what they said", " after the meeting",
    " with how it went", ", you know", " anymore", " tbh", " right now", " about the game",
)  # fmt: skip
_COMPLAINTS: Final = (
    "with your service", "with the way you treat customers", "with this company",
    "that you cancelled on us again", "with the lies", "with how rude the staff was",
)  # fmt: skip
# Words of negation that deny nothing, or whose denial is the emotion.
_OTHERS: Final[Mapping[str, tuple[str, ...]]] = {
    "joy": (
        "couldn't be happier", "I can't stop laughing", "never been more excited",
        "can't wait", "nothing could ruin my mood", "not bad at all",
        "can't complain, it is great",
    ),
    "sadness": (
        "I can't stop the tears", "nobody cares", "no one came", "never felt so alone",
        "I have no friends", "nothing feels good", "no joy in anything",
        "I don't enjoy anything", "it isn't fun", "he doesn't want me",
        "nobody wants me", "she never loved me", "i can't be happy",
    ),
    "anger": (
        "I can't believe the nerve of them", "never been so angry", "not acceptable",
        "I won't put up with it", "I'm not having this rubbish", "I don't like him",
        "I can't stand this",
    ),
    "fear": ("never been more terrified", "I can't sleep, too scared", "nowhere is safe"),
    "love": ("can't live without her", "never loved anyone more", "couldn't love you more"),
    "surprise": ("I never expected that", "didn't see that coming", "no way, unbelievable"),
    "neutral": (
        "no worries", "nothing to be scared of", "no hard feelings", "don't be mad",
        "don't cry", "no surprise there", "I don't mind", "that doesn't scare me",
        "it didn't hurt me", "nothing to be sad about", "no reason to be angry",
        "without any fear", "without anger", "no need to panic",
    ),
}  # fmt: skip
_ENDS: Final = (
    "", "", "", ".", "!", " today", " tonight", " lol", " about tomorrow", " you guys", " honestly",
    " this week", " here", " these days", " man", " my friend",
)  # fmt: skip


def generate(count: int, rng: random.Random, *, neutral: bool) -> list[tuple[str, int]]:
    """Makes posts that deny an emotion, and like ones that don't, so that style says nothing.

    Args:
        count: How many.
        rng: Where chance comes from.
        neutral: Whether a denied sadness, anger, fear or surprise is `neutral`; else such posts
            are not made.

    Returns:
        Texts and their labels' indices. None is one of `load()`'s sentences.
    """
    names = outputs(neutral=True)
    held_out = {_key(item.text) for item in load()}
    posts: list[tuple[str, int]] = []
    while len(posts) < count:
        text, label = _post(rng)
        if (neutral or label != "neutral") and _key(text) not in held_out:
            posts.append((text, names.index(label)))
    return posts


def _post(rng: random.Random) -> tuple[str, str]:
    kind = rng.random()
    if kind < 0.3:
        label = rng.choice(tuple(_OTHERS))
        return rng.choice(_OTHERS[label]) + rng.choice(_ENDS), label
    emotion = rng.choice(tuple(_WORDS))
    word = rng.choice(_WORDS[emotion])
    if kind < 0.55:
        return f"{rng.choice(_CLAIMS)} {word}{rng.choice(_TAILS)}", emotion
    denial = rng.choice(_DENIALS)
    if emotion == "joy" and kind < 0.62:
        return f"{denial} {word} {rng.choice(_COMPLAINTS)}", "anger"
    return f"{denial} {rng.choice(_DEGREES)}{word}{rng.choice(_TAILS)}", _NEGATED[emotion]


@dataclass(frozen=True, slots=True)
class Item:
    """A sentence of the hand-written set.

    Attributes:
        text: The sentence.
        denied: The emotion that it denies; empty where its negation denies none.
        accepted: Right answers: emotions, and `uncertain` where no emotion is left.
    """

    text: str
    denied: str
    accepted: frozenset[str]


def load() -> tuple[Item, ...]:
    """The 60 hand-written sentences. They are for measuring; training never sees them."""
    text = (resources.files("trainer") / "negation.tsv").read_text("utf-8")
    rows = (line.split("\t") for line in text.splitlines())
    return tuple(Item(text, denied, frozenset(right.split(","))) for text, denied, right in rows)


def _key(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum())
