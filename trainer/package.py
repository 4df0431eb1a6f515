"""The model bundle: calibrated, written, checked with plain transformers, then put in place."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from trainer import card, data, evaluate, metrics
from trainer.calibrate import choose_threshold, fit_temperature
from trainer.quiet import quiet
from worker.errors import SettingsError, WorkerError
from worker.posts import LABELS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from trainer.run import Run

FILES: Final = (
    "NOTICE",
    "README.md",
    "bundle.json",
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
)
"""What a bundle consists of, and nothing else."""
_CHECKED_TEXTS: Final = 64
# The same fp16 weights in fp32 arithmetic: what differs is the order of sums.
_LOGIT_TOLERANCE: Final = 1e-3


class BundleError(WorkerError):
    """The bundle could not be made, or does not do what the trained model does."""


@dataclass(frozen=True, slots=True)
class _Measured:
    temperature: float
    threshold: float
    figures: dict[str, dict[str, float]]
    coverage: dict[str, card.Coverage]


def package(
    run: Run, output: Path, *, source: str | None = None, say: Callable[[str], None]
) -> Path:
    """Makes a bundle of a run's chosen model.

    The weights become fp16; every figure is measured on those. Temperature and threshold come from
    validation; `test`, where the data has it, is measured here and nowhere before.

    Args:
        run: The run.
        output: The bundle's folder; a bundle that is there is replaced.
        source: Where the run's data is now, if it has moved.
        say: Gets a line for people at each step.

    Returns:
        The bundle's folder.

    Raises:
        SettingsError: `output` holds something that is no bundle, or the data is not the run's.
        BundleError: The model is broken, or the bundle does not give its logits.
    """
    _check_replaceable(output)
    chosen = run.chosen
    dataset = _load_data(run, source or run.data_source)
    model = evaluate.load(str(run.model_folder(chosen.seed)))
    network = model.network.half().float()
    if not all(bool(torch.isfinite(tensor).all()) for tensor in network.parameters()):
        raise BundleError(f"{run.folder}: seed {chosen.seed} has weights that are no fp16 numbers")
    max_length = run.recipe.max_length
    logits = {
        name: evaluate.predict(network, model.tokenizer, split.texts, max_length=max_length)
        for name, split in dataset.splits.items()
        if name != "train"
    }
    measured = _measure(dataset, logits)
    for name, figures in measured.figures.items():
        say(f"{name}: " + ", ".join(f"{key} {value:.4f}" for key, value in figures.items()))
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    except OSError as error:
        raise SettingsError(f"--output {output}: cannot be written: {error.strerror}") from error
    try:
        partial.chmod(0o755)
        _write(partial, run=run, model=model, measured=measured)
        _self_check(
            partial, dataset.splits["val"].texts[:_CHECKED_TEXTS], logits["val"], max_length
        )
        _put_in_place(partial, output)
    except OSError as error:
        raise BundleError(f"{output}: cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    say(f"self-check: plain transformers gives the trained model's logits and labels; {output}")
    return output


def _check_replaceable(output: Path) -> None:
    if not output.exists():
        return
    if not output.is_dir():
        raise SettingsError(f"--output {output}: is a file; give a folder")
    if foreign := sorted({entry.name for entry in output.iterdir()} - set(FILES)):
        raise SettingsError(
            f"--output {output}: holds {foreign[0]}, which is no part of a bundle; "
            "give a new folder, or an old bundle to replace"
        )


def _load_data(run: Run, source: str) -> data.Dataset:
    dataset = data.load(source)
    dataset.split("val")
    if dataset.fingerprint() != run.dataset["fingerprint"]:
        raise SettingsError(
            f"{source}: is not the data that {run.folder} was trained on (its fingerprint "
            "differs); give that with --data"
        )
    return dataset


def _measure(dataset: data.Dataset, logits: dict[str, NDArray[np.float64]]) -> _Measured:
    labels = {name: np.asarray(dataset.splits[name].labels) for name in logits}
    temperature = fit_temperature(logits["val"], labels["val"])
    log_probabilities = {
        name: metrics.log_softmax(values, temperature) for name, values in logits.items()
    }
    confidence = {name: np.exp(values.max(axis=-1)) for name, values in log_probabilities.items()}
    threshold = choose_threshold(confidence["val"])
    coverage = {}
    for name, values in confidence.items():
        kept = values >= threshold
        right = logits[name].argmax(axis=-1) == labels[name]
        coverage[name] = card.Coverage(
            uncertain=float(1 - kept.mean()), accuracy=float(right[kept].mean())
        )
    figures = {
        name: metrics.measure(values, labels[name], temperature).rounded()
        for name, values in logits.items()
    }
    return _Measured(temperature, threshold, figures, coverage)


def _write(folder: Path, *, run: Run, model: evaluate.Model, measured: _Measured) -> None:
    network = model.network.half()
    with quiet():
        network.save_pretrained(folder)
        model.tokenizer.save_pretrained(folder)
    network.float()
    _tidy_tokenizer(folder)
    recipe = run.recipe
    bundle = {
        "name": recipe.name,
        "version": recipe.version,
        "base": run.base,
        "dataset": run.dataset,
        "recipe": recipe.model_dump(mode="json") | {"seed": run.chosen.seed},
        "metrics": measured.figures,
        "temperature": measured.temperature,
        "threshold": measured.threshold,
        "languages": list(recipe.languages),
        "max_length": recipe.max_length,
        "git_revision": run.git_revision,
    }
    (folder / "bundle.json").write_text(json.dumps(bundle, indent=2) + "\n", encoding="utf-8")
    (folder / "NOTICE").write_text(card.notice(run), encoding="utf-8")
    text = card.model_card(
        run,
        figures=measured.figures,
        coverage=measured.coverage,
        temperature=measured.temperature,
        threshold=measured.threshold,
        parameters=sum(tensor.numel() for tensor in network.parameters()),
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
    for path in folder.iterdir():
        path.chmod(0o644)  # safetensors writes for the owner alone


def _tidy_tokenizer(folder: Path) -> None:
    path = folder / "tokenizer.json"
    definition = json.loads(path.read_text("utf-8"))
    path.write_text(
        json.dumps(definition, ensure_ascii=False, separators=(",", ":")), encoding="utf-8"
    )
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text("utf-8"))
    # transformers 5 writes a class name that version 4 does not know; both know this one.
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    for passing in ("backend", "is_local", "local_files_only"):
        config.pop(passing, None)
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _self_check(
    folder: Path, texts: Sequence[str], expected: NDArray[np.float64], max_length: int
) -> None:
    """Reloads the bundle as anyone would, and compares."""
    if missing := sorted(set(FILES) ^ {entry.name for entry in folder.iterdir()}):
        raise BundleError(f"self-check: {', '.join(missing)} is missing or unexpected")
    with quiet():
        network = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
        tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    labels = tuple(network.config.id2label[index] for index in range(network.config.num_labels))
    if labels != LABELS:
        raise BundleError(f"self-check: the reloaded labels are {', '.join(labels)}")
    with torch.inference_mode():
        inputs = tokenizer(
            list(texts),
            truncation=True,
            max_length=max_length,
            padding=True,
            return_tensors="pt",
        )
        logits = network.eval()(**inputs).logits.numpy()
    difference = float(np.abs(logits - expected[: len(texts)]).max())
    if not difference <= _LOGIT_TOLERANCE:
        raise BundleError(
            f"self-check: reloaded with plain transformers, its logits differ by {difference:.4f}"
        )


def _put_in_place(partial: Path, output: Path) -> None:
    old = partial.with_name(f"{partial.name}.old")
    if output.exists():
        output.rename(old)
    try:
        partial.rename(output)
    except OSError:
        if old.exists():
            old.rename(output)
        raise
    shutil.rmtree(old, ignore_errors=True)
