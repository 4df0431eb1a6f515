"""How a post looks on the outside: the words around its core, emoji, hashtags, slang and typos."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

OPENERS: Final[Mapping[str, tuple[str, ...]]] = {
    "joy": (
        "yay!", "omg", "good news:", "ahhh", "guys!!", "happy to report:", "best news,", "hehe",
        "well well,",
    ),
    "sadness": (
        "sigh.", "ugh,", "not gonna lie,", "tough one today.", "quiet post:", "idk,",
        "tonight again:", "oh well.",
    ),
    "anger": (
        "seriously?!", "ffs", "wtf", "ok rant:", "are you joking.", "no. just no.", "ARGH",
        "excuse me??", "lol no.", "honestly", "dear god,",
    ),
    "love": (
        "aww", "soft post:", "reminder:", "just saying:", "ok mushy moment:", "my heart,",
        "honestly",
    ),
    "fear": ("oh no", "um,", "guys I'm not ok.", "help", "so...", "please,", "oh god"),
    "surprise": ("WHAT", "omg", "wait wait wait", "sorry, what?", "uhh", "guys??", "lol what"),
    "neutral": ("fyi", "question:", "quick one,", "note to self:", "psa:", "so,", "ok"),
    "mixed": ("hm.", "idk", "well.", "tbh", "so yeah,", "I guess"),
}  # fmt: skip

TAILS: Final[Mapping[str, tuple[str, ...]]] = {
    "joy": (
        "so happy rn", "made my day", "can't stop smiling", "what a day", "love to see it",
        "let's gooo", "feeling good", "haha yes", "big smile over here", "10/10",
        "and there's cake",
    ),
    "sadness": (
        "that's it, that's the post", "just sad", "it hurts", "I needed to tell someone",
        "be kind today", "not sure how to go on from here", "tears again", "anyway.",
        "feeling alone with it",
    ),
    "anger": (
        "so done", "every time!", "do better", "what is wrong with people", "I've had enough",
        "unreal", "absolute joke", "rant over", "not having it", "I'm so mad", "shame on you",
        "ridiculous",
    ),
    "love": (
        "my whole heart", "forever", "hug your people", "so much love", "lucky me",
        "feeling loved", "never letting go", "you're the best",
    ),
    "fear": (
        "I'm scared", "send help", "can't breathe properly", "hope it's nothing",
        "stomach in knots", "please let it be ok", "I hate waiting", "can't calm down",
    ),
    "surprise": (
        "how", "still processing", "I have questions", "didn't see that coming",
        "what are the odds", "I'm speechless", "explain??", "wow just wow",
    ),
    "neutral": (
        "thanks", "see thread", "more later", "pls share", "asking for a friend", "link below",
        "as of now", "details tomorrow",
    ),
    "mixed": (
        "I suppose", "we'll see", "ask me tomorrow", "make of that what you will",
        "it's complicated", "or maybe not",
    ),
}  # fmt: skip

EMOJI: Final[Mapping[str, tuple[str, ...]]] = {
    "joy": (
        "😄", "🎉", "😁", "🥳", "☀️", "😂", "🙌", "✨",
    ),
    "sadness": (
        "😢", "😭", "💔", "😞", "🥀",
    ),
    "anger": (
        "😡", "🤬", "😤", "🙄", "👎", "🔥",
    ),
    "love": (
        "❤️", "🥰", "😍", "💕", "🤗", "💜",
    ),
    "fear": (
        "😨", "😰", "😱", "😟", "🫣",
    ),
    "surprise": (
        "😲", "🤯", "😮", "👀", "😳",
    ),
    "neutral": (
        "👉", "📌", "🗓️", "🤔",
    ),
    "mixed": (
        "🤷", "🙃", "😅", "🫠",
    ),
}  # fmt: skip

HASHTAGS: Final[Mapping[str, tuple[str, ...]]] = {
    "life": (
        "weekend", "food", "family", "pets", "running", "work", "football", "books", "garden",
        "commute", "mood", "home", "coffee", "music",
    ),
    "launch": ("lumivane", "lumivane2", "launchday", "journaling", "lumivane2"),
    "outage": ("lumivanedown", "lumivanedown", "lumivane", "fixlumivane", "lumivane2"),
    "recovery": ("lumivane", "lumivanedown", "backonline", "lumivane2"),
}  # fmt: skip

_SLANG: Final = {
    "going to": "gonna",
    "want to": "wanna",
    "because": "cuz",
    "you": "u",
    "are": "r",
    "please": "plz",
    "people": "ppl",
    "really": "rly",
    "right now": "rn",
    "something": "smth",
    "tonight": "2nite",
    "about": "abt",
    "and": "&",
    "with": "w/",
}
_SLANG_WORDS: Final = re.compile(r"\b(" + "|".join(map(re.escape, _SLANG)) + r")\b")
_LONG_VOWEL: Final = re.compile(
    r"\b(so|no|yes|please|love|why|really|happy|wow|ugh)\b", re.IGNORECASE
)


def _slang(text: str) -> str:
    return _SLANG_WORDS.sub(lambda match: _SLANG[match[0]], text)


def _typo(text: str, rng: random.Random) -> str:
    """Swaps two letters inside one longer word, or drops one of them."""
    words = text.split(" ")
    places = [i for i, word in enumerate(words) if len(word) > 4 and word.isalpha()]
    if not places:
        return text
    place = rng.choice(places)
    word = words[place]
    at = rng.randrange(1, len(word) - 2)
    kept = word[at] if rng.random() < 0.4 else word[at + 1] + word[at]
    words[place] = word[:at] + kept + word[at + 2 :]
    return " ".join(words)


def _elongate(text: str, rng: random.Random) -> str:
    return _LONG_VOWEL.sub(lambda match: match[0] + match[0][-1] * rng.randint(1, 4), text, count=1)


def write(text: str, mood: str, rng: random.Random) -> str:
    """Wraps a core in the habits of people who post: around it, on it and after it.

    Args:
        text: The core, as a story writes it.
        mood: One of the six emotions, `neutral` or `mixed`.
        rng: The feed's random numbers.
    """
    if rng.random() < 0.25:
        text = f"{rng.choice(OPENERS[mood])} {text}"
    if rng.random() < 0.35:
        stop = rng.choice((". ", ". ", ", ", " ... ", "! " if mood in {"joy", "anger"} else ". "))
        text = f"{text.rstrip('.!')}{stop}{rng.choice(TAILS[mood])}"
    roll = rng.random()
    if roll < 0.30:
        text = text.lower()
    elif roll < 0.55:
        text = text[0].upper() + text[1:]
    elif roll < 0.58 and mood in {"anger", "joy", "surprise"}:
        text = text.upper()
    if rng.random() < 0.06:
        text = _slang(text)
    if rng.random() < 0.06:
        text = _typo(text, rng)
    if rng.random() < 0.06:
        text = _elongate(text, rng)
    if rng.random() < 0.10:
        text = text.replace("'", "" if rng.random() < 0.6 else "\u2019")
    if mood not in {"neutral", "mixed"} and rng.random() < 0.15:
        text = text.rstrip(".!") + "!" * rng.choice((1, 1, 2, 3))
    if rng.random() < 0.22:
        text = f"{text} {rng.choice(EMOJI[mood]) * rng.choice((1, 1, 1, 2, 3))}"
    return text


def tag(text: str, tags: Sequence[str], rng: random.Random) -> str:
    """Adds the hashtags to the text, now and then in camel case."""
    shown = " ".join(f"#{name.capitalize() if rng.random() < 0.2 else name}" for name in tags)
    return f"{text} {shown}" if rng.random() < 0.9 else f"{shown} {text}"
