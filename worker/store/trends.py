"""Reads of trends, for a person: where the data ends, the loudest values, their windows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from worker.store.connection import errors_for_people
from worker.store.queries import query
from worker.trends import ALL, GRANULARITIES, ORIGIN, TrendRow, Trends, build, granularity_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
    return _end(connection, *GRANULARITIES, last=True)


def read_oldest(connection: psycopg.Connection) -> datetime | None:
    """The start of the oldest hour with a post; else as `read_newest`."""
    return _end(connection, "1d", "1h", last=False)


def _end(connection: psycopg.Connection, *granularities: str, last: bool) -> datetime | None:
    end: datetime | None = None
    since, until = _EVER
    for name in granularities:  # few days, then 24 hours, then 60 minutes
        bounds = {"granularity": name, "since": since, "until": until}
        with errors_for_people():
            row = connection.execute(query("trends_ends"), bounds).fetchone()
        found: datetime | None = None if row is None else row[last]
        if found is None:
            break
        end = found.astimezone(UTC)
        since, until = end, end + GRANULARITIES[name]
    return end


def read_known(connection: psycopg.Connection, *, dimension: str, value: str) -> bool:
    """Whether a post was ever counted for `value`: day cells are kept for good."""
    with errors_for_people():
        row = connection.execute(
            query("trends_known"), {"dimension": dimension, "value": value}
        ).fetchone()
    return row is not None and bool(row[0])


def read_top_values(
    connection: psycopg.Connection,
    *,
    granularity: str,
    dimension: str,
    since: datetime,
    until: datetime,
    limit: int,
) -> list[str]:
    """The `limit` values with the most labelled posts in the range, the largest first."""
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


def read_values(connection: psycopg.Connection, *, dimension: str, limit: int) -> list[str]:
    """The `limit` values with the most labelled posts ever."""
    since, until = _EVER
    return read_top_values(
        connection,
        granularity="1d",
        dimension=dimension,
        since=since,
        until=until,
        limit=limit,
    )


def read_series(
    connection: psycopg.Connection,
    *,
    granularity: str,
    dimension: str,
    values: Sequence[str] | None,
    since: datetime,
    until: datetime,
    width: timedelta | None = None,
    origin: datetime = ORIGIN,
) -> list[TrendRow]:
    """Rows of `emotion_trends`, by time, value and emotion.

    Args:
        connection: Any session that may read the view.
        granularity: `1m`, `1h` or `1d`.
        dimension: One of `worker.trends.DIMENSIONS`.
        values: The values wanted; None for all.
        since: First bucket.
        until: End of the range; buckets that start before it count.
        width: Sums the buckets to windows of this width; a whole number of buckets. None: the
            buckets as they are.
        origin: Where one of these windows starts.
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
                "origin": origin,
            },
        ).fetchall()
    return _rows(rows, dimension)


def read_rolling(
    connection: psycopg.Connection,
    *,
    width: timedelta,
    step: timedelta,
    dimension: str,
    values: Sequence[str],
    since: datetime,
    until: datetime,
) -> list[TrendRow]:
    """Rows of `emotion_rolling`: for each step, the window of `width` that ends with it."""
    with errors_for_people():
        rows = connection.execute(
            query("trends_rolling"),
            {
                "width": width,
                "step": step,
                "dimension": dimension,
                "values": list(values),
                "since": since,
                "until": until,
            },
        ).fetchall()
    return _rows(rows, dimension)


def _rows(rows: Iterable[tuple[Any, ...]], dimension: str) -> list[TrendRow]:
    return [
        TrendRow(start.astimezone(UTC), dimension, value, emotion, *figures)
        for start, value, emotion, *figures in rows
    ]


def read_complete_until(connection: psycopg.Connection) -> datetime | None:
    """Event time up to which everything was read, also where nothing was said; None if unknown."""
    with errors_for_people():
        row = connection.execute(query("trends_complete")).fetchone()
    return None if row is None or row[0] is None else row[0].astimezone(UTC)


def read_trends(
    connection: psycopg.Connection,
    *,
    width: timedelta,
    since: datetime,
    until: datetime,
    dimension: str = "all",
    values: Sequence[str] | None = None,
    limit: int = 10,
    step: timedelta | None = None,
) -> Trends:
    """Everything that a table or picture of trends needs.

    Args:
        connection: Any session that may read the view.
        width: A window's width: whole minutes, at most 366 days.
        since: The first step's start, aligned (`worker.trends.floor`).
        until: The last window's end, likewise.
        dimension: One of `worker.trends.DIMENSIONS`.
        values: One series each; None: the `limit` values with the most posts.
        limit: How many values to choose.
        step: From one window to the next, where they roll; None: as `width`.

    Raises:
        DependencyError: The database went away.
        ValueError: `width` or `step` does not fit.
        WorkerError: The view is missing, or closed to this role.
    """
    if step == width:
        step = None
    granularity = granularity_for(width if step is None else step)
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
    totals: list[TrendRow] | None = None
    series = partial(
        read_series,
        connection,
        granularity=granularity,
        dimension=dimension,
        values=values,
        since=since,
        until=until,
    )
    if step is None:
        rows = series(width=width)
    else:
        totals = series(width=until - since, origin=since)
        rows = read_rolling(
            connection,
            width=width,
            step=step,
            dimension=dimension,
            values=values,
            since=since,
            until=until,
        )
    return build(
        rows,
        dimension=dimension,
        values=values,
        width=width,
        since=since,
        until=until,
        complete_until=read_complete_until(connection),
        step=step,
        totals=totals,
    )
