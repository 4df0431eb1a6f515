"""Reads of what stood out in a range of time: spikes hour by hour, and the models at work."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import psycopg

from worker.store.connection import errors_for_people
from worker.store.queries import query
from worker.trends import Events, ModelRun, Spike, episodes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOURS: Final = 14 * 24
"""How many hours back spikes are searched for, at most."""
SECONDS: Final = 10.0
"""How long, at most: an hour takes some tens of milliseconds where there is much to compare."""
_HOUR: Final = timedelta(hours=1)
_SCORE: Final = 7


def read_events(
    connection: psycopg.Connection,
    *,
    since: datetime,
    until: datetime,
    dimension: str = "all",
    value: str | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Events:
    """What stood out from `since` to `until`.

    The newest hours are searched first, for at most `HOURS` hours and about `SECONDS`; the answer
    says how far that was. A role that may not read what `emotion_spikes` needs gets a note.

    Args:
        connection: A session in autocommit mode.
        since: Start of the range.
        until: Its end, not in the future of the data: an hour that has only begun looks quiet.
        dimension: Spikes of this dimension only; `all`: of every dimension.
        value: Spikes of this value only; None: of every value.
        clock: Seconds that only go forward.

    Raises:
        DependencyError: The database went away.
        WorkerError: The function is missing.
    """
    runs = read_model_runs(connection, since=since, until=until)
    notices: list[str] = []

    def heard(notice: psycopg.errors.Diagnostic) -> None:
        notices.append(notice.message_primary or "")

    spikes: list[Spike] = []
    notes: list[str] = []
    searched: datetime | None = None
    deadline = clock() + SECONDS
    connection.add_notice_handler(heard)
    try:
        for at in hours(since, until):
            if clock() > deadline:
                break
            rows = _ask(connection, at)
            if rows is None:
                notes.append("this role may not read what emotion_spikes needs")
                break
            if notices:
                # Silent nights have no such hours of before, and are no reason to stop at.
                notes.append(notices[0].removeprefix("emotion_spikes: "))
                notices.clear()
                continue
            searched = at - _HOUR
            for row in rows:
                # Without a score it is no spike: it says why the hour was not compared.
                if row[_SCORE] is None:
                    notes.append(row[-1])
                else:
                    spikes.append(_spike(at, row))
    finally:
        connection.remove_notice_handler(heard)
    return Events(
        episodes(
            spike
            for spike in spikes
            if dimension in {"all", spike.dimension} and value in {None, spike.value}
        ),
        since=searched,
        until=None if searched is None else until,
        note=notes[0] if notes else None,
        runs=runs,
    )


def hours(since: datetime, until: datetime) -> Iterator[datetime]:
    """Ends of the hours to ask about, the newest first: `until`, then full hours after `since`."""
    at = until.replace(second=0, microsecond=0)
    for _ in range(HOURS):
        if at - _HOUR < since:
            break
        yield at
        full = at.replace(minute=0)
        at = full if full < at else full - _HOUR


def read_model_runs(
    connection: psycopg.Connection, *, since: datetime, until: datetime
) -> tuple[ModelRun, ...]:
    """The rows of `emotion_model_changes` that reach into the range; none without the right to."""
    with errors_for_people():
        try:
            rows = connection.execute(
                query("trends_models"), {"since": since, "until": until}
            ).fetchall()
        except psycopg.errors.InsufficientPrivilege:
            return ()
    return tuple(
        ModelRun(model_id, name, version, begin.astimezone(UTC), end.astimezone(UTC), *rest)
        for model_id, name, version, begin, end, *rest in rows
    )


def _ask(connection: psycopg.Connection, at: datetime) -> list[tuple[Any, ...]] | None:
    """The function's rows for one hour; None without the right to."""
    with errors_for_people():
        try:
            return connection.execute(query("trends_spikes"), {"at": at}).fetchall()
        except psycopg.errors.InsufficientPrivilege:
            return None


def _spike(at: datetime, row: tuple[Any, ...]) -> Spike:
    *figures, post_ids, texts, hashtags, author, note = row
    behind = (tuple(post_ids), tuple(texts), tuple(hashtags))
    return Spike(at, *figures, *behind, author, note)  # type: ignore[call-arg]
