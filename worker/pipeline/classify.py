"""The classify stage: labels a micro-batch's posts, and finds the one that the model fails on."""

from __future__ import annotations

import logging
from queue import Empty
from typing import TYPE_CHECKING

from worker.classifier import Text
from worker.errors import ClassifierError
from worker.posts import Post, Rejection
from worker.source import TopicPartition
from worker.store.interface import Entry, LabelledBatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.batching import Item, MicroBatch
    from worker.classifier import Classifier
    from worker.pipeline.channels import Channels
    from worker.posts import Label, Unlabelled
    from worker.source.assignment import Assignment

log = logging.getLogger(__name__)


class ClassifyStage:
    """Takes micro-batches, gives labelled ones to the store. Runs on a thread of its own."""

    def __init__(
        self, classifier: Classifier, model_id: int, assignment: Assignment, channels: Channels
    ) -> None:
        self._classifier = classifier
        self._model_id = model_id
        self._assignment = assignment
        self._channels = channels

    def run(self) -> None:
        """Turns until the poll stage says that nothing more comes."""
        while not self._channels.abandoned.is_set() and self.turn():
            pass
        self._channels.classified.set()

    def turn(self, timeout_s: float = 0.5) -> bool:
        """Labels one batch, if one comes in time; False after the last."""
        try:
            batch = self._channels.batches.get(timeout=timeout_s)
        except Empty:
            return True
        if batch is None:
            return False
        labelled = self.label(batch)
        while labelled.spans and not self._channels.inbox.put(labelled, timeout_s):
            if self._channels.abandoned.is_set():
                return False
        return True

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
        posts = [item for item in items if isinstance(item.decoded, Post)]
        labels = iter(self._labels(posts))
        entries = []
        for item in items:
            if not isinstance(item.decoded, Post):
                entries.append(Entry(item.record, item.decoded))
                continue
            label = next(labels)
            if isinstance(label, Rejection):
                entries.append(Entry(item.record, label))
            else:
                entries.append(Entry(item.record, item.decoded, label))
        return LabelledBatch(spans, tuple(entries), self._model_id)

    def _labels(self, posts: Sequence[Item]) -> list[Label | Unlabelled | Rejection]:
        """Labels by halves where the model fails: a post to blame is rejected, alone."""
        if not posts:
            return []
        texts = [
            Text(item.decoded.text, item.decoded.lang)
            for item in posts
            if isinstance(item.decoded, Post)
        ]
        try:
            return list(self._classifier.classify(texts))
        except ClassifierError as error:
            if len(posts) > 1:
                middle = len(posts) // 2
                return self._labels(posts[:middle]) + self._labels(posts[middle:])
            ref = posts[0].record.ref
            log.error(  # noqa: TRY400 - the record is at fault, not the code
                "the model fails on a post: it becomes a dead letter",
                extra={"topic": ref.topic, "partition": ref.partition, "offset": ref.offset},
            )
            return [
                Rejection(
                    ref, "model_failed", f"The model fails on this text: {error}", "model_failed"
                )
            ]
