"""How far the live stream is behind, so that a replay gives way to it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

from worker.errors import DependencyError, WorkerError
from worker.source import TopicPartition
from worker.source.lookup import end_offsets
from worker.store.replays import live_positions

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from worker.settings import Settings
    from worker.store.session import Session

log = logging.getLogger(__name__)

LOOK_S: Final = 3.0
"""Between two looks: each asks broker and database once."""
AGAIN: Final = 0.5
"""Share of the threshold that the lag must fall under before the replay goes on: else it would
take back at once what it had given."""


@dataclass(slots=True)
class Yielding:
    """Whether the replay is to wait, as the last look found it.

    Attributes:
        most: Records that the live stream may be behind.
        waits: Whether it is behind by more.
    """

    most: int
    waits: bool = False

    def see(self, lag: int | None) -> None:
        """The live stream is behind by `lag` records; None: nobody works on it."""
        if lag is None:
            self.waits = False
        elif self.waits:
            self.waits = lag > self.most * AGAIN
        else:
            self.waits = lag > self.most


class LiveLag:
    """Looks at the live stream every few seconds, on a thread of its own.

    Only groups with workers count: a replay need not wait for a stream that nobody reads.

    Args:
        settings: Where the broker is, and the topics that the replay reads.
        session: With the database, for this thread alone.
        most: Records that the live stream may be behind.
    """

    def __init__(self, settings: Settings, session: Session, most: int) -> None:
        self._settings = settings
        self._session = session
        self._yielding = Yielding(most)
        self._stop = Event()
        self._thread = Thread(target=self._run, name="live lag", daemon=True)

    def __enter__(self) -> Self:
        """Begins to look."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops looking; nobody waits for a look that is under way."""
        self._stop.set()

    def yields(self) -> bool:
        """Whether the replay is to wait."""
        return self._yielding.waits

    def _run(self) -> None:
        while not self._stop.is_set():
            before = self._yielding.waits
            try:
                lag = self._lag()
            except (DependencyError, WorkerError) as error:
                # Trouble is no reason to go faster: as it was, until it is known again.
                log.debug("how far the live stream is behind is not known: %s", error)
                self._stop.wait(LOOK_S)
                continue
            self._yielding.see(lag)
            if self._yielding.waits != before:
                log.info(
                    "the replay waits for the live stream"
                    if self._yielding.waits
                    else "the replay goes on",
                    extra={"live_lag": lag},
                )
            self._stop.wait(LOOK_S)

    def _lag(self) -> int | None:
        positions = self._session.run(lambda c: live_positions(c, self._settings.topics))
        if not positions:
            return None
        ends = end_offsets(self._settings, [TopicPartition.of(place) for place in positions])
        return sum(
            max(0, ends.get(TopicPartition.of(place), 0) - position)
            for place, position in positions.items()
        )
