"""Times as other people's files have them, made RFC 3339."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import tzinfo

_NUMBER: Final = re.compile(r"\s*(-?\d{9,})(\.\d+)?\s*", re.ASCII)
_ZONE: Final = re.compile(
    r"\s*(?:UTC|GMT|Z)$|\s+(?=[+-]\d\d(?::?\d\d)?$)", re.ASCII | re.IGNORECASE
)
_TWITTER: Final = "%a %b %d %H:%M:%S %z %Y"


class NaiveTimeError(ValueError):
    """A time has no zone, and none to assume was given."""


def wire_time(given: str, zone: tzinfo | None = None) -> str | int | float:
    """Makes `given` what a post's time must be: RFC 3339 with a zone, or an epoch number.

    Understood are the forms of ISO 8601 that `datetime.fromisoformat` reads, with a space before
    the offset or `UTC` or `GMT` for it (`2015-02-24 11:35:52 -0800`), Twitter's
    `Wed Aug 27 13:08:45 +0000 2008`, and epoch seconds and milliseconds of nine digits or more.

    Args:
        given: The time.
        zone: What to assume for times without a zone.

    Returns:
        What is not understood comes back as it is: the decoder says what is wrong with it.

    Raises:
        NaiveTimeError: It has no zone, and `zone` is None.
    """
    number = _NUMBER.fullmatch(given)
    if number:
        return float(given) if number[2] else int(given)
    time = _parsed(given.strip())
    if time is None:
        return given
    if time.tzinfo is None:
        if zone is None:
            raise NaiveTimeError
        time = time.replace(tzinfo=zone)
    try:
        return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
    except OverflowError:
        return given


def _parsed(given: str) -> datetime | None:
    iso = _ZONE.sub(lambda match: "Z" if match[0].strip() else "", given)
    try:
        return datetime.fromisoformat(iso)
    except ValueError:
        pass
    try:
        return datetime.strptime(given, _TWITTER)  # noqa: DTZ007 (the format has a zone)
    except ValueError:
        return None
