"""The model bundle: calibrated, written, checked with plain transformers, then put in place."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from safetensors import SafetensorError
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from trainer import card, evaluate, metrics, perturb, robustness, sources
from trainer.calibrate import (
    choose_neutral_threshold,
    choose_threshold,
    expect_neutral,
    fit_temperature,
)
from trainer.labels import outputs
from trainer.measuring import confidences
from trainer.quiet import quiet
from trainer.run import check_data
from trainer.sources import emotional
from worker.classifier.bundle import read_bundle
from worker.errors import SettingsError, WorkerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from trainer.data import Split
    from trainer.recipe import Recipe
    from trainer.run import Run, SeedResult
    from trainer.sources import Corpus

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
_PERTURBED: Final = 1000
"""Posts of each split that the perturbation suite takes, at most."""
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
    neutral_uncertain: float | None
    perturbations: dict[str, dict[str, dict[str, float]]]
    negation: dict[str, int]


def package(
    run: Run,
    output: Path,
    *,
    places: tuple[str | None, Mapping[str, str]] = (None, {}),
    seed: int | None = None,
    say: Callable[[str], None],
) -> Path:
    """Makes a bundle of a run's chosen model.

    The weights become fp16; every figure is measured on those. Temperature and threshold come from
    validation; `test`, where the data has it, is measured here and nowhere before.

    Args:
        run: The run.
        output: The bundle's folder; a bundle that is there is replaced.
        places: Where the run's data is now, if it has moved: the first data set, and others by
            name.
        seed: The model to package, if not the one that validation chooses.
        say: Gets a line for people at each step.

    Returns:
        The bundle's folder.

    Raises:
        SettingsError: `output` holds something that is no bundle, the data is not the run's, or the
            run has no such seed.
        BundleError: The model is broken, or the bundle does not give its logits.
    """
    _check_replaceable(output)
    chosen = run.chosen if seed is None else _result(run, seed)
    corpus = _load_data(run, places)
    model = evaluate.load(str(run.model_folder(chosen.seed)))
    wanted = outputs(neutral=run.recipe.neutral)
    if model.outputs != wanted:
        raise BundleError(
            f"{run.folder}: seed {chosen.seed} has the outputs {', '.join(model.outputs)}, its "
            f"recipe {', '.join(wanted)}"
        )
    if run.recipe.neutral:
        expect_neutral(model.network, run.recipe.neutral_odds)
    network = model.network.half().float()
    if not all(bool(torch.isfinite(tensor).all()) for tensor in network.parameters()):
        raise BundleError(f"{run.folder}: seed {chosen.seed} has weights that are no fp16 numbers")
    model = replace(model, network=network, max_length=run.recipe.max_length)
    logits = _logits(model, corpus)
    measured = _measure(run.recipe, model, corpus, logits)
    for name, figures in measured.figures.items():
        say(f"{name}: " + ", ".join(f"{key} {value:.4f}" for key, value in figures.items()))
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    except OSError as error:
        raise SettingsError(f"--output {output}: cannot be written: {error.strerror}") from error
    try:
        partial.chmod(0o755)
        _write(partial, run=run, chosen=chosen, model=model, measured=measured)
        _self_check(
            partial,
            corpus.held_out()["first"].texts[:_CHECKED_TEXTS],
            logits["val"],
            run.recipe,
        )
        _put_in_place(partial, output)
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{output}: cannot be written: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    say(f"self-check: plain transformers gives the trained model's logits and labels; {output}")
    return output


def _result(run: Run, seed: int) -> SeedResult:
    for result in run.seeds:
        if result.seed == seed:
            return result
    done = ", ".join(str(result.seed) for result in run.seeds) or "none"
    raise SettingsError(f"--seed {seed}: {run.folder} has no such seed (it has: {done})")


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


def _load_data(run: Run, places: tuple[str | None, Mapping[str, str]]) -> Corpus:
    first, others = places
    corpus = sources.load(run.recipe, first or run.data_source, {**run.places, **others})
    corpus.first.split("val")
    check_data(run, corpus)
    return corpus


def _logits(model: evaluate.Model, corpus: Corpus) -> dict[str, NDArray[np.float64]]:
    """Logits of `val` and `test` of the first data set, `NAME/val` of others, and `neutral`."""
    return {
        name: evaluate.predict(
            model.network, model.tokenizer, split.texts, max_length=model.max_length
        )
        for name, split in _splits(corpus).items()
        if len(split)
    }


def _splits(corpus: Corpus) -> dict[str, Split]:
    held_out = corpus.held_out()
    found = {"val": held_out.pop("first")}
    if "test" in corpus.first.splits:
        found["test"] = emotional(corpus.first.splits["test"])
    found |= {f"{name}/val": split for name, split in held_out.items()}
    return {**found, "neutral": corpus.neutral()}


def _measure(
    recipe: Recipe,
    model: evaluate.Model,
    corpus: Corpus,
    logits: dict[str, NDArray[np.float64]],
) -> _Measured:
    splits = _splits(corpus)
    labels = {name: np.asarray(splits[name].labels) for name in logits if name != "neutral"}
    fitted_on = [name for name in labels if name != "test"]
    if recipe.temperature_from == "first":
        fitted_on = ["val"]
    temperature = fit_temperature(
        np.concatenate([logits[name] for name in fitted_on]),
        np.concatenate([labels[name] for name in fitted_on]),
        np.concatenate([np.full(len(labels[name]), 1 / len(labels[name])) for name in fitted_on]),
    )
    model = replace(model, temperature=temperature)
    confidence = {name: confidences(model, values) for name, values in logits.items()}
    neutral = confidence.pop("neutral", None)
    if neutral is None:
        threshold = choose_threshold(confidence["val"])
    else:
        # The others are real posts, as those that are neutral; the first's are all about feelings.
        beside = [confidence[name] for name in confidence if name.endswith("/val")]
        threshold = choose_neutral_threshold(
            np.concatenate(beside) if beside else confidence["val"], neutral
        )
    coverage = {}
    for name, values in confidence.items():
        kept = values >= threshold
        right = metrics.six(logits[name]).argmax(axis=-1) == labels[name]
        coverage[name] = card.Coverage(
            uncertain=float(1 - kept.mean()),
            accuracy=float(right[kept].mean()) if kept.any() else 0.0,
        )
    negation = robustness.measure_negation(model, threshold=threshold)
    return _Measured(
        temperature=temperature,
        threshold=threshold,
        figures={
            name: metrics.measure(logits[name], labels[name], temperature).rounded()
            for name in labels
        },
        coverage=coverage,
        neutral_uncertain=None if neutral is None else float((neutral < threshold).mean()),
        perturbations={
            name: {
                change: loss.rounded()
                for change, loss in perturb.measure(
                    model, split.take(range(0, len(split), -(-len(split) // _PERTURBED)))
                ).items()
            }
            for name, split in splits.items()
            if name in labels and name != "test"
        },
        negation={"posts": negation.posts, "right": negation.right},
    )


def _write(
    folder: Path, *, run: Run, chosen: SeedResult, model: evaluate.Model, measured: _Measured
) -> None:
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
        "sources": list(run.sources),
        "teachers": [
            {name: value for name, value in teacher.items() if name != "place"}
            for teacher in run.teachers
        ],
        "recipe": recipe.model_dump(mode="json") | {"seed": chosen.seed},
        "metrics": measured.figures,
        "temperature": measured.temperature,
        "threshold": measured.threshold,
        "languages": list(recipe.languages),
        "max_length": recipe.max_length,
        "git_revision": run.git_revision,
        "uncertain": {
            **{name: round(one.uncertain, 4) for name, one in measured.coverage.items()},
            **(
                {}
                if measured.neutral_uncertain is None
                else {"neutral": round(measured.neutral_uncertain, 4)}
            ),
        },
        "perturbations": measured.perturbations,
        "negation": measured.negation,
    }
    (folder / "bundle.json").write_text(json.dumps(bundle, indent=2) + "\n", encoding="utf-8")
    (folder / "NOTICE").write_text(card.notice(run), encoding="utf-8")
    text = card.model_card(
        run,
        chosen=chosen,
        figures=measured.figures,
        coverage=measured.coverage,
        temperature=measured.temperature,
        threshold=measured.threshold,
        robust=card.Robustness(
            measured.neutral_uncertain, measured.perturbations, measured.negation
        ),
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
    folder: Path, texts: Sequence[str], expected: NDArray[np.float64], recipe: Recipe
) -> None:
    """Reloads the bundle as anyone would, and compares; the worker has to take it too."""
    if missing := sorted(set(FILES) ^ {entry.name for entry in folder.iterdir()}):
        raise BundleError(f"self-check: {', '.join(missing)} is missing or unexpected")
    with quiet():
        network = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
        tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    labels = tuple(network.config.id2label[index] for index in range(network.config.num_labels))
    if labels != outputs(neutral=recipe.neutral):
        raise BundleError(f"self-check: the reloaded labels are {', '.join(labels)}")
    with torch.inference_mode():
        inputs = tokenizer(
            list(texts),
            truncation=True,
            max_length=recipe.max_length,
            padding=True,
            return_tensors="pt",
        )
        logits = network.eval()(**inputs).logits.numpy()
    difference = float(np.abs(logits - expected[: len(texts)]).max())
    if not difference <= _LOGIT_TOLERANCE:
        raise BundleError(
            f"self-check: reloaded with plain transformers, its logits differ by {difference:.4f}"
        )
    try:
        read_bundle(folder)
    except SettingsError as error:
        raise BundleError(f"self-check: the worker refuses it: {error}") from error


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
