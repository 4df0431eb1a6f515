r"""Whose a rejected record may be: what its raw bytes say of posts and authors.

A record that is no post may still hold one's text. So that a forgotten post or author does not live
on among the dead letters, this errs on the side of finding too much.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

_FIELDS: Final = ("id", "platform", "author_id")
_PAIR: Final = re.compile(r'"(id|platform|author_id)"\s*:\s*(?:"((?:[^"\\]|\\.)*)"|(-?\d+))', re.S)


@dataclass(frozen=True, slots=True)
class Traces:
    """What a record's bytes say of whom it is about.

    Attributes:
        posts: Platform and post id.
        authors: Author ids.
        sure: Whether the value is a JSON object, so that nothing else in it names anybody.
    """

    posts: frozenset[tuple[str, str]]
    authors: frozenset[str]
    sure: bool


def traces(topic: str, key: bytes | None, value: bytes | None) -> Traces:
    """What `key` and `value` of a record of `topic` say; it never raises."""
    found: dict[str, set[str]] = {name: set() for name in _FIELDS}
    text = (value or b"").decode("utf-8", "replace")
    sure = value is None
    if value is not None:
        sure = _read(text, found)
    posts = {(platform, post) for platform in {topic, *found["platform"]} for post in found["id"]}
    platform, colon, post = (key or b"").decode("utf-8", "replace").partition(":")
    if colon:
        posts.add((platform.replace("\0", ""), post.replace("\0", "")))
    return Traces(frozenset(posts), frozenset(found["author_id"]), sure)


def concerns(
    record: tuple[str, bytes | None, bytes | None],
    posts: Collection[tuple[str, str]],
    authors: Collection[str],
) -> bool:
    """Whether a record (topic, key, value) may be about one of these posts or authors."""
    topic, key, value = record
    found = traces(topic, key, value)
    if found.posts & set(posts) or found.authors & set(authors):
        return True
    if found.sure:
        return False
    text = (value or b"").decode("utf-8", "replace")
    return any(
        re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)
        for name in (*authors, *(post for _, post in posts))
    )


def _read(text: str, found: dict[str, set[str]]) -> bool:
    """Collects the fields of `text`, of every object in it; whether it was JSON all through."""

    def pairs(items: list[tuple[str, object]]) -> None:
        for name, item in items:
            if name in found and isinstance(item, str | int) and not isinstance(item, bool):
                found[name].add(_clean(str(item)))

    try:
        json.loads(text.removeprefix("\ufeff"), object_pairs_hook=pairs, strict=False)
    except (ValueError, RecursionError):
        for name, string, number in _PAIR.findall(text):
            found[name].add(_clean(_unescaped(string) if string else number))
        return False
    return True


def _unescaped(string: str) -> str:
    try:
        return str(json.loads(f'"{string}"', strict=False))
    except ValueError:
        return string


def _clean(name: str) -> str:
    """As the decoder would: without NUL and lone surrogates."""
    return "".join(char for char in name if char != "\0" and not "\ud800" <= char <= "\udfff")
