r"""Whose a rejected record may be: what its raw bytes say of posts and authors.

A record that is no post may still hold one's text. So that a forgotten post or author does not live
on among the dead letters, this errs on the side of finding too much: every string, number or word
in the record is taken for an id that it may be, and each format is asked for those that it puts
together from parts: in which format a topic came is not known any more.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from worker.posts.formats import FORMATS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

MAX_NAMES: Final = 1_000
"""More names than this are not looked at: such a record is opaque."""
MAX_PLATFORMS: Final = 4
_MAX_NAME_CHARS: Final = 256
_TELLING: Final = 6
"""Characters: a name of fewer stands in many texts that are not about it."""
_MAX_DEPTH: Final = 3
"""Of JSON in strings of JSON."""
_WORD: Final = re.compile(r"[\w.@+\-]+(?::[\w.@+\-]+)*")
_PLATFORM: Final = re.compile(r"platform\W{0,8}?[:=]\W{0,8}([\w.@+\-]+)")
_ESCAPE: Final = re.compile(r"\\u([0-9a-fA-F]{4})")


@dataclass(frozen=True, slots=True)
class Traces:
    """What a record's bytes say of whom it is about.

    Attributes:
        names: What may be the id of a post or an author.
        platforms: Where such a post may be; the topic's name among them.
        opaque: Whether there was more than was looked at.
        identities: Posts that it may be about by a format of its own, whatever the names say.
    """

    names: frozenset[str]
    platforms: frozenset[str]
    opaque: bool
    identities: frozenset[tuple[str, str]] = frozenset()

    @property
    def posts(self) -> Iterator[tuple[str, str]]:
        """The posts that it may be about: platform and id."""
        yield from ((platform, name) for platform in self.platforms for name in self.names)
        yield from self.identities


def traces(topic: str, key: bytes | None, value: bytes | None) -> Traces:
    """What `key` and `value` of a record of `topic` say; it never raises."""
    found = _Found(topic)
    if key is not None:
        text = key.decode("utf-8", "replace")
        platform, colon, post_id = text.partition(":")
        for name in (text, post_id, *_words(key)):
            found.name(name)
        if colon:
            found.platform(platform)
    if value is not None:
        found.value(value)
    return Traces(
        frozenset(found.names),
        frozenset(found.platforms),
        found.opaque,
        frozenset(found.identities),
    )


def concerns(
    record: tuple[str, bytes | None, bytes | None],
    posts: Collection[tuple[str, str]],
    authors: Collection[str],
) -> bool:
    """Whether a record (topic, key, value) may be about one of these posts or authors."""
    found = traces(*record)
    texts = list(_texts(b"\n".join(part for part in record[1:] if part is not None)))

    def named(name: str) -> bool:
        return name in found.names or (
            (found.opaque or len(name) >= _TELLING) and any(_stands_in(name, t) for t in texts)
        )

    if any(named(author) for author in authors):
        return True
    stated = found.platforms - {record[0]}
    return any(
        (platform, post_id) in found.identities
        or ((not stated or platform in found.platforms or found.opaque) and named(post_id))
        for platform, post_id in posts
    )


def _stands_in(name: str, text: str) -> bool:
    """Whether `name` is in `text`, and not as a part of a longer name."""
    # Looking for it plainly is a thousand times faster.
    return name in text and (
        re.search(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])", text) is not None
    )


class _Found:
    def __init__(self, topic: str) -> None:
        self.names: set[str] = set()
        self.platforms = {topic}
        self.identities: set[tuple[str, str]] = set()
        self.opaque = False

    def name(self, name: str) -> None:
        clean = _clean(name)
        if not 0 < len(clean) <= _MAX_NAME_CHARS or clean in self.names:
            return
        if len(self.names) < MAX_NAMES:
            self.names.add(clean)
        else:
            self.opaque = True

    def platform(self, platform: str) -> None:
        clean = _clean(platform)
        if not 0 < len(clean) <= _MAX_NAME_CHARS or clean in self.platforms:
            return
        if len(self.platforms) <= MAX_PLATFORMS:
            self.platforms.add(clean)
        else:
            self.opaque = True

    def value(self, value: bytes) -> None:
        # Of UTF-16 and of JSON in strings too; those come first, for names are bounded.
        for text in _texts(value):
            for one in FORMATS.values():
                for trace in one.traces(text):
                    self.identities.add((trace.platform, trace.post_id))
                    self.name(trace.author_id or "")
        if not self._json(value.decode("utf-8", "replace").removeprefix("\ufeff"), 0):
            for word in _words(value):
                for part in {word, *word.split(":", MAX_PLATFORMS)}:
                    self.name(part)
                if self.opaque:
                    return
            for text in _texts(value):
                for match in _PLATFORM.finditer(text):
                    self.platform(match[1])

    def _json(self, text: str, depth: int) -> bool:
        """Takes a JSON text apart; whether it is one."""

        def pairs(items: list[tuple[str, object]]) -> list[object]:
            # As pairs, for a name may be given twice.
            for name, item in items:
                if name == "platform" and isinstance(item, str):
                    self.platform(item)
            return [_without_counts(name, item) for name, item in items]

        try:
            rest: list[object] = [json.loads(text, object_pairs_hook=pairs, strict=False)]
        except (ValueError, RecursionError):
            return False
        while rest and not self.opaque:
            item = rest.pop()
            if isinstance(item, list):
                rest.extend(item)
            elif isinstance(item, str):
                self.name(item)
                if item[:1] in {"{", "[", '"'} and depth < _MAX_DEPTH:
                    self._json(item, depth + 1)
            elif isinstance(item, int | float) and not isinstance(item, bool):
                self.name(str(item))
                if isinstance(item, float) and item.is_integer():
                    self.name(str(int(item)))
        return True


def _without_counts(field: str, item: object) -> object:
    """What of a field may be an id: a count or a time is none."""
    if "id" in field.lower():
        return item
    if isinstance(item, list):
        return [one for one in item if not isinstance(one, int | float)]
    return None if isinstance(item, int | float) else item


def _texts(raw: bytes) -> Iterator[str]:
    """What the bytes may say, in the encodings that records come in, with escapes undone."""
    encodings = ["utf-8", "latin-1"]
    if b"\0" in raw:
        encodings += ["utf-16-le", "utf-16-be"]
    for encoding in encodings:
        text = raw.decode(encoding, "replace")
        yield text
        if "\\" in text:
            yield _unescaped(text)


def _unescaped(text: str) -> str:
    plain = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text).replace("\\", "")
    # Two escapes may be the halves of one character.
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _words(raw: bytes) -> Iterator[str]:
    for text in _texts(raw):
        for match in _WORD.finditer(text):
            yield match[0]


def _clean(name: str) -> str:
    """As the decoder would: without NUL and lone surrogates."""
    return "".join(char for char in name if char != "\0" and not "\ud800" <= char <= "\udfff")
