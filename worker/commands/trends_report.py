"""Trends for programs: the JSON object and the CSV of `emotion-worker trends`."""

from __future__ import annotations

import csv
from io import StringIO
from typing import TYPE_CHECKING, Any, Final

from worker.spans import format_span

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from worker.trends import Episode, Events, ModelRun, TrendRow, Trends

_COLUMNS: Final = (
    *("bucket", "dimension", "value", "emotion"),
    *("posts", "total_posts", "share", "mean_score", "complete"),
)


def document(
    trends: Trends | None,
    events: Events,
    *,
    width: timedelta,
    step: timedelta | None,
    dimension: str,
) -> dict[str, Any]:
    """The JSON object that docs/reference/trends.md describes."""
    return {
        "window": format_span(width),
        "step": format_span(step or width),
        "dimension": dimension,
        "since": None if trends is None else iso(trends.since),
        "until": None if trends is None else iso(trends.until),
        "complete_until": None
        if trends is None or trends.complete_until is None
        else iso(trends.complete_until),
        "rows": [
            {
                name: figure
                for name, figure in zip(_COLUMNS, _figures(row), strict=True)
                if name != "dimension"
            }
            for row in _rows(trends)
        ],
        "spikes_since": None if events.since is None else iso(events.since),
        "spikes_note": events.note,
        "spikes": [_spike(one) for one in events.episodes],
        "models": [_model(run) for run in events.runs],
    }


def table(trends: Trends | None) -> str:
    """The same rows as CSV, with a header."""
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerow(_COLUMNS)
    # Names in quotes: some hold a line end of their own.
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    for row in _rows(trends):
        figures = _figures(row)
        writer.writerow(str(f).lower() if isinstance(f, bool) else f for f in figures)
    return text.getvalue()


def iso(time: datetime) -> str:
    """A time in UTC as RFC 3339 with a Z."""
    return time.isoformat().replace("+00:00", "Z")


def _rows(trends: Trends | None) -> list[TrendRow]:
    return [] if trends is None or trends.empty else trends.rows()


def _figures(row: TrendRow) -> tuple[Any, ...]:
    return (
        *(iso(row.bucket), row.dimension, row.value, row.emotion),
        *(row.posts, row.total_posts, row.share, row.mean_score, row.complete),
    )


def _spike(one: Episode) -> dict[str, Any]:
    peak = one.peak
    return {
        "since": iso(one.since),
        "until": iso(one.until),
        "at": iso(peak.at),
        "dimension": peak.dimension,
        "value": peak.value,
        "emotion": peak.emotion,
        "posts": peak.posts,
        "expected": peak.expected,
        "low": peak.low,
        "high": peak.high,
        "score": peak.score,
        "share_now": peak.share_now,
        "share_before": peak.share_before,
        "post_ids": peak.post_ids,
        "texts": peak.texts,
        "hashtags": peak.hashtags,
        "top_author_share": peak.top_author_share,
        "note": peak.note,
    }


def _model(run: ModelRun) -> dict[str, Any]:
    return {
        "model_id": run.model_id,
        "name": run.name,
        "version": run.version,
        "since": iso(run.since),
        "until": iso(run.until),
        "posts": run.posts,
        "complete": run.complete,
    }
