"""Makes the classifier that the settings name."""

# ruff: noqa: PLC0415 (torch takes seconds to import: only those who load a model wait for it)
from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from worker.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.classifier.interface import BatchPolicy, Classifier

STUB: Final = "stub"


def load_classifier(
    model: str,
    *,
    device: str = "auto",
    min_confidence: float | None = None,
    languages: Sequence[str] | None = None,
    batch_tokens: int | None = None,
    batch_posts: int | None = None,
    linger_ms: int | None = None,
) -> Classifier:
    """Loads a model. A local one is loaded without touching the network or printing anything.

    Args:
        model: `builtin`, a bundle's folder, or a hub id. For tests and drills also `stub`, or
            `stub:N` for one that takes N milliseconds a post: of the other arguments it heeds
            only those of the batches.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        min_confidence: Confidence below which a text is `uncertain`; None: the bundle's.
        languages: Languages that are labelled; None: the bundle's.
        batch_tokens: Overrides the device's budget of word pieces.
        batch_posts: Overrides its budget of posts.
        linger_ms: Overrides its linger, in milliseconds.

    Raises:
        SettingsError: The model, its files or the device do not fit; the message says what.
        DependencyError: The hub cannot be reached, or has no such model.
    """

    def override(policy: BatchPolicy) -> BatchPolicy:
        return replace(
            policy,
            tokens=policy.tokens if batch_tokens is None else batch_tokens,
            posts=policy.posts if batch_posts is None else batch_posts,
            linger_s=policy.linger_s if linger_ms is None else linger_ms / 1000,
        )

    if model == STUB or model.startswith(f"{STUB}:"):
        from worker.classifier.stub import StubClassifier

        stub = StubClassifier(milliseconds_per_post=_delay(model))
        return StubClassifier(milliseconds_per_post=_delay(model), policy=override(stub.policy))

    from worker.classifier.bundle import read_bundle, resolve_bundle

    bundle = read_bundle(resolve_bundle(model))

    # OpenMP reads it when torch is imported. By default its threads spin while they wait for each
    # other; on cores shared with a broker and a database that made the model four times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    from worker.classifier.hardware import choose_hardware
    from worker.classifier.transformer import TransformerClassifier

    hardware = choose_hardware(device)
    return TransformerClassifier(
        bundle,
        replace(hardware, policy=override(hardware.policy)),
        threshold=bundle.threshold if min_confidence is None else min_confidence,
        languages=bundle.languages if languages is None else languages,
    )


def _delay(model: str) -> float:
    digits = model.partition(":")[2]
    if not digits:
        return 0.0
    try:
        delay = float(digits)
    except ValueError:
        delay = -1.0
    if not 0 <= delay <= 60_000:
        raise SettingsError(f"WORKER_MODEL={model}: stub:N takes N milliseconds a post, as stub:5.")
    return delay
