"""Durations as people write them: `15m`, `1h`, `2d`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SPAN: Final = re.compile(r"(\d{1,6})([mhdw])", re.ASCII)


def parse_span(text: str) -> timedelta:
    """`15m`, `1h`, `2d`, `1w` as a duration.

    Raises:
        ValueError: It is no such thing, or not above zero.
    """
    match = _SPAN.fullmatch(text.strip())
    if match is None or not int(match[1]):
        raise ValueError(f"{text!r} is no duration: write a number and m, h, d or w, as 15m or 2d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def format_span(span: timedelta) -> str:
    """A duration as `parse_span` reads it, in the largest unit that fits, up to days."""
    minutes = span // timedelta(minutes=1)
    for unit, size in (("d", 1440), ("h", 60)):
        if minutes % size == 0:
            return f"{minutes // size}{unit}"
    return f"{minutes}m"


def format_age(age: timedelta) -> str:
    """How long ago, in the unit that says enough: `40 s ago`, `12 min ago`, `9 d ago`."""
    seconds = max(0, int(age.total_seconds()))
    for unit, size, most in (("s", 1, 120), ("min", 60, 7_200), ("h", 3_600, 172_800)):
        if seconds < most:
            return f"{seconds // size} {unit} ago"
    return f"{seconds // 86_400} d ago"
