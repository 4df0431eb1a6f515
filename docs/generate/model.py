"""What the bundled model's own files say of it."""

from __future__ import annotations

import json
from typing import Any, Final

from docs.generate.markdown import table
from worker.classifier.bundle import BUILTIN, BUNDLE, read_bundle, resolve_bundle

_FIGURES: Final = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "loss": "loss",
    "ece": "calibration error (ECE)",
}


def figures() -> str:
    """What it is, and how it was measured."""
    bundle = read_bundle(resolve_bundle(BUILTIN))
    facts = table(
        (f"{bundle.name} {bundle.version}", ""),
        [
            ("made of", bundle.base),
            ("knows", ", ".join(bundle.labels)),
            ("languages", ", ".join(bundle.languages)),
            ("reads", f"{bundle.max_length} tokens of a text"),
            ("temperature", f"{bundle.temperature:g}"),
            ("threshold", f"{bundle.threshold:g}"),
        ],
    )
    measured = table(
        ("posts", *_FIGURES.values()),
        [
            (split, *(_figure(values.get(name)) for name in _FIGURES))
            for split, values in bundle.metrics.items()
        ],
    )
    return f"{facts}\n{measured}"


def in_short() -> str:
    """One sentence."""
    bundle = read_bundle(resolve_bundle(BUILTIN))
    test = bundle.metrics["test"]
    return (
        f"The bundled model, {bundle.name} {bundle.version}, is right in {test['accuracy']:.1%} of "
        f"the test posts of dair-ai/emotion (macro-F1 {test['macro_f1']:.3f}, calibration error "
        f"{test['ece']:.3f}).\n"
    )


def limitations() -> str:
    """The limitations that its recipe names, as a list."""
    recipe: dict[str, Any] = json.loads((resolve_bundle(BUILTIN) / BUNDLE).read_text("utf-8"))[
        "recipe"
    ]
    return "".join(f"- {line}\n" for line in recipe["limitations"])


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
