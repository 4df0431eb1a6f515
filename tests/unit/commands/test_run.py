"""Signals while the worker starts, and the end that comes whatever it hangs in."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

HANGS = """
import logging, time
from threading import Event, Thread
from worker.commands.stopping import end_in_time

logging.basicConfig()
[handler] = logging.getLogger().handlers
held = Event()

def hold():
    handler.acquire()
    held.set()
    time.sleep(60)

Thread(target=hold, daemon=True).start()
held.wait()
end_in_time(0.3)
time.sleep(60)
"""


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """Something that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        yield server


def _environment(server: socket.socket) -> dict[str, str]:
    silent = server.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WORKER_")}
    return {
        **kept,
        "WORKER_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{silent}",
        "WORKER_DATABASE_URL": f"postgresql://127.0.0.1:{silent}/posts",
        "WORKER_METRICS_PORT": "0",
        "WORKER_MODEL": "stub",
        "WORKER_LOG_FORMAT": "json",
    }


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_worker_starts_is_obeyed_at_once(
    silent: socket.socket, number: signal.Signals, tmp_path: Path
) -> None:
    program = Path(sys.executable).with_name("emotion-worker")
    with subprocess.Popen(
        [program, "run"],
        env=_environment(silent),
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            connection, _ = silent.accept()
            with connection:
                process.send_signal(number)
                assert process.wait(5) == 0
        finally:
            process.kill()


def test_a_process_that_hangs_with_the_lock_of_its_log_ends_in_time() -> None:
    done = subprocess.run([sys.executable, "-c", HANGS], timeout=20, check=False)
    assert done.returncode == 0
