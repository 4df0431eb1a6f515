"""Idle heartbeats: how far time has come where no record says so."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from worker.pipeline.messages import Beat
from worker.posts.place import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from worker.pipeline.channels import Channels
    from worker.pipeline.lags import Lags
    from worker.pipeline.readings import Readings
    from worker.source import Source, TopicPartition


class Beats:
    """Asks where the logs end, and what follows from it. The poll stage's, on its thread.

    Args:
        source: The group member.
        channels: The queues.
        readings: What is read.
        lags: Learns of the ends too.
        lateness_s: How far watermarks stay behind.
        wall: Wall clock, UTC.
    """

    def __init__(
        self,
        source: Source,
        channels: Channels,
        readings: Readings,
        lags: Lags,
        *,
        lateness_s: float,
        wall: Callable[[], datetime],
    ) -> None:
        self._source = source
        self._channels = channels
        self._readings = readings
        self._lags = lags
        self._lateness = timedelta(seconds=lateness_s)
        self._wall = wall
        self._ends: Mapping[TopicPartition, int] = {}

    def beat(self) -> None:
        """Says of partitions that were read to their end how far time has come without records.

        Raises:
            SourceUnavailableError: The broker did not say where the logs end.
        """
        idle = self._readings.idle()
        self._readings.mirror_again(idle)
        readings = self._readings.all()
        if not readings:
            return
        # The end offset is asked for after this moment: what it does not cover was written later.
        watermark = self._wall() - self._lateness
        ends = self._ends = self._source.ends(list(readings))
        self._lags.look(readings, ends)
        spans = tuple(
            Span(
                reading.claim.partition,
                reading.claim.epoch,
                reading.stored,
                reading.stored,
                watermark,
            )
            for place, reading in idle.items()
            if ends.get(place) == reading.stored
        )
        if spans:
            self._channels.inbox.ask(Beat(spans))

    def away(self) -> None:
        """Shows how far each is behind while the broker does not say where the logs end."""
        self._lags.look(self._readings.all(), self._ends, stale=True)
