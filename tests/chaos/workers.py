"""The workers under test: real processes of the installed command, and what they said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

ROOT = Path(__file__).parents[2]
UNREACHABLE = 3
"""The exit code of a worker that does not find a service at its start."""
STOP_S = 10.0
"""A worker that is told to stop is gone within this."""


@dataclass(slots=True)
class Running:
    """A worker process.

    Attributes:
        number: The suite's name for it; `chaos.worker` in its database sessions.
        taken: Whether a fault works on it just now.
    """

    number: int
    process: subprocess.Popen[bytes]
    log: Path
    taken: bool = False


class Fleet:
    """The processes of one consumer group.

    Args:
        settings: `WORKER_...` of all of them, the database's URL excepted.
        url: The database's URL, through the proxy.
        folder: For their logs.
        guard: Which guard is taken out of them; None: they are as installed.
    """

    def __init__(
        self, settings: Mapping[str, str], url: str, folder: Path, guard: str | None = None
    ) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WORKER_")}
        self._environment = {**kept, **settings}
        self._url = url
        self._folder = folder
        self._command = (
            [str(Path(sys.executable).with_name("emotion-worker"))]
            if guard is None
            else [sys.executable, "-m", "tests.chaos.mutant", guard]
        )
        self._lock = threading.Lock()
        self._workers: list[Running] = []
        self._beside: list[Running] = []
        self.pids: dict[str, int] = {}
        self.problems: list[str] = []
        self.gave_up = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in (*self._workers, *self._beside):
            with suppress(ProcessLookupError):
                worker.process.send_signal(signal.SIGCONT)
            worker.process.kill()
            worker.process.wait()

    def __len__(self) -> int:
        return len([worker for worker in self._workers if worker.process.poll() is None])

    def start(self, **settings: str) -> Running:
        """Starts one more, with settings of its own."""
        with self._lock:
            number = len(self.pids)
            log = self._folder / f"worker-{number}.log"
            worker = Running(number, self._spawn(("run",), number, settings, log), log)
            self._workers.append(worker)
            self.pids[str(number)] = worker.process.pid
        return worker

    def _spawn(
        self, arguments: tuple[str, ...], number: int, settings: Mapping[str, str], log: Path
    ) -> subprocess.Popen[bytes]:
        options = f"options=-c%20chaos.worker%3D{number}"
        query = "&".join(filter(None, [urlsplit(self._url).query, options]))
        url = urlsplit(self._url)._replace(query=query).geturl()
        with log.open("wb") as stream:
            return subprocess.Popen(
                [*self._command, *arguments],
                env={**self._environment, **settings, "WORKER_DATABASE_URL": url},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
            )

    def start_beside(self, *arguments: str) -> Running:
        """Starts another command of the same program, which is none of the workers."""
        log = self._folder / f"{arguments[0]}-{time.monotonic_ns()}.log"
        beside = Running(-1, self._spawn(arguments, -1, {}, log), log)
        with self._lock:
            self._beside.append(beside)
        return beside

    def command(self, *arguments: str, timeout_s: float = 60) -> tuple[int, str]:
        """Runs another command of the same program to its end: exit code, and what it said."""
        log = self._folder / f"{arguments[0]}-{time.monotonic_ns()}.log"
        process = self._spawn(arguments, -1, {}, log)
        try:
            return process.wait(timeout_s), log.read_text()
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return -1, f"{arguments[0]} did not end in {timeout_s:.0f} s: {log.read_text()}"

    def take(self, random: Random) -> Running | None:
        """A running worker on which no other fault works; `release` gives it back."""
        with self._lock:
            free = [w for w in self._workers if not w.taken and w.process.poll() is None]
            if not free:
                return None
            worker = random.choice(free)
            worker.taken = True
            return worker

    def release(self, worker: Running) -> None:
        worker.taken = False

    def kill(self, worker: Running) -> None:
        worker.process.kill()
        worker.process.wait()
        self._forget(worker)

    def freeze(self, worker: Running, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after so long."""
        worker.process.send_signal(signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            worker.process.send_signal(signal.SIGCONT)

    def leave(self, worker: Running) -> None:
        """SIGTERM: it must end well, and in time."""
        worker.process.terminate()
        try:
            code = worker.process.wait(STOP_S)
            said = worker.log.read_text(errors="replace")
            if code == -signal.SIGTERM and not said:
                pass  # it had only just been started, and nobody listened yet
            elif code == UNREACHABLE and '"reading"' not in said:
                self.gave_up += 1
            elif code != 0:
                self.problems.append(f"worker {worker.number} left with exit code {code}")
        except subprocess.TimeoutExpired:
            self.problems.append(f"worker {worker.number} took over {STOP_S:.0f} s to leave")
            worker.process.kill()
            worker.process.wait()
        self._forget(worker)

    def _forget(self, worker: Running) -> None:
        with self._lock:
            self._workers.remove(worker)

    def replace_ended(self) -> None:
        """A worker that ended on its own is a problem, and is replaced.

        One that was started while a service was away, and said so, is none: whoever started it is
        to start it again.
        """
        for worker in list(self._workers):
            code = worker.process.poll()
            if code is not None and not worker.taken:
                said = worker.log.read_text(errors="replace").strip()
                if code == UNREACHABLE and '"reading"' not in said:
                    self.gave_up += 1
                else:
                    last = said.rpartition("\n")[2] or "without a word"
                    self.problems.append(
                        f"worker {worker.number} ended on its own with exit code {code}: {last}"
                    )
                self._forget(worker)
                self.start()

    def stop(self) -> None:
        """All leave, at the same time."""
        threads = [
            threading.Thread(target=self.leave, args=(worker,)) for worker in list(self._workers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def said(self) -> Counter[str]:
        """How often which event was logged, warnings and worse alone."""
        events: Counter[str] = Counter()
        for log in self._folder.glob("worker-*.log"):
            for line in log.read_text(errors="replace").splitlines():
                with suppress(ValueError, TypeError, KeyError):
                    entry = json.loads(line)
                    if entry["level"] != "info":
                        events[entry["event"]] += 1
        return events


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
