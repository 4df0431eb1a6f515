"""Upkeep by the clock, on a thread of its own: one of all the workers does it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from worker.errors import DependencyError, WorkerError
from worker.store.maintain import Maintained, maintain

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from worker.store.maintain import Keep
    from worker.store.session import Session

log = logging.getLogger(__name__)

FIRST_S: Final = 30.0
"""Before the first round: what begins has partitions to claim."""


class Upkeep:
    """Maintains the tables every `every_s` seconds. It never ends the worker.

    Args:
        session: Its own: a round may take minutes, and the store's has batches to write.
        keep: Retention.
        every_s: Between two rounds.
        stopping: Ends it.
        wall: Wall clock, UTC.
    """

    def __init__(
        self,
        session: Session,
        keep: Keep,
        *,
        every_s: float,
        stopping: Event,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._session = session
        self._keep = keep
        self._every_s = every_s
        self._stopping = stopping
        self._wall = wall
        self._refused: str | None = None

    def run(self) -> None:
        """Rounds until stopped."""
        wait = min(FIRST_S, self._every_s)
        while not self._stopping.wait(wait):
            self.turn()
            wait = self._every_s
        self._session.close()

    def turn(self) -> None:
        """One round."""
        try:
            done = maintain(self._session, self._keep, now=self._wall(), stop=self._stopping.is_set)
        except DependencyError as error:
            log.info("no upkeep this time", extra={"error": str(error)})
        except WorkerError as error:
            # A role that may only write, say: another's cron job does it. Said once.
            if str(error) != self._refused:
                log.warning("no upkeep by this worker", extra={"error": str(error)})
            self._refused = str(error)
        else:
            if done is not None and done != Maintained():
                log.info("upkeep", extra=done.words())
