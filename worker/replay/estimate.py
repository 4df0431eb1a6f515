"""How much a replay would read, and how long it would take: from a sample, read and labelled."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from worker.batching import Item
from worker.pipeline.labelling import label_items
from worker.posts import Post
from worker.posts.formats import by_topic
from worker.replay.begin import window
from worker.source.lookup import read_some

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from worker.classifier import Classifier
    from worker.posts.place import Partition
    from worker.settings import Settings

SAMPLE: Final = 2_000
"""Records that are read to see how many are of the range."""
LABELLED: Final = 512
"""Posts of them that are labelled to see how fast that goes."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a sample says of the whole.

    Attributes:
        logs: First offset and end of each partition.
        sampled: Records that were read.
        share: Of them, those of the range.
        posts_per_s: How fast one process labels; None: nothing was there to be labelled.
    """

    logs: Mapping[Partition, tuple[int, int]]
    sampled: int
    share: float
    posts_per_s: float | None

    @property
    def offsets(self) -> int:
        """Offsets to go past; some may hold no record."""
        return sum(end - start for start, end in self.logs.values())

    @property
    def records(self) -> int:
        """About as many records are of the range."""
        return round(self.offsets * self.share)

    def seconds(self, rate: float | None) -> float | None:
        """About how long one process takes, at no more than `rate` posts a second."""
        rates = [one for one in (self.posts_per_s, rate) if one is not None]
        return self.records / min(rates) if rates else None


def estimate(
    settings: Settings,
    classifier: Classifier,
    logs: Mapping[Partition, tuple[int, int]],
    *,
    since: datetime | None,
    until: datetime | None,
) -> Estimate:
    """Reads some of what a replay would read, and labels some of that; stores nothing.

    Raises:
        DependencyError: The broker cannot be reached, or does not answer in time.
    """
    wanted_of = window({place: end for place, (_, end) in logs.items()}, since, until)
    starts = {place: start for place, (start, end) in logs.items() if start < end}
    records = read_some(settings, starts, SAMPLE) if starts else []
    wanted = [one for one in records if wanted_of.holds(one)]
    decode = by_topic(settings.formats or ())
    posts = [Item(one, decoded) for one in wanted if isinstance(decoded := decode(one), Post)][
        :LABELLED
    ]
    return Estimate(
        logs,
        len(records),
        len(wanted) / len(records) if records else 0.0,
        _speed(classifier, posts),
    )


def _speed(classifier: Classifier, posts: list[Item]) -> float | None:
    if not posts:
        return None
    size = classifier.policy.posts
    # The first pass pays for what the others find ready.
    label_items(classifier, posts[:8])
    began = time.perf_counter()
    for start in range(0, len(posts), size):
        label_items(classifier, posts[start : start + size])
    return len(posts) / max(1e-9, time.perf_counter() - began)
