"""What a replay costs the live stream: commit times with and without one beside it.

    python -m benchmarks.replay [--rate N] [--replay-rate N] [--seconds S] [--model BUNDLE] [--json]

A worker labels a steady stream; a replay reads a backlog of old posts meanwhile. A post's commit
time is from its record's timestamp to its transaction, by the clock of this one machine. The two
are measured one after the other, several times in turn, on the same worker.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import psycopg
from rich.console import Console
from rich.table import Table

from worker.local.feed import generate
from worker.local.services import LocalServices
from worker.settings import given_settings
from worker.source.admin import ensure_topic
from worker.source.producer import Producer
from worker.store import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from worker.settings import Settings

TOPIC = "posts"
WARM_S = 10.0
TIMES = """
SELECT
    percentile_cont(0.5) WITHIN GROUP (ORDER BY s), percentile_cont(0.99) WITHIN GROUP (ORDER BY s),
    count(*)
FROM (
    SELECT extract(epoch FROM labelled_at - created_at)::float8 AS s
    FROM post_emotions
    WHERE post_id LIKE 'live-%%' AND created_at BETWEEN %s AND %s
) AS t
"""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rate", type=float, default=50, help="live posts a second")
    parser.add_argument("--replay-rate", type=float, default=50, help="the replay's; 0: no limit")
    parser.add_argument("--seconds", type=float, default=20, help="of each of the turns")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--backlog", type=int, default=20_000)
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    with ExitStack() as stack:
        services = stack.enter_context(LocalServices())
        settings = given_settings(
            kafka_bootstrap_servers=services.bootstrap_servers,
            database_url=services.database_url,
            kafka_session_timeout_ms=2_000,
            topics=(TOPIC,),
            model=options.model,
            metrics_port=0,
        )
        console.print(f"publishing a backlog of {options.backlog} posts")
        _backlog(settings, options.backlog)
        # The live group begins behind it: what it would have labelled is the replay's to do.
        _run(settings, "offsets", "set", "--topic", TOPIC, "--to", "latest").wait()
        worker = _run(settings, "run")
        stack.callback(_end, worker)
        stack.enter_context(_live(settings, options.rate))
        time.sleep(WARM_S)
        turns = []
        for number in range(options.turns):
            for beside in (False, True):
                console.print(f"turn {number + 1}: {'with' if beside else 'without'} a replay")
                turns.append((beside, _turn(settings, options, number, beside=beside)))
    result = _result(options, turns)
    if options.json:
        print(json.dumps(result))
    else:
        Console().print(_table(result))


def _turn(
    settings: Settings, options: argparse.Namespace, number: int, *, beside: bool
) -> dict[str, Any]:
    with ExitStack() as stack:
        replayed = 0
        if beside:
            name = f"bench{number}"
            rate = ["--rate", str(options.replay_rate)] if options.replay_rate else []
            replay = _run(settings, "replay", "--name", name, *rate)
            stack.callback(_end, replay)
            _wait_for_replay(settings, name)
        before = _replayed(settings)
        began = datetime.now(UTC)
        time.sleep(options.seconds)
        ended = datetime.now(UTC)
        replayed = _replayed(settings) - before
        time.sleep(1.0)
    with psycopg.connect(settings.database) as connection:
        row = connection.execute(TIMES, (began, ended)).fetchone()
    assert row is not None
    return {
        "p50_s": row[0],
        "p99_s": row[1],
        "live_per_s": row[2] / options.seconds,
        "replayed_per_s": replayed / options.seconds,
    }


def _wait_for_replay(settings: Settings, name: str) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with psycopg.connect(settings.database) as connection:
            row = connection.execute(
                "SELECT progress > 0 FROM replays WHERE name = %s", (name,)
            ).fetchone()
        if row is not None and row[0]:
            return
        time.sleep(0.2)
    raise SystemExit("the replay did not begin in two minutes")


def _replayed(settings: Settings) -> int:
    with psycopg.connect(settings.database) as connection:
        row = connection.execute(
            "SELECT coalesce(sum(consumed), 0)::int FROM stream_offsets "
            "WHERE consumer_group IN (SELECT consumer_group FROM replays)"
        ).fetchone()
    return 0 if row is None else int(row[0])


def _backlog(settings: Settings, posts: int) -> None:
    migrate.upgrade(settings.database)
    ensure_topic(settings, TOPIC, 4)
    feed = generate(posts, seed=7, end=datetime.now(UTC) - timedelta(hours=1))
    with Producer(settings) as producer:
        for record in feed.records:
            producer.send(TOPIC, record.key, record.value, timestamp_ms=record.timestamp_ms)
        producer.flush()


@contextmanager
def _live(settings: Settings, rate: float) -> Iterator[None]:
    """Posts at a steady rate, created as they are sent."""
    texts = _texts()
    stop = Event()

    def send() -> None:
        with Producer(settings) as producer:
            began, number = time.monotonic(), 0
            while not stop.wait(0.005):
                while number < (time.monotonic() - began) * rate:
                    now = time.time()
                    post: dict[str, Any] = {
                        "id": f"live-{number}",
                        "text": f"{texts[number % len(texts)]} {number}",
                        "created_at": now,
                    }
                    producer.send(
                        TOPIC,
                        post["id"].encode(),
                        json.dumps(post).encode(),
                        timestamp_ms=round(now * 1_000),
                    )
                    number += 1
                producer.flush()

    thread = Thread(target=send, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(5)


def _texts() -> list[str]:
    texts = []
    for record in generate(2_000, seed=11, end=datetime.now(UTC)).records:
        with suppress(ValueError, KeyError, TypeError):
            texts.append(json.loads(record.value or b"")["text"])
    return texts


def _run(settings: Settings, *arguments: str) -> subprocess.Popen[bytes]:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("WORKER_")},
        "WORKER_KAFKA_BOOTSTRAP_SERVERS": settings.kafka,
        "WORKER_DATABASE_URL": settings.database,
        "WORKER_KAFKA_SESSION_TIMEOUT_MS": str(settings.kafka_session_timeout_ms),
        "WORKER_TOPICS": TOPIC,
        "WORKER_MODEL": settings.model,
        "WORKER_METRICS_PORT": "0",
        "WORKER_LOG_FORMAT": "json",
    }
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("emotion-worker")), *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(12)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _result(
    options: argparse.Namespace, turns: Sequence[tuple[bool, dict[str, Any]]]
) -> dict[str, Any]:
    result: dict[str, Any] = {
        "model": options.model,
        "cores": len(os.sched_getaffinity(0)),
        "rate": options.rate,
        "replay_rate": options.replay_rate or None,
    }
    for name, beside in (("without", False), ("with", True)):
        mine = [turn for kind, turn in turns if kind is beside]
        result[name] = {key: sorted(turn[key] for turn in mine)[len(mine) // 2] for key in mine[0]}
    result["p99_ratio"] = result["with"]["p99_s"] / result["without"]["p99_s"]
    return result


def _table(result: dict[str, Any]) -> Table:
    table = Table(title=f"{result['model']}, {result['cores']} cores: medians of the turns")
    table.add_column("")
    for name in ("live posts/s", "replayed/s", "commit p50", "commit p99"):
        table.add_column(name, justify="right")
    for name in ("without", "with"):
        one = result[name]
        table.add_row(
            f"{name} a replay",
            f"{one['live_per_s']:.0f}",
            f"{one['replayed_per_s']:.0f}",
            f"{one['p50_s'] * 1_000:.0f} ms",
            f"{one['p99_s'] * 1_000:.0f} ms",
        )
    table.caption = f"p99 with / without: {result['p99_ratio']:.2f}"
    return table


if __name__ == "__main__":
    main()
