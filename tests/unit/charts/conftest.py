from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from worker.trends import EMOTIONS, Events, ModelRun, Series, Spike, Trends, Window, episodes

if TYPE_CHECKING:
    from collections.abc import Callable

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CALM = (10, 30, 20, 10, 8, 12, 10, 5)
OUTAGE = (20, 10, 5, 90, 15, 10, 10, 5)
NOTHING = (0,) * len(EMOTIONS)


@pytest.fixture
def make_trends() -> Callable[..., Trends]:
    """`make_trends(counts, ...)`: a series per value, with the same windows."""

    def make(
        counts: list[tuple[int, ...]],
        *,
        values: tuple[str, ...] = ("*",),
        dimension: str = "all",
        width: timedelta = timedelta(minutes=15),
        incomplete: int = 0,
    ) -> Trends:
        windows = tuple(
            Window(START + i * width, row, (None,) * 6, i < len(counts) - incomplete)
            for i, row in enumerate(counts)
        )
        return Trends(
            dimension,
            width,
            START,
            START + len(counts) * width,
            tuple(Series(dimension, value, windows) for value in values),
        )

    return make


@pytest.fixture
def story_counts() -> list[tuple[int, ...]]:
    """Twelve calm windows, four of outrage, one empty, seven calm ones."""
    return [CALM] * 12 + [OUTAGE] * 4 + [NOTHING] + [CALM] * 7


@pytest.fixture
def make_events() -> Callable[..., Events]:
    """`make_events(hashtag, spikes)`: at most one of each emotion, in the hour from 14:30 on."""

    def make(value: str, spikes: int, *, changes: bool = False) -> Events:
        emotions = ("anger", "sadness", "joy", "fear", "love", "surprise", "anger", "joy")[:spikes]
        at = START + timedelta(hours=3, minutes=30)
        return Events(
            episodes(
                Spike(
                    at + 2 * (n // 6) * timedelta(hours=1), "hashtag", value, emotion, 90, 30.0,
                    10.0, 50.0, 20.0 - n, 0.5, 0.2, ("tw:1",), (), ("outage", "refund"), 0.4, None,
                )
                for n, emotion in enumerate(emotions)
            ),
            since=START,
            until=at,
            runs=tuple(
                ModelRun(
                    n, "builtin", f"1.{n}", START + n * timedelta(hours=2),
                    START + (n + 1) * timedelta(hours=2), 100, True,
                )
                for n in range(2 if changes else 1)
            ),
        )  # fmt: skip

    return make
