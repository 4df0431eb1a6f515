"""`emotion-worker trends`, as installed, on posts that a worker labelled."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.e2e]

HASHTAGS = ("news", "\u05e9\u05dc\u05d5\u05dd", "\u65e5\u672c\u8a9e", "\N{FIRE}x", "y" * 90)


def test_from_the_topic_to_the_picture(
    run: Callable[..., Any],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
    tmp_path: Path,
) -> None:
    topic = make_topic(2)
    produce(topic, [a_post(n, hashtags=[HASHTAGS[n % 5]]) for n in range(100)])
    code, _, log = run("run", "--drain", WORKER_TOPICS=topic)
    assert code == 0, log

    code, out, log = run("trends", "--by", "hashtag", "--plot", "it.png")
    assert code == 0, log
    assert "\x1b" not in out
    for name in HASHTAGS:
        assert f"#{name}" in out
    assert (tmp_path / "it.png").read_bytes().startswith(b"\x89PNG")
    code, out, log = run("trends", "--window", "1h", "--step", "5m", "--json")
    assert code == 0, log
    document = json.loads(out)
    assert document["complete_until"] is not None
    assert {row["total_posts"] for row in document["rows"]} - {0}
    assert document["models"][0]["name"] == "stub"
    code, out, log = run("trends", "--by", "hashtag", "--csv", PYTHONIOENCODING="utf-8")
    assert code == 0, log
    rows = list(csv.DictReader(io.StringIO(out)))
    assert sum(int(row["posts"]) for row in rows) == 100
    assert {row["value"] for row in rows} == set(HASHTAGS)

    code, out, log = run("trends", "--by", "hashtag", "--value", "newz")
    assert (code, out) == (1, "")
    assert "Did you mean 'news'?" in log
    code, _, log = run("trends", WORKER_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert (code, "Traceback" in log) == (3, False)
