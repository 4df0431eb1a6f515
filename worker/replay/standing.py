"""How far a replay is, all its processes together."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

from worker.errors import StoreUnavailableError, WorkerError
from worker.store import replays

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from worker.store.replays import State, Stretch
    from worker.store.session import Session

NOTE_S: Final = 1.0
RATE_S: Final = 30.0
"""The rate is that of the last so many seconds."""
_READS: Final = {"running", "finished"}
"""States in which somebody may read for it."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a replay is.

    Attributes:
        stretches: By partition.
        rate: Offsets a second, lately; 0 before that is known.
        waits: Whether this process waits for the live stream.
    """

    stretches: Sequence[Stretch]
    rate: float
    waits: bool

    @property
    def left(self) -> int:
        """Offsets that are still to be gone past."""
        return sum(one.left for one in self.stretches)

    @property
    def remaining_s(self) -> float | None:
        """Seconds until it is done; None if that is not known."""
        return self.left / self.rate if self.rate > 0 else None


class Noting:
    """Writes down how far a replay is, every second, on a thread of its own.

    Args:
        session: With the database, for this alone.
        name: The replay's.
        report: Called with how far it is.
        stop: Called once the replay was taken away.
        waits: Whether this process waits for the live stream.
    """

    def __init__(
        self,
        session: Session,
        name: str,
        *,
        report: Callable[[Standing], None],
        stop: Callable[[], None],
        waits: Callable[[], bool],
    ) -> None:
        self._session = session
        self._name = name
        self._report = report
        self._stop = stop
        self._waits = waits
        self._seen: deque[tuple[float, int]] = deque()
        self._ended = Event()
        self._thread = Thread(target=self._run, name="replay progress", daemon=True)

    def __enter__(self) -> Self:
        """Begins."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends; what is under way is waited for."""
        self._ended.set()
        self._thread.join(2 * NOTE_S)

    def final(self) -> tuple[Standing, bool]:
        """How far it is in the end, and whether it has read all; after the thread ended.

        Raises:
            WorkerError: The replay was taken away.
        """
        standing, state = self._note()
        self._session.close()
        if state not in _READS:
            raise WorkerError(
                f"The replay {self._name} is {state.replace('_', ' ')}: it reads nothing more."
            )
        return standing, state == "finished"

    def _run(self) -> None:
        while not self._ended.wait(NOTE_S):
            try:
                standing, state = self._note()
            except StoreUnavailableError:  # the worker says so
                continue
            except WorkerError:  # `final` says so
                self._stop()
                return
            if state not in _READS:
                self._stop()
            self._report(standing)

    def _note(self) -> tuple[Standing, State]:
        stretches, state = self._session.run(lambda c: replays.note(c, self._name))
        now, passed = time.monotonic(), sum(one.passed for one in stretches)
        self._seen.append((now, passed))
        while now - self._seen[0][0] > RATE_S:
            self._seen.popleft()
        since, before = self._seen[0]
        rate = (passed - before) / (now - since) if now > since else 0.0
        return Standing(stretches, max(0.0, rate), self._waits()), state
