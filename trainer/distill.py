"""Distillation: what one or several finished models say of the training posts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer import evaluate, metrics
from trainer.encoder import WEIGHTS, sha256
from trainer.labels import outputs
from worker.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        recipe: Its outputs have to be theirs.

    Raises:
        SettingsError: One is no model, or has other outputs.
        DependencyError: The hub could not be reached.
    """
    teachers = []
    for source in sources:
        model = evaluate.load(source)
        wanted = outputs(neutral=recipe.neutral)
        if model.outputs != wanted:
            raise SettingsError(
                f"--teacher {source}: its outputs are {', '.join(model.outputs)}; recipe "
                f"{recipe.name} has {', '.join(wanted)}"
            )
        teachers.append(Teacher(model, _about(source)))
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


def targets(models: Sequence[evaluate.Model], texts: Sequence[str]) -> NDArray[Any] | None:
    """Soft targets: the mean of the teachers' calibrated probabilities.

    Returns:
        Shape (texts, outputs), float32; None without teachers.
    """
    if not models:
        return None
    total = sum(
        np.exp(
            metrics.log_softmax(
                evaluate.predict(
                    model.network, model.tokenizer, texts, max_length=model.max_length
                ),
                model.temperature,
            )
        )
        for model in models
    )
    return np.asarray(total / len(models), dtype=np.float32)
