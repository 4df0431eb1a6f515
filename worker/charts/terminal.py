"""Trends in a terminal: a table of totals, and shares over time in block characters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.style import Style
from rich.table import Table
from rich.text import Text

from worker.charts.palette import COLOURS
from worker.charts.standouts import plain
from worker.posts.model import LABELS
from worker.spans import format_span
from worker.trends import ORIGIN, UNCERTAIN, floor, merge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from rich.console import Console, ConsoleOptions, RenderableType

    from worker.trends import Series, Trends, Window

_BLOCKS: Final = " ▁▂▃▄▅▆▇█"
_ASCII_BLOCKS: Final = " .:-=+*#@"
_LEVELS: Final = 8
_NAME_COLUMNS: Final = 10
_TICK_SPANS: Final = tuple(
    timedelta(minutes=minutes)
    for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080, 20160, 40320)
)
_DAY: Final = timedelta(days=1)
_NARROW: Final = 60
"""Columns under which the table keeps to the essentials."""
_WIDEST: Final = 140
"""Columns over which bars only grow fat."""
MAX_CHARTS: Final = 4
"""With more values than this, the table says the rest."""


def render_terminal(trends: Trends) -> RenderableType:
    """A table with a line per series, then a chart over time of the largest ones.

    It fits any width from 40 columns up, and reads without colour too.
    """
    shown = trends.series[:MAX_CHARTS]
    height = 2 if len(shown) == 1 else 1
    charts = [_Chart(series, trends, height) for series in shown]
    caption = "Shares of labelled posts; net: joy + love - sadness - anger - fear, in points."
    parts: list[RenderableType] = [_Totals(trends), Text(caption, style="dim")]
    if len(trends.series) > len(shown):
        more = f"Charts of the {len(shown)} largest of {len(trends.series)}; --value draws another."
        parts.append(Text(more, style="dim"))
    for chart in charts:
        parts += [Text(), chart]
    if not trends.complete:
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
        names = () if options.max_width < _NARROW else (*LABELS, UNCERTAIN)
        table = Table(box=None, padding=(0, 2 if wide else 1, 0, 0), pad_edge=False)
        heading = "" if self.trends.dimension == "all" else self.trends.dimension
        # Nobody looks on where it is wider than any terminal.
        most = None if options.max_width >= 200 else 30 if wide else 12
        table.add_column(heading, max_width=most, no_wrap=True, overflow="ellipsis")
        table.add_column("posts", justify="right", no_wrap=True)
        for name in names:
            short = "unc." if name == UNCERTAIN and not wide else name
            style = "dim" if name == UNCERTAIN else _style(name)
            table.add_column(short, justify="right", style=style, min_width=4, no_wrap=True)
        table.add_column("mostly", no_wrap=True)
        table.add_column("net", justify="right", no_wrap=True, min_width=3)
        for series in self.trends.series:
            total = series.total
            net = total.net
            mostly = total.dominant or "-"
            table.add_row(
                plain(series.name),
                f"{total.posts:,}",
                *(_percent(total.share(name)) for name in names),
                Text(mostly, style=_style(mostly)),
                "-" if net is None else f"{100 * net:+.0f}",
            )
        yield table


@dataclass(frozen=True, slots=True)
class _Chart:
    """One series over time: a row of bars per emotion on one scale, and the volume beneath."""

    series: Series
    trends: Trends
    height: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        for line in self._lines(options):
            line.truncate(options.max_width)
            line.no_wrap = True
            yield line

    def _lines(self, options: ConsoleOptions) -> Iterator[Text]:
        ascii_only = options.ascii_only
        trends = self.trends
        dated = trends.until - trends.since > _DAY
        figures = 12 + (12 if dated else 5)
        room = max(10, min(_WIDEST, options.max_width) - _NAME_COLUMNS - figures - 1)
        windows, pace = _fit(self.series.windows, trends, room)
        # Windows that overlap are not added up when they are joined: their mean is shown.
        joined = 1 if trends.step is None else pace // trends.step
        columns = max(1, min(8, room // len(windows)))
        # A lone post in a quiet window is 100 % of it: that must not set everyone's scale.
        mean = sum(window.labelled for window in windows) / len(windows)
        solid = [window for window in windows if window.labelled and window.labelled >= mean / 10]
        names = (*LABELS, UNCERTAIN)
        top = _ceiling(max((w.share(name) or 0.0 for w in solid for name in names), default=0.0))
        first, last = windows[0].start, windows[-1].start + pace
        span = f"{_date(first)} {first:%H:%M} to {_date(last)} {last:%H:%M} UTC"
        bar = f"{format_span(pace)} a bar"
        if trends.step is not None:
            bar = f"the last {format_span(trends.width)}, a bar each {format_span(pace)}"
        about = Text(f"  {span}, {bar}, full height {top:.0%}", style="dim")
        title = plain(self.series.name)
        title.stylize("bold")
        if title.cell_len + about.cell_len > options.max_width:
            title.truncate(max(20, options.max_width), overflow="ellipsis")
            yield title
            yield Text(about.plain.strip(), style="dim")
        else:
            yield title + about
        body = columns * len(windows)
        yield Text(" " * (_NAME_COLUMNS + body) + " mean  peak", style="dim")
        total = self.series.total
        when = _when(dated=dated, daily=pace >= _DAY)
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
        mean_posts = sum(window.posts for window in windows) / len(windows) / joined
        tail = f"{_count(mean_posts):>5} {_count(largest.posts / joined):>5} "
        tail += when(largest.start)
        yield from self._bars("posts", volume, columns, tail, Style(), ascii_only=ascii_only)
        yield Text(" " * _NAME_COLUMNS + _ticks(windows, pace, columns), style="dim")
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
    windows: tuple[Window, ...], trends: Trends, room: int
) -> tuple[tuple[Window, ...], timedelta]:
    """The windows, joined to wider ones where there are more than `room`; and their pace."""
    factor = 1
    while True:
        wide = trends.pace * factor
        groups: dict[datetime, list[Window]] = {}
        for window in windows:
            groups.setdefault(floor(window.start, wide), []).append(window)
        if len(groups) <= room:
            break
        factor += 1
    if factor == 1:
        return windows, trends.pace
    return tuple(replace(merge(group), start=start) for start, group in groups.items()), wide


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
