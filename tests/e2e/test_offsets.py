"""`offsets set` and `offsets retire` beside running workers, and before the first start."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.verifying import exact

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.integration, pytest.mark.e2e]

CONSUMED = "SELECT coalesce(sum(consumed), 0)::int FROM stream_offsets"
DUPLICATES = "SELECT sum(duplicates)::int FROM stream_offsets"


def test_an_idle_worker_goes_back_and_reads_again(
    command: Callable[..., Any],
    run: Callable[..., Any],
    query: Callable[..., Any],
    eventually: Callable[..., None],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
) -> None:
    topic = make_topic(partitions=2)
    produce(topic, [a_post(number) for number in range(60)])
    worker = command("run", WORKER_TOPICS=topic)
    eventually(lambda: query(CONSUMED) == [(60,)])
    labels = query("SELECT post_id, emotion FROM post_emotions ORDER BY 1")

    code, out, err = run("offsets", "set", "--topic", topic, "--to", "earliest", "--dry-run")
    assert (code, "would be moved" in out) == (0, True), err
    assert query("SELECT min(next_offset) > 0 FROM stream_offsets") == [(True,)]
    code, out, err = run("offsets", "set", "--topic", topic, "--to", "earliest")
    assert code == 0, err
    assert f"{topic}/1" in out
    # Nothing new comes: the worker learns of it by its heartbeat.
    eventually(lambda: query(CONSUMED) == [(120,)])
    assert query(DUPLICATES) == [(60,)]
    assert query("SELECT post_id, emotion FROM post_emotions ORDER BY 1") == labels
    exact(run)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(15) == 0
    assert "fenced" in worker.log.read_text()


def test_a_worker_in_full_work_is_moved_forward_and_back(
    command: Callable[..., Any],
    run: Callable[..., Any],
    query: Callable[..., Any],
    eventually: Callable[..., None],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
) -> None:
    topic = make_topic(partitions=1)
    produce(topic, [a_post(number) for number in range(4_000)])
    # A stub that takes 10 ms a post: the stream goes on for 40 s if nobody moves it.
    command("run", WORKER_TOPICS=topic, WORKER_MODEL="stub:10", WORKER_BATCH_POSTS="20")
    eventually(lambda: query(CONSUMED)[0][0] > 100)
    code, _, err = run("offsets", "set", "--topic", topic, "--to", "3900")
    assert code == 0, err
    eventually(lambda: query("SELECT next_offset FROM stream_offsets") == [(4_000,)])
    first_part = query(CONSUMED)[0][0] - 100
    assert 100 < first_part < 3_500
    assert query("SELECT count(*) FROM post_emotions") == [(first_part + 100,)]

    code, out, err = run("offsets", "set", "--topic", topic, "--to", "3500")
    assert code == 0, err
    assert "500" in out
    eventually(lambda: query(CONSUMED) == [(first_part + 600,)])
    # What was read before counts as a duplicate, what was passed over is new.
    assert query("SELECT count(*) FROM post_emotions")[0][0] == first_part + 500
    assert query("SELECT consumed - labelled - unlabelled - duplicates FROM stream_offsets") == [
        (0,)
    ]
    exact(run)


def test_a_group_is_positioned_before_its_first_start(
    run: Callable[..., Any],
    query: Callable[..., Any],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
) -> None:
    topic = make_topic(partitions=2)
    produce(topic, [(*a_post(number)[:2], number % 2, None) for number in range(40)])
    code, _, err = run("offsets", "set", "--topic", topic, "--to", "latest", "--partition", "1")
    assert code == 0, err
    assert query("SELECT kafka_partition, next_offset FROM stream_offsets ORDER BY 1") == [
        (0, None),
        (1, 20),
    ]
    assert run("run", "--drain", WORKER_TOPICS=topic)[0] == 0
    assert query("SELECT kafka_partition, consumed FROM stream_offsets ORDER BY 1") == [
        (0, 20),
        (1, 0),
    ]


def test_a_running_worker_is_in_the_way_of_retirement_and_undoes_it(
    command: Callable[..., Any],
    run: Callable[..., Any],
    query: Callable[..., Any],
    eventually: Callable[..., None],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
) -> None:
    topic = make_topic(partitions=1)
    produce(topic, [a_post(0)])
    command("run", WORKER_TOPICS=topic)
    eventually(lambda: query(CONSUMED) == [(1,)])
    code, _, err = run("offsets", "retire", "--topic", topic)
    assert (code, "a worker of the group" in err) == (1, True)
    stands = "SELECT owner_epoch, retired_at IS NULL FROM stream_offsets"
    ((epoch, live),) = query(stands)
    assert live
    code, _, err = run("offsets", "retire", "--topic", topic, "--force")
    assert code == 0, err
    # Raised once by the command, once by the worker's new claim.
    eventually(lambda: query(stands) == [(epoch + 2, True)])
