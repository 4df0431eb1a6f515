"""Event times: RFC 3339 with a zone, or epoch seconds or milliseconds, as UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from worker.posts.rejections import UnfitError

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""What claims to be older is a wrong unit or an unset clock, not a post."""
MAX_AHEAD_MS: Final = 3_600_000
"""How far a time may be ahead of its record's own timestamp."""
EPOCH_MILLISECONDS_FROM: Final = 100_000_000_000
"""A number this large counts milliseconds: as seconds it would be after the year 5138."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NO_LIMIT_MS: Final = 253_402_300_800_000  # the year 10000: no datetime is later
_RFC_3339: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ](?:[01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(?:\.\d+)?"
    r"(Z|z|[+-](?:[01]\d|2[0-3]):[0-5]\d)?",
    re.ASCII,
)


def event_time(given: str | int | float, *, field: str, timestamp_ms: int) -> datetime:
    """The time in `field`, in UTC and whole microseconds; finer fractions are cut off.

    Args:
        given: An RFC 3339 date-time (`T` may be a space, section 5.6), or an epoch number: of
            milliseconds from `EPOCH_MILLISECONDS_FROM` on, else of seconds.
        field: The field's name, for the message.
        timestamp_ms: The record's own timestamp; with a negative one, which is none, the future
            goes unchecked.

    Raises:
        UnfitError: It is no such time, has no zone, is before 2000, or is over an hour after
            the record's own timestamp.
    """
    if isinstance(given, str):
        time = _from_text(given.replace("\0", ""), field)
    else:
        time = _from_epoch(given, field)
    return plausible(time, field=field, timestamp_ms=timestamp_ms)


def plausible(time: datetime, *, field: str, timestamp_ms: int) -> datetime:
    """`time` itself, if it can be that of a post in a record with that timestamp.

    Raises:
        UnfitError: It is before 2000, or over an hour after the record's own timestamp.
    """
    if time < EARLIEST:
        raise UnfitError("old_time", f"`{field}` is before 2000.", cause=field)
    if timestamp_ms >= 0:
        latest_ms = min(timestamp_ms + MAX_AHEAD_MS, _NO_LIMIT_MS)
        if time - _EPOCH > timedelta(0, 0, 0, latest_ms):
            raise UnfitError(
                "future_time",
                f"`{field}` is over an hour after the record's own timestamp.",
                cause=field,
            )
    return time


def to_ms(time: datetime) -> int:
    """Epoch milliseconds, rounded up: a record within the millisecond before is older."""
    return -((_EPOCH - time) // timedelta(milliseconds=1))


def from_microseconds(given: int, *, field: str) -> datetime:
    """An epoch number of microseconds as a time, in UTC.

    Raises:
        UnfitError: It is out of range.
    """
    try:
        return _EPOCH + timedelta(microseconds=given)
    except OverflowError:
        raise UnfitError(
            "bad_time", f"`{field}` is out of range: it counts microseconds.", cause=field
        ) from None


def _from_text(given: str, field: str) -> datetime:
    match = _RFC_3339.fullmatch(given)
    if match is None:
        raise UnfitError("bad_time", f"`{field}` is not an RFC 3339 date-time.", cause=field)
    second, zone = match.groups()
    if zone is None:
        raise UnfitError("naive_time", f"`{field}` has no zone.", cause=field)
    text = given.upper()
    if second == "60":
        text = text[:17] + "59.999999" + zone.upper()
    try:
        time = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UnfitError(
            "bad_time", f"`{field}` names a day or time that does not exist.", cause=field
        ) from None
    if second == "60" and (time.hour, time.minute) != (23, 59):
        raise UnfitError(
            "bad_time",
            f"`{field}` has a leap second elsewhere than at 23:59:60 UTC.",
            cause=field,
        )
    return time


def _from_epoch(given: int | float, field: str) -> datetime:
    try:
        if abs(given) >= EPOCH_MILLISECONDS_FROM:
            return _EPOCH + timedelta(milliseconds=given)
        return _EPOCH + timedelta(seconds=given)
    except (OverflowError, ValueError):  # out of range; not a number
        raise UnfitError(
            "bad_time",
            f"`{field}` is out of range: epoch numbers are seconds or milliseconds.",
            cause=field,
        ) from None
