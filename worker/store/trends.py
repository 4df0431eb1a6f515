"""Reads of the trend view, for a person: where the data ends, the loudest values, their windows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from worker.store.connection import errors_for_people
from worker.store.queries import query
from worker.trends import ALL, GRANULARITIES, ORIGIN, TrendRow, Trends, build, granularity_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

_EVER: Final = (datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC))


def read_newest(connection: psycopg.Connection) -> datetime | None:
    """The start of the newest minute with a post (of the hour or day, where retention took them).

    Returns:
        A time in UTC, or None if there are no trends yet.

    Raises:
        DependencyError: The database went away.
        WorkerError: The view is missing, or closed to this role.
    """
    newest: datetime | None = None
    since, until = _EVER
    for name, step in GRANULARITIES.items():  # few days, then 24 hours, then 60 minutes
        bounds = {"granularity": name, "since": since, "until": until}
        with errors_for_people():
            found = _time(connection.execute(query("trends_newest"), bounds).fetchone())
        if found is None:
            break
        newest, since, until = found, found, found + step
    return newest


def read_top_values(
    connection: psycopg.Connection,
    *,
    granularity: str,
    dimension: str,
    since: datetime,
    until: datetime,
    limit: int,
) -> list[str]:
    """The `limit` values of `dimension` with the most posts in the range, the largest first."""
    with errors_for_people():
        rows = connection.execute(
            query("trends_top"),
            {
                "granularity": granularity,
                "dimension": dimension,
                "since": since,
                "until": until,
                "limit": limit,
            },
        ).fetchall()
    return [value for (value,) in rows]


def read_series(
    connection: psycopg.Connection,
    *,
    granularity: str,
    dimension: str,
    values: Sequence[str] | None,
    since: datetime,
    until: datetime,
    width: timedelta | None = None,
) -> list[TrendRow]:
    """Rows of `emotion_trends`, by time, value and emotion.

    Args:
        connection: Any session that may read the view.
        granularity: `1m`, `1h` or `1d`.
        dimension: One of `worker.trends.DIMENSIONS`.
        values: The values wanted; None for all.
        since: First bucket.
        until: End of the range; buckets that start before it count.
        width: Sums the buckets to windows of this width, aligned to `worker.trends.ORIGIN`; a
            whole number of buckets. None: the buckets as they are.
    """
    step = GRANULARITIES[granularity] if width is None else width
    with errors_for_people():
        rows = connection.execute(
            query("trends_series"),
            {
                "granularity": granularity,
                "dimension": dimension,
                "values": None if values is None else list(values),
                "since": since,
                "until": until,
                "width": step,
                "origin": ORIGIN,
            },
        ).fetchall()
    return [
        TrendRow(start.astimezone(UTC), dimension, value, emotion, *figures)
        for start, value, emotion, *figures in rows
    ]


def read_complete_until(
    connection: psycopg.Connection, *, since: datetime, until: datetime
) -> datetime | None:
    """A time up to which everything was read, as far as buckets from `since` to `until` show it.

    Completeness grows in order of time, so that one complete bucket vouches for all before its
    end, also for those that have no row because nothing was said in them.
    """
    ends = []
    for name, step in GRANULARITIES.items():
        bounds = {"granularity": name, "since": since - step, "until": until}
        with errors_for_people():
            found = _time(connection.execute(query("trends_complete"), bounds).fetchone())
        if found is not None:
            ends.append(found + step)
    return max(ends, default=None)


def read_trends(
    connection: psycopg.Connection,
    *,
    width: timedelta,
    since: datetime,
    until: datetime,
    dimension: str = "all",
    values: Sequence[str] | None = None,
    limit: int = 10,
) -> Trends:
    """Everything that a table or picture of trends needs.

    Args:
        connection: Any session that may read the view.
        width: A window's width: whole minutes, at most 366 days.
        since: The first window's start, aligned (`worker.trends.floor`).
        until: The last window's end.
        dimension: One of `worker.trends.DIMENSIONS`.
        values: One series each; None: the `limit` values with the most posts.
        limit: How many values to choose.

    Raises:
        DependencyError: The database went away.
        ValueError: `width` does not fit.
        WorkerError: The view is missing, or closed to this role.
    """
    granularity = granularity_for(width)
    if dimension == "all":
        values = (ALL,)
    elif values is None:
        values = read_top_values(
            connection,
            granularity=granularity,
            dimension=dimension,
            since=since,
            until=until,
            limit=limit,
        )
    rows = read_series(
        connection,
        granularity=granularity,
        dimension=dimension,
        values=values,
        since=since,
        until=until,
        width=width,
    )
    return build(
        rows,
        dimension=dimension,
        values=values,
        width=width,
        since=since,
        until=until,
        complete_until=read_complete_until(connection, since=since, until=until),
    )


def _time(row: tuple[datetime | None] | None) -> datetime | None:
    return None if row is None or row[0] is None else row[0].astimezone(UTC)
