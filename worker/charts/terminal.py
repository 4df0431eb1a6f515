"""Trends in a terminal: a table of totals, and shares over time in block characters."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.style import Style
from rich.table import Table
from rich.text import Text

from worker.charts.palette import COLOURS
from worker.posts.model import LABELS
from worker.spans import format_span
from worker.trends import ORIGIN, UNCERTAIN, Window, floor, merge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from rich.console import Console, ConsoleOptions, RenderableType

    from worker.trends import Series, Trends

_BLOCKS: Final = " ▁▂▃▄▅▆▇█"
_ASCII_BLOCKS: Final = " .:-=+*#@"
_LEVELS: Final = 8
_NAME_COLUMNS: Final = 10
_TICK_SPANS: Final = tuple(
    timedelta(minutes=minutes)
    for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080, 20160, 40320)
)
_DAY: Final = timedelta(days=1)
MAX_CHARTS: Final = 4
"""With more values than this, the table says the rest."""


def render_terminal(trends: Trends) -> RenderableType:
    """A table with a line per series, then a chart over time of the largest ones.

    It fits any width from 60 columns up, and reads without colour too.
    """
    shown = trends.series[:MAX_CHARTS]
    height = 2 if len(shown) == 1 else 1
    charts = [_Chart(series, trends.width, height) for series in shown]
    caption = "Shares of labelled posts; net: joy + love - sadness - anger - fear, in points."
    parts: list[RenderableType] = [_Totals(trends), Text(caption, style="dim")]
    if len(trends.series) > len(shown):
        more = f"Charts of the {len(shown)} largest of {len(trends.series)}; --value draws another."
        parts.append(Text(more, style="dim"))
    for chart in charts:
        parts += [Text(), chart]
    if not all(window.complete for series in shown for window in series.windows):
        parts.append(
            Text("unfinished: some posts of these windows may not be read yet.", style="dim")
        )
    return Group(*parts)


@dataclass(frozen=True, slots=True)
class _Totals:
    """The table: per series its posts, the shares over the whole range, and what they add up to."""

    trends: Trends

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        wide = options.max_width >= 100
        gap = 2 if wide else 1
        table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False)
        heading = "" if self.trends.dimension == "all" else self.trends.dimension
        table.add_column(heading, max_width=30 if wide else 12, no_wrap=True, overflow="ellipsis")
        table.add_column("posts", justify="right", no_wrap=True)
        for name in LABELS:
            table.add_column(name, justify="right", style=_style(name), min_width=4, no_wrap=True)
        table.add_column("uncertain" if wide else "unc.", justify="right", style="dim", min_width=4)
        table.add_column("mostly", no_wrap=True)
        table.add_column("net", justify="right", no_wrap=True, min_width=3)
        for series in self.trends.series:
            total = series.total
            net = total.net
            mostly = total.dominant or "-"
            table.add_row(
                Text(series.name),
                f"{total.posts:,}",
                *(_percent(total.share(name)) for name in (*LABELS, UNCERTAIN)),
                Text(mostly, style=_style(mostly)),
                "-" if net is None else f"{100 * net:+.0f}",
            )
        yield table


@dataclass(frozen=True, slots=True)
class _Chart:
    """One series over time: a row of bars per emotion on one scale, and the volume beneath."""

    series: Series
    width: timedelta
    height: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        ascii_only = options.ascii_only
        dated = self.width * len(self.series.windows) > _DAY
        figures = 12 + (12 if dated else 5)
        room = max(10, options.max_width - _NAME_COLUMNS - figures - 1)
        windows, width = _fit(self.series.windows, self.width, room)
        columns = max(1, min(8, room // len(windows)))
        # A lone post in a quiet window is 100 % of it: that must not set everyone's scale.
        mean = sum(window.labelled for window in windows) / len(windows)
        solid = [window for window in windows if window.labelled and window.labelled >= mean / 10]
        names = (*LABELS, UNCERTAIN)
        top = _ceiling(max((w.share(name) or 0.0 for w in solid for name in names), default=0.0))
        first, last = windows[0].start, windows[-1].start + width
        span = f"{_date(first)} {first:%H:%M} to {_date(last)} {last:%H:%M} UTC"
        title = Text(self.series.name, style="bold")
        title.append(f"  {span}, {format_span(width)} a bar, full height {top:.0%}", style="dim")
        title.truncate(options.max_width)
        yield title
        body = columns * len(windows)
        yield Text(" " * (_NAME_COLUMNS + body) + " mean  peak", style="dim")
        total = merge(windows)
        when = _when(dated=dated, daily=width >= _DAY)
        for name in names:
            heights = [
                None if share is None else share / top
                for share in (window.share(name) for window in windows)
            ]
            peak = max(solid, key=lambda window: window.share(name) or 0.0, default=None)
            tail = f"{_percent(total.share(name)):>5} "
            if peak is not None and peak.count(name):
                tail += f"{_percent(peak.share(name)):>5} {when(peak.start)}"
            yield from self._bars(name, heights, columns, tail, _style(name), ascii_only=ascii_only)
        largest = max(windows, key=lambda window: window.posts)
        scale = max(1, largest.posts)
        volume = [window.posts / scale if window.posts else None for window in windows]
        tail = f"{_count(total.posts / len(windows)):>5} {_count(largest.posts):>5} "
        tail += when(largest.start)
        yield from self._bars("posts", volume, columns, tail, Style(), ascii_only=ascii_only)
        yield Text(" " * _NAME_COLUMNS + _ticks(windows, width, columns), style="dim")
        if not all(window.complete for window in windows):
            mark = "?" if ascii_only else "░"
            marks = "".join((" " if w.complete else mark) * columns for w in windows)
            yield Text(f"{'unfinished':<{_NAME_COLUMNS}}{marks}".rstrip(), style="dim")

    def _bars(
        self,
        name: str,
        heights: list[float | None],
        columns: int,
        tail: str,
        style: Style,
        *,
        ascii_only: bool,
    ) -> Iterator[Text]:
        blocks = _ASCII_BLOCKS if ascii_only else _BLOCKS
        # Zero still shows its foot: only a window without posts is blank.
        levels = [
            0
            if height is None
            else max(1, min(_LEVELS * self.height, round(height * _LEVELS * self.height)))
            for height in heights
        ]
        highest = max(levels, default=0)
        for row in reversed(range(max(1, -(-highest // _LEVELS)))):
            cells = "".join(
                blocks[max(0, min(_LEVELS, level - row * _LEVELS))] * columns for level in levels
            )
            line = Text(f"{name if row == 0 else '':<{_NAME_COLUMNS}}")
            line.append(cells, style=style)
            if row == 0:
                line.append(tail)
            line.rstrip()
            yield line


def _fit(
    windows: tuple[Window, ...], width: timedelta, room: int
) -> tuple[tuple[Window, ...], timedelta]:
    """The windows, summed to wider ones where there are more than `room`."""
    factor = 1
    while True:
        wide = width * factor
        groups: dict[datetime, list[Window]] = {}
        for window in windows:
            groups.setdefault(floor(window.start, wide), []).append(window)
        if len(groups) <= room:
            break
        factor += 1
    if factor == 1:
        return windows, width
    merged = []
    for start, group in groups.items():
        whole = merge(group)
        merged.append(Window(start, whole.counts, whole.mean_scores, whole.complete))
    return tuple(merged), wide


def _ticks(windows: tuple[Window, ...], width: timedelta, columns: int) -> str:
    """Times under the bars, at round ones, `|` at where each window starts."""
    span = next(
        (
            span
            for span in _TICK_SPANS
            if not span % width and span // width * columns >= (9 if span >= _DAY else 8)
        ),
        None,
    )
    line = [" "] * (columns * len(windows) + 14)
    free = 0
    for index, window in enumerate(windows):
        at = index * columns
        if at < free or (span is not None and (window.start - ORIGIN) % span):
            continue
        midnight = (window.start - ORIGIN) % _DAY == timedelta(0)
        label = f"|{_date(window.start)}" if midnight else f"|{window.start:%H:%M}"
        line[at : at + len(label)] = label
        free = at + len(label) + 1
    if not free:  # no window starts at a round time
        return f"|{windows[0].start:%H:%M}" if width < _DAY else f"|{_date(windows[0].start)}"
    return "".join(line).rstrip()


def _when(*, dated: bool, daily: bool) -> Callable[[datetime], str]:
    if daily:
        return _date
    if dated:
        return lambda time: f"{_date(time)} {time:%H:%M}"
    return lambda time: f"{time:%H:%M}"


def _date(time: datetime) -> str:
    return f"{time.day} {time:%b}"


def _ceiling(share: float) -> float:
    """The next ten percent above `share`, at least 10 %."""
    return max(1, min(10, -int(-share * 10 // 1))) / 10


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _count(posts: float) -> str:
    if posts < 9_999.5:
        return f"{posts:.0f}"
    return f"{posts / 1e3:.0f}k" if posts < 9_999_500 else f"{posts / 1e6:.0f}M"


def _style(emotion: str) -> Style:
    colour = COLOURS.get(emotion)
    return Style(color=colour) if colour else Style()
