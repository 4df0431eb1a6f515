"""The plot line: when what happens, how much is posted about it, and in which mood."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

LENGTH: Final = timedelta(hours=6)
_LAUNCH_MINUTE: Final = 90
_OUTAGE_MINUTE: Final = 220
_RECOVERY_MINUTE: Final = 282
_MINUTES: Final = int(LENGTH.total_seconds()) // 60

MOODS: Final[Mapping[str, Mapping[str, int]]] = {
    "life": {"joy": 20, "sadness": 13, "anger": 10, "love": 14, "fear": 9, "surprise": 9,
             "neutral": 20, "mixed": 5},
    "launch": {"joy": 38, "love": 21, "surprise": 17, "neutral": 12, "mixed": 4, "anger": 3,
               "sadness": 3, "fear": 2},
    "outage": {"anger": 57, "fear": 9, "sadness": 10, "surprise": 4, "neutral": 14, "mixed": 4,
               "joy": 1, "love": 1},
    "recovery": {"joy": 40, "love": 15, "surprise": 6, "neutral": 17, "mixed": 7, "sadness": 6,
                 "anger": 6, "fear": 3},
}  # fmt: skip
"""Per arc, the moods' weights: percent."""


@dataclass(frozen=True, slots=True)
class Plot:
    """When what happens.

    Attributes:
        start: The first minute of event time.
        launch: The app comes out.
        outage: It stops working.
        recovery: It works again.
        end: The end of event time.
    """

    start: datetime
    launch: datetime
    outage: datetime
    recovery: datetime
    end: datetime

    @classmethod
    def ending(cls, end: datetime) -> Plot:
        """The plot whose last minute ends at `end`."""
        start = end - LENGTH
        return cls(
            start=start,
            launch=start + timedelta(minutes=_LAUNCH_MINUTE),
            outage=start + timedelta(minutes=_OUTAGE_MINUTE),
            recovery=start + timedelta(minutes=_RECOVERY_MINUTE),
            end=end,
        )


def rates(rng: random.Random) -> list[tuple[str, int, float]]:
    """How much is posted: (arc, minute since the start, rate relative to a calm minute)."""
    table = []
    drift = 1.0
    for minute in range(_MINUTES):
        # Calm traffic wanders by itself, and some minutes are twice as busy for no reason.
        drift = min(1.35, max(0.7, drift + rng.uniform(-0.06, 0.06)))
        burst = 1.9 if rng.random() < 0.03 else 1.0
        jitter = rng.uniform(0.75, 1.25)
        table.append(("life", minute, drift * burst * jitter))
        for arc, rate in (
            ("launch", _surge(minute, _LAUNCH_MINUTE, rise=8, peak=3.2, half_life=38)),
            ("outage", _outage(minute)),
            ("recovery", _surge(minute, _RECOVERY_MINUTE, rise=6, peak=2.2, half_life=25)),
        ):
            if rate > 0.01:
                table.append((arc, minute, rate * jitter))
    return table


def _surge(minute: int, start: int, *, rise: int, peak: float, half_life: float) -> float:
    """Climbs for `rise` minutes, then halves every `half_life` minutes."""
    age = minute - start
    if age < 0:
        return 0.0
    if age < rise:
        return peak * (age + 1) / rise
    return peak * float(0.5 ** ((age - rise) / half_life))


def _outage(minute: int) -> float:
    """Anger builds up in a few minutes, stays, and fades once the app is back."""
    if minute < _RECOVERY_MINUTE:
        return _surge(minute, _OUTAGE_MINUTE, rise=7, peak=4.5, half_life=180)
    fading = 0.5 ** ((minute - _RECOVERY_MINUTE) / 8)
    return float(_outage(_RECOVERY_MINUTE - 1) * fading)
