"""Nine days of posts with a launch and an outage in them, stored as workers would have stored them.

The examples of the how-to pages and the panels of the dashboards are run on it. The labels are what
the texts were written to show, so that no model is needed and nothing depends on one.

    python -m tests.fakes.week postgresql://...    # into a migrated database, to look at it
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Final
from uuid import UUID

from worker.batching import Batcher, Item, Limits, MicroBatch
from worker.classifier import ModelInfo
from worker.local import story
from worker.local.story import surface
from worker.local.story.plot import MOODS
from worker.posts import LABELS, Label, Post, Record, RecordRef, Rejection, Unlabelled
from worker.posts.place import Partition
from worker.store.interface import Entry, LabelledBatch
from worker.store.postgres import PostgresStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

START: Final = datetime(2026, 3, 18, tzinfo=UTC)
NEW_MODEL: Final = datetime(2026, 3, 20, 10, tzinfo=UTC)
LAUNCH: Final = datetime(2026, 3, 25, 9, tzinfo=UTC)
OUTAGE: Final = datetime(2026, 3, 26, 14, 35, tzinfo=UTC)
END: Final = datetime(2026, 3, 26, 15, 20, tzinfo=UTC)
"""A Thursday afternoon: what the pages call now."""

_HOUR: Final = timedelta(hours=1)
_TOPIC: Final = UUID(int=7)
_PARTITIONS: Final = 2
_LATENESS_S: Final = 60.0
_PLATFORMS: Final = {"microblog": 5, "photos": 3, "forum": 2}
_MOODS: Final = {"photos": {"joy": 3.0, "love": 4.0}, "forum": {"anger": 3.0, "sadness": 1.5}}
"""By platform, how much more likely a mood is there."""
_TAGS: Final = {
    "life": ("weekend", "food", "running", "music", "garden", "coffee"),
    "app": ("lumivane", "lumivane", "journaling"),
    "launch": ("lumivane", "lumivane2", "lumivane2", "launchday"),
    "outage": ("lumivane", "lumivanedown", "lumivanedown", "fixlumivane"),
}


@dataclass(frozen=True, slots=True)
class _Written:
    """A post, and what it was written to show."""

    post: Post
    mood: str


def hours(seed: int = 7) -> Iterator[list[_Written]]:
    """The posts, hour by hour; equal seeds give equal posts."""
    rng = Random(seed)
    number = 0
    hour = START
    while hour < END:
        written = []
        for arc, created_at in _moments(hour, rng):
            written.append(_write(number, arc, created_at, rng))
            number += 1
        yield sorted(written, key=lambda one: one.post.created_at)
        hour += _HOUR


def load(url: str) -> None:
    """Writes the stream into a migrated database: two models in turn, two partitions."""
    store = PostgresStore(
        url,
        group="emotion-worker",
        author_key="0123456789abcdef",
        store_text=True,
        clock=lambda: END,
    )
    batcher = Batcher(Limits(10**9, 1_000, 60.0), _LATENESS_S, lambda: 0.0)
    try:
        models = [
            store.register_model(ModelInfo("builtin", version, digest * 32, "", LABELS, {}, "cpu"))
            for version, digest in (("1", "ab"), ("2", "cd"))
        ]
        claims = [
            store.claim(Partition("posts", _TOPIC, number), _PARTITIONS, "host:1")
            for number in range(_PARTITIONS)
        ]
        ends = [0] * _PARTITIONS
        for claim in claims:
            store.settle(claim, 0)
        rng = Random(1)
        labels: dict[str, Label | Unlabelled] = {}

        def write(batches: Iterable[MicroBatch | None], model_id: int) -> None:
            for batch in batches:
                if batch is not None:
                    store.write(_labelled(batch, labels, model_id))

        for place, written in enumerate(hours()):
            hour = START + place * _HOUR
            if hour == NEW_MODEL:
                write([batcher.flush()], models[0])
            for number, claim in enumerate(claims):
                items = _items(written[number::_PARTITIONS], number, ends[number], labels, rng)
                if place % 24 == 12 and number == 0:
                    items.append(_rejection(ends[number] + len(items), hour))
                end = ends[number] + len(items)
                cut = batcher.add(claim.partition, claim.epoch, ends[number], items, end)
                write(cut, models[hour >= NEW_MODEL])
                ends[number] = end
        write([batcher.flush()], models[1])
    finally:
        store.close()


def _moments(hour: datetime, rng: Random) -> Iterator[tuple[str, datetime]]:
    """What is posted in an hour: the arc of each post, and when."""
    rhythm = 1 - 0.6 * math.cos(2 * math.pi * (hour.hour - 3) / 24)
    rhythm *= 0.8 if hour.weekday() > 4 else 1.0
    for arc, rate in (("life", 22 * rhythm), ("app", 12 * rhythm)):
        for _ in range(round(rng.gauss(rate, math.sqrt(rate)))):
            yield arc, hour + rng.random() * _HOUR
    age = (hour - LAUNCH) / _HOUR
    if age >= 0:
        for _ in range(round(150 * rhythm * 0.5 ** (age / 5))):
            yield "launch", hour + rng.random() * _HOUR
    since = max(hour, OUTAGE)
    for _ in range(round(max(0.0, (hour + _HOUR - since) / _HOUR) * 260)):
        yield "outage", since + rng.random() * (hour + _HOUR - since)


def _write(number: int, arc: str, created_at: datetime, rng: Random) -> _Written:
    created_at = min(created_at, END - timedelta(seconds=1 + number % 3))
    weights = {"microblog": 9, "photos": 0.3, "forum": 1} if arc == "outage" else _PLATFORMS
    platform = rng.choices(list(weights), weights=[*weights.values()])[0]
    plot = {"app": "life"}.get(arc, arc)
    moods = {
        mood: weight * _MOODS.get(platform, {}).get(mood, 1.0)
        for mood, weight in MOODS[plot].items()
    }
    mood = rng.choices(list(moods), weights=[*moods.values()])[0]
    text = surface.write(story.core(plot, mood, rng), mood, rng)
    tags: tuple[str, ...] = ()
    if arc != "life" or rng.random() < 0.4:
        tags = tuple(dict.fromkeys(rng.choices(_TAGS[arc], k=rng.choice((1, 1, 2)))))
        text = surface.tag(text, tags, rng)
    author = "a1" if arc == "outage" and rng.random() < 0.06 else f"a{rng.randrange(20_000)}"
    lang = rng.choices(("en", "es", None), weights=(92, 5, 3))[0]
    nowhere = RecordRef("posts", _TOPIC, 0, 0)
    post = Post(
        nowhere, platform, f"{number:05d}", text, created_at, created_at, lang, author, tags
    )
    return _Written(post, mood)


def _items(
    written: Sequence[_Written],
    number: int,
    start: int,
    labels: dict[str, Label | Unlabelled],
    rng: Random,
) -> list[Item]:
    """The posts as records of a partition, from `start` on; their labels go to `labels`."""
    items = []
    for offset, one in enumerate(written, start):
        post = replace(one.post, ref=RecordRef("posts", _TOPIC, number, offset))
        timestamp_ms = int(post.created_at.timestamp() * 1_000) + 400
        items.append(Item(Record(post.ref, timestamp_ms, b"key", b"value"), post))
        labels[post.post_id] = _label(one, rng)
    return items


def _label(one: _Written, rng: Random) -> Label | Unlabelled:
    if one.post.lang == "es":
        return Unlabelled("language")
    known = one.mood in LABELS
    place = LABELS.index(one.mood) if known else rng.randrange(len(LABELS))
    best = rng.randrange(600_000, 950_000) if known else rng.randrange(250_000, 350_000)
    scores = [(1_000_000 - best) // 5] * 6
    scores[place] = 1_000_000 - 5 * scores[place]
    sadness, joy, love, anger, fear, surprise = scores
    return Label(
        LABELS[place] if known else "uncertain",
        scores[place] / 1_000_000,
        (sadness, joy, love, anger, fear, surprise),
    )


def _rejection(offset: int, when: datetime) -> Item:
    ref = RecordRef("posts", _TOPIC, 0, offset)
    record = Record(ref, int(when.timestamp() * 1_000), b"key", b'{"id": "1"}')
    return Item(
        record, Rejection(ref, "missing_field", "`created_at` is missing.", "5d1c3c1f0a7f3f6e")
    )


def _labelled(
    batch: MicroBatch, labels: dict[str, Label | Unlabelled], model_id: int
) -> LabelledBatch:
    entries = []
    for item in batch.items:
        post = item.decoded
        label = labels[post.post_id] if isinstance(post, Post) else None
        entries.append(Entry(item.record, post, label))
    return LabelledBatch(batch.spans, tuple(entries), model_id)


if __name__ == "__main__":
    load(sys.argv[1])
