"""What stood out, for a terminal: spikes, and changes of the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.style import Style
from rich.table import Table
from rich.text import Text

from worker.charts.palette import COLOURS
from worker.trends import display_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from rich.console import Console, ConsoleOptions, RenderableType

    from worker.trends import Episode, Events, Trends

_WIDE: Final = 100
_NARROW: Final = 72
_ONE_AUTHOR: Final = 0.2
"""From this part of a spike's posts on, its busiest author is worth a word."""


def render_events(events: Events, trends: Trends, *, limit: int) -> RenderableType:
    """The `limit` strongest spikes of the range, and the models that took over in it."""
    parts: list[RenderableType] = []
    for run in events.changes(trends.since):
        text = f"From {_when(run.since)} UTC on another model labels: {run.title}."
        parts.append(Text(f"{text} Shares from before are not comparable."))
    note = events.note
    searched = "" if events.since is None else f" since {_when(events.since)}"
    if events.episodes:
        parts += [Text(f"Spikes{searched}", style="bold"), _Spikes(events.episodes[:limit])]
        more = len(events.episodes) - limit
        if more > 0:
            parts.append(Text(f"and {more} more: --json has them all", style="dim"))
    elif events.since is not None and note is None:
        parts.append(Text(f"No spikes{searched}.", style="dim"))
    if note is not None:
        parts.append(Text(f"Spikes: {note}.", style="dim"))
    return Group(Text(), *parts) if parts else Group()


@dataclass(frozen=True, slots=True)
class _Spikes:
    """A line each, and what fits of the reasons."""

    episodes: tuple[Episode, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        wide, narrow = options.max_width >= _WIDE, options.max_width < _NARROW
        table = Table(box=None, padding=(0, 2 if wide else 1, 0, 0), pad_edge=False)
        table.add_column("since" if narrow else "when (UTC)", no_wrap=True, overflow="ellipsis")
        most = 32 if wide else 12 if narrow else 18
        table.add_column("what", max_width=most, no_wrap=True, overflow="ellipsis")
        table.add_column("emotion", no_wrap=True, overflow="ellipsis")
        if not narrow:
            table.add_column("posts", justify="right", no_wrap=True)
            table.add_column("usual", justify="right", no_wrap=True)
        if wide:
            table.add_column("why", no_wrap=True, overflow="ellipsis")
        for one in self.episodes:
            peak = one.peak
            row: list[RenderableType] = [
                _when(one.since) if narrow else _span(one.since, one.until),
                plain(one.title),
                Text(one.rise, style=Style(color=COLOURS[peak.emotion])),
            ]
            if not narrow:
                row += [f"{peak.posts:,}", f"{peak.expected:,.0f}"]
            if wide:
                row.append(Text(_why(one)))
            table.add_row(*row)
        yield table


def plain(name: str) -> Text:
    """A value's name that leaves what follows it in its place, where it is written right to left.

    See Unicode UAX #9; the mark takes no room.
    """
    return Text(name if name.isascii() else f"{name}\N{LEFT-TO-RIGHT MARK}")


def _why(one: Episode) -> str:
    peak = one.peak
    reasons = []
    if peak.share_now is not None and peak.share_before is not None:
        reasons.append(f"share {peak.share_now:.0%}, usually {peak.share_before:.0%}")
    if peak.hashtags:
        reasons.append(" ".join(display_name("hashtag", tag) for tag in peak.hashtags))
    if peak.top_author_share is not None and peak.top_author_share >= _ONE_AUTHOR:
        reasons.append(f"{peak.top_author_share:.0%} by one author")
    return "; ".join(reasons)


def _span(since: datetime, until: datetime) -> str:
    end = f"{until:%H:%M}" if until.date() == since.date() else _when(until)
    return f"{_when(since)} to {end}"


def _when(time: datetime) -> str:
    return f"{time.day} {time:%b %H:%M}"
