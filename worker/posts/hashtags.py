"""Hashtags: given ones and those of a text, in one spelling."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_HASHTAGS: Final = 10
MAX_HASHTAG_CHARS: Final = 100

_SIGNS: Final = "#\uff03"
_JOINER: Final = "\u200c"  # part of words in Persian and in the scripts of India
_CANDIDATE: Final = re.compile(
    # A link's fragment is no hashtag. Beyond ASCII the word's end is found character by
    # character: `\w` knows no combining marks, without which many scripts fall to pieces.
    rf"https?://\S+|[{_SIGNS}]((?:\w|[^\x00-\x7f\s{_SIGNS}])+)",
    re.IGNORECASE,
)


def hashtags_given(tags: Iterable[str]) -> tuple[str, ...]:
    """The first `MAX_HASHTAGS` distinct of `tags`: case-folded, without `#` in front.

    Empty ones, and those over `MAX_HASHTAG_CHARS` characters, do not count.
    """
    found: dict[str, None] = {}
    for tag in tags:
        folded = tag.strip().lstrip(_SIGNS).strip().casefold()
        if 0 < len(folded) <= MAX_HASHTAG_CHARS:
            found[folded] = None
            if len(found) == MAX_HASHTAGS:
                break
    return tuple(found)


def hashtags_in(text: str) -> tuple[str, ...]:
    """The hashtags of `text`, spelt and bounded as by `hashtags_given`.

    A hashtag is a `#` and what identifiers may go on with after it (Unicode UAX #31), with at
    least one letter; it begins neither within a word, nor after `&`, nor within a link.
    """
    if _SIGNS[0] not in text and _SIGNS[1] not in text:
        return ()
    return hashtags_given(_words(text))


def _words(text: str) -> Iterable[str]:
    for match in _CANDIDATE.finditer(text):
        body, start = match[1], match.start()
        if not body or (start and (text[start - 1] == "&" or _in_word(text[start - 1]))):
            continue
        word = _word(body[: MAX_HASHTAG_CHARS + 1])
        if any(map(str.isalpha, word)):
            yield word


def _word(body: str) -> str:
    if body.isascii():
        return body
    end = next((i for i, char in enumerate(body) if not _in_word(char)), len(body))
    return body[:end].rstrip(_JOINER)


def _in_word(char: str) -> bool:
    return char == _JOINER or ("_" + char).isidentifier()
