"""The classifier that the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.classifier import Classifier
    from worker.settings import Settings


def classifier_of(settings: Settings) -> Classifier:
    """Loads it; this takes seconds.

    Raises:
        WorkerError: The bundle does not fit; the message names what.
        DependencyError: It cannot be reached.
    """
    from worker.classifier import load_classifier  # noqa: PLC0415 - torch takes seconds

    return load_classifier(
        settings.model,
        device=settings.device,
        min_confidence=settings.min_confidence,
        languages=settings.languages,
        batch_tokens=settings.batch_tokens,
        batch_posts=settings.batch_posts,
        linger_ms=settings.linger_ms,
    )
