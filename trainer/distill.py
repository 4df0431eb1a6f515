"""Distillation: what one or several finished models say of the training posts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from trainer import evaluate, metrics
from trainer.encoder import WEIGHTS, sha256
from trainer.labels import NEUTRAL, outputs
from worker.classifier.hardware import cpu_computes_bf16
from worker.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from trainer.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Teacher:
    """A teacher.

    Attributes:
        model: It.
        about: Name, version, SHA-256 of the weights, and place: for the run's record.
    """

    model: evaluate.Model
    about: dict[str, str]


def load(sources: Sequence[str], recipe: Recipe) -> list[Teacher]:
    """Loads teachers.

    Args:
        sources: Bundle or run folders.
        recipe: Its outputs have to be theirs; one that has `neutral` takes teachers without beside
            one with it.

    Raises:
        SettingsError: One is no model, or has other outputs.
        DependencyError: The hub could not be reached.
    """
    teachers = []
    for source in sources:
        model = evaluate.load(source)
        if not recipe.neutral and model.outputs != outputs(neutral=False):
            raise SettingsError(
                f"--teacher {source}: its outputs are {', '.join(model.outputs)}; recipe "
                f"{recipe.name} has {', '.join(outputs(neutral=False))}"
            )
        teachers.append(Teacher(model, _about(source)))
    if recipe.neutral and teachers and not any(NEUTRAL in one.model.outputs for one in teachers):
        raise SettingsError(
            f"--teacher {sources[0]}: knows no {NEUTRAL}, which recipe {recipe.name} has; give one "
            "that does beside it"
        )
    return teachers


def _about(source: str) -> dict[str, str]:
    about = {"name": Path(source).name, "version": "", "place": source, "sha256": ""}
    folder = Path(source)
    if (folder / "bundle.json").is_file():
        bundle = json.loads((folder / "bundle.json").read_text("utf-8"))
        about |= {"name": str(bundle["name"]), "version": str(bundle["version"])}
    if (folder / WEIGHTS).is_file():
        about["sha256"] = sha256(folder)
    return about


def targets(
    models: Sequence[evaluate.Model],
    texts: Sequence[str],
    *,
    own: int,
    say: Callable[[str], None],
) -> NDArray[Any] | None:
    """Soft targets: the mean of the teachers' calibrated probabilities.

    Args:
        models: The teachers. One without `neutral` speaks of the first data set's posts alone,
            none of which is neutral.
        texts: All training posts.
        own: How many of them, from the start, are the first data set's.
        say: Gets a line for people for each teacher.

    Returns:
        Shape (texts, outputs), float32; None without teachers.
    """
    if not models:
        return None
    width = max(len(model.outputs) for model in models)
    total = np.zeros((len(texts), width))
    speakers = np.zeros((len(texts), 1))
    for number, model in enumerate(models, 1):
        known = len(texts) if len(model.outputs) == width else own
        say(f"teacher {number} of {len(models)}: {known} posts")
        total[:known, : len(model.outputs)] += _probabilities(model, texts[:known])
        speakers[:known] += 1
    return np.asarray(total / speakers, dtype=np.float32)


def _probabilities(model: evaluate.Model, texts: Sequence[str]) -> NDArray[Any]:
    # Twice as fast where the processor computes in it; targets need no more digits.
    with torch.autocast("cpu", torch.bfloat16, enabled=cpu_computes_bf16()):
        logits = evaluate.predict(
            model.network, model.tokenizer, texts, max_length=model.max_length
        )
    return np.exp(metrics.log_softmax(logits, model.temperature))
