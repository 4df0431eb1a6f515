"""A classifier without a model, for tests and drills of everything around it."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Final

from worker.classifier.calibration import MILLION, UNCERTAIN
from worker.classifier.content import EMPTY, FOREIGN, Languages, has_content
from worker.classifier.interface import BatchPolicy, ModelInfo, Text
from worker.posts import LABELS, Label

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from worker.posts import Unlabelled

# About a fifth of the texts is uncertain.
_THRESHOLD: Final = 0.25


class StubClassifier:
    """Answers by the text's SHA-256: always the same, and of no meaning.

    For tests and drills (`WORKER_MODEL=stub`, or `stub:5` for 5 ms a post): it needs neither torch
    nor a bundle, and its labels must never be taken for a model's. Texts without content are
    `empty`, those in another language than English `language`.
    """

    def __init__(
        self,
        *,
        milliseconds_per_post: float = 0.0,
        policy: BatchPolicy | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._delay_s = milliseconds_per_post / 1000
        self._policy = policy or BatchPolicy(tokens=8_192, posts=256, linger_s=0.05)
        self._sleep = sleep
        self._languages = Languages(["en"])
        self._passed: Callable[[], object] = lambda: None

    @property
    def info(self) -> ModelInfo:
        """A model of its own, so that nobody takes its labels for another's."""
        return ModelInfo(
            name="stub",
            version="1",
            sha256=hashlib.sha256(b"stub 1").hexdigest(),
            base="none",
            labels=LABELS,
            metrics={},
            device="none",
        )

    @property
    def policy(self) -> BatchPolicy:
        """The micro-batch policy that was given."""
        return self._policy

    def watch(self, passed: Callable[[], object]) -> None:
        """See `Classifier.watch`; here a post is a forward pass."""
        self._passed = passed

    def classify(self, texts: Sequence[Text]) -> list[Label | Unlabelled]:
        """Labels `texts`, after the delay for each of them."""
        if self._delay_s:
            for _ in texts:
                self._sleep(self._delay_s)
                self._passed()
        return [self._label(text) for text in texts]

    def _label(self, text: Text) -> Label | Unlabelled:
        if not has_content(text.text):
            return EMPTY
        if not self._languages.knows(text.lang):
            return FOREIGN
        digest = hashlib.sha256(text.text.encode("utf-8", "replace")).digest()
        weights = [byte + 1 for byte in digest[: len(LABELS)]]
        one, two, three, four, five, six = (
            round(MILLION * weight / sum(weights)) for weight in weights
        )
        scores = (one, two, three, four, five, six)
        best = max(scores)
        confidence = best / MILLION
        emotion = UNCERTAIN if confidence < _THRESHOLD else LABELS[scores.index(best)]
        return Label(emotion=emotion, confidence=confidence, scores=scores)
