"""The classify stage: labels what of a micro-batch is still ours."""

from __future__ import annotations

from queue import Empty
from typing import TYPE_CHECKING

from worker.health import Pulse
from worker.pipeline.backfill import Pace
from worker.pipeline.labelling import label_items
from worker.source import TopicPartition
from worker.store.interface import LabelledBatch

if TYPE_CHECKING:
    from worker.batching import MicroBatch
    from worker.classifier import Classifier
    from worker.pipeline.channels import Channels
    from worker.source.assignment import Assignment
    from worker.store.interface import ReplayTurn


class ClassifyStage:
    """Takes micro-batches, gives labelled ones to the store. Runs on a thread of its own."""

    def __init__(
        self,
        classifier: Classifier,
        model_id: int,
        assignment: Assignment,
        channels: Channels,
        *,
        generation: int = 0,
        replay: ReplayTurn | None = None,
        shadow: bool = False,
        pace: Pace | None = None,
    ) -> None:
        self._classifier = classifier
        self._model_id = model_id
        self._generation = generation
        self._replay = replay
        self._shadow = shadow
        self._pace = Pace() if pace is None else pace
        self._assignment = assignment
        self._channels = channels
        self._pulse = Pulse()

    def run(self) -> None:
        """Turns until the poll stage says that nothing more comes."""
        self._pulse = self._channels.health.pulse("classify")
        self._classifier.watch(self._pulse.beat)
        while not self._channels.abandoned.is_set() and self.turn():
            pass
        self._channels.health.ended("classify")
        self._channels.classified.set()

    def turn(self, timeout_s: float = 0.5) -> bool:
        """Labels one batch, if one comes in time; False after the last."""
        self._pulse.beat()
        try:
            batch = self._channels.batches.get(timeout=timeout_s)
        except Empty:
            return True
        if batch is None:
            return False
        self._keep_pace()
        self._pace.took(len(batch.items))
        with self._channels.metrics.timed("classify"):
            labelled = self.label(batch)
        while labelled.spans and not self._channels.inbox.put(labelled, timeout_s):
            self._pulse.beat()
            if self._channels.abandoned.is_set():
                return False
        return True

    def _keep_pace(self) -> None:
        """Waits before a batch, not before a poll: one brings posts for many batches.

        The queue fills up meanwhile, and the poll stage holds what it reads.
        """
        while self._pace.waits() and not self._channels.stopping.wait(0.05):
            self._pulse.beat()

    def label(self, batch: MicroBatch) -> LabelledBatch:
        """Labels what of the batch is still ours."""
        spans = tuple(
            span
            for span in batch.spans
            if self._assignment.holds(TopicPartition.of(span.partition), span.epoch)
        )
        ours = {(span.partition.topic, span.partition.number) for span in spans}
        items = [
            item
            for item in batch.items
            if (item.record.ref.topic, item.record.ref.partition) in ours
        ]
        entries = label_items(self._classifier, items, self._pulse.beat)
        return LabelledBatch(
            spans,
            entries,
            self._model_id,
            self._generation,
            replay=self._replay,
            shadow=self._shadow,
        )
