"""The classifier as the rest of the worker sees it: texts in, labels out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from worker.posts import Label, Unlabelled


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What the `models` table keeps of a bundle.

    Attributes:
        name: The bundle's name.
        version: The bundle's version.
        sha256: Of the weights, tokenizer, config and `bundle.json`, hex: the model's identity.
        base: The encoder it was fine-tuned from.
        labels: The outputs, in order.
        metrics: Metrics by split, as the bundle says.
        device: Where it runs, for people: `cpu (bf16)`, `cuda:0 (H100)`.
    """

    name: str
    version: str
    sha256: str
    base: str
    labels: tuple[str, ...]
    metrics: Mapping[str, Any]
    device: str


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """When a micro-batch closes: at whichever of the three comes first.

    Attributes:
        tokens: Budget of estimated word pieces.
        posts: Budget of records.
        linger_s: Seconds since the batch's first record.
    """

    tokens: int
    posts: int
    linger_s: float


@dataclass(frozen=True, slots=True)
class Text:
    """One text to label.

    Attributes:
        text: As it was posted; the bundle's tokenizer cleans it up.
        lang: BCP 47 tag, or None if unknown.
    """

    text: str
    lang: str | None = None


class Classifier(Protocol):
    """Labels texts. Implementations are used from one thread."""

    @property
    def info(self) -> ModelInfo:
        """What was loaded, and where it runs."""
        ...

    @property
    def policy(self) -> BatchPolicy:
        """The micro-batch policy that suits the device."""
        ...

    def watch(self, passed: Callable[[], object]) -> None:
        """From now on `passed` is called after each forward pass, on the thread that classifies.

        A large batch takes many of them, and as long as they go on nothing stands still.
        """
        ...

    def classify(self, texts: Sequence[Text]) -> list[Label | Unlabelled]:
        """Labels `texts`; the answer has their length and order.

        A text without content is `Unlabelled("empty")`; else, one in a language that the model does
        not know is `Unlabelled("language")`; else it gets a `Label`. Identical cleaned texts are
        scored once, and remembered in a bounded cache.

        Raises:
            ClassifierError: The model failed on these texts (one of them may be to blame); what it
                said of others is remembered. Its message holds nothing of the texts.
        """
        ...
