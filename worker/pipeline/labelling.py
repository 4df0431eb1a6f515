"""Labels for what was read: by halves where the model fails, so that one post is to blame alone."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from worker.classifier import Text
from worker.errors import ClassifierError, WorkerError
from worker.posts import Post, Rejection
from worker.store.interface import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from worker.batching import Item
    from worker.classifier import Classifier
    from worker.posts import Label, RecordRef, Unlabelled

log = logging.getLogger(__name__)


def label_items(
    classifier: Classifier, items: Sequence[Item], passed: Callable[[], object] = lambda: None
) -> tuple[Entry, ...]:
    """Labels the posts among `items`; one that the model fails on is rejected, alone.

    Args:
        classifier: What labels them.
        items: In the order in which they were read.
        passed: Called before each pass: finding what is to blame takes many.

    Raises:
        WorkerError: The model fails on every text, so that no post is to blame.
    """
    posts = [item for item in items if isinstance(item.decoded, Post)]
    labels = iter(_labels(classifier, posts, passed))
    entries = []
    for item in items:
        label = next(labels) if isinstance(item.decoded, Post) else None
        if isinstance(label, Rejection):
            entries.append(Entry(item.record, label))
        else:
            entries.append(Entry(item.record, item.decoded, label))
    return tuple(entries)


def _labels(
    classifier: Classifier, posts: Sequence[Item], passed: Callable[[], object]
) -> list[Label | Unlabelled | Rejection]:
    if not posts:
        return []
    texts = [
        Text(item.decoded.text, item.decoded.lang)
        for item in posts
        if isinstance(item.decoded, Post)
    ]
    passed()
    try:
        return list(classifier.classify(texts))
    except ClassifierError as error:
        if len(posts) > 1:
            middle = len(posts) // 2
            halves = posts[:middle], posts[middle:]
            return [label for half in halves for label in _labels(classifier, half, passed)]
        ref = posts[0].record.ref
        _probe(classifier, ref)
        log.error(  # noqa: TRY400 - the record is at fault, not the code
            "the model fails on a post: it becomes a dead letter",
            extra={"topic": ref.topic, "partition": ref.partition, "offset": ref.offset},
        )
        return [
            Rejection(ref, "model_failed", f"The model fails on this text: {error}", "model_failed")
        ]


def _probe(classifier: Classifier, ref: RecordRef) -> None:
    """Makes sure that it is the post and not the model.

    Raises:
        WorkerError: It is the model.
    """
    # Another text each time: of one that it has seen, the classifier may remember the label.
    probe = Text(f"what a day {ref.partition} {ref.offset}")
    try:
        classifier.classify([probe])
    except ClassifierError as error:
        raise WorkerError(
            f"The model fails on every text: {error}. Nothing of the batch was stored. "
            "`emotion-worker check` looks at the bundle and the device."
        ) from None
