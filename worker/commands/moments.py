"""Times on the command line."""

from __future__ import annotations

from datetime import UTC, datetime

import click


def zoned_time(text: str) -> datetime | None:
    """`text`, as RFC 3339, in UTC; None if it is no time or has no zone."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if time.tzinfo is None else time.astimezone(UTC)


class Moment(click.ParamType["datetime | str"]):
    """A time with a zone (RFC 3339); where it is allowed, `now` stays as it is."""

    name = "time"

    def __init__(self, *, now: bool = False) -> None:
        self._now = now

    def convert(
        self,
        value: datetime | str,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> datetime | str:
        """Reads it."""
        if not isinstance(value, str) or (self._now and value == "now"):
            return value
        time = zoned_time(value)
        if time is None:
            self.fail(
                f"{value!r} is no time with a zone, as 2026-03-01T12:00:00Z"
                + (", nor now." if self._now else "."),
                param,
                ctx,
            )
        return time
