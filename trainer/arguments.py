"""From a recipe to the Hugging Face Trainer's own arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from transformers import TrainingArguments

from worker.classifier.hardware import choose_hardware

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.recipe import Recipe


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
    bf16 = recipe.precision == "bf16" or (
        recipe.precision == "mixed"
        and choose_hardware("cuda" if on_cuda else "cpu").dtype is torch.bfloat16
    )
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
        fp16=recipe.precision in {"auto", "mixed"} and on_cuda and not bf16,
        bf16=bf16,
        use_cpu=not on_cuda,
        dataloader_pin_memory=on_cuda,
        eval_strategy="epoch",
        save_strategy="epoch" if recipe.checkpoint_steps is None else "steps",
        save_steps=recipe.checkpoint_steps or 500,
        save_total_limit=recipe.checkpoints_kept,
        metric_for_best_model="accuracy",
        greater_is_better=True,
        load_best_model_at_end=recipe.early_stopping is not None,
        logging_strategy="steps",
        logging_steps=recipe.logging_steps,
        # A loss that is no number has to be seen, not replaced by the mean of the others.
        logging_nan_inf_filter=False,
        # The teachers' targets are no argument of the network's, and have to stay.
        remove_unused_columns=False,
        report_to=["tensorboard"] if recipe.logging_dir else [],
    )
