"""One panel of the PNG: a series' shares, stacked, and its volume beneath."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator, PercentFormatter

from worker.charts.palette import COLOURS, STACK, VOLUME
from worker.spans import format_span
from worker.trends import UNLABELLED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from matplotlib.axes import Axes

    from worker.trends import Episode, Series, Trends, Window

INK: Final = "#222222"
FAINT: Final = "#6E6E6E"
HATCH: Final[dict[str, Any]] = {
    "facecolor": (1, 1, 1, 0.55),
    "edgecolor": "#707070",
    "hatch": "////",
    "linewidth": 0,
}
QUIET: Final[dict[str, Any]] = {"facecolor": "#EBEBEB", "linewidth": 0}
OUTLINE: Final[dict[str, Any]] = {"edgecolor": INK, "linewidth": 1.6}
MODEL: Final[dict[str, Any]] = {"color": INK, "linewidth": 1.8, "linestyle": (0, (1, 1.4))}
MARK: Final[dict[str, Any]] = {"color": INK, "linewidth": 1.3, "linestyle": (0, (4, 3))}
_SEPARATED: Final = 200
"""With more windows than this, white lines between the shares would cover them."""
_HALO: Final = [withStroke(linewidth=3, foreground="white")]


@dataclass(frozen=True, slots=True)
class Panel:
    """A series and the two axes it is drawn on, which share their time axis."""

    series: Series
    trends: Trends
    shares: Axes
    volume: Axes

    def draw(self) -> None:
        """Stacks the shares and the volume; windows without an answer show why."""
        edges = self._edges()
        labelled = [float(window.labelled) for window in self.series.windows]
        posts = [float(window.posts) for window in self.series.windows]
        for name, bottom, upper in self._bands():
            self.shares.stairs(
                upper, edges, baseline=bottom, fill=True, color=COLOURS[name], linewidth=0
            )
        if len(labelled) <= _SEPARATED:
            for _, _, upper in self._bands():
                self.shares.stairs(upper, edges, baseline=None, color="white", linewidth=0.6)
        self.volume.stairs(labelled, edges, fill=True, color=VOLUME, linewidth=0)
        self.volume.stairs(
            posts, edges, baseline=labelled, fill=True, color=COLOURS[UNLABELLED], linewidth=0
        )
        for start, end in _runs(self.series.windows, is_quiet):
            self.shares.axvspan(edges[start], edges[end], **QUIET)
        for start, end in _runs(self.series.windows, lambda window: not window.complete):
            for axes in (self.shares, self.volume):
                axes.axvspan(edges[start], edges[end], **HATCH)
        self.shares.set_xlim(edges[0], edges[-1])
        self.shares.set_ylim(0, 1)
        self.volume.set_ylim(0, 1.08 * max(1.0, *posts))

    def outline(self, episode: Episode) -> None:
        """Draws a line around the emotion's share while the episode lasts."""
        pace = self.trends.pace
        inside = [
            index
            for index, window in enumerate(self.series.windows)
            if window.labelled and episode.since <= window.start + pace / 2 < episode.until
        ] or [
            index  # shorter than half a window: the one that holds its middle
            for index, window in enumerate(self.series.windows)
            if window.labelled
            and window.start
            <= episode.since + (episode.until - episode.since) / 2
            < window.start + pace
        ]
        if not inside:
            return
        start, end = inside[0], inside[-1] + 1
        edges = self._edges()[start : end + 1]
        for name, bottom, upper in self._bands():
            if name == episode.peak.emotion:
                lower, higher = bottom[start:end], upper[start:end]
                corners = [
                    *_steps(edges, higher),
                    *reversed(list(_steps(edges, lower))),
                ]
                self.shares.fill(
                    *zip(*corners, strict=True), fill=False, clip_on=False, zorder=4, **OUTLINE
                )

    def line(self, time: datetime, style: dict[str, Any]) -> None:
        """A line at `time`, through shares and volume."""
        for axes in (self.shares, self.volume):
            axes.axvline(number(time), path_effects=_HALO, zorder=3, **style)

    def dress(self, *, leftmost: bool, lowest: bool, ticks: int, size: float) -> None:
        """Scales and their labels; `ticks` times at most, letters of `size` points."""
        for axes in (self.shares, self.volume):
            axes.spines[["top", "right"]].set_visible(False)
            axes.spines[["left", "bottom"]].set_color(FAINT)
            axes.tick_params(colors=INK, labelsize=size, length=3)
        self.shares.tick_params(labelbottom=False, labelleft=leftmost)
        self.shares.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        self.shares.yaxis.set_major_locator(MaxNLocator(4 if size > 8.5 else 2))
        self.volume.yaxis.set_major_locator(MaxNLocator(2, integer=True))
        self.volume.yaxis.set_major_formatter(lambda value, _: short_count(value))
        locator = AutoDateLocator(  # type: ignore[no-untyped-call]
            tz="UTC", minticks=3, maxticks=ticks
        )
        self.volume.xaxis.set_major_locator(locator)
        self.volume.xaxis.set_major_formatter(
            ConciseDateFormatter(  # type: ignore[no-untyped-call]
                locator,
                tz="UTC",
                formats=["%Y", "%b", "%-d %b", "%H:%M", "%H:%M", "%H:%M"],
                zero_formats=["", "%Y", "%-d %b", "%-d %b", "%H:%M", "%H:%M"],
                show_offset=False,
            )
        )
        self.volume.tick_params(labelbottom=lowest)
        if leftmost:
            trends = self.trends
            rolling = "" if trends.step is None else f"\nin {format_span(trends.width)}"
            for axes, label in ((self.shares, "share of posts"), (self.volume, f"posts{rolling}")):
                axes.set_ylabel(label, fontsize=size, color=INK)

    def _edges(self) -> list[float]:
        times = [*(window.start for window in self.series.windows), self.trends.until]
        return [number(time) for time in times]

    def _bands(self) -> Iterator[tuple[str, list[float], list[float]]]:
        bottom = [0.0] * len(self.series.windows)
        for name in STACK:
            upper = [
                base + (window.share(name) or 0.0)
                for base, window in zip(bottom, self.series.windows, strict=True)
            ]
            yield name, bottom, upper
            bottom = upper


def is_quiet(window: Window) -> bool:
    """Read to its end, and no post to take shares of."""
    return window.complete and not window.labelled


def number(time: datetime) -> float:
    """A time as matplotlib counts it."""
    return float(date2num(time))  # type: ignore[no-untyped-call]


def short_count(value: float) -> str:
    """A number of posts, short: `950`, `1.5k`, `20k`, `3M`."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"


def _runs(windows: Sequence[Window], which: Callable[[Window], bool]) -> Iterator[tuple[int, int]]:
    """Where windows in a row are so: from, and to before."""
    start = 0
    for found, run in groupby(windows, which):
        end = start + len(list(run))
        if found:
            yield start, end
        start = end


def _steps(edges: Sequence[float], heights: Sequence[float]) -> Iterator[tuple[float, float]]:
    for left, right, height in zip(edges, edges[1:], heights, strict=False):
        yield left, height
        yield right, height
