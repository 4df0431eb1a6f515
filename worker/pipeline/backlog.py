"""The batches that are cut and cannot be handed on yet: the measure of back-pressure."""

from __future__ import annotations

from collections import deque
from queue import Full
from typing import TYPE_CHECKING

from worker.batching import estimated_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.batching import Limits, MicroBatch
    from worker.pipeline.channels import Channels


class Backlog:
    """Hands micro-batches to the classify stage, and never waits for it.

    Args:
        channels: The queues.
        limits: Of a micro-batch: how well it is filled is shown.
    """

    def __init__(self, channels: Channels, limits: Limits) -> None:
        self._channels = channels
        self._limits = limits
        self._waiting: deque[MicroBatch] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[MicroBatch]:
        return iter(self._waiting)

    def offer(self, batch: MicroBatch | None) -> None:
        """Adds a batch, if there is one, and hands on what there is room for."""
        if batch is not None:
            self._waiting.append(batch)
            posts = len(batch.items)
            tokens = sum(estimated_tokens(item.decoded) for item in batch.items)
            fill = self._limits.fill(tokens, posts)
            self._channels.metrics.cut(posts=posts, tokens=tokens, fill=fill)
        while self._waiting:
            try:
                self._channels.batches.put_nowait(self._waiting[0])
            except Full:
                return
            self._waiting.popleft()
