"""The demo's posts as the bytes of Kafka records: each platform writes them in its own way."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from worker.posts.model import LABELS

if TYPE_CHECKING:
    from datetime import datetime

_RFC_3339: Final = "%Y-%m-%dT%H:%M:%S.%f"


@dataclass(frozen=True, slots=True)
class FeedRecord:
    """A record to publish.

    Attributes:
        key: `platform:id`, which decides the partition.
        value: The raw value; None is a tombstone.
        timestamp_ms: Milliseconds since the epoch.
    """

    key: bytes
    value: bytes | None
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Script:
    """A post as the story has it.

    Attributes:
        number: Counts the feed's posts; ids are made of it.
        platform: Where it is posted.
        created_at: Event time, UTC.
        timestamp_ms: The record's timestamp, after `created_at`.
        text: What it says.
        mood: One of the six emotions, `neutral` or `mixed`.
        lang: BCP 47 tag or None.
        tags: The hashtags in the text.
        author: Counts the authors.
        edited_at: When this version was made, for an edited post.
    """

    number: int
    platform: str
    created_at: datetime
    timestamp_ms: int
    text: str
    mood: str
    lang: str | None
    tags: tuple[str, ...]
    author: int
    edited_at: datetime | None = None

    @property
    def post_id(self) -> str:
        """The id in the platform's own style; unique within the platform."""
        if self.platform == "microblog":
            return str(1_700_000_000_000_000_000 + self.number * 4_194_304)
        if self.platform == "forum":
            return f"t{self.number // 40:x}/c{self.number:x}"
        if self.platform == "photos":
            return f"p-{self.number * 2_654_435_761 % 2**32:08x}-{self.number:x}"
        if self.platform == "reviews":
            return f"review:{self.number}"
        return f"v{self.number:07d}"

    @property
    def emotion(self) -> str | None:
        """The intended emotion; None for a neutral or mixed post."""
        return self.mood if self.mood in LABELS else None

    @property
    def key(self) -> bytes:
        """The record's key."""
        return f"{self.platform}:{self.post_id}".encode()

    def revised(self, *, text: str, edited_at: datetime, timestamp_ms: int) -> Script:
        """A later version of the post."""
        return replace(self, text=text, edited_at=edited_at, timestamp_ms=timestamp_ms)


def post(script: Script) -> FeedRecord:
    """The record of a post's version."""
    return FeedRecord(script.key, _bytes(_fields(script)), script.timestamp_ms)


def withdrawal(script: Script, timestamp_ms: int) -> FeedRecord:
    """A record with `deleted` that withdraws the post."""
    fields = {"platform": script.platform, "id": script.post_id, "deleted": True}
    return FeedRecord(script.key, _bytes(fields), timestamp_ms)


def tombstone(script: Script, timestamp_ms: int) -> FeedRecord:
    """A null value that withdraws the post by its key."""
    return FeedRecord(script.key, None, timestamp_ms)


def malformed(number: int, near: Script) -> FeedRecord:
    """A record that is no post, as real producers make them; `number` chooses how it is broken."""
    fields = _fields(near) | {"id": f"broken-{number}"}
    kind = number % 8
    if kind == 0:
        value = _bytes(fields)[:-9]
    elif kind == 1:
        del fields["id"]
        value = _bytes(fields)
    elif kind == 2:
        value = _bytes(fields | {"created_at": near.created_at.strftime("%Y-%m-%dT%H:%M:%S")})
    elif kind == 3:
        value = _bytes(fields | {"text": number})
    elif kind == 4:
        value = _bytes(fields | {"text": "caf\u00e9"}).decode().encode("latin-1", "replace")
    elif kind == 5:
        value = _bytes(fields | {"created_at": "yesterday"})
    elif kind == 6:
        value = json.dumps([fields["id"], "not an object"]).encode()
    else:
        value = b"heartbeat"
    return FeedRecord(f"{near.platform}:broken-{number}".encode(), value, near.timestamp_ms)


def _fields(script: Script) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "platform": script.platform,
        "id": script.post_id,
        "text": script.text,
        "created_at": _time(script, script.created_at),
        "author_id": f"{script.platform[0]}{script.author}",
    }
    if script.lang is not None:
        fields["lang"] = script.lang
    if script.platform in {"photos", "forum"}:  # these send their own list of hashtags
        fields["hashtags"] = list(script.tags)
    if script.platform == "shortvideo":
        fields["duration_s"] = 5 + script.number % 55  # a field that nobody here knows
    if script.edited_at is not None:
        fields["edited_at"] = _time(script, script.edited_at)
    return fields


def _time(script: Script, moment: datetime) -> str | int:
    if script.platform == "shortvideo":
        return round(moment.timestamp() * 1000)
    written = moment.strftime(_RFC_3339)[:-3]
    return written + ("+00:00" if script.platform == "forum" else "Z")


def _bytes(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
