"""Fine-tuning on the Hugging Face Trainer: a model for each seed, chosen on validation."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from safetensors import SafetensorError
from transformers import (
    AutoModelForSequenceClassification,
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    set_seed,
)

from trainer import datareport, distill
from trainer import encoder as encoders
from trainer import run as run_folder
from trainer.arguments import training_arguments
from trainer.checkpoints import newest_whole
from trainer.emoji import widen
from trainer.encoding import encode
from trainer.evaluate import predict
from trainer.labels import outputs
from trainer.loop import Examples, FineTuner, TrainingError, Watch, balanced_weights
from trainer.metrics import measure
from trainer.quiet import quiet
from trainer.text import make_tokenizer
from worker.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from transformers import EvalPrediction, PreTrainedTokenizerFast

    from trainer.data import Split
    from trainer.recipe import Recipe
    from trainer.run import Run
    from trainer.sources import Corpus

_TENSORBOARD: Final = "TENSORBOARD_LOGGING_DIR"
_CPU_CHUNKS: Final = 3
"""MiniLM on one core: 0.62 s a step of 32 posts instead of 1.0 s."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a training run is made of.

    Attributes:
        recipe: How.
        corpus: On what; its first data set needs `train` and `val`.
        encoder: The folder of the encoder to start from.
        output: The run folder. It must not exist, or be empty, unless the run is resumed.
        seeds: One model each.
        teachers: Bundles whose averaged probabilities are soft targets.
        resume: Go on with the run that is in `output`.
    """

    recipe: Recipe
    corpus: Corpus
    encoder: Path
    output: Path
    seeds: tuple[int, ...]
    teachers: tuple[str, ...] = ()
    resume: bool = False


@dataclass(frozen=True, slots=True)
class _Material:
    """What all seeds of a run have in common."""

    tokenizer: PreTrainedTokenizerFast
    fit: Split
    examples: Examples
    validation: Examples


def train(job: Job, *, say: Callable[[str], None]) -> Run:
    """Trains one model for each seed, and says which one validation chooses.

    The folder is complete after each seed: a run that is stopped keeps the seeds it has finished,
    and resumed goes on from the last whole checkpoint of the next. Under `torchrun` or
    `accelerate launch` each process calls this; the first one writes and speaks, and only its
    answer has figures.

    Args:
        job: What to train.
        say: Gets a line for people at each step.

    Raises:
        SettingsError: The data has no `train` or no `val` split or lacks a label, the output
            folder is not empty, or what is to be resumed is another run.
        TrainingError: The loss became no number, or the disk or the memory is full.
    """
    recipe = job.recipe
    leads = leading()
    speak = say if leads else _silent
    teachers = distill.load(job.teachers, recipe)
    fitted, held_out = job.corpus.fit(recipe, taught=bool(teachers)), job.corpus.held_out()
    fit = fitted.split
    _check_labels(fit, recipe)
    run = _open(job, teachers, leads=leads)
    tokenizer = make_tokenizer(job.encoder, recipe.max_length, emoji=recipe.emoji)
    report = datareport.report(job.corpus, fit, tokenizer, recipe)
    speak(datareport.as_text(report))
    if leads:
        datareport.write(report, job.output)
    if recipe.logging_dir and not _has_tensorboard():
        speak("no TensorBoard log: the package tensorboard is not installed")
    targets = distill.targets(
        [teacher.model for teacher in teachers], fit.texts, own=fitted.own, say=speak
    )
    material = _Material(
        tokenizer,
        fit,
        _examples(fit, tokenizer, recipe, targets),
        _examples(held_out["first"], tokenizer, recipe),
    )
    for seed in run.remaining:
        speak(f"seed {seed}: {len(fit)} posts, {recipe.epochs} epochs from {run.base}")
        started = time.monotonic()
        with _said(job.output):
            model = _fit(job, seed, material, run_name=job.output.name, say=speak)
        minutes = (time.monotonic() - started) / 60
        figures = _measure(model, tokenizer, held_out, recipe) if leads else {"first": {}}
        first = figures.pop("first")
        with _said(job.output):
            run = run.with_seed(
                run_folder.SeedResult(
                    seed=seed, minutes=round(minutes, 2), val=first, others=figures
                ),
                save=partial(_save, model, tokenizer),
                write=leads,
            )
        speak(_line(run.seeds[-1]) if leads else "")
    for name, (mean, deviation) in run.spread().items() if leads else ():
        speak(f"{name} over {len(run.seeds)} seeds: {mean:.4f}, standard deviation {deviation:.4f}")
    return run


def leading() -> bool:
    """Whether this process writes and speaks: of those that train together, the first does."""
    return int(os.environ.get("RANK", "0")) == 0


def _silent(line: str) -> None:
    """What a process that does not lead says."""


def _open(job: Job, teachers: list[distill.Teacher], *, leads: bool) -> Run:
    if not job.resume:
        return run_folder.create(
            job.output,
            recipe=job.recipe,
            corpus=job.corpus,
            encoder=job.encoder,
            seeds=job.seeds,
            teachers=tuple(teacher.about for teacher in teachers),
            write=leads,
        )
    run = run_folder.load(job.output)
    run_folder.check_data(run, job.corpus)
    if run.base_sha256 != encoders.sha256(job.encoder):
        raise SettingsError(
            f"--base {job.encoder}: is not the encoder that {job.output} started from"
        )
    return run


def _check_labels(fit: Split, recipe: Recipe) -> None:
    counts = Counter(fit.labels)
    names = outputs(neutral=recipe.neutral)
    if missing := [name for index, name in enumerate(names) if not counts[index]]:
        raise SettingsError(
            f"no training post is labelled {' or '.join(missing)}, so a model could not learn it; "
            "add some to the train split"
            + ("" if missing != ["neutral"] else ", or set neutral = false in the recipe")
        )


@contextmanager
def _said(output: Path) -> Iterator[None]:
    """Says a full disk or memory in words for people."""
    resume = f"emotion-trainer train --resume {output}"
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            "the device has too little memory; halve batch_size and double accumulation_steps in "
            "the recipe"
        ) from error
    except (OSError, RuntimeError, SafetensorError) as error:
        full = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
        # safetensors and torch write by themselves, and have errors of their own.
        full = full or "No space left" in str(error) or "PytorchStreamWriter" in str(error)
        if not full:
            raise
        raise TrainingError(
            f"{output}: the disk is full; make room (a checkpoint takes three times the model), "
            f"then `{resume}` goes on from the last whole checkpoint"
        ) from error


def _has_tensorboard() -> bool:
    return find_spec("tensorboard") is not None


@contextmanager
def _tensorboard(recipe: Recipe, name: str) -> Iterator[None]:
    """Within it, a Trainer that is made writes its event files under the recipe's folder."""
    before = os.environ.get(_TENSORBOARD)
    if before is None and recipe.logging_dir:
        os.environ[_TENSORBOARD] = os.path.join(recipe.logging_dir, name)  # noqa: PTH118
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_TENSORBOARD, None)


def _start(job: Job, tokenizer: PreTrainedTokenizerFast) -> Any:  # noqa: ANN401
    labels = outputs(neutral=job.recipe.neutral)
    try:
        with quiet():
            model = AutoModelForSequenceClassification.from_pretrained(
                job.encoder,
                num_labels=len(labels),
                id2label=dict(enumerate(labels)),
                label2id={label: index for index, label in enumerate(labels)},
                dtype=torch.float32,
            )
    except (OSError, ValueError, SafetensorError) as error:
        raise SettingsError(
            f"--base {job.encoder}: cannot be loaded ({str(error).splitlines()[0]}); download or "
            "unpack it again"
        ) from error
    widen(model, tokenizer)
    return model


def _fit(
    job: Job, seed: int, material: _Material, *, run_name: str, say: Callable[[str], None]
) -> Any:  # noqa: ANN401
    set_seed(seed)
    recipe, tokenizer = job.recipe, material.tokenizer
    model = _start(job, tokenizer)
    checkpoints = job.output / "checkpoints" / f"seed-{seed}"
    arguments = training_arguments(recipe, output=checkpoints, seed=seed)
    if not _has_tensorboard():
        arguments.report_to = []
    examples = material.examples.changed_by(
        recipe.augment, tokenizer, max_length=recipe.max_length, seed=seed
    )
    callbacks: list[Any] = [Watch(examples)]
    if recipe.early_stopping is not None:
        callbacks.append(EarlyStoppingCallback(recipe.early_stopping))
    weights = None
    if recipe.class_weights == "balanced":
        weights = balanced_weights(material.fit.labels, len(outputs(neutral=recipe.neutral)))
    with _tensorboard(recipe, f"{run_name}-seed-{seed}"):
        trainer = FineTuner(
            class_weights=weights,
            distillation_weight=recipe.distillation_weight,
            distillation_temperature=recipe.distillation_temperature,
            chunks=_chunks(recipe, on_cpu=arguments.use_cpu),
            model=model,
            args=arguments,
            train_dataset=examples,
            eval_dataset=material.validation,
            processing_class=tokenizer,
            data_collator=DataCollatorWithPadding(
                tokenizer, padding=recipe.padding, max_length=recipe.max_length
            ),
            compute_metrics=_compute_metrics,
            callbacks=callbacks,
        )
    checkpoint = newest_whole(checkpoints, say=say) if job.resume else None
    if checkpoint is not None:
        say(f"seed {seed}: resumed from {checkpoint.name}")
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    return model.eval()


def _chunks(recipe: Recipe, *, on_cpu: bool) -> int:
    # Several forward passes before one backward pass are not what DistributedDataParallel expects.
    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    return _CPU_CHUNKS if on_cpu and alone and recipe.padding == "longest" else 1


def _examples(
    split: Split,
    tokenizer: PreTrainedTokenizerFast,
    recipe: Recipe,
    targets: NDArray[Any] | None = None,
) -> Examples:
    ids = encode(tokenizer, split.texts, max_length=recipe.max_length, processes=recipe.processes())
    return Examples(split, ids, targets=targets)


def _compute_metrics(prediction: EvalPrediction) -> dict[str, float]:
    figures = measure(np.asarray(prediction.predictions), np.asarray(prediction.label_ids))
    return {"accuracy": figures.accuracy, "macro_f1": figures.macro_f1, "nll": figures.loss}


def _measure(
    model: Any,  # noqa: ANN401
    tokenizer: PreTrainedTokenizerFast,
    held_out: dict[str, Split],
    recipe: Recipe,
) -> dict[str, dict[str, float]]:
    return {
        name: measure(
            predict(model, tokenizer, split.texts, max_length=recipe.max_length),
            np.asarray(split.labels),
        ).rounded()
        for name, split in held_out.items()
        if len(split)
    }


def _line(result: run_folder.SeedResult) -> str:
    val = result.val
    others = "".join(
        f"; {name}: accuracy {figures['accuracy']:.4f}, loss {figures['loss']:.4f}"
        for name, figures in result.others.items()
    )
    return (
        f"seed {result.seed}: validation accuracy {val['accuracy']:.4f}, macro-F1 "
        f"{val['macro_f1']:.4f}, loss {val['loss']:.4f}{others}; {result.minutes:.1f} minutes"
    )


def _save(model: Any, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:  # noqa: ANN401
    shutil.rmtree(folder, ignore_errors=True)
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
