from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest

from worker.local import story
from worker.local.feed import Feed, agreement, generate
from worker.posts import LABELS, Post, Record, RecordRef, Rejection, Withdrawal
from worker.posts.decode import decode

END = datetime(2026, 3, 1, 18, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def feed() -> Feed:
    return generate(6_000, seed=11, end=END)


@pytest.fixture(scope="module")
def decoded(feed: Feed) -> list[Post | Withdrawal | Rejection]:
    return [
        decode(
            Record(
                RecordRef("posts", UUID(int=0), 0, offset),
                record.timestamp_ms,
                record.key,
                record.value,
            )
        )
        for offset, record in enumerate(feed.records)
    ]


@pytest.fixture(scope="module")
def posts(decoded: list[Post | Withdrawal | Rejection]) -> dict[str, Post]:
    """The first version of each post, by identity."""
    found: dict[str, Post] = {}
    for item in decoded:
        if isinstance(item, Post):
            found.setdefault(f"{item.platform}:{item.post_id}", item)
    return found


def test_a_seed_decides_the_feed(feed: Feed) -> None:
    assert generate(6_000, seed=11, end=END) == feed
    assert generate(6_000, seed=12, end=END).records != feed.records


def test_the_zone_of_the_end_does_not_matter() -> None:
    east = END.astimezone(timezone(timedelta(hours=5)))
    assert generate(50, seed=1, end=east) == generate(50, seed=1, end=END)


def test_every_record_is_counted_as_what_it_decodes_to(
    feed: Feed, decoded: list[Post | Withdrawal | Rejection], posts: dict[str, Post]
) -> None:
    kinds = Counter(type(item) for item in decoded)
    assert kinds[Rejection] == feed.malformed >= 5
    assert kinds[Withdrawal] == feed.withdrawals > 0
    assert kinds[Post] == feed.posts + feed.duplicates + feed.edits
    assert len(posts) == feed.posts == 6_000
    assert 0.01 <= feed.duplicates / feed.posts <= 0.02
    assert 0.002 <= feed.malformed / feed.posts <= 0.004
    edits = [item for item in decoded if isinstance(item, Post) and item.version != item.created_at]
    assert len(edits) == feed.edits > 0


def test_malformed_records_are_broken_in_different_ways(
    decoded: list[Post | Withdrawal | Rejection],
) -> None:
    reasons = {item.reason for item in decoded if isinstance(item, Rejection)}
    assert {"bad_json", "missing_field", "naive_time", "wrong_type", "bad_utf8"} <= reasons


def test_keys_are_identities(feed: Feed, decoded: list[Post | Withdrawal | Rejection]) -> None:
    for record, item in zip(feed.records, decoded, strict=True):
        if not isinstance(item, Rejection):
            assert record.key.decode() == f"{item.platform}:{item.post_id}"


def test_duplicates_are_the_same_record_again(feed: Feed) -> None:
    times = Counter((record.key, record.value) for record in feed.records)
    assert sum(count - 1 for count in times.values()) == feed.duplicates


def test_times_lie_in_the_story_and_records_follow_their_posts(
    feed: Feed, decoded: list[Post | Withdrawal | Rejection]
) -> None:
    stamps = [record.timestamp_ms for record in feed.records]
    assert stamps == sorted(stamps)
    assert stamps[-1] <= END.timestamp() * 1000
    for record, item in zip(feed.records, decoded, strict=True):
        if isinstance(item, Post):
            assert feed.plot.start <= item.created_at < END
            assert record.timestamp_ms >= item.version.timestamp() * 1000 - 1


def test_the_script_names_every_live_post(feed: Feed, posts: dict[str, Post]) -> None:
    assert len(feed.script) == feed.posts - feed.withdrawals
    assert feed.script.keys() <= posts.keys()
    assert set(feed.script.values()) == {*LABELS, None}
    assert sum(emotion is None for emotion in feed.script.values()) >= 0.15 * len(feed.script)


def test_the_outage_enrages_and_the_launch_delights(feed: Feed, posts: dict[str, Post]) -> None:
    def share(since: datetime, until: datetime, *emotions: str) -> float:
        shown = [
            feed.script[identity]
            for identity, post in posts.items()
            if identity in feed.script and since <= post.created_at < until
        ]
        return sum(emotion in emotions for emotion in shown) / len(shown)

    plot = feed.plot
    calm = share(plot.start, plot.launch, "anger")
    assert share(plot.outage, plot.recovery, "anger") >= 3 * calm
    delight = ("joy", "love", "surprise")
    hour = timedelta(hours=1)
    assert share(plot.launch, plot.launch + hour, *delight) > 1.25 * share(
        plot.start, plot.launch, *delight
    )
    assert share(plot.recovery + hour / 2, plot.end, "joy") > 2 * share(
        plot.outage, plot.recovery, "joy"
    )


def test_the_outage_is_louder_than_the_calm(feed: Feed, posts: dict[str, Post]) -> None:
    minutes = Counter(
        (post.created_at - feed.plot.start) // timedelta(minutes=1) for post in posts.values()
    )
    calm = [minutes[minute] for minute in range(60)]
    assert sum(minutes[minute] for minute in range(230, 275)) / 45 > 3 * sum(calm) / 60
    assert len(set(calm)) > 5


def test_texts_vary(posts: dict[str, Post]) -> None:
    texts = [post.text for post in posts.values()]
    assert len(set(texts)) > 0.8 * len(texts)
    assert sum(text.startswith("RT @") for text in texts) > 0.02 * len(texts)
    assert sum(not text.strip() for text in texts) >= 2
    assert sum("#" in text for text in texts) > 0.2 * len(texts)
    assert sum(any(ord(c) > 0x2600 for c in text) for text in texts) > 0.1 * len(texts)
    assert len({len(text) for text in texts}) > 100


def test_platforms_and_languages_vary(posts: dict[str, Post]) -> None:
    platforms = Counter(post.platform for post in posts.values())
    assert len(platforms) == 5
    languages = Counter((post.lang or "und").split("-")[0] for post in posts.values())
    assert languages.keys() == {"en", "es", "de", "fr", "pt", "und"}
    assert languages["en"] > 0.85 * len(posts)
    tags = Counter(tag for post in posts.values() for tag in post.hashtags)
    assert {"lumivane", "lumivanedown"} <= {tag for tag, _ in tags.most_common(4)}


def test_every_slot_can_be_filled_and_every_mood_of_the_plot_has_words() -> None:
    assert story.missing_slots() == []


@pytest.mark.parametrize("posts_wanted", [1, 2, 99, 500])
def test_small_feeds(posts_wanted: int) -> None:
    small = generate(posts_wanted, seed=3, end=END)
    assert small.posts == posts_wanted
    assert small.malformed == (5 if posts_wanted >= 500 else 0)
    for record in small.records:
        if record.value is not None and posts_wanted < 500:
            json.loads(record.value)


def test_it_refuses_nothing_and_naive_times() -> None:
    with pytest.raises(ValueError, match="one post"):
        generate(0, seed=1, end=END)
    with pytest.raises(ValueError, match="zone"):
        generate(1, seed=1, end=END.replace(tzinfo=None))


def test_agreement_counts_labelled_posts_with_a_scripted_emotion() -> None:
    script = {"a:1": "joy", "a:2": "anger", "a:3": None, "a:4": "love"}
    assert agreement(script, {"a:1": "joy", "a:2": "joy", "a:3": "fear"}) == 0.5
    assert agreement(script, {"a:3": "fear", "b:1": "joy"}) is None
