"""Room for labels above a chart: lanes in which they do not touch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Wish:
    """What wants a place. All in pixels along the chart.

    Attributes:
        start: Where what is labelled starts.
        end: Where it ends.
        width: Of the label, which stands over its middle if it can.
    """

    start: float
    end: float
    width: float


@dataclass(frozen=True, slots=True)
class Place:
    """Where a label goes.

    Attributes:
        middle: Of the label.
        lane: 0 is the lowest.
    """

    middle: float
    lane: int


def place(
    wishes: Sequence[Wish], *, left: float, right: float, lanes: int, gap: float
) -> list[Place | None]:
    """Gives each wish the lowest lane with room for label and span; the first ones choose first.

    Labels stay between `left` and `right`, and `gap` apart.

    Returns:
        A place for each wish, None where there is none left.
    """
    taken: list[list[tuple[float, float]]] = [[] for _ in range(lanes)]
    places: list[Place | None] = []
    for wish in wishes:
        half = wish.width / 2
        middle = min(max((wish.start + wish.end) / 2, left + half), right - half)
        if middle - half < left:  # wider than the chart
            places.append(None)
            continue
        start, end = min(wish.start, middle - half), max(wish.end, middle + half)
        for lane, others in enumerate(taken):
            if all(end + gap <= other[0] or other[1] + gap <= start for other in others):
                others.append((start, end))
                places.append(Place(middle, lane))
                break
        else:
            places.append(None)
    return places
