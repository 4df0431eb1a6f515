"""The installed commands, as processes."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# Apache Kafka accepts no less than 6 s by default; the embedded broker lets a group's first member
# wait for half of it, so that there less is faster.
SESSION_MS = 6_000 if "WORKER_KAFKA_BOOTSTRAP_SERVERS" in os.environ else 2_000


@pytest.fixture
def environment(kafka_bootstrap: str, database_url: str) -> dict[str, str]:
    """What the commands need to find the broker and a fresh migrated database."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WORKER_")}
    return {
        **kept,
        "WORKER_KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
        "WORKER_DATABASE_URL": database_url,
        "WORKER_KAFKA_SESSION_TIMEOUT_MS": str(SESSION_MS),
        "WORKER_METRICS_PORT": "0",
        "WORKER_GROUP": f"test-{secrets.token_hex(4)}",
        "WORKER_MODEL": "stub",
    }


@pytest.fixture
def command(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Starts `emotion-worker ...`; whatever still runs in the end is killed."""
    program = Path(sys.executable).with_name("emotion-worker")
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object, **settings: str) -> subprocess.Popen[str]:
        log = (tmp_path / f"{len(started)}.log").open("w")
        process = subprocess.Popen(
            [str(program), *map(str, arguments)],
            env={**environment, **settings},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        log.close()
        process.log = tmp_path / f"{len(started)}.log"  # type: ignore[attr-defined]
        started.append(process)
        return process

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.communicate()


@pytest.fixture
def run(command: Callable[..., Any]) -> Callable[..., Any]:
    """Runs a command to its end: exit code, stdout, stderr."""

    def to_the_end(
        *arguments: object, timeout: float = 90, **settings: str
    ) -> tuple[int, str, str]:
        process = command(*arguments, **settings)
        out, _ = process.communicate(timeout=timeout)
        return process.returncode, out, process.log.read_text()

    return to_the_end


@pytest.fixture
def query(database_url: str) -> Iterator[Callable[..., list[tuple[Any, ...]]]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET TimeZone TO 'UTC'")
        yield lambda sql: connection.execute(sql).fetchall()


@pytest.fixture
def eventually() -> Callable[..., None]:
    def wait(condition: Callable[[], bool], seconds: float = 40) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not come to pass in time"
            time.sleep(0.05)

    return wait


@pytest.fixture
def a_post() -> Callable[..., tuple[bytes, bytes, None, None]]:
    """A record for `produce`."""
    start = datetime.now(UTC) - timedelta(hours=2)

    def make(number: int, **fields: object) -> tuple[bytes, bytes, None, None]:
        post: Mapping[str, object] = {
            "id": str(number),
            "platform": "tw",
            "text": f"post {number} says something #tag{number % 7}",
            "created_at": (start + timedelta(seconds=number % 5_000)).isoformat(),
            "lang": "en",
            **fields,
        }
        return f"tw:{number}".encode(), json.dumps(post).encode(), None, None

    return make
