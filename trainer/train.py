"""Fine-tuning on the Hugging Face Trainer: a model for each seed, chosen on validation."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset as TorchDataset
from transformers import (
    AutoModelForSequenceClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)

from trainer import run as run_folder
from trainer.encoding import encode
from trainer.evaluate import predict
from trainer.metrics import measure
from trainer.quiet import quiet
from trainer.text import make_tokenizer
from worker.posts import LABELS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from transformers import EvalPrediction, PreTrainedTokenizerFast

    from trainer.data import Dataset, Split
    from trainer.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Job:
    """What a training run is made of.

    Attributes:
        recipe: How.
        data: On what; it needs `train` and `val`.
        encoder: The folder of the encoder to start from.
        output: The run folder. It must not exist, or be empty.
        seeds: One model each.
    """

    recipe: Recipe
    data: Dataset
    encoder: Path
    output: Path
    seeds: tuple[int, ...]


class _Examples(TorchDataset[dict[str, Any]]):
    """Token ids and labels as the Trainer wants them."""

    def __init__(self, ids: list[list[int]], labels: tuple[int, ...]) -> None:
        self._ids = ids
        self._labels = labels

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        ids = self._ids[index]
        return {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": self._labels[index]}


def training_arguments(
    recipe: Recipe, *, output: Path, seed: int, cuda: bool | None = None
) -> TrainingArguments:
    """Resolves a recipe to the Trainer's own arguments.

    Args:
        recipe: How to train.
        output: Where checkpoints go.
        seed: For the head's initial weights, dropout and the order of the examples.
        cuda: Whether to train on CUDA; None finds out.
    """
    on_cuda = torch.cuda.is_available() if cuda is None else cuda
    return TrainingArguments(
        output_dir=str(output),
        seed=seed,
        learning_rate=recipe.learning_rate,
        warmup_steps=recipe.warmup,
        weight_decay=recipe.weight_decay,
        label_smoothing_factor=recipe.label_smoothing,
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=recipe.eval_batch_size,
        gradient_accumulation_steps=recipe.accumulation_steps,
        train_sampling_strategy="group_by_length" if recipe.group_by_length else "random",
        fp16=recipe.precision == "auto" and on_cuda,
        bf16=recipe.precision == "bf16",
        use_cpu=not on_cuda,
        dataloader_pin_memory=on_cuda,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=recipe.checkpoints_kept,
        metric_for_best_model="accuracy",
        greater_is_better=True,
        logging_strategy="steps",
        logging_steps=recipe.logging_steps,
        report_to=["tensorboard"] if recipe.logging_dir else [],
    )


def train(job: Job, *, say: Callable[[str], None]) -> run_folder.Run:
    """Trains one model for each seed, and says which one validation chooses.

    The folder is complete after each seed: a run that is stopped keeps the seeds it has finished.

    Args:
        job: What to train.
        say: Gets a line for people at each step.

    Raises:
        SettingsError: The data has no `train` or no `val` split, or the output folder is not empty.
    """
    recipe = job.recipe
    fit, validation = job.data.split("train"), job.data.split("val")
    run = run_folder.create(
        job.output, recipe=recipe, data=job.data, encoder=job.encoder, seeds=job.seeds
    )
    if recipe.logging_dir and not _has_tensorboard():
        say("no TensorBoard log: the package tensorboard is not installed")
    tokenizer = make_tokenizer(job.encoder, recipe.max_length)
    examples = [_examples(split, tokenizer, recipe) for split in (fit, validation)]
    for seed in job.seeds:
        say(f"seed {seed}: {len(fit)} posts, {recipe.epochs} epochs from {recipe.base}")
        started = time.monotonic()
        model = _fit(job, seed, tokenizer, examples)
        minutes = (time.monotonic() - started) / 60
        logits = predict(model, tokenizer, validation.texts, max_length=recipe.max_length)
        figures = measure(logits, np.asarray(validation.labels))
        run = run.with_seed(
            run_folder.SeedResult(seed=seed, minutes=round(minutes, 2), val=figures.rounded()),
            save=partial(_save, model, tokenizer),
        )
        say(
            f"seed {seed}: validation accuracy {figures.accuracy:.4f}, macro-F1 "
            f"{figures.macro_f1:.4f}, loss {figures.loss:.4f}; {minutes:.1f} minutes"
        )
    return run


def _has_tensorboard() -> bool:
    return find_spec("tensorboard") is not None


def _fit(job: Job, seed: int, tokenizer: PreTrainedTokenizerFast, examples: list[_Examples]) -> Any:  # noqa: ANN401
    set_seed(seed)
    recipe = job.recipe
    with quiet():
        model = AutoModelForSequenceClassification.from_pretrained(
            job.encoder,
            num_labels=len(LABELS),
            id2label=dict(enumerate(LABELS)),
            label2id={label: index for index, label in enumerate(LABELS)},
            dtype=torch.float32,
        )
    checkpoints = job.output / "checkpoints" / f"seed-{seed}"
    arguments = training_arguments(recipe, output=checkpoints, seed=seed)
    if recipe.logging_dir:
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", recipe.logging_dir)
        if not _has_tensorboard():
            arguments.report_to = []
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=examples[0],
        eval_dataset=examples[1],
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(
            tokenizer, padding=recipe.padding, max_length=recipe.max_length
        ),
        compute_metrics=_compute_metrics,
    )
    trainer.train()
    return model.eval()


def _examples(split: Split, tokenizer: PreTrainedTokenizerFast, recipe: Recipe) -> _Examples:
    ids = encode(tokenizer, split.texts, max_length=recipe.max_length, processes=recipe.processes())
    return _Examples(ids, split.labels)


def _compute_metrics(prediction: EvalPrediction) -> dict[str, float]:
    figures = measure(np.asarray(prediction.predictions), np.asarray(prediction.label_ids))
    return {"accuracy": figures.accuracy, "macro_f1": figures.macro_f1, "nll": figures.loss}


def _save(model: Any, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:  # noqa: ANN401
    shutil.rmtree(folder, ignore_errors=True)
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
