"""What the tables must hold: a fold over the records' raw bytes, by the published contract alone.

Imports nothing of `worker`: it reads the messages, labels the texts and merges the versions by code
of its own, so that a mistake there is not made here too. Simple and slow on purpose. Its reading of
messages covers what the stream of the suite holds, not every corner of the wire format.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

EMOTIONS = ("sadness", "joy", "love", "anger", "fear", "surprise")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)")
LANG = re.compile(r"([A-Za-z]{2,3})(?:-([A-Za-z]{2}))?")

Place = tuple[str, UUID, int]
"""Topic, topic id, partition."""
Identity = tuple[str, str]
"""Platform, post id."""


@dataclass(frozen=True, slots=True)
class Produced:
    """A record as the broker acknowledged it."""

    topic: str
    topic_id: UUID
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None

    @property
    def place(self) -> Place:
        return (self.topic, self.topic_id, self.partition)

    @property
    def ref(self) -> tuple[str, UUID, int, int]:
        return (*self.place, self.offset)


@dataclass(frozen=True, slots=True)
class Said:
    """What a record says of a post; without a version it withdraws it."""

    record: Produced
    identity: Identity
    author: str | None
    version: datetime | None = None
    created_at: datetime | None = None
    text: str = ""
    lang: str | None = None
    hashtags: tuple[str, ...] = ()
    generation: int = 0

    def stands_over(self, other: Said) -> bool:
        """The total order: withdrawn, later version, higher generation, smallest place."""
        mine, theirs = (
            (said.version or datetime.max.replace(tzinfo=UTC), said.generation)
            for said in (self, other)
        )
        return mine > theirs or (mine == theirs and self.record.ref < other.record.ref)


@dataclass(slots=True)
class Expected:
    """The tables: each a mapping from its key to the rest of its row."""

    posts: dict[Identity, tuple[object, ...]] = field(default_factory=dict)
    labels: dict[Identity, tuple[object, ...]] = field(default_factory=dict)
    cells: dict[tuple[object, ...], tuple[int, ...]] = field(default_factory=dict)
    dead_letters: dict[tuple[object, ...], tuple[object, ...]] = field(default_factory=dict)
    ledger: dict[Place, tuple[int, ...]] = field(default_factory=dict)
    """next_offset, consumed, dead_lettered."""
    withdrawals: dict[Place, int] = field(default_factory=dict)
    """Each is `withdrawn`, or `erased` where its post or author was."""
    perhaps: set[Identity] = field(default_factory=set)
    """Identities of withdrawn posts of erased authors: these know no author, so that they stand
    until one more record of the author's comes."""
    first_seen: tuple[int, int] = (0, 0)
    """Between how many and how many records were a post's first: a withdrawal may have been."""


def expect(
    records: Iterable[Produced],
    *,
    author_key: bytes,
    erased_posts: Collection[Identity] = (),
    erased_authors: Collection[str] = (),
    replayed: Mapping[Place, int] | None = None,
) -> Expected:
    """Folds all that was read. The order of `records` does not matter, except for the ledger.

    What lies before the ends of `replayed` was read once more, in the first generation.
    """
    expected = Expected()
    counts: dict[Place, Counter[str]] = {}
    standing: dict[Identity, Said] = {}
    posted: set[Identity] = set()
    withdrawn: set[Identity] = set()
    by_author: set[Identity] = set()
    for record in records:
        count = counts.setdefault(record.place, Counter())
        count["consumed"] += 1
        said = read(record)
        if said is None:
            count["dead_lettered"] += 1
            bare = _names(record, erased_posts, erased_authors)
            expected.dead_letters[record.ref] = _dead_letter(record, bare=bare)
            continue
        if said.author in erased_authors:
            by_author.add(said.identity)
        (posted if said.version else withdrawn).add(said.identity)
        count["withdrawn"] += said.version is None
        if said.version is not None and record.offset < (replayed or {}).get(record.place, 0):
            said = replace(said, generation=1)
        before = standing.get(said.identity)
        if before is None or said.stands_over(before):
            standing[said.identity] = said
    for identity, said in standing.items():
        gone = identity in erased_posts or (identity in by_author and said.version is not None)
        if not gone:
            _add(expected, said, author_key)
    expected.perhaps = by_author & expected.posts.keys()
    for place, count in counts.items():
        expected.ledger[place] = (count["consumed"], count["consumed"], count["dead_lettered"])
        expected.withdrawals[place] = count["withdrawn"]
    uncertain = withdrawn | by_author | set(erased_posts)
    expected.first_seen = (0 if replayed else len(posted - uncertain), len(posted))
    return expected


def _add(expected: Expected, said: Said, author_key: bytes) -> None:
    """A post that stands: its identity and, if it is live, its label and its share of the cells."""
    place = said.record.ref
    if said.version is None or said.created_at is None:
        expected.posts[said.identity] = ("withdrawn", None, 0, None, *place)
        return
    expected.posts[said.identity] = ("live", said.version, said.generation, said.created_at, *place)
    emotion, why, scores = label(said)
    author = (
        None if said.author is None else hmac.digest(author_key, said.author.encode(), "sha256")
    )
    expected.labels[said.identity] = (
        *(said.created_at, said.record.topic, said.record.partition, said.record.offset, said.lang),
        None if author is None else author.hex(),
        list(said.hashtags),
        *(emotion, why, max(scores) / 1e6 if scores else None),
        *([score / 1e6 for score in scores] if scores else [None] * 6),
        said.text,
    )
    counted = [int(emotion == name) for name in (*EMOTIONS, "uncertain", "unlabelled")]
    adds = (*counted, *(scores or [0] * 6))
    for dimension, value in (
        *(("all", "*"), ("platform", said.identity[0]), ("lang", said.lang or "und")),
        ("topic", said.record.topic),
        *(("hashtag", tag) for tag in said.hashtags),
    ):
        for granularity, bucket in _buckets(said.created_at):
            key = (granularity, dimension, value, bucket)
            cell = expected.cells.get(key, (0,) * 14)
            expected.cells[key] = tuple(a + b for a, b in zip(cell, adds, strict=True))


def label(said: Said) -> tuple[str, str | None, list[int]]:
    """The stub's rule, by the text's SHA-256: emotion, or why none, and scores in millionths."""
    if all(unicodedata.category(character)[0] in "PZC" for character in said.text):
        return "unlabelled", "empty", []
    if said.lang is not None and said.lang.split("-")[0] != "en":
        return "unlabelled", "language", []
    weights = [byte + 1 for byte in hashlib.sha256(said.text.encode()).digest()[:6]]
    scores = [round(1_000_000 * weight / sum(weights)) for weight in weights]
    sure = max(scores) >= 250_000
    return EMOTIONS[scores.index(max(scores))] if sure else "uncertain", None, scores


def read(record: Produced) -> Said | None:
    """What the bytes say; None if they are no post."""
    try:
        if record.value is None:
            platform, _, post_id = (record.key or b"").decode().partition(":")
            return Said(record, (platform, post_id), None) if platform and post_id else None
        return _message(record, json.loads(record.value.decode()))
    except (ValueError, TypeError):
        return None


def _message(record: Produced, given: Any) -> Said:
    if not isinstance(given, dict):
        raise TypeError("no object")
    fields: Mapping[str, Any] = {name: value for name, value in given.items() if value is not None}
    platform, post_id = fields.get("platform", record.topic), _text(fields, "id")
    author = _text(fields, "author_id") if "author_id" in fields else None
    if not 0 < len(post_id) <= 256 or not platform or ":" in platform:
        raise ValueError("no identity")
    if fields.get("deleted", False) is True:
        return Said(record, (platform, post_id), author)
    if "deleted" in fields and fields["deleted"] is not False:
        raise TypeError("deleted")
    text = _text(fields, "text")
    created = _time(fields["created_at"], record) if "created_at" in fields else None
    if created is None or len(text) > 20_000:
        raise ValueError("no post")
    version = _time(fields["edited_at"], record) if "edited_at" in fields else created
    tags = fields.get("hashtags", re.findall(r"(?<![\w&])#(\w*[A-Za-z]\w*)", text))
    distinct = dict.fromkeys(tag.lstrip("#").strip().casefold() for tag in tags)
    hashtags = tuple([tag for tag in distinct if 0 < len(tag) <= 100][:10])
    identity = (platform, post_id)
    return Said(record, identity, author, version, created, text, _lang(fields), hashtags)


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise TypeError(name)
    return value


def _lang(fields: Mapping[str, Any]) -> str | None:
    tag = fields.get("lang", "und")
    match = LANG.fullmatch(tag)
    if not match:
        raise ValueError("lang")
    language, region = match[1].lower(), match[2]
    return None if language == "und" else language + (f"-{region.upper()}" if region else "")


def _time(given: Any, record: Produced) -> datetime:
    if isinstance(given, str):
        match = TIME.fullmatch(given)
        if not match:
            raise ValueError("time")
        zone = "+00:00" if match[3] == "Z" else match[3]
        fraction = (match[2] or "0")[:6].ljust(6, "0")
        time = datetime.fromisoformat(f"{match[1]}.{fraction}{zone}").astimezone(UTC)
    else:
        seconds = given / 1000 if given >= 100_000_000_000 else given
        time = EPOCH + timedelta(seconds=seconds)
    ahead = time - EPOCH > timedelta(milliseconds=record.timestamp_ms + 3_600_000)
    if ahead or time < datetime(2000, 1, 1, tzinfo=UTC):
        raise ValueError("time")
    return time


def _dead_letter(record: Produced, *, bare: bool) -> tuple[object, ...]:
    value = record.value
    return (
        EPOCH + timedelta(milliseconds=record.timestamp_ms),
        None if bare else record.key,
        None if bare or value is None or len(value) > 1 << 20 else value,
        None if value is None else len(value),
        None if bare or value is None else hashlib.sha256(value).digest(),
    )


def _names(record: Produced, posts: Collection[Identity], authors: Collection[str]) -> bool:
    """Whether a dead letter names an erased post or author: then nothing of it is kept."""
    try:
        given = json.loads(record.value or b"")
    except ValueError:
        return False
    if not isinstance(given, dict):
        return False
    platforms = {record.topic, given.get("platform")}
    return given.get("author_id") in authors or any(
        (platform, given.get("id")) in posts for platform in platforms
    )


def _buckets(time: datetime) -> Iterable[tuple[str, datetime]]:
    minute = time.replace(second=0, microsecond=0)
    yield "1m", minute
    yield "1h", minute.replace(minute=0)
    yield "1d", minute.replace(minute=0, hour=0)
