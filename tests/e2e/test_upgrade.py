"""A roll-out under way: later schemas and other models beside workers that run."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.verifying import exact
from tests.fakes.migrations import Later
from worker.store import migrate
from worker.store.revision import newest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.integration, pytest.mark.e2e]

CONSUMED = "SELECT coalesce(sum(consumed), 0)::int FROM stream_offsets"
LEDGER = (
    "SELECT sum(consumed)::int, sum(labelled)::int, sum(consumed - labelled)::int "
    "FROM stream_offsets"
)
OWNERS = (
    "SELECT DISTINCT split_part(owner_id, ':', 2)::int FROM stream_offsets "
    "WHERE next_offset IS NOT NULL"
)
BUNDLE = Path(__file__).parents[2] / "worker" / "models" / "builtin" / "model.safetensors"


def level_of(line: str) -> str:
    return str(json.loads(line).get("level", "")) if line.startswith("{") else "error"


@pytest.mark.slow
def test_two_workers_go_on_while_the_schema_grows(
    command: Callable[..., Any],
    run: Callable[..., Any],
    query: Callable[..., Any],
    eventually: Callable[..., None],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
    database_url: str,
    tmp_path: Path,
) -> None:
    topic = make_topic(partitions=4)
    settings = {"WORKER_TOPICS": topic, "WORKER_MODEL": "stub:1", "WORKER_BATCH_POSTS": "25"}
    workers = [command("run", **settings) for _ in range(2)]
    posts = [a_post(number) for number in range(2_000)]
    produce(topic, posts[:1_500] + posts[:500])
    eventually(lambda: len(query(OWNERS)) == 2)
    eventually(lambda: query(CONSUMED)[0][0] > 200)
    later = Later(tmp_path)
    later.expand()
    later.index()
    done = migrate.upgrade(database_url, scripts=later.folder)
    assert (done.after, done.ended) == (later.head, False)
    assert query(CONSUMED)[0][0] < 2_000, "it was under load"
    # As a roll-out goes on: the first is replaced, by one of before as well, if it is rolled back.
    workers[0].terminate()
    assert workers[0].wait(15) == 0
    workers[0] = command("run", **settings)
    code, out, err = run("migrate")
    assert (code, f"at {later.head}, beyond {newest()}" in out) == (0, True), err
    produce(topic, posts[1_500:])
    code, _, log = run("run", "--drain", **settings)
    assert code == 0, log
    assert "the schema is newer than this worker" in log
    assert query(LEDGER) == [(2_500, 2_000, 500)]
    exact(run)
    for worker in workers:
        worker.terminate()
        assert worker.wait(15) == 0
        lines = worker.log.read_text().splitlines()
        assert {level_of(line) for line in lines} <= {"info", "warning"}
        assert not any("database is away" in line for line in lines)


@pytest.mark.slow
def test_workers_that_a_contraction_ends_say_so_once_and_nothing_is_lost(
    command: Callable[..., Any],
    run: Callable[..., Any],
    query: Callable[..., Any],
    eventually: Callable[..., None],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
    database_url: str,
    tmp_path: Path,
) -> None:
    topic = make_topic(partitions=4)
    settings = {"WORKER_TOPICS": topic, "WORKER_MODEL": "stub:2", "WORKER_BATCH_POSTS": "25"}
    workers = [command("run", **settings) for _ in range(2)]
    produce(topic, [a_post(number) for number in range(2_000)])
    eventually(lambda: len(query(OWNERS)) == 2)
    eventually(lambda: query(CONSUMED)[0][0] > 100)
    later = Later(tmp_path)
    asked = later.expand()
    later.contract()
    migrate.upgrade(database_url, scripts=later.folder, force=True)
    said = f"is at {later.head} and asks for workers that know {asked}; this one, version "
    for worker in workers:
        assert worker.wait(20) == 1
        log = worker.log.read_text()
        assert "Traceback" not in log
        assert log.splitlines()[-1].startswith("emotion-worker: The schema in ")
        assert log.count(said) == 1
    stored = query(CONSUMED)[0][0]
    assert 100 < stored < 2_000
    # Whatever restarts it gets the same answer, before a model is loaded.
    began = time.monotonic()
    code, _, log = run("run", **{**settings, "WORKER_MODEL": "builtin"})
    assert (code, said in log, len(log.splitlines())) == (1, True, 1)
    assert time.monotonic() - began < 10
    for arguments in (["offsets"], ["trends"], ["migrate"], ["maintain"]):
        code, _, log = run(*arguments)
        assert (code, said in log, len(log.splitlines())) == (1, True, 1), arguments
    code, out, _ = run("check", **settings)
    assert (code, said in out) == (1, True)
    # With a worker that knows it, here the one of before and the way back, all is read.
    migrate.downgrade(database_url, newest(), scripts=later.folder)
    code, _, log = run("run", "--drain", **settings)
    assert code == 0, log
    assert query(LEDGER) == [(2_000, 2_000, 0)]
    exact(run)


@pytest.mark.slow
@pytest.mark.skipif(not BUNDLE.is_file(), reason="the bundled model was not made yet")
def test_two_models_share_a_group_while_one_takes_over(
    command: Callable[..., Any],
    run: Callable[..., Any],
    query: Callable[..., Any],
    eventually: Callable[..., None],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
) -> None:
    topic = make_topic(partitions=4)
    settings = {"WORKER_TOPICS": topic, "WORKER_BATCH_POSTS": "25"}
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=5)

    def publish(first: int, last: int, hours: int) -> None:
        at = (hour + timedelta(hours=hours, minutes=5)).isoformat()
        produce(topic, [a_post(number, created_at=at) for number in range(first, last)])
        eventually(lambda: query(CONSUMED)[0][0] == last, 60)

    old = command("run", **settings)  # the stub
    publish(0, 200, hours=0)
    new = command("run", **settings, WORKER_MODEL="builtin")
    eventually(lambda: {row[0] for row in query(OWNERS)} == {old.pid, new.pid}, 60)
    publish(200, 400, hours=1)
    old.terminate()
    assert old.wait(15) == 0
    eventually(lambda: {row[0] for row in query(OWNERS)} == {new.pid}, 60)
    publish(400, 600, hours=2)

    ids = dict(query("SELECT name, id FROM models"))
    assert ids.keys() == {"stub", "builtin"}
    labels = dict(query("SELECT post_id::int, model_id FROM post_emotions"))
    assert len(labels) == 600
    assert {labels[number] for number in range(200)} == {ids["stub"]}
    assert {labels[number] for number in range(200, 400)} == set(ids.values())
    assert {labels[number] for number in range(400, 600)} == {ids["builtin"]}
    # Of one partition, one model at a time.
    changes = query(
        "SELECT count(*) FROM (SELECT model_id <> lag(model_id) OVER "
        "(PARTITION BY kafka_partition ORDER BY kafka_offset) AS changed FROM post_emotions) AS c "
        "WHERE changed"
    )
    assert changes == [(4,)]
    found = query("SELECT name, since, until, posts FROM emotion_model_changes ORDER BY since")
    assert [row[0] for row in found] == ["stub", "builtin"]
    assert found[0][1] == hour
    assert found[-1][2] == hour + timedelta(hours=3)
    assert query(LEDGER) == [(600, 600, 0)]
    exact(run)
    new.terminate()
    assert new.wait(15) == 0
