"""`dead-letters` and `forget` as a person uses them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.e2e

KEY = "0123456789abcdef"


def test_a_dead_letters_life(
    run: Callable[..., Any],
    query: Callable[..., Any],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
) -> None:
    topic = make_topic(partitions=2)
    good = [a_post(n) for n in range(20)]
    bad = [(b"tw:x", b'{"id": "x", "text": ', None, None)] * 3
    bad += [(b"tw:y", b'{"id": "y", "text": "\x1b[31mred", "created_at": 5}', None, None)]
    produce(topic, good + bad)
    assert run("run", "--drain", "--topics", topic)[0] == 0

    code, out, _ = run("dead-letters", "--help")
    assert code == 0
    code, out, _ = run("dead-letters", "list")
    assert code == 0
    assert "bad_json" in out
    code, out, _ = run("dead-letters", "list", "--json")
    groups = json.loads(out)
    assert [(group["reason"], group["count"]) for group in groups] == [
        ("bad_json", 3),
        ("bad_json", 1),
    ]
    sample = groups[0]["sample"]

    code, out, _ = run("dead-letters", "show", sample)
    assert code == 0
    assert '{"id": "x", "text": ' in out
    (odd,) = query("SELECT id FROM dead_letters WHERE key = 'tw:y'::bytea")
    code, out, _ = run("dead-letters", "show", odd[0])
    assert "\x1b" not in out
    code, _, err = run("dead-letters", "show", 10**9)
    assert code == 1
    assert "There is no dead letter" in err

    # The "fix": what a mended decoder would make of them.
    query(
        'UPDATE dead_letters SET value = convert_to(\'{"id": "x", "text": "what a day", '
        '"platform": "tw", "created_at": \' || extract(epoch FROM kafka_timestamp)::bigint '
        "|| '}', 'UTF8') WHERE key = 'tw:x'::bytea RETURNING id"
    )
    code, out, err = run("dead-letters", "retry", "--fingerprint", groups[0]["fingerprint"])
    assert (code, err) == (0, "")
    assert "3 retried: 2 duplicates, 1 labelled" in out
    assert query("SELECT count(*) FROM post_emotions WHERE post_id = 'x'") == [(1,)]
    assert run("verify")[0] == 0

    code, out, _ = run("dead-letters", "retry")
    assert code == 1
    assert "1 are rejected still" in out
    assert run("dead-letters", "drop")[0] == 2
    code, out, _ = run("dead-letters", "drop", "--all")
    assert (code, out) == (0, "1 dead letters dropped\n")
    code, out, _ = run("dead-letters")
    assert (code, out) == (0, "There are no dead letters (new).\n")


def test_forgetting(
    run: Callable[..., Any],
    query: Callable[..., Any],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
) -> None:
    topic = make_topic(partitions=2)
    posts = [a_post(n, author_id="alice" if n < 5 else "bob") for n in range(20)]
    produce(topic, posts)
    key = {"WORKER_AUTHOR_KEY": KEY}
    assert run("run", "--drain", "--topics", topic, **key)[0] == 0

    code, _, err = run("forget", "--author", "alice")
    assert code == 2
    assert "WORKER_AUTHOR_KEY" in err
    assert run("forget")[0] == 2
    assert run("forget", "--post", "nocolon")[0] == 2
    code, out, _ = run("forget", "--author", "alice", "--post", "tw:7", **key)
    assert code == 0
    assert "6 labels" in out

    produce(topic, [*posts, a_post(99, author_id="alice")])
    assert run("run", "--drain", "--topics", topic)[0] == 1  # no key: they would come back
    assert run("run", "--drain", "--topics", topic, **key)[0] == 0
    assert query("SELECT count(*) FROM post_emotions") == [(14,)]
    assert query("SELECT sum(erased)::int, sum(duplicates)::int FROM stream_offsets") == [(7, 14)]
    assert run("verify")[0] == 0
