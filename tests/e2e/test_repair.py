"""`verify --repair` beside a worker; what it cannot make up is read again."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.verifying import exact

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.integration, pytest.mark.e2e]

CONSUMED = "SELECT coalesce(sum(consumed), 0)::int FROM stream_offsets"
DAMAGE = (
    "UPDATE trend_cells SET joy = joy + 1 WHERE granularity = '1h' RETURNING 1",
    "DELETE FROM trend_cells WHERE dimension = 'hashtag' RETURNING 1",
    "DELETE FROM posts WHERE post_id IN ('1', '2') RETURNING 1",
    "DELETE FROM post_emotions WHERE post_id IN ('3', '4', '5') RETURNING 1",
)


def test_damage_is_mended_while_a_worker_goes_on(
    command: Callable[..., Any],
    run: Callable[..., Any],
    query: Callable[..., Any],
    eventually: Callable[..., None],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
) -> None:
    topic = make_topic(partitions=1)
    produce(topic, [a_post(number) for number in range(2_000)])
    # A stub that takes 20 ms a post: the stream goes on for 40 s.
    worker = command("run", WORKER_TOPICS=topic, WORKER_MODEL="stub:20", WORKER_BATCH_POSTS="10")
    eventually(lambda: query(CONSUMED)[0][0] > 60)
    for statement in DAMAGE:
        assert query(statement)
    code, out, _ = run("verify", "--json")
    assert (code, json.loads(out)["exact"]) == (1, False)

    before = query(CONSUMED)[0][0]
    code, out, err = run("verify", "--repair", "--json")
    assert code == 0, err
    assert before < query(CONSUMED)[0][0] < 2_000, "the worker was not at work meanwhile"
    assert json.loads(out)["repaired"]["lost"] == ["tw:3", "tw:4", "tw:5"]

    worker.send_signal(signal.SIGTERM)
    assert worker.wait(15) == 0
    assert run("offsets", "set", "--topic", topic, "--to", "earliest")[0] == 0
    assert run("run", "--drain", WORKER_TOPICS=topic)[0] == 0
    assert query("SELECT count(*) FROM post_emotions") == [(2_000,)]
    assert query("SELECT consumed - labelled - duplicates FROM stream_offsets") == [(0,)]
    exact(run)
