"""How far behind each partition is, in records and in seconds, and how far its time has come."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from worker.source import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from worker.metrics import Metrics
    from worker.pipeline.readings import Reading
    from worker.posts.place import Span
    from worker.source import Polled


@dataclass(slots=True)
class _Lag:
    """What is known of a partition's unstored records.

    Attributes:
        unstored: Of each poll's records: the position after them, and the first one's time.
        seen_ms: The newest time before which nothing is unread: the last read record's, or that
            at which the partition was at its end.
        begun_ms: When we began to read it.
        watermark: The highest one that was stored.
    """

    begun_ms: int
    unstored: deque[tuple[int, int]] = field(default_factory=deque)
    seen_ms: int = -1
    watermark: datetime | None = None


class Lags:
    """Keeps the gauges of the partitions that are read. Used from the poll stage's thread.

    Args:
        metrics: Where they are shown.
        wall: Wall clock, UTC.
    """

    def __init__(self, metrics: Metrics, wall: Callable[[], datetime]) -> None:
        self._metrics = metrics
        self._wall = wall
        self._lags: dict[TopicPartition, _Lag] = {}

    def begin(self, place: TopicPartition) -> None:
        """A partition is read from now on, perhaps from another position than before."""
        self._lags[place] = _Lag(self._now_ms())

    def read(self, place: TopicPartition, polled: Polled) -> None:
        """These records were read and handed on."""
        if not polled.records:
            return
        lag = self._lags[place]
        lag.unstored.append((polled.end, polled.records[0].timestamp_ms))
        lag.seen_ms = max(lag.seen_ms, polled.records[-1].timestamp_ms)

    def stored(self, span: Span) -> None:
        """A span or a heartbeat stands in the store."""
        lag = self._lags.get(TopicPartition.of(span.partition))
        if lag is None:
            return
        while lag.unstored and lag.unstored[0][0] <= span.end:
            lag.unstored.popleft()
        watermark = span.watermark
        if watermark is not None and (lag.watermark is None or watermark > lag.watermark):
            # As the store does: never ahead of the clock.
            lag.watermark = min(watermark, self._wall())
            place = span.partition
            self._metrics.watermarked(place.topic, place.number, lag.watermark)

    def look(
        self,
        readings: Mapping[TopicPartition, Reading],
        ends: Mapping[TopicPartition, int],
        *,
        stale: bool = False,
    ) -> None:
        """Shows how far each is behind its log's end.

        A record that was not read yet is no older than `seen_ms`: for such a one the seconds are
        an upper bound. Before any record was read they are a lower one: since we began.

        Args:
            readings: Those that are read.
            ends: Where their logs end; one that is not there is not shown anew.
            stale: Whether that was some time ago: nobody knows what was written since.
        """
        for place, reading in readings.items():
            if place not in ends:
                continue
            lag = self._lags[place]
            behind = ends[place] - reading.stored
            if behind <= 0 and not stale:
                lag.seen_ms = self._now_ms()
            oldest = lag.unstored[0][1] if lag.unstored else lag.seen_ms
            self._metrics.lag(
                place.topic,
                place.number,
                records=behind,
                oldest_ms=oldest if oldest >= 0 else lag.begun_ms,
            )

    def _now_ms(self) -> int:
        return round(self._wall().timestamp() * 1_000)

    def forget(self, place: TopicPartition) -> None:
        """A partition is no longer read."""
        if self._lags.pop(place, None) is not None:
            self._metrics.forget(place.topic, place.number)
