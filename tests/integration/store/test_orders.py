"""One label per post however often, wherever and in whatever order its records come."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.classifier import Text
from worker.classifier.stub import StubClassifier
from worker.posts import Label, Post, Withdrawal
from worker.store.connection import connect
from worker.store.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from worker.batching import Item

pytestmark = pytest.mark.integration

DIMENSIONS = ("all", "platform", "lang", "topic", "hashtag")
UNITS = {"1m": timedelta(minutes=1), "1h": timedelta(hours=1), "1d": timedelta(days=1)}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LABELS = ("sadness", "joy", "love", "anger", "fear", "surprise")

# What may be said of a post: (post, kind, version, created, tags). Offsets come with the place.
words = st.sampled_from(["a", "b", "c"])
records = st.one_of(
    st.tuples(
        words,
        st.just("post"),
        # Few values, so that ties and equal versions are common.
        st.integers(0, 1),
        st.sampled_from([0, 60, 90_000]),
        st.sampled_from([(), ("x",), ("x", "y")]),
    ),
    st.tuples(words, st.just("gone"), st.just(0), st.just(0), st.just(())),
    st.tuples(words, st.just("junk"), st.just(0), st.just(0), st.just(())),
)


def oracle(items: Sequence[Item]) -> dict[str, Post]:
    """The live posts after all records: withdrawn for good, else the latest version.

    Written from the design's section 3.4, not from the code: ties go to the smallest place.
    """
    gone = {i.decoded.post_id for i in items if isinstance(i.decoded, Withdrawal)}
    best: dict[str, Post] = {}
    for item in items:
        new = item.decoded
        if not isinstance(new, Post) or new.post_id in gone:
            continue
        old = best.get(new.post_id)
        place = (new.ref.partition, new.ref.offset)
        if (
            old is None
            or new.version > old.version
            or (new.version == old.version and place < (old.ref.partition, old.ref.offset))
        ):
            best[new.post_id] = new
    return best


def labels_of(live: dict[str, Post]) -> dict[str, tuple[Any, ...]]:
    stub = StubClassifier()
    rows = {}
    for post_id, post in live.items():
        label = stub.classify([Text(post.text, post.lang)])[0]
        if isinstance(label, Label):
            said = (label.emotion, label.scores)
        else:
            said = ("unlabelled", (0,) * 6)
        rows[post_id] = (
            post.created_at,
            *said,
            list(post.hashtags),
            (post.ref.partition, post.ref.offset),
        )
    return rows


def cells_of(labels: dict[str, tuple[Any, ...]]) -> dict[tuple[Any, ...], tuple[int, ...]]:
    """Every cell of the view's table, by brute force."""
    cells: dict[tuple[Any, ...], list[int]] = {}
    names = [*LABELS, "uncertain", "unlabelled"]
    for created, emotion, scores, tags, _ in labels.values():
        values = [("all", "*"), ("platform", "tw"), ("lang", "en"), ("topic", "posts")]
        for granularity, width in UNITS.items():
            bucket = EPOCH + (created - EPOCH) // width * width
            for dimension, value in (*values, *(("hashtag", tag) for tag in tags)):
                cell = cells.setdefault((granularity, bucket, dimension, value), [0] * 14)
                cell[names.index(emotion)] += 1
                for index, score in enumerate(scores):
                    cell[8 + index] += score
    return {key: tuple(cell) for key, cell in cells.items()}


def stored_labels(connection: psycopg.Connection) -> dict[str, tuple[Any, ...]]:
    rows = connection.execute(
        "SELECT post_id, created_at, emotion, sadness, joy, love, anger, fear, surprise, "
        "hashtags, kafka_partition, kafka_offset FROM post_emotions"
    ).fetchall()
    return {
        row[0]: (
            row[1],
            row[2],
            tuple(round((score or 0) * 1e6) for score in row[3:9]),
            row[9],
            (row[10], row[11]),
        )
        for row in rows
    }


def stored_cells(connection: psycopg.Connection) -> dict[tuple[Any, ...], tuple[int, ...]]:
    names = ", ".join(
        f"sum({name})::bigint"
        for name in (*LABELS, "uncertain", "unlabelled", *(f"{label}_score" for label in LABELS))
    )
    rows = connection.execute(
        f"SELECT granularity, bucket, dimension, value, {names} FROM trend_cells "
        "WHERE dimension <> 'model' GROUP BY 1, 2, 3, 4"
    ).fetchall()
    return {row[:4]: row[4:] for row in rows if any(row[4:])}


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(said=st.lists(records, max_size=24), seed=st.integers(0, 2**16), size=st.integers(1, 9))
def test_any_order_gives_the_fold(
    said: list[tuple[str, str, int, int, tuple[str, ...]]],
    seed: int,
    size: int,
    database_url: str,
    stream: Callable[..., Any],
    build: Any,
) -> None:
    rng = Random(seed)
    logs: list[list[Item]] = [[], [], []]
    for post_id, kind, version, created, tags in said:
        number = rng.randrange(3)
        log = logs[number]
        # Gaps, as compaction leaves them.
        offset = (log[-1].record.ref.offset + 1 if log else 0) + rng.randrange(3)
        if kind == "post":
            item = build.post(number, offset, post_id, version=version, created=created, tags=tags)
        elif kind == "gone":
            item = build.withdrawal(number, offset, post_id)
        else:
            item = build.rejection(number, offset)
        log.append(item)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "TRUNCATE post_emotions, posts, trend_cells, dead_letters, stream_offsets"
        )
        writers = [stream(), stream()]
        try:
            queues = []
            for number, log in enumerate(logs):
                writer = writers[rng.randrange(2)]
                writer.claim(number)
                queues.append((writer, writer.batches(number, log, size)))
            total: Counter[str] = Counter()
            while any(batches for _, batches in queues):
                writer, batches = rng.choice([queue for queue in queues if queue[1]])
                batch = batches.pop(0)
                written = writer.store.write(batch)
                assert not written.fenced
                for counts in written.outcomes.values():
                    total.update(counts)
                if rng.random() < 0.2:  # the answer was lost: the same batch once more
                    again = writer.store.write(batch)
                    assert again.outcomes == {}
                    assert again.repeated == batch.spans
        finally:
            for writer in writers:
                writer.close()
        items = [item for log in logs for item in log]
        wanted = labels_of(oracle(items))
        assert stored_labels(connection) == wanted
        assert stored_cells(connection) == cells_of(wanted)
        assert sum(total.values()) == len(items)
        kinds = Counter(kind for _, kind, *_ in said)
        assert total["dead_lettered"] == kinds["junk"]
        assert total["withdrawn"] == kinds["gone"]
        row = connection.execute(
            "SELECT sum(consumed)::int, sum(labelled + unlabelled)::int FROM stream_offsets"
        ).fetchone()
        assert row is not None
        assert (row[0] or 0) == len(items)
    with connect(database_url, application_name="test") as checking:
        assert verify(checking).differences == ()
