"""Day partitions of the labels: made when their first post comes, within reason."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from psycopg import sql

from worker.store.locks import lock_partitions

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psycopg

PAST: Final = timedelta(days=400)
FUTURE: Final = timedelta(days=2)
"""Days further from today lie together in the default partition: odd dates make no partitions."""


def partition_name(day: date) -> str:
    """The partition that holds `day` (UTC)."""
    return f"post_emotions_{day:%Y%m%d}"


def day_of(name: str) -> date:
    """The day whose partition is called `name`."""
    return datetime.strptime(name[-8:], "%Y%m%d").replace(tzinfo=UTC).date()


def wanted(days: Iterable[date], today: date) -> list[date]:
    """Those of `days` that deserve a partition of their own, in order."""
    return sorted(day for day in set(days) if today - PAST <= day <= today + FUTURE)


def ensure_day(connection: psycopg.Connection, day: date) -> bool:
    """Makes the partition of `day` unless it stands; moves in what lay in the default partition.

    It attaches rather than creates in place, which would lock readers and writers of every other
    day out. The caller's transaction is committed; it waits for no longer than its lock timeout.

    Returns:
        Whether the partition was made now.
    """
    name = sql.Identifier(partition_name(day))
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    bounds = {"start": sql.Literal(start), "end": sql.Literal(start + timedelta(days=1))}
    with connection.cursor() as cursor:
        lock_partitions(cursor)
        row = cursor.execute(
            "SELECT to_regclass(%s) IS NOT NULL", (partition_name(day),)
        ).fetchone()
        if row is not None and row[0]:
            connection.commit()
            return False
        cursor.execute("LOCK TABLE post_emotions_default IN ACCESS EXCLUSIVE MODE")
        cursor.execute(sql.SQL("CREATE TABLE {} (LIKE post_emotions INCLUDING ALL)").format(name))
        cursor.execute(
            sql.SQL(
                "WITH moved AS (DELETE FROM post_emotions_default "
                "WHERE created_at >= {start} AND created_at < {end} RETURNING *) "
                "INSERT INTO {name} SELECT * FROM moved"
            ).format(name=name, **bounds)
        )
        cursor.execute(
            sql.SQL(
                "ALTER TABLE post_emotions ATTACH PARTITION {name} "
                "FOR VALUES FROM ({start}) TO ({end})"
            ).format(name=name, **bounds)
        )
    connection.commit()
    return True
