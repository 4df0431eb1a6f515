"""A clock that only a test moves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

START: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
"""When the posts of the tests begin."""


class ManualClock:
    """Seconds since some moment; calling it reads it, as with `time.monotonic`.

    Attributes:
        now: Seconds; a test adds to it.
    """

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def wall(self) -> datetime:
        """The wall clock that goes with it, UTC."""
        return START + timedelta(seconds=self.now)
