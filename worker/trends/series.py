"""Series of windows: alignment, and zeros where nothing was said."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from worker.posts.model import LABELS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

UNCERTAIN: Final = "uncertain"
UNLABELLED: Final = "unlabelled"
EMOTIONS: Final = (*LABELS, UNCERTAIN, UNLABELLED)
"""The eight values of the column `emotion`: the order of every tuple of counts here."""
DIMENSIONS: Final = ("all", "platform", "lang", "hashtag", "topic")
ALL: Final = "*"
"""The one value of the dimension `all`."""
GRANULARITIES: Final[Mapping[str, timedelta]] = {
    "1d": timedelta(days=1),
    "1h": timedelta(hours=1),
    "1m": timedelta(minutes=1),
}
ORIGIN: Final = datetime(2000, 1, 3, tzinfo=UTC)
"""Windows of every width are counted from here: a Monday, so that 7d windows are ISO weeks."""
MAX_WIDTH: Final = timedelta(days=366)
_JOINERS: Final = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
"""Persian words and families of emoji are spelt with them."""


@dataclass(frozen=True, slots=True)
class TrendRow:
    """A row of `emotion_trends` or `emotion_rolling`, or several buckets summed to a window.

    Attributes:
        bucket: Where the bucket or step starts, UTC.
        dimension: One of `DIMENSIONS`.
        value: The dimension's value; `*` for all.
        emotion: One of `EMOTIONS`.
        posts: Posts with this emotion.
        total_posts: Labelled posts: the six and uncertain.
        share: posts / total_posts; None for unlabelled, and where there are none.
        mean_score: Mean probability of the emotion over the labelled posts; None for uncertain
            and unlabelled, and where there are none.
        complete: Everything up to the bucket's end was read.
    """

    bucket: datetime
    dimension: str
    value: str
    emotion: str
    posts: int
    total_posts: int
    share: float | None
    mean_score: float | None
    complete: bool


@dataclass(frozen=True, slots=True)
class Window:
    """What was said in one window.

    Attributes:
        start: Where its step starts, UTC. The window ends where the step ends; unless it rolls, it
            starts with it too.
        counts: Posts by emotion, in the order of `EMOTIONS`.
        mean_scores: Mean probability of each of `LABELS` over the labelled posts, in that order;
            None where there are none.
        complete: Everything up to its end was read: zero means that nothing was said.
    """

    start: datetime
    counts: tuple[int, ...]
    mean_scores: tuple[float | None, ...]
    complete: bool

    @property
    def labelled(self) -> int:
        """Posts with one of the six emotions or uncertain: what shares are shares of."""
        return sum(self.counts[: len(LABELS) + 1])

    @property
    def posts(self) -> int:
        """All posts, unlabelled ones included."""
        return sum(self.counts)

    def count(self, emotion: str) -> int:
        """Posts with `emotion`."""
        return self.counts[EMOTIONS.index(emotion)]

    def share(self, emotion: str) -> float | None:
        """The share of `emotion` in the labelled posts; None for unlabelled or without posts."""
        if emotion == UNLABELLED or not self.labelled:
            return None
        return self.count(emotion) / self.labelled

    @property
    def dominant(self) -> str | None:
        """The most frequent of the six emotions; None where there is none."""
        best = max(LABELS, key=self.count)
        return best if self.count(best) else None

    @property
    def net(self) -> float | None:
        """Shares of joy and love less those of sadness, anger and fear: from -1 to 1."""
        if not self.labelled:
            return None
        good = self.count("joy") + self.count("love")
        bad = self.count("sadness") + self.count("anger") + self.count("fear")
        return (good - bad) / self.labelled


@dataclass(frozen=True, slots=True)
class Series:
    """The windows of one value of a dimension, without a gap, in order of time.

    Attributes:
        dimension: One of `DIMENSIONS`.
        value: The dimension's value.
        windows: One for each step.
        whole: The range as one window, where the windows overlap and cannot be summed to it.
    """

    dimension: str
    value: str
    windows: tuple[Window, ...]
    whole: Window | None = None

    @property
    def name(self) -> str:
        """What to call it in a table or picture; harmless to a terminal."""
        return display_name(self.dimension, self.value)

    @property
    def total(self) -> Window:
        """The whole range as one window."""
        return merge(self.windows) if self.whole is None else self.whole


@dataclass(frozen=True, slots=True)
class Trends:
    """Series over the same windows.

    Attributes:
        dimension: What tells the series apart.
        width: How long each window is.
        since: Where the first step starts, UTC.
        until: Where the last window ends, UTC.
        series: By volume, the largest first.
        step: From one window to the next, where they overlap; None: they follow one another.
        complete_until: Everything up to this event time was read; None if that is not known.
    """

    dimension: str
    width: timedelta
    since: datetime
    until: datetime
    series: tuple[Series, ...]
    step: timedelta | None = None
    complete_until: datetime | None = None

    @property
    def pace(self) -> timedelta:
        """From the start of one step to the next."""
        return self.width if self.step is None else self.step

    @property
    def empty(self) -> bool:
        """No post in any window."""
        return not any(window.posts for series in self.series for window in series.windows)

    @property
    def complete(self) -> bool:
        """Everything up to the end of each window was read."""
        return all(window.complete for series in self.series for window in series.windows)

    def rows(self) -> list[TrendRow]:
        """Every series, window and emotion as a row, zeros included."""
        return [
            TrendRow(
                bucket=window.start,
                dimension=series.dimension,
                value=series.value,
                emotion=emotion,
                posts=window.counts[index],
                total_posts=window.labelled,
                share=window.share(emotion),
                mean_score=window.mean_scores[index] if index < len(LABELS) else None,
                complete=window.complete,
            )
            for series in self.series
            for window in series.windows
            for index, emotion in enumerate(EMOTIONS)
        ]


def display_name(dimension: str, value: str) -> str:
    """What to call a value in a table or picture; harmless to a terminal."""
    if dimension == "all":
        return "all posts"
    shown = "".join(
        c if c.isprintable() or c in _JOINERS else "\N{REPLACEMENT CHARACTER}" for c in value
    )
    if dimension == "lang" and shown == "und":
        return "unknown"
    return f"#{shown}" if dimension == "hashtag" else shown


def granularity_for(width: timedelta) -> str:
    """The coarsest granularity that fills a window of `width` with whole buckets.

    Raises:
        ValueError: `width` is not a whole number of minutes from one minute to 366 days.
    """
    if not timedelta(0) < width <= MAX_WIDTH:
        raise ValueError("a window is one minute to 366 days wide")
    for name, step in GRANULARITIES.items():
        if not width % step:
            return name
    raise ValueError("a window is a whole number of minutes wide")


def floor(moment: datetime, width: timedelta) -> datetime:
    """The start of the window of `width` that holds `moment`."""
    return ORIGIN + (moment - ORIGIN) // width * width


def window_starts(since: datetime, until: datetime, width: timedelta) -> list[datetime]:
    """The starts of the windows from `since` (aligned) to before `until`."""
    count = -((since - until) // width)
    return [since + index * width for index in range(max(0, count))]


def build(
    rows: Iterable[TrendRow],
    *,
    dimension: str,
    values: Sequence[str],
    width: timedelta,
    since: datetime,
    until: datetime,
    complete_until: datetime | None,
    step: timedelta | None = None,
    totals: Iterable[TrendRow] | None = None,
) -> Trends:
    """Series for `values`, in their order, with zeros where `rows` have nothing.

    Args:
        rows: Of windows of `width`; of those outside the range or of other values, none counts.
        dimension: The rows' dimension.
        values: One series each, also where there is no row.
        width: A window's width.
        since: The first step's start, aligned to it.
        until: The last window's end.
        complete_until: A time up to which everything was read, or None if unknown. Reading is
            complete in order of time, so that it also answers for windows without a row. The rows
            themselves cannot tell: a window's is made of the minutes in which there were posts.
        step: From one window to the next, where they roll.
        totals: Where they do, the whole range as one window that starts with `since`.
    """
    cells = _cells(rows)
    whole = None if totals is None else _cells(totals)
    pace = width if step is None else step
    starts = window_starts(since, until, pace)
    return Trends(
        dimension=dimension,
        width=width,
        since=since,
        until=until,
        series=tuple(
            Series(
                dimension,
                value,
                tuple(
                    _window(start, cells.get((value, start), {}), start + pace, complete_until)
                    for start in starts
                ),
                None
                if whole is None
                else _window(since, whole.get((value, since), {}), until, complete_until),
            )
            for value in values
        ),
        step=step,
        complete_until=complete_until,
    )


def _cells(rows: Iterable[TrendRow]) -> dict[tuple[str, datetime], dict[str, TrendRow]]:
    cells: dict[tuple[str, datetime], dict[str, TrendRow]] = {}
    for row in rows:
        cells.setdefault((row.value, row.bucket), {})[row.emotion] = row
    return cells


def _window(
    start: datetime, cell: Mapping[str, TrendRow], end: datetime, horizon: datetime | None
) -> Window:
    return Window(
        start=start,
        counts=tuple(cell[name].posts if name in cell else 0 for name in EMOTIONS),
        mean_scores=tuple(cell[name].mean_score if name in cell else None for name in LABELS),
        complete=horizon is not None and end <= horizon,
    )


def merge(windows: Sequence[Window]) -> Window:
    """Windows as one that starts with the first.

    Raises:
        ValueError: There are none.
    """
    if not windows:
        raise ValueError("no windows to merge")
    labelled = sum(window.labelled for window in windows)
    return Window(
        start=windows[0].start,
        counts=tuple(map(sum, zip(*(window.counts for window in windows), strict=True))),
        mean_scores=tuple(
            sum((window.mean_scores[index] or 0.0) * window.labelled for window in windows)
            / labelled
            if labelled
            else None
            for index in range(len(LABELS))
        ),
        complete=all(window.complete for window in windows),
    )
