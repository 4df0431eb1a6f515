"""Topics in two formats through one worker: our own posts, and a network's events."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.e2e

KEY = "0123456789abcdef"
ALICE, BOB = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "did:web:bob.example"
START = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
COLLECTION = "app.bsky.feed.post"


def commit(
    number: int,
    did: str = ALICE,
    *,
    operation: str = "create",
    collection: str = COLLECTION,
    later_s: int = 0,
    **record: object,
) -> tuple[None, bytes, None, None]:
    """An event about the post (or else) `number`, `later_s` seconds after it was made."""
    created = START + timedelta(seconds=number)
    seen = created + timedelta(seconds=1 + later_s)
    body: dict[str, object] = {
        "operation": operation,
        "collection": collection,
        "rkey": f"k{number}",
    }
    if operation != "delete":
        stamp = created.isoformat().replace("+00:00", "Z")
        body["record"] = {"text": f"words {number}", "createdAt": stamp, **record}
    event = {
        "did": did,
        "time_us": int(seen.timestamp() * 1_000_000),
        "kind": "commit",
        "commit": body,
    }
    return None, json.dumps(event).encode(), None, None


def other(kind: str, did: str = ALICE) -> tuple[None, bytes, None, None]:
    event = {"did": did, "time_us": int(START.timestamp() * 1_000_000), "kind": kind, kind: {}}
    return None, json.dumps(event).encode(), None, None


def uri(number: int, did: str = ALICE) -> str:
    return f"at://{did}/{COLLECTION}/k{number}"


@pytest.fixture
def firehose(make_topic: Callable[..., str], produce: Callable[..., Any]) -> str:
    """A topic of events, most of which are none of a post's business."""
    topic = make_topic(partitions=2)
    noise = [
        *(commit(n, collection="app.bsky.feed.like", subject={}) for n in range(300)),
        *(commit(n, collection="app.bsky.graph.follow", operation="delete") for n in range(50)),
        *(other("account"), other("identity"), other("sync")),
    ]
    events = [
        *(commit(n) for n in range(20)),
        *(commit(n, BOB, langs=["de"], tags=["Ferry"]) for n in range(5)),
        commit(3, operation="update", text="other words", later_s=60),
        commit(4, operation="delete"),
        commit(5),  # again
        commit(6, createdAt="2031-01-01T00:00:00Z", text="a clock ahead", later_s=30),
        commit(90, createdAt="yesterday"),
        commit(91, BOB, text=5),
    ]
    produce(topic, [*noise[:200], *events, *noise[200:]])
    return topic


def test_two_topics_in_two_formats(
    run: Callable[..., Any],
    query: Callable[..., Any],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
    firehose: str,
) -> None:
    own = make_topic(partitions=1)
    produce(own, [a_post(n) for n in range(10)])
    settings = {
        "WORKER_TOPICS": f"{own},{firehose}",
        "WORKER_FORMATS": f"{firehose}=bluesky,{own}=post",
        "WORKER_AUTHOR_KEY": KEY,
    }
    code, _, err = run("run", "--drain", **settings)
    assert code == 0, err

    assert query("SELECT platform, count(*) FROM post_emotions GROUP BY 1 ORDER BY 1") == [
        ("bluesky", 24),  # 20 + 5 less the deleted one
        ("tw", 10),
    ]
    ledger = dict(
        query(
            "SELECT topic, (sum(consumed)::int, sum(labelled + unlabelled)::int, "
            "sum(duplicates)::int, sum(replaced + stale)::int, sum(withdrawn)::int, "
            "sum(dead_lettered)::int)::text "
            "FROM stream_offsets GROUP BY topic"
        )
    )
    # What is none of a post's business is not in it, and the position lies behind all of it.
    split = [int(count) for count in ledger[firehose].strip("()").split(",")]
    assert split[0] == 31
    assert split[0] == sum(split[1:]), split
    assert split[4:] == [1, 2]
    assert ledger[own] == "(10,10,0,0,0,0)"
    assert query(
        f"SELECT sum(next_offset)::int FROM stream_offsets WHERE topic = '{firehose}'"
    ) == [(384,)]
    assert query(f"SELECT lang, hashtags FROM post_emotions WHERE post_id = '{uri(1, BOB)}'") == [
        ("de", ["ferry"])
    ]
    assert query("SELECT count(DISTINCT author_hash) FROM posts WHERE platform = 'bluesky'") == [
        (2,)
    ]
    assert query(f"SELECT state FROM posts WHERE post_id = '{uri(4)}'") == [("withdrawn",)]
    [(version,)] = query(f"SELECT version FROM posts WHERE post_id = '{uri(3)}'")
    assert version == START + timedelta(seconds=64)
    assert query("SELECT reason FROM dead_letters ORDER BY reason") == [
        ("bad_time",),
        ("wrong_type",),
    ]
    assert run("verify")[0] == 0

    # Forgetting an author reaches labels, and the rejected records, by what their bytes say.
    code, out, _ = run("forget", "--author", BOB, WORKER_AUTHOR_KEY=KEY)
    assert code == 0
    assert "5 labels" in out
    assert "1 dead letters" in out
    code, out, _ = run("forget", "--post", f"bluesky:{uri(90)}", WORKER_AUTHOR_KEY=KEY)
    assert "1 dead letters" in out
    assert query("SELECT count(*) FROM dead_letters WHERE value IS NOT NULL") == [(0,)]
    produce(firehose, [commit(2, BOB, operation="update", later_s=90)])
    assert run("run", "--drain", **settings)[0] == 0
    assert query("SELECT sum(erased)::int FROM stream_offsets") == [(1,)]
    assert run("verify")[0] == 0


def test_a_retry_reads_in_the_topics_format(
    run: Callable[..., Any],
    query: Callable[..., Any],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
) -> None:
    topic = make_topic(partitions=1)
    likes = [commit(n, collection="app.bsky.feed.like") for n in range(3)]
    produce(topic, [commit(1), commit(2), *likes])
    assert run("run", "--drain", "--topics", topic)[0] == 0  # the setting was forgotten
    assert query("SELECT count(*) FROM dead_letters WHERE state = 'new'") == [(5,)]

    formats = {"WORKER_TOPICS": topic, "WORKER_FORMATS": f"{topic}=bluesky"}
    code, out, err = run("dead-letters", "retry", **formats)
    assert code == 0, err
    assert "2 retried: 2 labelled" in out
    assert "3 are rejected still" in out
    assert query("SELECT DISTINCT reason FROM dead_letters WHERE state = 'new'") == [
        ("not_a_post",)
    ]
    assert run("dead-letters", "drop", "--reason", "not_a_post")[1] == "3 dead letters dropped\n"
    assert query("SELECT count(*) FROM post_emotions WHERE platform = 'bluesky'") == [(2,)]
    assert run("verify")[0] == 0


def test_posts_that_are_none_stop_the_worker_whatever_else_is_there(
    run: Callable[..., Any],
    query: Callable[..., Any],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
) -> None:
    topic = make_topic(partitions=1)
    likes = [commit(n, collection="app.bsky.feed.like") for n in range(2_000)]
    settings = {"WORKER_TOPICS": topic, "WORKER_FORMATS": f"{topic}=bluesky"}
    produce(topic, likes)
    assert run("run", "--drain", **settings)[0] == 0
    assert query("SELECT consumed, next_offset FROM stream_offsets") == [(0, 2_000)]
    produce(topic, [*(commit(n, text=5) for n in range(300)), *likes])
    code, _, err = run("run", "--drain", **settings)
    assert code == 1
    assert "are no posts (mostly `wrong_type`)" in err
    assert query("SELECT count(*) FROM dead_letters") == [(0,)]


def test_what_is_wrong_with_the_setting_is_said(
    run: Callable[..., Any], make_topic: Callable[..., str]
) -> None:
    topic = make_topic(partitions=1)
    for formats, said in (
        (f"{topic}=toots", "there is no format `toots`, only post, bluesky"),
        ("elsewhere=bluesky", f"`elsewhere` is none of WORKER_TOPICS ({topic})"),
        (topic, f"`{topic}` is not topic=format"),
    ):
        code, out, err = run("run", "--drain", "--topics", topic, WORKER_FORMATS=formats)
        assert (code, out) == (2, "")
        assert "WORKER_FORMATS: " in err
        assert said in err
        assert len(err.splitlines()) <= 2
    code, out, _ = run("check", WORKER_TOPICS=topic, WORKER_FORMATS=f"{topic}=bluesky")
    assert code == 0
    assert f"topics {topic} (bluesky)" in out
