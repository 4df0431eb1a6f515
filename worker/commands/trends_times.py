"""From when to when to show, of what `--window`, `--step`, `--since` and `--until` say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import click

from worker.spans import parse_span
from worker.trends import floor, granularity_for

if TYPE_CHECKING:
    from click import Context, Parameter

DEFAULT_WINDOWS: Final = 24
MAX_WINDOWS: Final = 2_000

Moment = datetime | timedelta
"""A time in UTC, or how long before the end."""


class Width(click.ParamType[timedelta]):
    """A window's width, as 15m, 1h or 7d."""

    name = "duration"

    def convert(
        self, value: str | timedelta, param: Parameter | None, ctx: Context | None
    ) -> timedelta:
        """Whole minutes, which cells can fill."""
        if isinstance(value, timedelta):
            return value
        try:
            width = parse_span(value)
            granularity_for(width)
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)
        return width


class When(click.ParamType["Moment"]):
    """A time with a zone, or a duration before the end of the data."""

    name = "time"

    def convert(self, value: str | Moment, param: Parameter | None, ctx: Context | None) -> Moment:
        """In UTC."""
        if isinstance(value, (datetime, timedelta)):
            return value
        try:
            return parse_span(value)
        except ValueError:
            pass
        try:
            time = datetime.fromisoformat(value)
        except ValueError:
            self.fail(
                f"{value!r} is neither a time with a zone, as 2026-03-01T12:00:00Z, nor a "
                "duration, as 6h or 2d.",
                param,
                ctx,
            )
        if time.tzinfo is None:
            whole = time.isoformat(timespec="seconds")
            self.fail(f"{value!r} has no zone: write {whole}Z for UTC.", param, ctx)
        try:
            return time.astimezone(UTC)
        except OverflowError:
            self.fail("that is too far away.", param, ctx)


def window_range(
    newest: datetime,
    *,
    width: timedelta,
    since: Moment | None,
    now: datetime,
    step: timedelta | None = None,
    until: Moment | None = None,
    oldest: datetime | None = None,
) -> tuple[datetime, datetime]:
    """From where to where to show: aligned steps, the last of them with the newest data.

    Posts dated after `now` do not move the end. Without `since` it starts `DEFAULT_WINDOWS` windows
    before the end (fewer where that makes over `MAX_WINDOWS` steps), but not before `oldest`.

    Raises:
        OverflowError: `since` or `until` lies before all time.
    """
    pace = width if step is None else step
    end = floor(min(newest, now), pace) + pace
    if isinstance(until, timedelta):
        end = floor(end - until, pace)
    elif until is not None:
        end = floor(min(until, now) + pace - timedelta(microseconds=1), pace)
    if since is None:
        start = floor(end - min(DEFAULT_WINDOWS * width, MAX_WINDOWS * pace), pace)
        return start if oldest is None else min(max(start, floor(oldest, pace)), end - pace), end
    if isinstance(since, timedelta):
        since = end - since
    return floor(since, pace), end
