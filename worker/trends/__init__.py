"""Trends without a database: series of windows, and what stood out in them."""

from __future__ import annotations

from worker.trends.events import Episode, Events, ModelRun, Spike, episodes
from worker.trends.series import (
    ALL,
    DIMENSIONS,
    EMOTIONS,
    GRANULARITIES,
    ORIGIN,
    UNCERTAIN,
    UNLABELLED,
    Series,
    TrendRow,
    Trends,
    Window,
    build,
    display_name,
    floor,
    granularity_for,
    merge,
    window_starts,
)

__all__ = [
    "ALL",
    "DIMENSIONS",
    "EMOTIONS",
    "GRANULARITIES",
    "ORIGIN",
    "UNCERTAIN",
    "UNLABELLED",
    "Episode",
    "Events",
    "ModelRun",
    "Series",
    "Spike",
    "TrendRow",
    "Trends",
    "Window",
    "build",
    "display_name",
    "episodes",
    "floor",
    "granularity_for",
    "merge",
    "window_starts",
]
