"""Language tags: well-formed ones of BCP 47, in one spelling."""

from __future__ import annotations

import re
from typing import Final

from worker.posts.rejections import UnfitError

MAX_LANG_CHARS: Final = 35
"""RFC 5646, section 4.4.1: room for every tag without extensions."""

_WELL_FORMED: Final = re.compile(
    # RFC 5646, section 2.1: language, script, region, variants, extensions, private use
    r"(?:[a-z]{2,3}(?:-[a-z]{3}){0,3}|[a-z]{4,8})"
    r"(?:-[a-z]{4})?"
    r"(?:-(?:[a-z]{2}|\d{3}))?"
    r"(?:-(?:[a-z\d]{5,8}|\d[a-z\d]{3}))*"
    r"(?:-[a-wyz\d](?:-[a-z\d]{2,8})+)*"
    r"(?:-x(?:-[a-z\d]{1,8})+)?"
    r"|x(?:-[a-z\d]{1,8})+"
    # its irregular grandfathered tags; the regular ones fit the above
    r"|en-gb-oed|sgn-be-fr|sgn-be-nl|sgn-ch-de"
    r"|i-(?:ami|bnn|default|enochian|hak|klingon|lux|mingo|navajo|pwn|tao|tay|tsu)",
    re.ASCII,
)


def canonical_language(tag: str) -> str | None:
    """`tag` in the letter case of RFC 5646, section 2.1.1 (`pt-BR`, `zh-Hant`).

    Returns:
        None if it is empty or undetermined (`und`).

    Raises:
        UnfitError: It is not well formed, or longer than `MAX_LANG_CHARS`.
    """
    folded = tag.lower()
    if tag and not (
        len(tag) <= MAX_LANG_CHARS and tag.isascii() and _WELL_FORMED.fullmatch(folded)
    ):
        raise UnfitError("bad_lang", "`lang` is not a well-formed BCP 47 tag.", cause="lang")
    if folded.isalpha():
        return None if folded == "und" else folded
    subtags = folded.split("-")
    if subtags[0] in {"", "und"}:
        return None
    for place in range(1, len(subtags)):
        if len(subtags[place - 1]) == 1:
            break  # what follows a singleton stays lower-case
        if len(subtags[place]) == 2:
            subtags[place] = subtags[place].upper()
        elif len(subtags[place]) == 4:
            subtags[place] = subtags[place].capitalize()
    return "-".join(subtags)
