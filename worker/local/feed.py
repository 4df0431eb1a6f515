"""The demo's feed: six hours of posts in which a launch delights and an outage enrages.

The records are a function of the number of posts, a seed and an end; nothing here knows a model.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from worker.local import story
from worker.local.records import FeedRecord, Script, malformed, post, tombstone, withdrawal
from worker.local.story import languages
from worker.local.story.plot import MOODS, Plot, rates

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLATFORMS: Final = {"microblog": 46, "shortvideo": 18, "photos": 16, "forum": 13, "reviews": 7}
_FOREIGN_SHARE: Final = 0.05
_FOREIGN_TAGS: Final = {
    "es": ("es", "es-MX"),
    "de": ("de", "de-AT"),
    "fr": ("fr",),
    "pt": ("pt", "pt-BR"),
}
_REPOST_SHARE: Final = 0.07
_DUPLICATE_SHARE: Final = 0.015
_MALFORMED_SHARE: Final = 0.003
_EDIT_SHARE: Final = 0.004
_WITHDRAWAL_SHARE: Final = 0.003
_RECENT: Final = 300


@dataclass(frozen=True, slots=True)
class Feed:
    """Records to publish, and what their script says.

    Attributes:
        records: In the order of their timestamps; of one post, in the order to publish.
        script: The emotion that each post was written to show, by `platform:id`; None for neutral,
            mixed and empty ones. Withdrawn posts are not in it.
        plot: When what happens.
        posts: Distinct posts, withdrawn ones included.
        duplicates: Records that came a second time.
        malformed: Records that are no posts.
        edits: Records that replace an earlier version of their post.
        withdrawals: Records that withdraw a post.
    """

    records: tuple[FeedRecord, ...]
    script: Mapping[str, str | None]
    plot: Plot
    posts: int
    duplicates: int
    malformed: int
    edits: int
    withdrawals: int


def generate(posts: int, *, seed: int, end: datetime) -> Feed:
    """Writes a feed of `posts` distinct posts; duplicates, edits and the like come on top.

    Args:
        posts: At least 1.
        seed: Equal seeds give equal feeds, up to the shift of `end`.
        end: End of event time, with a zone; the story fills the six hours before. No record's
            timestamp lies after it.

    Raises:
        ValueError: `posts` is under 1, or `end` has no zone.
    """
    if posts < 1:
        raise ValueError("a feed needs at least one post")
    if end.tzinfo is None:
        raise ValueError("end needs a zone")
    rng = random.Random(seed)  # noqa: S311 (a story, not a secret)
    plot = Plot.ending(end.astimezone(UTC))
    scripts = _write(posts, plot, rng)
    records = [post(script) for script in scripts]

    # A post has at most one of these, so that how the ledger must split is known exactly.
    order = list(range(posts))
    rng.shuffle(order)
    edited, withdrawn, duplicated = (
        [order.pop() for _ in range(min(_few(posts, share), len(order)))]
        for share in (_EDIT_SHARE, _WITHDRAWAL_SHARE, _DUPLICATE_SHARE)
    )
    records.extend(post(_edited(scripts[index], plot, rng)) for index in edited)
    for index in withdrawn:
        when = _later(scripts[index], plot, rng)
        make = tombstone if rng.random() < 0.5 else withdrawal
        records.append(make(scripts[index], when))
    for index in duplicated:
        original = records[index]
        delay = round(rng.expovariate(1 / 20_000))
        again = min(original.timestamp_ms + delay, _milliseconds(plot.end))
        records.append(FeedRecord(original.key, original.value, again))
    broken = max(_few(posts, _MALFORMED_SHARE), 5 if posts >= 500 else 0)
    for index in range(broken):
        # Spread over the whole feed: none of them may stop it, early or late.
        model = scripts[min(posts - 1, (2 * index + 1) * posts // (2 * broken))]
        records.append(malformed(index, model))

    records.sort(key=lambda record: record.timestamp_ms)  # stable: an original stays first
    dropped = set(withdrawn)
    return Feed(
        records=tuple(records),
        script={
            f"{script.platform}:{script.post_id}": script.emotion
            for index, script in enumerate(scripts)
            if index not in dropped
        },
        plot=plot,
        posts=posts,
        duplicates=len(duplicated),
        malformed=broken,
        edits=len(edited),
        withdrawals=len(withdrawn),
    )


def agreement(script: Mapping[str, str | None], labels: Mapping[str, str]) -> float | None:
    """The share of labelled posts with a scripted emotion whose label is that emotion.

    Args:
        script: A feed's script.
        labels: The emotion (argmax over the six) of each labelled post, by `platform:id`. Posts
            that were left unlabelled are not in it, and do not count.

    Returns:
        A number from 0 to 1; None if no labelled post has a scripted emotion.
    """
    pairs = [
        (emotion, labels[identity])
        for identity, emotion in script.items()
        if emotion is not None and identity in labels
    ]
    if not pairs:
        return None
    return sum(emotion == label for emotion, label in pairs) / len(pairs)


def _few(posts: int, share: float) -> int:
    return round(posts * share)


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _write(posts: int, plot: Plot, rng: random.Random) -> list[Script]:
    """The posts in order of event time, each with its text and intended emotion."""
    table = rates(rng)
    places = rng.choices(table, cum_weights=list(accumulate(rate for _, _, rate in table)), k=posts)
    # The last seconds stay free, so that a record's delay does not reach past the end.
    latest = plot.end - timedelta(seconds=2)
    moments = sorted(
        (
            min(plot.start + timedelta(minutes=minute, milliseconds=rng.randrange(60_000)), latest),
            arc,
        )
        for arc, minute, _ in places
    )
    names = tuple(_PLATFORMS)
    weights = list(accumulate(_PLATFORMS.values()))
    platforms = rng.choices(names, cum_weights=weights, k=posts)
    moods = {arc: (tuple(mix), list(accumulate(mix.values()))) for arc, mix in MOODS.items()}
    end_ms = _milliseconds(plot.end)
    empty = {posts // 3, 2 * posts // 3} if posts >= 100 else set()
    scripts: list[Script] = []
    for number, ((created_at, arc), platform) in enumerate(zip(moments, platforms, strict=True)):
        lang: str | None = "en" if rng.random() < 0.9 else rng.choice(("en-US", "en-GB", None))
        tags: tuple[str, ...] = ()
        if number in empty:
            text, mood = rng.choice(("", "  ")), "neutral"
        elif scripts and rng.random() < _REPOST_SHARE:
            shared = scripts[-1 - rng.randrange(min(len(scripts), _RECENT))]
            text, mood, tags, lang = shared.text, shared.mood, shared.tags, shared.lang
            if text.strip() and not text.startswith("RT @") and rng.random() < 0.6:
                text = f"RT @{_handle(shared.author)}: {text}"
        elif rng.random() < _FOREIGN_SHARE:
            code = rng.choice(tuple(_FOREIGN_TAGS))
            lang = rng.choice(_FOREIGN_TAGS[code])
            text, mood = languages.write(code, arc, rng)
        else:
            names_of, cumulative = moods[arc]
            mood = rng.choices(names_of, cum_weights=cumulative)[0]
            text, tags = story.english(arc, mood, rng)
        delay_ms = 200 + round(rng.expovariate(1 / 2_500))
        if rng.random() < 0.01:
            delay_ms += rng.randrange(30_000)  # a phone that was offline for a moment
        scripts.append(
            Script(
                number=number,
                platform=platform,
                created_at=created_at,
                timestamp_ms=min(_milliseconds(created_at) + delay_ms, end_ms),
                text=text,
                mood=mood,
                lang=lang,
                tags=tags,
                # A few people post a lot, most post once.
                author=int(40 * rng.paretovariate(0.7)) % 90_000,
            )
        )
    return scripts


def _handle(author: int) -> str:
    first = ("mila", "jon", "tess", "ravi", "ola", "noor", "finn", "zoe", "kofi", "ines", "marek")
    last = ("reads", "runs", "_k", "writes", "", "bakes", "_in_town", "xo", "sings", "dot")
    return f"{first[author % len(first)]}{last[author // len(first) % len(last)]}{author}"


def _later(script: Script, plot: Plot, rng: random.Random) -> int:
    """A record timestamp some minutes after the post's own, in milliseconds."""
    return min(
        script.timestamp_ms + 1_000 + round(rng.expovariate(1 / 600_000)), _milliseconds(plot.end)
    )


def _edited(script: Script, plot: Plot, rng: random.Random) -> Script:
    when = _later(script, plot, rng)
    edited_at = max(
        datetime.fromtimestamp(when / 1000, UTC) - timedelta(milliseconds=400),
        script.created_at + timedelta(milliseconds=1),
    )
    text = f"{script.text} (edit: {rng.choice(('typo', 'spelling', 'link fixed', 'wrong tag'))})"
    return script.revised(text=text, edited_at=edited_at, timestamp_ms=when)
