"""`/metrics`, `/livez` and `/readyz` of a worker that works, waits, or stands still."""

from __future__ import annotations

import re
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.integration, pytest.mark.e2e]

SAMPLE = re.compile(r"^emotion_worker_(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


@pytest.fixture
def port() -> int:
    """One that was free a moment ago."""
    with socket.create_server(("", 0)) as free:
        number: int = free.getsockname()[1]
    return number


@pytest.fixture
def ask(port: int) -> Callable[[str], tuple[int, str]]:
    """Status and body; 0 where nothing listens yet."""

    def get(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except (urllib.error.URLError, ConnectionError):
            return 0, ""

    return get


def samples(text: str) -> dict[tuple[str, str], float]:
    return {(name, labels): float(value) for name, labels, value in SAMPLE.findall(text)}


def test_metrics_say_what_the_ledger_says(
    command: Callable[..., Any],
    query: Callable[..., Any],
    eventually: Callable[..., None],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
    ask: Callable[[str], tuple[int, str]],
    port: int,
) -> None:
    topic = make_topic(partitions=2)
    produce(topic, [(b"", b"{no json", 0, None)] * 3)
    produce(topic, [(*a_post(number)[:2], number % 2, None) for number in range(40)])
    produce(topic, [(*a_post(number)[:2], number % 2, None) for number in range(5)])
    worker = command("run", WORKER_TOPICS=topic, WORKER_METRICS_PORT=str(port))
    eventually(lambda: ask("/readyz") == (200, "ok\n"))
    eventually(lambda: query("SELECT sum(consumed)::int FROM stream_offsets") == [(48,)])
    assert ask("/livez") == (200, "ok\n")

    def place(number: int) -> str:
        return f'partition="{number}",topic="{topic}"'

    def settled() -> bool:
        """Gauges follow within a look; heartbeats raise watermarks meanwhile."""
        shown = samples(ask("/metrics")[1])
        watermarks = query(
            "SELECT kafka_partition, extract(epoch FROM watermark)::float8 FROM stream_offsets"
        )
        return all(
            shown.get(("lag_records", place(number))) == 0
            and shown.get(("lag_seconds", place(number))) == 0
            and shown.get(("watermark_seconds", place(number))) == pytest.approx(watermark, abs=1)
            for number, watermark in watermarks
        )

    eventually(settled)
    shown = samples(ask("/metrics")[1])
    ledger = query(
        "SELECT sum(consumed)::int, sum(labelled)::int, sum(duplicates)::int, "
        "sum(dead_lettered)::int FROM stream_offsets"
    )
    consumed, labelled, duplicates, dead = ledger[0]
    assert shown["records_consumed_total", f'topic="{topic}"'] == consumed == 48
    assert shown["posts_total", 'outcome="labelled"'] == labelled == 40
    assert shown["posts_total", 'outcome="duplicates"'] == duplicates == 5
    assert shown["posts_total", 'outcome="dead_lettered"'] == dead == 3
    assert shown["dead_letters_total", 'reason="bad_json"'] == 3
    assert shown["end_to_end_seconds_count", ""] == 48
    assert 0 < shown["end_to_end_seconds_sum", ""] < 48 * 600
    assert shown["batch_posts_sum", ""] == 48
    assert shown["batch_tokens_sum", ""] > 40
    assert shown["batch_fill_ratio_count", ""] == shown["batch_posts_count", ""]
    batches = shown["batch_posts_count", ""]
    for stage in ("poll", "classify", "store"):
        # A batch without records, where only a position moved, is stored too.
        assert shown["stage_seconds_count", f'stage="{stage}"'] >= (
            1 if stage == "poll" else batches
        )
        assert shown["stage_up", f'stage="{stage}"'] == 1
        assert shown["queue_depth", f'stage="{stage}"'] == 0
        assert shown["stalls_total", f'what="{stage}"'] == 0
    for dependency in ("broker", "database"):
        assert shown["dependency_up", f'dependency="{dependency}"'] == 1
    assert shown["rebalances_total", ""] >= 1
    assert shown["fenced_batches_total", ""] == 0
    assert any(name == "model_info" and 'name="stub"' in labels for name, labels in shown)
    worker.terminate()
    assert worker.wait(15) == 0
    assert ask("/livez")[0] == 0


def test_a_database_that_is_away_makes_the_worker_wait_not_die(
    command: Callable[..., Any],
    eventually: Callable[..., None],
    make_topic: Callable[..., str],
    postgres_server: Any,
    database_url: str,
    ask: Callable[[str], tuple[int, str]],
    port: int,
) -> None:
    topic = make_topic(partitions=1)
    command("run", WORKER_TOPICS=topic, WORKER_METRICS_PORT=str(port), WORKER_STALL_SECONDS="3")
    eventually(lambda: ask("/readyz") == (200, "ok\n"))
    name = database_url.rpartition("/")[2]

    def accept(connections: bool) -> None:
        postgres_server._run(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS {connections}")

    accept(False)
    postgres_server._run(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    )
    eventually(lambda: ask("/readyz")[0] == 503)
    assert "the database is away" in ask("/readyz")[1]
    assert samples(ask("/metrics")[1])["dependency_up", 'dependency="database"'] == 0
    # Far longer than a stall: it goes round, and waits.
    until = time.monotonic() + 7
    while time.monotonic() < until:
        assert ask("/livez") == (200, "ok\n")
        time.sleep(0.2)
    accept(True)
    eventually(lambda: ask("/readyz") == (200, "ok\n"))


def test_a_stage_that_stands_still_fails_liveness_and_says_where_it_stands(
    command: Callable[..., Any],
    eventually: Callable[..., None],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
    ask: Callable[[str], tuple[int, str]],
    port: int,
) -> None:
    topic = make_topic(partitions=1)
    produce(topic, [a_post(1, text="canary-of-a-post", author_id="canary-of-an-author")])
    worker = command(
        "run",
        WORKER_TOPICS=topic,
        WORKER_MODEL="stub:60000",
        WORKER_METRICS_PORT=str(port),
        WORKER_STALL_SECONDS="2",
    )
    eventually(lambda: ask("/livez")[0] == 503)
    status, why = ask("/livez")
    assert re.fullmatch(r"the classify stage has not moved for \d+ s\n", why), why
    assert ask("/readyz") == (status, ask("/livez")[1])
    eventually(lambda: "stacks" in worker.log.read_text())
    shown = samples(ask("/metrics")[1])
    assert shown["stalls_total", 'what="classify"'] == 1
    assert shown["stage_up", 'stage="classify"'] == 0
    assert shown["stage_up", 'stage="poll"'] == 1
    log = worker.log.read_text()
    assert "classify:" in log, "whose stack it is"
    assert "in classify" in log, "where it stands"
    assert "canary" not in log

    started = time.monotonic()
    worker.terminate()
    assert worker.wait(15) == 0
    assert time.monotonic() - started < 10


def test_a_second_worker_gets_by_without_the_default_port(
    command: Callable[..., Any],
    run: Callable[..., Any],
    make_topic: Callable[..., str],
    eventually: Callable[..., None],
    ask: Callable[[str], tuple[int, str]],
    port: int,
) -> None:
    topic = make_topic(partitions=1)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind(("", 9108))
            other.listen()
        except OSError:
            pass  # whoever has it does as well
        code, _, log = run("run", "--drain", WORKER_TOPICS=topic, WORKER_METRICS_PORT="")
        assert code == 0, log
        assert "metrics are off" in log
        # One that was asked for is meant, also where it is the default.
        code, _, log = run("run", "--drain", WORKER_TOPICS=topic, WORKER_METRICS_PORT="9108")
        assert code == 2
        assert "WORKER_METRICS_PORT: port 9108 cannot be opened: address already in use" in log
        assert "Traceback" not in log


def test_port_zero_listens_nowhere(
    command: Callable[..., Any],
    query: Callable[..., Any],
    eventually: Callable[..., None],
    make_topic: Callable[..., str],
) -> None:
    topic = make_topic(partitions=1)
    worker = command("run", WORKER_TOPICS=topic, WORKER_METRICS_PORT="0")
    eventually(lambda: query("SELECT count(next_offset) FROM stream_offsets") == [(1,)])
    process = Path(f"/proc/{worker.pid}")
    sockets = {str(file.readlink()) for file in (process / "fd").iterdir()}
    listening = [
        line
        for family in ("tcp", "tcp6")
        for line in (process / "net" / family).read_text().splitlines()[1:]
        if line.split()[3] == "0A" and f"socket:[{line.split()[9]}]" in sockets
    ]
    assert listening == []
