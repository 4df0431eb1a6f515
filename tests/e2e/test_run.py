"""`run` against a real broker and Postgres: shared work, kills, duplicates, the way it stops."""

from __future__ import annotations

import random
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from kafka.errors import TopicAlreadyExistsError

from tests.e2e.verifying import exact

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.e2e]

LEDGER = (
    "SELECT sum(consumed)::int, sum(labelled + unlabelled)::int, sum(duplicates)::int, "
    "sum(replaced)::int, sum(stale)::int, sum(withdrawn)::int, sum(dead_lettered)::int "
    "FROM stream_offsets"
)
OWNERS = "SELECT count(DISTINCT owner_id) FROM stream_offsets WHERE next_offset IS NOT NULL"


def all_stored(run: Callable[..., Any], query: Callable[..., Any]) -> None:
    exact(run)
    assert query(
        "SELECT (SELECT count(*) FROM post_emotions), (SELECT coalesce(sum(posts), 0)::bigint "
        "FROM emotion_trends WHERE granularity = '1m' AND dimension = 'all')"
    )[0] == (query("SELECT count(*) FROM posts WHERE state = 'live'")[0] * 2)


def test_two_workers_a_kill_and_a_stream_full_of_duplicates(
    command: Callable[..., Any],
    run: Callable[..., Any],
    query: Callable[..., Any],
    eventually: Callable[..., None],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
) -> None:
    topic = make_topic(partitions=6)
    rng = random.Random(3)
    posts = [a_post(number) for number in range(1_500)]
    records = posts + rng.choices(posts, k=2_500)  # redelivered, to other partitions too
    records += [a_post(n, edited_at=None, text="") for n in range(1_500, 1_520)]
    records += [(b"tw:1", b"{no json", None, None)] * 10
    rng.shuffle(records)
    produce(topic, [(key, value, rng.randrange(6), None) for key, value, _, _ in records])
    # A stub that takes its time keeps the stream going while workers come and die.
    settings = {"WORKER_TOPICS": topic, "WORKER_MODEL": "stub:2", "WORKER_BATCH_POSTS": "50"}
    first = command("run", **settings)
    second = command("run", **settings)
    eventually(lambda: query(OWNERS)[0][0] == 2)
    eventually(lambda: (query("SELECT sum(consumed) FROM stream_offsets")[0][0] or 0) > 300)
    first.kill()
    code, _, log = run("run", "--drain", **settings)
    assert code == 0, log
    consumed, seen, duplicates, replaced, stale, _, dead = query(LEDGER)[0]
    assert (consumed, seen, dead) == (4_030, 1_520, 10)
    assert duplicates + replaced + stale == 2_500
    assert query("SELECT count(*) FROM post_emotions") == [(1_520,)]
    assert query("SELECT count(*) FROM post_emotions WHERE unlabelled_reason = 'empty'") == [(20,)]
    assert query("SELECT count(*) FROM dead_letters WHERE value = '{no json'") == [(10,)]
    all_stored(run, query)
    started = time.monotonic()
    second.send_signal(signal.SIGTERM)
    assert second.wait(15) == 0
    assert time.monotonic() - started < 10


def test_sigterm_in_full_work_is_obeyed_and_loses_nothing(
    command: Callable[..., Any],
    run: Callable[..., Any],
    query: Callable[..., Any],
    eventually: Callable[..., None],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
) -> None:
    topic = make_topic(partitions=2)
    produce(topic, [a_post(number) for number in range(3_000)])
    worker = command("run", WORKER_TOPICS=topic, WORKER_MODEL="stub:3")
    eventually(lambda: (query("SELECT sum(consumed) FROM stream_offsets")[0][0] or 0) > 100)
    started = time.monotonic()
    worker.terminate()
    assert worker.wait(15) == 0
    assert time.monotonic() - started < 10
    stored = query("SELECT sum(consumed)::int FROM stream_offsets")[0][0]
    assert 100 < stored < 3_000
    code, _, log = run("run", "--drain", WORKER_TOPICS=topic)
    assert code == 0, log
    assert query(LEDGER)[0][:3] == (3_000, 3_000, 0)
    all_stored(run, query)


def test_edits_and_withdrawals_reach_the_trends(
    run: Callable[..., Any],
    query: Callable[..., Any],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
) -> None:
    topic = make_topic(partitions=1)
    later = "2030-01-01T00:00:00Z"
    produce(
        topic,
        [
            *(a_post(number) for number in range(10)),
            a_post(0, edited_at=a_post(4_000)[1].decode().split('"created_at": "')[1][:32]),
            a_post(1, deleted=True),
            (b"tw:2", None, None, None),
            (b"no colon", None, None, None),
            (None, None, None, None),
            a_post(3, created_at=later),
            a_post(1),
        ],
    )
    code, _, log = run("run", "--drain", WORKER_TOPICS=topic)
    assert code == 0, log
    assert query(LEDGER) == [(17, 10, 0, 1, 1, 2, 3)]
    assert query("SELECT post_id FROM posts WHERE state = 'withdrawn' ORDER BY 1") == [
        ("1",),
        ("2",),
    ]
    all_stored(run, query)


def test_a_group_goes_on_where_it_stood_and_another_begins_anew(
    run: Callable[..., Any],
    query: Callable[..., Any],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
) -> None:
    topic = make_topic(partitions=2)
    produce(topic, [a_post(number) for number in range(50)])
    assert run("run", "--drain", WORKER_TOPICS=topic)[0] == 0
    produce(topic, [a_post(number) for number in range(50, 70)])
    assert run("run", "--drain", WORKER_TOPICS=topic)[0] == 0
    assert query(LEDGER)[0][:3] == (70, 70, 0)
    assert run("run", "--drain", WORKER_TOPICS=topic, WORKER_GROUP="other")[0] == 0
    assert query(LEDGER)[0][:3] == (140, 70, 70)
    all_stored(run, query)
    code, out, _ = run("offsets", "show", "--group", "other")
    assert code == 0
    assert f"{topic}/0" in out
    code, _, log = run(
        "run", "--drain", WORKER_TOPICS=topic, WORKER_GROUP="new", WORKER_AUTO_OFFSET_RESET="fail"
    )
    assert code == 1
    assert "WORKER_AUTO_OFFSET_RESET" in log


def test_a_topic_made_anew_with_more_partitions_is_read_from_its_start(
    command: Callable[..., Any],
    run: Callable[..., Any],
    query: Callable[..., Any],
    eventually: Callable[..., None],
    make_topic: Callable[..., str],
    kafka_admin: Any,
    a_post: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """The rejoin that the change brings about once left the worker deaf; a commit of the old log,
    adopted for the new one, would skip its first records."""

    def publish(first: int, last: int) -> None:
        # Not by the fixture's producer: its look at a deleted topic might make it again.
        posts = tmp_path / "posts.jsonl"
        posts.write_bytes(b"\n".join(a_post(number)[1] for number in range(first, last)))
        assert run("publish", posts, "--topic", topic)[0] == 0

    topic = make_topic(partitions=2)
    publish(0, 100)
    command("run", WORKER_TOPICS=topic, WORKER_ADOPT_COMMITTED="true")
    eventually(lambda: query("SELECT count(*) FROM post_emotions") == [(100,)])
    options = {"num_partitions": 5, "replication_factor": 1}

    def made_anew() -> bool:
        # A client that asks for a deleted topic may bring it back, where brokers allow it.
        kafka_admin.delete_topics([topic], raise_errors=False)
        try:
            kafka_admin.create_topics({topic: options}, wait_for_metadata=True)
        except TopicAlreadyExistsError:
            return False
        return True

    eventually(made_anew)
    publish(100, 400)
    eventually(lambda: query("SELECT count(*) FROM post_emotions") == [(400,)])
    assert query("SELECT count(*) FROM stream_offsets WHERE retired_at IS NULL") == [(5,)]
    all_stored(run, query)


def test_what_is_missing_is_said(run: Callable[..., Any], make_topic: Callable[..., str]) -> None:
    code, _, log = run("run", WORKER_KAFKA_BOOTSTRAP_SERVERS="")
    assert (code, "WORKER_KAFKA_BOOTSTRAP_SERVERS" in log) == (2, True)
    code, _, log = run("run", "--drain", WORKER_TOPICS="no-such-topic")
    assert (code, "no-such-topic" in log) == (3, True)
    code, _, log = run("run", WORKER_DATABASE_URL="postgresql://me:hidden@127.0.0.1:9/x")
    assert (code, "127.0.0.1:9" in log, "hidden" in log) == (3, True, False)
    code, out, _ = run("check", WORKER_TOPICS=make_topic(partitions=1))
    assert (code, "FAIL" in out) == (0, False)
    code, out, _ = run("check", WORKER_TOPICS="no-such-topic")
    assert (code, "no-such-topic" in out) == (1, True)
