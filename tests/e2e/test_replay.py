"""`replay` in place: ranges, several processes, kills, gaps, and the live stream beside it."""

from __future__ import annotations

import gzip
import json
import signal
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow
import pyarrow.parquet
import pytest

from tests.e2e.verifying import exact

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.e2e]

GENERATIONS = "SELECT generation, count(*)::int FROM posts GROUP BY 1 ORDER BY 1"
OUTCOMES = """
SELECT sum(consumed)::int, sum(replaced)::int, sum(labelled)::int, sum(duplicates)::int
FROM stream_offsets WHERE consumer_group LIKE '%.replay.%'
"""


@pytest.mark.slow
def test_several_processes_share_it_and_a_kill_changes_nothing(
    command: Callable[..., Any],
    run: Callable[..., Any],
    query: Callable[..., Any],
    eventually: Callable[..., None],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
) -> None:
    topic = make_topic(partitions=4)
    produce(topic, [a_post(number) for number in range(1_200)])
    assert run("run", "--drain", WORKER_TOPICS=topic)[0] == 0
    complete = query("SELECT emotion_complete_until()")
    arguments = ("replay", "--name", "again", "--topic", topic, "--rate", "60")
    first, second = (command(*arguments, WORKER_BATCH_POSTS="20") for _ in range(2))
    eventually(lambda: (query(OUTCOMES)[0][0] or 0) > 100)
    first.kill()
    # Beside it the live stream goes on, with an edit, a withdrawal and new posts.
    now = datetime.now(UTC)
    produce(
        topic,
        [
            a_post(7, edited_at=now.isoformat()),
            (b"tw:9", json.dumps({"id": "9", "platform": "tw", "deleted": True}).encode())
            + (None,) * 2,
            *(a_post(number) for number in range(5_000, 5_010)),
        ],
    )
    second.send_signal(signal.SIGTERM)
    assert second.wait(15) == 1
    assert "The same command goes on" in second.stdout.read()
    assert query("SELECT state, progress < 1 FROM replays") == [("running", True)]
    assert run("run", "--drain", WORKER_TOPICS=topic)[0] == 0
    code, out, err = run(*arguments[:-2])
    assert code == 0, err
    assert "replay again finished" in out
    # The edit is newer than what it read, the withdrawal is for good, ten were written later.
    assert query(GENERATIONS) == [(0, 12), (1, 1_198)]
    assert query(
        "SELECT sum(consumed)::int FROM stream_offsets WHERE consumer_group LIKE '%.again'"
    ) == [(1_200,)]
    assert query("SELECT state, progress, generation FROM replays") == [("finished", 1.0, 1)]
    assert query("SELECT emotion_complete_until()") >= complete
    exact(run)
    code, out, err = run(*arguments)
    assert (code, "--resume" in out) == (0, True), err
    # To what was written since: of the edited post now the same version, in a higher generation.
    code, out, err = run(*arguments[:-2], "--resume", "--to", "now")
    assert code == 0, err
    assert query(GENERATIONS) == [(0, 1), (1, 1_209)]
    exact(run)


def test_a_range_is_of_the_records_own_timestamps(
    run: Callable[..., Any],
    query: Callable[..., Any],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
) -> None:
    topic = make_topic(partitions=2)
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def at(number: int, minutes: float) -> tuple[Any, ...]:
        time_ = noon + timedelta(minutes=minutes)
        key, value, _, _ = a_post(number, created_at=time_.isoformat())
        return (key, value, None, round(time_.timestamp() * 1_000))

    # Not in order: one that is late in the log is early in time.
    produce(topic, [*(at(number, number) for number in range(100)), at(200, 12.5), at(201, 400)])
    assert run("run", "--drain", WORKER_TOPICS=topic)[0] == 0
    begin, end = "2026-03-01T12:10:00Z", "2026-03-01T13:30:00+01:00"
    arguments = ("replay", "--name", "part", "--topic", topic, "--from", begin)
    code, out, err = run(*arguments, "--to", end, "--dry-run")
    assert (code, "records are of the range" in out) == (0, True), err
    assert query("SELECT count(*) FROM replays") == [(0,)]
    code, out, err = run(*arguments, "--to", end)
    assert code == 0, err
    assert "21 records (21 replaced)" in out
    assert query("SELECT min(post_id::int), max(post_id::int) FROM posts WHERE generation = 1") == [
        (10, 200)
    ]
    assert query("SELECT range::text FROM replays")[0][0].startswith('["2026-03-01 12:10:00')
    code, _, err = run(*arguments)
    assert (code, "--resume" in err) == (0, False)
    code, _, err = run(*arguments, "--to", "2026-03-01T14:00:00Z")
    assert (code, "--resume" in err) == (1, True)
    # What it had passed over as too late is read after all; the rest is the same again.
    code, out, err = run(*arguments, "--resume", "--to", "now")
    assert code == 0, err
    assert query(GENERATIONS) == [(0, 10), (1, 92)]
    exact(run)


@pytest.mark.slow
def test_a_gap_is_filled_and_a_model_of_before_joins_nothing(
    run: Callable[..., Any],
    query: Callable[..., Any],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
) -> None:
    topic = make_topic(partitions=1)
    produce(topic, [a_post(number) for number in range(100)])
    assert run("offsets", "set", "--topic", topic, "--to", "60")[0] == 0
    assert run("run", "--drain", WORKER_TOPICS=topic)[0] == 0
    assert query("SELECT count(*) FROM post_emotions") == [(40,)]
    code, _, err = run("replay", "--name", "gap", "--topic", topic)
    assert code == 0, err
    assert query("SELECT count(*) FROM post_emotions") == [(100,)]
    exact(run)
    code, _, err = run(
        "replay", "--name", "gap", "--topic", topic, "--from", "2020-01-01T00:00:00Z"
    )
    assert (code, "reads something else" in err) == (1, True)
    code, _, err = run("replay", "--name", "gap", "--topic", topic, "--shadow")
    assert (code, "reads something else" in err) == (1, True)
    code, _, err = run("replay", "--name", "no such", "--topic", topic)
    assert (code, "--name" in err) == (2, True)
    code, _, err = run("replay", "--name", "x", "--topic", topic, "--resume")
    assert (code, "no replay x" in err) == (1, True)
    code, _, err = run("replay", "--name", "x", "--topic", topic, "--from", "2026-03-01T12:00:00")
    assert (code, "zone" in err) == (2, True)
    code, _, err = run("replay", "--name", "x", "--topic", "no-such-topic")
    assert (code, "has no topic" in err) == (1, True)
    query("UPDATE policy SET label_floor = '2026-03-02' RETURNING 1")
    code, _, err = run("replay", "--name", "x", "--topic", topic, "--from", "2026-03-01T00:00:00Z")
    assert (code, "2026-03-02T00:00:00Z" in err) == (1, True)


def test_a_replay_waits_for_the_live_stream(
    command: Callable[..., Any],
    run: Callable[..., Any],
    query: Callable[..., Any],
    eventually: Callable[..., None],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
) -> None:
    topic = make_topic(partitions=1)
    produce(topic, [a_post(number) for number in range(600)])
    assert run("run", "--drain", WORKER_TOPICS=topic)[0] == 0
    produce(topic, [a_post(number) for number in range(600, 1_200)])
    live = command("run", WORKER_TOPICS=topic, WORKER_MODEL="stub:20", WORKER_BATCH_POSTS="5")
    live_at = (
        "SELECT min(next_offset)::int FROM stream_offsets "
        "WHERE consumer_group NOT LIKE '%.replay.%'"
    )
    eventually(lambda: query(live_at)[0][0] > 600)
    replay = command(
        *("replay", "--name", "beside", "--topic", topic, "--max-live-lag", "100"),
        *("--rate", "100", "--log-format", "json"),
    )
    eventually(lambda: "the replay waits for the live stream" in replay.log.read_text())
    read = query(OUTCOMES)[0][0] or 0
    time.sleep(1.5)
    # What was read before it knew is stored; no more is.
    assert (query(OUTCOMES)[0][0] or 0) - read <= 200
    assert replay.wait(60) == 0
    assert "the replay goes on" in replay.log.read_text()
    assert query(live_at)[0][0] > 1_100
    live.send_signal(signal.SIGTERM)
    assert live.wait(15) == 0
    exact(run)


def test_files_are_read_as_logs_and_shared_out(
    command: Callable[..., Any],
    run: Callable[..., Any],
    query: Callable[..., Any],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
    tmp_path: Path,
) -> None:
    topic = make_topic(partitions=1)
    produce(topic, [a_post(number) for number in range(20)])
    assert run("run", "--drain", WORKER_TOPICS=topic)[0] == 0
    lines = [a_post(number)[1] for number in range(300)]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines[:100]) + b"\n\n{no json\n")
    with gzip.open(tmp_path / "b.jsonl.gz", "wb") as file:
        file.write(b"\n".join(lines[100:200]))
    table = pyarrow.Table.from_pylist([json.loads(line) for line in lines[200:]])
    pyarrow.parquet.write_table(table, tmp_path / "c.parquet")
    (tmp_path / "copy-of-a.jsonl").write_bytes((tmp_path / "a.jsonl").read_bytes())
    arguments = ("replay", "--name", "old", "--topic", "archive")
    patterns = ("--from-files", "*.jsonl", "--from-files", "[b-c].*")
    settings = {"WORKER_KAFKA_BOOTSTRAP_SERVERS": "", "WORKER_BATCH_POSTS": "16"}
    first, second = (command(*arguments, *patterns, "--rate", "100", **settings) for _ in range(2))
    assert (first.wait(60), second.wait(60)) == (0, 0), first.log.read_text()
    assert "took a file over" not in first.log.read_text() + second.log.read_text()
    assert query("SELECT state, files FROM replays") == [("finished", True)]
    counts = "SELECT sum(consumed)::int, sum(dead_lettered)::int FROM stream_offsets"
    assert query(f"{counts} WHERE topic = 'archive'") == [(301, 1)]
    # What stood before keeps its topic.
    assert query("SELECT topic, count(*)::int FROM post_emotions GROUP BY 1 ORDER BY 2") == [
        (topic, 20),
        ("archive", 280),
    ]
    exact(run)
    code, out, err = run(*arguments, *patterns, **settings)
    assert (code, "has read all" in out) == (0, True), err
    (tmp_path / "junk.jsonl").write_bytes(b"junk\n" * 500)
    (tmp_path / "cut.jsonl.gz").write_bytes((tmp_path / "b.jsonl.gz").read_bytes()[:-20])
    for wrong, said in (
        (("--from-files", "cut.jsonl.gz"), "cannot be read"),
        (("--from-files", "nothing*"), "no such file"),
        (("--from-files", "*.log"), "not known by its name"),
        ((), "reads files"),
        (("--from-files", "junk.jsonl"), "does not read junk.jsonl"),
    ):
        code, _, err = run(*arguments, *wrong)
        assert (code in {1, 2}, said in err) == (True, True), err
    code, _, err = run("replay", "--name", "junk", "--topic", "t", "--from-files", "junk.jsonl")
    assert (code, "are no posts" in err) == (1, True), err
    assert query("SELECT count(*) FROM dead_letters") == [(1,)]


@pytest.mark.slow
@pytest.mark.slow
def test_a_process_that_does_not_know_of_a_longer_range_does_no_harm(
    command: Callable[..., Any],
    run: Callable[..., Any],
    query: Callable[..., Any],
    eventually: Callable[..., None],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
) -> None:
    topic = make_topic(partitions=2)
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    records = []
    for number in range(400):
        time_ = noon + timedelta(minutes=number)
        key, value, _, _ = a_post(number, created_at=time_.isoformat())
        records.append((key, value, None, round(time_.timestamp() * 1_000)))
    produce(topic, records)
    arguments = ("replay", "--name", "more", "--topic", topic)
    first = command(
        *arguments, "--to", "2026-03-01T15:00:00Z", "--rate", "20", WORKER_BATCH_POSTS="5"
    )
    eventually(lambda: (query(OUTCOMES)[0][0] or 0) > 10)
    code, _, err = run(*arguments, "--resume", "--to", "now")
    assert code == 0, err
    # It is refused with what it read for the shorter range, or has nothing left to read.
    assert first.wait(20) in {0, 1}
    assert query(GENERATIONS) == [(1, 400)]
    exact(run)
