"""The stub classifier, with a text that it fails on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.classifier.stub import StubClassifier
from worker.errors import ClassifierError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.classifier import Text
    from worker.posts import Label, Unlabelled


class PoisonedClassifier(StubClassifier):
    """The stub, except that it fails where one of the texts contains `poison`."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def classify(self, texts: Sequence[Text]) -> list[Label | Unlabelled]:
        self.calls += 1
        if any("poison" in text.text for text in texts):
            raise ClassifierError("the forward pass failed")
        return super().classify(texts)
