"""A replay beside the live stream, in place, by two processes that are killed now and then."""

from __future__ import annotations

import threading
from random import Random
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from tests.chaos.oracle import Place
    from tests.chaos.workers import Fleet, Running

NAME = "chaos"
UNFIT = {"broker killed"}
"""Faults that take the log away: a replay of it ends with an error, as it should."""
PAUSE_S = (1.0, 6.0)
FINISH_S = 180.0
RATE = "60"


class Replaying:
    """Starts, kills and starts again, from its own thread, until told to finish.

    Args:
        fleet: Whose command and settings.
        seed: When it kills.
        topics: What is replayed.
    """

    def __init__(self, fleet: Fleet, seed: int, topics: Sequence[str]) -> None:
        self._fleet = fleet
        self._random = Random(f"{seed} replay")
        self._arguments = ("replay", "--name", NAME, *(f"--topic={topic}" for topic in topics))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="replaying")
        self.problems: list[str] = []
        self.kills = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def finish(self) -> None:
        """Lets it come to its end, undisturbed."""
        self._stop.set()
        self._thread.join()
        code, said = self._fleet.command(*self._arguments, timeout_s=FINISH_S)
        if code != 0:
            self.problems.append(f"replay: exit code {code}: {said.strip()[-500:]}")

    def _run(self) -> None:
        running: list[Running] = []
        while not self._stop.is_set():
            running = [one for one in running if one.process.poll() is None]
            while len(running) < 2:
                running.append(self._fleet.start_beside(*self._arguments, "--rate", RATE))
            self._stop.wait(self._random.uniform(*PAUSE_S))
            victim = self._random.choice(running)
            if victim.process.poll() is None:
                victim.process.kill()
                victim.process.wait()
                self.kills += 1
        for one in running:
            one.process.kill()
            one.process.wait()


def replayed(connection: psycopg.Connection) -> dict[Place, int]:
    """Up to where each log was replayed."""
    rows = connection.execute(
        "SELECT topic, topic_id, kafka_partition, end_offset FROM replay_logs WHERE replay = %s",
        (NAME,),
    ).fetchall()
    return {(row[0], row[1], row[2]): row[3] for row in rows}
