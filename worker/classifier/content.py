"""Whether there is anything in a text to label, and in a language that the model knows."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

from worker.posts import Unlabelled

if TYPE_CHECKING:
    from collections.abc import Iterable

EMPTY: Final = Unlabelled("empty")
FOREIGN: Final = Unlabelled("language")
_UNDETERMINED: Final = "und"
_SUBTAGS: Final = re.compile("[-_]")


def has_content(text: str) -> bool:
    """Whether `text` has a character that is no punctuation, separator or control character.

    By Unicode's general categories P, Z and C; an emoji, a symbol, is content.
    """
    return any(unicodedata.category(character)[0] not in "PZC" for character in text)


def primary_subtag(lang: str | None) -> str:
    """The language of a BCP 47 tag, lower case (`en-US` is `en`); `und` where it is not known."""
    return _SUBTAGS.split((lang or "").strip().lower(), maxsplit=1)[0] or _UNDETERMINED


class Languages:
    """The languages that a model labels; what is of no known language is let through."""

    __slots__ = ("_known",)

    def __init__(self, tags: Iterable[str]) -> None:
        self._known = frozenset(primary_subtag(tag) for tag in tags) | {_UNDETERMINED}

    def knows(self, lang: str | None) -> bool:
        """Whether a text with this tag is labelled."""
        return primary_subtag(lang) in self._known
