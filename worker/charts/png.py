"""Trends as a PNG: stacked shares over time, the volume beneath, a panel per value."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from worker.charts.palette import COLOURS, STACK, VOLUME
from worker.spans import format_span
from worker.trends import UNLABELLED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from matplotlib.axes import Axes

    from worker.trends import Series, Trends

MAX_PANELS: Final = 8
"""More panels than this nobody reads."""
_DPI: Final = 150
_INK: Final = "#222222"
_FAINT: Final = "#777777"
_HATCH: Final[dict[str, Any]] = {
    "facecolor": "white",
    "edgecolor": "#666666",
    "hatch": "///",
    "alpha": 0.45,
    "linewidth": 0,
}
_PLAIN: Final[dict[str, Any]] = {"parse_math": False}
"""A value such as `$a$` is text, not a formula."""


class Mark(NamedTuple):
    """Something that happened, to be marked in the picture."""

    time: datetime
    text: str


def draw_png(
    trends: Trends, path: Path, *, title: str | None = None, marks: Sequence[Mark] = ()
) -> None:
    """Draws `trends` to `path`: one panel, or one for each of the largest `MAX_PANELS` series.

    Shares are of labelled posts and stack to 100 %; unlabelled posts show in the volume only.
    Hatched windows are not complete: posts of theirs may still be unread. Times are UTC.
    `marks` are vertical lines, named in the first panel; those out of range are left out.

    Raises:
        OSError: `path` cannot be written.
        ValueError: `trends` has no series.
    """
    panels = trends.series[:MAX_PANELS]
    if not panels:
        raise ValueError("no series to draw")
    columns = 1 if len(panels) == 1 else 2
    rows = -(-len(panels) // columns)
    # 16:9, as slides are; more panels make it taller, not smaller.
    height = 6.75 if rows < 3 else 2.9 * rows + 1.2
    figure = Figure(figsize=(12, height), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        rows,
        columns,
        left=0.07,
        right=0.985 if columns > 1 else 0.85,
        top=1 - 1.0 / height,
        bottom=(1.05 if columns > 1 else 0.7) / height,
        hspace=0.26 if rows > 1 else 0,
        wspace=0.09,
    )
    top: Axes | None = None
    beneath: Axes | None = None
    for index, series in enumerate(panels):
        inner = grid[index // columns, index % columns].subgridspec(
            2, 1, height_ratios=(3.2, 1), hspace=0.08
        )
        shares = figure.add_subplot(inner[0], sharex=top, sharey=top)
        volume = figure.add_subplot(inner[1], sharex=shares, sharey=beneath)
        top, beneath = top or shares, beneath or volume
        _draw(series, trends, shares, volume)
        within = [mark for mark in marks if trends.since <= mark.time < trends.until]
        _mark(within, shares, volume, named=index == 0)
        lowest = index + columns >= len(panels)
        _dress(shares, volume, leftmost=index % columns == 0, lowest=lowest)
        if columns > 1:
            shares.set_title(
                f"{series.name}  ({series.total.posts:,} posts)",
                loc="left",
                fontsize=10,
                color=_INK,
                pad=4,
                **_PLAIN,
            )
    assert beneath is not None
    beneath.set_ylim(bottom=0)
    _head(figure, trends, title, height)
    _legend(figure, panels, columns)
    with warnings.catch_warnings():
        # A hashtag may hold any script or emoji; a missing glyph is drawn as a box.
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(path, format="png", dpi=_DPI)


def _draw(series: Series, trends: Trends, shares: Axes, volume: Axes) -> None:
    times = [*(window.start for window in series.windows), trends.until]
    edges = [float(time) for time in date2num(times)]  # type: ignore[no-untyped-call]
    bottom = [0.0] * len(series.windows)
    for name in STACK:
        upper = [
            base + (window.share(name) or 0.0)
            for base, window in zip(bottom, series.windows, strict=True)
        ]
        shares.stairs(upper, edges, baseline=bottom, fill=True, color=COLOURS[name], linewidth=0)
        bottom = upper
    labelled = [float(window.labelled) for window in series.windows]
    posts = [float(window.posts) for window in series.windows]
    volume.stairs(labelled, edges, fill=True, color=VOLUME, linewidth=0)
    volume.stairs(
        posts, edges, baseline=labelled, fill=True, color=COLOURS[UNLABELLED], linewidth=0
    )
    for window, left, right in zip(series.windows, edges[:-1], edges[1:], strict=True):
        if not window.complete:
            for axes in (shares, volume):
                axes.axvspan(left, right, **_HATCH)
    shares.set_xlim(edges[0], edges[-1])
    shares.set_ylim(0, 1)


def _mark(marks: Sequence[Mark], shares: Axes, volume: Axes, *, named: bool) -> None:
    for mark in marks:
        place = float(date2num(mark.time))  # type: ignore[no-untyped-call]
        for axes in (shares, volume):
            axes.axvline(place, color=_INK, linewidth=1.2, linestyle=(0, (4, 3)))
        if named:
            shares.annotate(
                mark.text,
                (place, 1.0),
                xytext=(0, 4),
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize=10,
                color=_INK,
                annotation_clip=False,
                **_PLAIN,
            )


def _dress(shares: Axes, volume: Axes, *, leftmost: bool, lowest: bool) -> None:
    for axes in (shares, volume):
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(_FAINT)
        axes.tick_params(colors=_INK, labelsize=9, length=3)
        axes.tick_params(labelleft=leftmost)
    shares.tick_params(labelbottom=False)
    shares.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    shares.yaxis.set_major_locator(MaxNLocator(4))
    volume.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    volume.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    locator = AutoDateLocator(tz="UTC", minticks=4, maxticks=10)  # type: ignore[no-untyped-call]
    volume.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(locator, tz="UTC")  # type: ignore[no-untyped-call]
    volume.xaxis.set_major_formatter(formatter)
    volume.tick_params(labelbottom=lowest)
    volume.xaxis.get_offset_text().set_visible(lowest)
    volume.xaxis.get_offset_text().set_fontsize(9)
    if leftmost:
        shares.set_ylabel("share of labelled posts", fontsize=9, color=_INK)
        volume.set_ylabel("posts", fontsize=9, color=_INK)
    if lowest:
        volume.set_xlabel("time (UTC)", fontsize=9, color=_INK)


def _head(figure: Figure, trends: Trends, title: str | None, height: float) -> None:
    by = "" if trends.dimension == "all" else f" by {trends.dimension}"
    posts = sum(series.total.posts for series in trends.series)
    below = (
        f"{trends.since:%Y-%m-%d %H:%M} to {trends.until:%Y-%m-%d %H:%M} UTC, "
        f"{format_span(trends.width)} a step, {posts:,} posts"
    )
    if trends.dimension == "hashtag":
        below += " (one with two hashtags counts in both)"
    if len(trends.series) > MAX_PANELS:
        below += f"; the {MAX_PANELS} largest of {len(trends.series)} are drawn"
    figure.text(
        0.07,
        1 - 0.40 / height,
        title or f"What people feel{by}",
        fontsize=17,
        fontweight="bold",
        color=_INK,
        **_PLAIN,
    )
    figure.text(0.07, 1 - 0.68 / height, below, fontsize=10, color=_FAINT, **_PLAIN)


def _legend(figure: Figure, panels: tuple[Series, ...], columns: int) -> None:
    handles = [Patch(color=COLOURS[name], label=name) for name in reversed(STACK)]
    windows = [window for series in panels for window in series.windows]
    if any(window.count(UNLABELLED) for window in windows):
        handles.append(Patch(color=VOLUME, label="labelled posts"))
        handles.append(Patch(color=COLOURS[UNLABELLED], label="unlabelled posts"))
    if not all(window.complete for window in windows):
        handles.append(Patch(**_HATCH, label="still being read"))
    if columns == 1:
        place: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (0.855, 0.55)}
    else:
        place = {"loc": "lower center", "bbox_to_anchor": (0.5, 0.0), "ncols": len(handles)}
    figure.legend(handles=handles, frameon=False, fontsize=9, labelcolor=_INK, **place)
