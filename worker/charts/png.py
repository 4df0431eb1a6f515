"""Trends as a PNG: stacked shares over time, the volume beneath, a panel per value."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from worker.charts.lanes import Wish, place
from worker.charts.lettering import Lettering, isolate, lettering, shorten, text_width, written_in
from worker.charts.palette import COLOURS, STACK, VOLUME
from worker.charts.panel import (
    FAINT,
    HATCH,
    INK,
    MARK,
    MODEL,
    OUTLINE,
    QUIET,
    Panel,
    is_quiet,
    number,
)
from worker.spans import format_span
from worker.trends import UNLABELLED, Events

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from worker.trends import Series, Trends

MAX_PANELS: Final = 9
"""More panels than this nobody reads."""
_WIDTH: Final = 12.0
_HEIGHT: Final = 6.75
"""Inches: 16:9, as slides are; 1920 by 1080 pixels."""
_DPI: Final = 160
_LANES: Final = 3
_LANE: Final = 0.24
"""Inches: a label, and the bar beneath it."""
_LABEL: Final = 9.0
"""Points."""
_NAME: Final = 48
"""Characters of a value in a label or title, before its width is looked at."""
_PLAIN: Final[dict[str, Any]] = {"parse_math": False}
"""A value such as `$a$` is text, not a formula."""


class Mark(NamedTuple):
    """Something that happened, to be marked in the picture."""

    time: datetime
    text: str


class _Label(NamedTuple):
    """What stands above the chart: from when to when, its words, and the colour of its bar."""

    since: datetime
    until: datetime
    text: str
    colour: str | None


def draw_png(
    trends: Trends,
    path: Path,
    *,
    title: str | None = None,
    marks: Sequence[Mark] = (),
    events: Events | None = None,
) -> frozenset[str]:
    """Draws `trends` to `path`: one panel, or one for each of the largest `MAX_PANELS` series.

    Shares are of labelled posts and stack to 100 %; unlabelled posts show in the volume only.
    Hatched windows are not complete: posts of theirs may still be unread. Grey ones are, and
    nothing was said in them. Times are UTC. Spikes are outlined; in a lone panel they, `marks` and
    changes of the model are named above it, as far as there is room.

    Returns:
        Characters that no font here can draw, nor name: they are boxes in the picture.

    Raises:
        OSError: `path` cannot be written.
        ValueError: `trends` has no series.
    """
    panels = trends.series[:MAX_PANELS]
    if not panels:
        raise ValueError("no series to draw")
    events = Events() if events is None else events
    within = [mark for mark in marks if trends.since <= mark.time < trends.until]
    names = [series.name for series in panels] + [one.name for one in events.episodes]
    letters = lettering([title or "", *names, *(mark.text for mark in within)])
    with written_in(letters):
        figure = Figure(figsize=(_WIDTH, _HEIGHT), dpi=_DPI, facecolor="white")
        FigureCanvasAgg(figure)
        drawing = _Drawing(figure, trends, panels, events, within, letters)
        if len(panels) == 1:
            drawing.alone()
        else:
            drawing.many()
        drawing.head(title)
        picture = BytesIO()
        figure.savefig(picture, format="png", dpi=_DPI)
    path.write_bytes(picture.getvalue())  # only once it is whole
    return letters.missing


@dataclass(frozen=True, slots=True)
class _Drawing:
    """A figure, and what is to be drawn on it. Lengths are inches, places parts of the figure."""

    figure: Figure
    trends: Trends
    panels: tuple[Series, ...]
    events: Events
    marks: Sequence[Mark]
    letters: Lettering

    def alone(self) -> None:
        """One series: large, with labels above and the legend beside it."""
        left, right = 0.075, 0.845
        series = self.panels[0]
        labels = self._labels(series)
        pixels = _DPI * _WIDTH
        renderer = self._renderer()
        places = place(
            [
                Wish(
                    self._x(label.since, left, right) * pixels,
                    self._x(label.until, left, right) * pixels,
                    text_width(renderer, label.text, _LABEL),
                )
                for label in labels
            ],
            left=left * pixels,
            right=right * pixels,
            lanes=_LANES,
            gap=10,
        )
        lanes = max((at.lane + 1 for at in places if at is not None), default=0)
        top = 1 - (0.98 + _LANE * lanes) / _HEIGHT
        grid = self.figure.add_gridspec(
            2, 1, height_ratios=(3.2, 1), left=left, right=right, top=top,
            bottom=0.62 / _HEIGHT, hspace=0.07,
        )  # fmt: skip
        shares = self.figure.add_subplot(grid[0])
        volume = self.figure.add_subplot(grid[1], sharex=shares)
        panel = Panel(series, self.trends, shares, volume)
        panel.draw()
        panel.dress(leftmost=True, lowest=True, ticks=10, size=9)
        volume.set_xlabel("time (UTC)", fontsize=9, color=INK)
        for label, at in zip(labels, places, strict=True):
            if at is None:
                continue
            base = top + (0.05 + _LANE * at.lane) / _HEIGHT
            if label.colour is None:
                x = self._x(label.since, left, right)
                self._stem(x, top, base + 0.04 / _HEIGHT)
            else:
                self._bar(label, label.colour, base, left, right)
            self.figure.text(
                at.middle / pixels, base + 0.06 / _HEIGHT, label.text,
                ha="center", va="bottom", fontsize=_LABEL, color=INK, **_PLAIN,
            )  # fmt: skip
        self._stand_out(panel)
        unnamed = sum(at is None for at in places)
        emotions, rest = self._handles(unnamed)
        middle = shares.get_position()
        beside: dict[str, Any] = {"frameon": False, "fontsize": 9, "labelcolor": INK}
        self.figure.legend(
            handles=emotions, loc="center left",
            bbox_to_anchor=(right + 0.008, (middle.y0 + middle.y1) / 2), **beside,
        )  # fmt: skip
        if rest:
            self.figure.legend(
                handles=rest, loc="lower left",
                bbox_to_anchor=(right + 0.008, volume.get_position().y0 - 0.02), **beside,
            )  # fmt: skip

    def many(self) -> None:
        """Several series: small, side by side, with the legend beneath."""
        columns = 2 if len(self.panels) <= 4 else 3
        rows = -(-len(self.panels) // columns)
        size = 9.0 if rows < 3 else 8.0
        top, bottom = 1 - 1.13 / _HEIGHT, 1.04 / _HEIGHT
        between = 0.40
        tall = ((top - bottom) * _HEIGHT - between * (rows - 1)) / rows
        grid = self.figure.add_gridspec(
            rows, columns, left=0.075, right=0.972, top=top, bottom=bottom,
            hspace=between / tall, wspace=0.13,
        )  # fmt: skip
        first: Panel | None = None
        for index, series in enumerate(self.panels):
            inner = grid[index // columns, index % columns].subgridspec(
                2, 1, height_ratios=(2.4, 1), hspace=0.1
            )
            shares = self.figure.add_subplot(
                inner[0],
                sharex=None if first is None else first.shares,
                sharey=None if first is None else first.shares,
            )
            volume = self.figure.add_subplot(inner[1], sharex=shares)
            panel = Panel(series, self.trends, shares, volume)
            first = first or panel
            panel.draw()
            panel.dress(
                leftmost=index % columns == 0,
                lowest=index + columns >= len(self.panels),
                ticks=7 if columns == 2 else 5,
                size=size,
            )
            self._caption(panel)
            self._stand_out(panel)
        emotions, rest = self._handles(0)
        for handles, height in ((emotions, 0.29), (rest, 0.05)):
            self.figure.legend(
                handles=handles, loc="lower center", bbox_to_anchor=(0.53, height / _HEIGHT),
                ncols=max(1, len(handles)), frameon=False, fontsize=9, labelcolor=INK,
                borderaxespad=0,
            )  # fmt: skip

    def head(self, title: str | None) -> None:
        """The title, and what it is that is shown."""
        trends = self.trends
        if title is None:
            title = "What people feel"
            if len(self.panels) == 1 and trends.dimension != "all":
                title += f": {isolate(self._name(self.panels[0]))}"
            elif trends.dimension != "all":
                title += f", by {trends.dimension}"
        posts = sum(series.total.posts for series in trends.series)
        steps = f"{format_span(trends.width)} a step"
        if trends.step is not None:
            steps = f"the last {format_span(trends.width)}, every {format_span(trends.step)}"
        parts = [
            f"{trends.since:%-d %b %Y %H:%M} to {trends.until:%-d %b %Y %H:%M} UTC",
            steps,
            f"{posts:,} {'post' if posts == 1 else 'posts'}",
        ]
        if trends.dimension == "hashtag" and len(trends.series) > 1:
            parts.append("one with two hashtags counts in both")
        if len(trends.series) > MAX_PANELS:
            parts.append(f"the {MAX_PANELS} largest of {len(trends.series)}")
        room = 0.91 * _WIDTH * _DPI
        for text, points, colour, weight, down in (
            (self.letters.spell(title), 17, INK, "bold", 0.42),
            (" · ".join(parts), 10, FAINT, "normal", 0.70),
        ):
            # Bold letters are wider than those measured.
            shown = shorten(self._renderer(), text, points, room * (0.85 if points > 10 else 1))
            self.figure.text(
                0.075, 1 - down / _HEIGHT, shown, ha="left",
                fontsize=points, fontweight=weight, color=colour, **_PLAIN,
            )  # fmt: skip

    def _labels(self, series: Series) -> list[_Label]:
        """What is named above a lone panel, what matters most first."""
        labels = [_Label(mark.time, mark.time, self.letters.spell(mark.text), None)
                  for mark in self.marks]  # fmt: skip
        labels += [
            _Label(run.since, run.since, f"model {run.title}", None)
            for run in self.events.changes(self.trends.since)
        ]
        own = [one for one in self.events.episodes if one.of(series.dimension, series.value)]
        # Of everything, the hashtags are news; platforms and languages only say the same again.
        others = [
            one
            for one in self.events.episodes
            if series.dimension == "all" and one.peak.dimension == "hashtag"
        ]
        for one in [*own, *others]:
            name = "" if one in own else f"{isolate(_cut(self.letters.spell(one.name), 24))} "
            text = f"{name}{one.rise}"
            labels.append(_Label(one.since, one.until, text, COLOURS[one.peak.emotion]))
        return labels

    def _stand_out(self, panel: Panel) -> None:
        """Lines and outlines of what stood out."""
        for mark in self.marks:
            panel.line(mark.time, MARK)
        for run in self.events.changes(self.trends.since):
            panel.line(run.since, MODEL)
        for one in self.events.episodes:
            if one.of(panel.series.dimension, panel.series.value):
                panel.outline(one)

    def _caption(self, panel: Panel) -> None:
        """A small panel's name on the left, its posts and strongest spike on the right."""
        series = panel.series
        own = [one for one in self.events.episodes if one.of(series.dimension, series.value)]
        posts = series.total.posts
        right = f"{posts:,} {'post' if posts == 1 else 'posts'}"
        if own:
            right = f"{own[0].rise}  ·  {right}"
        renderer = self._renderer()
        room = panel.shares.get_position().width * _WIDTH * _DPI
        room -= text_width(renderer, right, 9) + 12
        name = shorten(renderer, self._name(series), 10.5, room * 0.9)
        for text, x, align, points, colour, weight in (
            (isolate(name), 0.0, "left", 10.5, INK, "bold"),
            (right, 1.0, "right", 9.0, INK if own else FAINT, "normal"),
        ):
            panel.shares.annotate(
                text, (x, 1), xycoords="axes fraction", xytext=(0, 5), textcoords="offset points",
                ha=align, va="baseline", fontsize=points, color=colour, fontweight=weight,
                annotation_clip=False, **_PLAIN,
            )  # fmt: skip

    def _handles(self, unnamed: int) -> tuple[list[Any], list[Any]]:
        """The legend: of the emotions, and of all else that occurs."""
        windows = [window for series in self.panels for window in series.windows]
        emotions = [Patch(color=COLOURS[name], label=name) for name in reversed(STACK)]
        rest: list[Any] = []
        if any(window.count(UNLABELLED) for window in windows):
            rest.append(Patch(color=VOLUME, label="labelled posts"))
            rest.append(Patch(color=COLOURS[UNLABELLED], label="unlabelled posts"))
        if any(map(is_quiet, windows)):
            rest.append(Patch(**QUIET, label="nothing said"))
        if not all(window.complete for window in windows):
            rest.append(Patch(**HATCH, label="not all read yet"))
        shown = [
            one
            for one in self.events.episodes
            if any(one.of(series.dimension, series.value) for series in self.panels)
        ]
        if shown or unnamed:
            more = f" ({unnamed} more)" if unnamed else ""
            rest.append(Patch(facecolor="white", **OUTLINE, label=f"spike{more}"))
        if self.events.changes(self.trends.since):
            rest.append(Line2D([], [], label="another model", **MODEL))
        return emotions, rest

    def _bar(self, label: _Label, colour: str, base: float, left: float, right: float) -> None:
        start = max(left, self._x(label.since, left, right))
        end = min(right, self._x(label.until, left, right))
        self.figure.add_artist(
            Rectangle(
                (start, base), max(end - start, 0.003), 0.04 / _HEIGHT,
                facecolor=colour, linewidth=0, transform=self.figure.transFigure,
            )
        )  # fmt: skip

    def _stem(self, x: float, bottom: float, top: float) -> None:
        self.figure.add_artist(
            Line2D([x, x], [bottom, top], color=INK, linewidth=1, transform=self.figure.transFigure)
        )

    def _x(self, time: datetime, left: float, right: float) -> float:
        """Where a time lies between `left` and `right`."""
        start, end = number(self.trends.since), number(self.trends.until)
        return left + (number(time) - start) / (end - start) * (right - left)

    def _name(self, series: Series) -> str:
        return _cut(self.letters.spell(series.name), _NAME)

    def _renderer(self) -> Any:  # noqa: ANN401
        assert isinstance(self.figure.canvas, FigureCanvasAgg)
        return self.figure.canvas.get_renderer()  # type: ignore[no-untyped-call]


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
