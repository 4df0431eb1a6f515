"""Micro-batches: what was read, cut into what one forward pass and one transaction take.

A batch closes at a token budget, a post budget or `linger` since its first record, whichever comes
first. Tokens are estimated from the text's length, for only the classifier's room can count them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from worker.posts import Post
from worker.posts.place import Partition, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from worker.posts import Record, Rejection, Withdrawal

MAX_BYTES: Final = 16 << 20
"""Of record values in one batch: a topic of the largest messages must not fill the memory."""
CHARS_PER_TOKEN: Final = 4
MAX_TOKENS: Final = 64
"""A text counts no more than this: longer ones are truncated before the forward pass."""


@dataclass(frozen=True, slots=True)
class Item:
    """A record and what it decoded to."""

    record: Record
    decoded: Post | Withdrawal | Rejection


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Records of one or more partitions that are scored and stored together.

    Attributes:
        spans: One for each partition; the items lie within them. A span may hold no item, where
            the log has a gap.
        items: In the order in which they were read; each partition's by offset.
    """

    spans: tuple[Span, ...]
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """When a batch closes: at whichever of the three comes first (`tokens` are estimated)."""

    tokens: int
    posts: int
    linger_s: float

    def fill(self, tokens: int, posts: int) -> float:
        """The share of its budget that a batch of so much uses: of tokens or posts, the larger."""
        return max(tokens / self.tokens, posts / self.posts)


def estimated_tokens(decoded: Post | Withdrawal | Rejection) -> int:
    """About how many word pieces the classifier will see, special tokens included."""
    if not isinstance(decoded, Post):
        return 0
    return min(MAX_TOKENS, 2 + len(decoded.text) // CHARS_PER_TOKEN)


def event_time(item: Item) -> datetime | None:
    """How far a record says that time has come: its post's time, never later than its own.

    A post from the future must not complete buckets that are still being written.
    """
    if not isinstance(item.decoded, Post):
        return None
    created = item.decoded.created_at
    if item.record.timestamp_ms < 0:
        return created
    try:
        written = datetime.fromtimestamp(item.record.timestamp_ms / 1_000, UTC)
    except (OverflowError, OSError, ValueError):
        return created
    return min(created, written)


class Batcher:
    """Cuts the stream into micro-batches. Used from one thread.

    Args:
        limits: When a batch closes.
        lateness_s: How far watermarks stay behind event time.
        clock: Seconds, monotonic.
    """

    def __init__(self, limits: Limits, lateness_s: float, clock: Callable[[], float]) -> None:
        self.limits = limits
        self._lateness = timedelta(seconds=lateness_s)
        self._clock = clock
        self._open = _Open()

    def add(
        self, partition: Partition, epoch: int, start: int, items: Sequence[Item], end: int
    ) -> Iterator[MicroBatch]:
        """Takes what was read of a partition from position `start` to `end`.

        Yields:
            Each batch that is full.
        """
        for item in items:
            tokens = estimated_tokens(item.decoded)
            if self._open.items and self._open.tokens + tokens > self.limits.tokens:
                yield self._close()
            after = item.record.ref.offset + 1
            self._extend(partition, epoch, start, after, event_time(item))
            start = after
            self._open.items.append(item)
            self._open.tokens += tokens
            self._open.bytes += len(item.record.value or b"")
            if len(self._open.items) >= self.limits.posts or self._open.bytes >= MAX_BYTES:
                yield self._close()
        if end > start:
            self._extend(partition, epoch, start, end, None)

    def due(self) -> MicroBatch | None:
        """The open batch, if it has lingered long enough."""
        if self._open.spans and self._clock() - self._open.since >= self.limits.linger_s:
            return self._close()
        return None

    def flush(self) -> MicroBatch | None:
        """The open batch, whatever it holds; None if that is nothing."""
        return self._close() if self._open.spans else None

    def wait_s(self) -> float | None:
        """Seconds until the open batch is due; None if none is open."""
        if not self._open.spans:
            return None
        return max(0.0, self._open.since + self.limits.linger_s - self._clock())

    def drop(self, partition: Partition) -> None:
        """Forgets what the open batch holds of a partition that is no longer ours."""
        if self._open.spans.pop(partition, None) is None:
            return
        kept = [
            item
            for item in self._open.items
            if (item.record.ref.topic, item.record.ref.partition)
            != (partition.topic, partition.number)
        ]
        self._open.items = kept
        self._open.tokens = sum(estimated_tokens(item.decoded) for item in kept)
        self._open.bytes = sum(len(item.record.value or b"") for item in kept)

    def _extend(
        self, partition: Partition, epoch: int, start: int, end: int, time: datetime | None
    ) -> None:
        if not self._open.spans:
            self._open.since = self._clock()
        watermark = None if time is None else time - self._lateness
        span = self._open.spans.get(partition)
        if span is None:
            self._open.spans[partition] = Span(partition, epoch, start, end, watermark)
            return
        if span.watermark is not None and (watermark is None or span.watermark > watermark):
            watermark = span.watermark
        self._open.spans[partition] = replace(span, end=end, watermark=watermark)

    def _close(self) -> MicroBatch:
        batch = MicroBatch(tuple(self._open.spans.values()), tuple(self._open.items))
        self._open = _Open()
        return batch


class _Open:
    """The batch that is being filled."""

    __slots__ = ("bytes", "items", "since", "spans", "tokens")

    def __init__(self) -> None:
        self.spans: dict[Partition, Span] = {}
        self.items: list[Item] = []
        self.tokens = 0
        self.bytes = 0
        self.since = 0.0
