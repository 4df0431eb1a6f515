"""What stood out in a range of time: spikes, joined to episodes, and changes of the model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from worker.trends.series import display_name

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

HOUR: Final = timedelta(hours=1)
"""What a spike is one of: the hour before the time asked about."""


@dataclass(frozen=True, slots=True)
class Spike:
    """A row of `emotion_spikes(at)` that has a score.

    Attributes:
        at: End of the hour, UTC.
        dimension: One of `DIMENSIONS`.
        value: The dimension's value.
        emotion: One of the six.
        posts: In that hour.
        expected: In it, by earlier days.
        low: Lower end of the band in which nearly all such hours lie.
        high: Its upper end.
        score: How unlikely, in standard deviations.
        share_now: Of the emotion, in the value's labelled posts.
        share_before: The same, of earlier days.
        post_ids: Up to five of the posts behind it.
        texts: Their texts in the same order, empty where one is not stored; none where none is.
        hashtags: Those that lift it.
        top_author_share: The part of the posts that the busiest author wrote, if authors are known.
        note: What to know about a change of model.
    """

    at: datetime
    dimension: str
    value: str
    emotion: str
    posts: int
    expected: float
    low: float
    high: float
    score: float
    share_now: float | None
    share_before: float | None
    post_ids: tuple[str, ...]
    texts: tuple[str, ...]
    hashtags: tuple[str, ...]
    top_author_share: float | None
    note: str | None


@dataclass(frozen=True, slots=True)
class Episode:
    """Spikes of one emotion of one value, in hours that touch.

    Attributes:
        since: Start of the first hour.
        until: End of the last one.
        peak: The spike with the highest score.
    """

    since: datetime
    until: datetime
    peak: Spike

    @property
    def name(self) -> str:
        """Of the value, as `Series.name`."""
        return display_name(self.peak.dimension, self.peak.value)

    @property
    def title(self) -> str:
        """The name, and what it is where that does not show."""
        if self.peak.dimension in {"all", "hashtag"}:
            return self.name
        return f"{self.peak.dimension} {self.name}"

    @property
    def times(self) -> float:
        """How many times the expected posts there were at the peak."""
        return self.peak.posts / max(self.peak.expected, 1.0)

    @property
    def rise(self) -> str:
        """The emotion, and by how much: `anger 6.9x`."""
        times = self.times
        return f"{self.peak.emotion} {times:.{1 if times < 9.95 else 0}f}x"

    def of(self, dimension: str, value: str) -> bool:
        """Whether it is a value's own."""
        return (self.peak.dimension, self.peak.value) == (dimension, value)


@dataclass(frozen=True, slots=True)
class ModelRun:
    """A row of `emotion_model_changes`: hours in a row that one model labelled most of.

    Attributes:
        model_id: Of `models`.
        name: Of the model; None where it is not registered.
        version: Likewise.
        since: Start of the first hour, UTC.
        until: End of the last hour.
        posts: Of these hours, by this model.
        complete: Everything up to `until` was read.
    """

    model_id: int
    name: str | None
    version: str | None
    since: datetime
    until: datetime
    posts: int
    complete: bool

    @property
    def title(self) -> str:
        """What to call the model."""
        if self.name is None:
            return f"model {self.model_id}"
        return f"{self.name} {self.version}" if self.version else self.name


@dataclass(frozen=True, slots=True)
class Events:
    """What stood out in a range of time.

    Attributes:
        episodes: Spikes, the highest score first.
        since: Hours that ended after this time were searched for spikes; None: none were.
        until: The last hour searched ended here.
        note: Why no hour, or not every hour, was compared; None where there is nothing to say.
        runs: The models at work, in order of time.
    """

    episodes: tuple[Episode, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    note: str | None = None
    runs: tuple[ModelRun, ...] = ()

    def changes(self, since: datetime) -> tuple[ModelRun, ...]:
        """The runs that began after `since` and took over from another model."""
        return tuple(
            run
            for before, run in zip(self.runs, self.runs[1:], strict=False)
            if run.since > since and run.model_id != before.model_id
        )


def episodes(spikes: Iterable[Spike]) -> tuple[Episode, ...]:
    """Joins the spikes of one emotion of one value whose hours touch; the highest score first."""
    chains: dict[tuple[str, str, str], list[list[Spike]]] = {}
    for spike in sorted(spikes, key=lambda spike: spike.at):
        found = chains.setdefault((spike.dimension, spike.value, spike.emotion), [])
        if found and spike.at - found[-1][-1].at <= HOUR:
            found[-1].append(spike)
        else:
            found.append([spike])
    joined = [
        Episode(chain[0].at - HOUR, chain[-1].at, max(chain, key=lambda spike: spike.score))
        for found in chains.values()
        for chain in found
    ]
    return tuple(
        sorted(joined, key=lambda one: (-one.peak.score, one.peak.dimension, one.peak.value))
    )
