"""Notices a thread that stands still, from outside: says so once, with where all threads are."""

from __future__ import annotations

import logging
from threading import Event, Thread
from typing import TYPE_CHECKING

from worker.health import stacks

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from worker.health import Health
    from worker.metrics import Metrics

log = logging.getLogger(__name__)


class Watchdog:
    """A thread that looks at `Health`; a context manager.

    What stands still fails liveness by itself: this is for the log, and for those who count.
    Partitions that stand still are counted where they are mended.

    Args:
        health: What stands still.
        metrics: Where that is counted.
        every_s: How often to look, seconds.
    """

    def __init__(self, health: Health, metrics: Metrics, every_s: float) -> None:
        self._health = health
        self._metrics = metrics
        self._every_s = every_s
        self._stalled: frozenset[str] = frozenset()
        self._closed = Event()
        self._thread = Thread(target=self._run, name="watchdog", daemon=True)

    def look(self) -> None:
        """Says what has come to a stand-still since the last look, and what goes on again."""
        stalls = {stall.where: stall for stall in self._health.stalls()}
        for where in sorted(stalls.keys() - self._stalled):
            stall = stalls[where]
            if stall.what != "partition":
                self._metrics.stalled(stall.what)
            log.error(
                "stalled: liveness fails until it goes on",
                extra={"what": where, "reason": stall.reason, "stacks": stacks()},
            )
        for where in sorted(self._stalled - stalls.keys()):
            log.warning("no longer stalled", extra={"what": where})
        self._stalled = frozenset(stalls)

    def _run(self) -> None:
        while not self._closed.wait(self._every_s):
            self.look()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed.set()
