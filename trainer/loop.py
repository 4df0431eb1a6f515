"""What we add to the Hugging Face Trainer: our loss, our examples, and an eye on the loss."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional
from torch.utils.data import Dataset as TorchDataset
from transformers import Trainer, TrainerCallback

from trainer.augment import augment
from trainer.labels import UNLABELLED
from worker.errors import WorkerError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import (
        PreTrainedTokenizerFast,
        TrainerControl,
        TrainerState,
        TrainingArguments,
    )

    from trainer.data import Split
    from trainer.recipe import Augment


class TrainingError(WorkerError):
    """Training cannot go on; the message says why and what to change."""


class Examples(TorchDataset[dict[str, Any]]):
    """Posts as the Trainer wants them.

    Each post is changed anew in each epoch. The change depends on seed, epoch and place alone, so
    that a run that is resumed sees what it would have seen.
    """

    epoch = 0

    def __init__(
        self,
        split: Split,
        ids: list[list[int]],
        *,
        targets: NDArray[Any] | None = None,
    ) -> None:
        """Examples that are given as they are.

        Args:
            split: Texts and labels.
            ids: Token ids of the texts, cut.
            targets: The teachers' probabilities, shape (texts, outputs).
        """
        self._split = split
        self._ids = ids
        self._targets = targets
        self._changes: tuple[Augment, PreTrainedTokenizerFast, int, int] | None = None

    def changed_by(
        self, shares: Augment, tokenizer: PreTrainedTokenizerFast, *, max_length: int, seed: int
    ) -> Examples:
        """The same posts, changed as `shares` says."""
        examples = Examples(self._split, self._ids, targets=self._targets)
        if any(share > 0 for share in shares.model_dump().values()):
            examples._changes = (shares, tokenizer, max_length, seed)
        return examples

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        ids = self._changed(index)
        example = {
            "input_ids": ids,
            "attention_mask": [1] * len(ids),
            "labels": self._split.labels[index],
        }
        if self._targets is not None:
            example["teacher"] = self._targets[index]
        return example

    def _changed(self, index: int) -> list[int]:
        if self._changes is None:
            return self._ids[index]
        shares, tokenizer, max_length, seed = self._changes
        text = self._split.texts[index]
        rng = random.Random(f"{seed} {self.epoch} {index}")  # noqa: S311
        changed = augment(text, self._split.labels[index], shares, rng)
        if changed == text:
            return self._ids[index]
        ids: list[int] = tokenizer(changed, truncation=True, max_length=max_length)["input_ids"]
        return ids


class FineTuner(Trainer):
    """The Trainer with class weights, label smoothing and soft targets in one loss."""

    # Our loss is the mean over the batch at hand; the Trainer divides by the accumulation steps.
    loss_is_scaled_for_ga = False

    def __init__(
        self,
        *,
        class_weights: torch.Tensor | None,
        distillation_weight: float,
        distillation_temperature: float,
        chunks: int = 1,
        **arguments: Any,  # noqa: ANN401
    ) -> None:
        """Makes one.

        Args:
            class_weights: Shape (outputs,); None weighs all alike.
            distillation_weight: Share of the soft targets in the loss.
            distillation_temperature: What both sides' logits are divided by there.
            chunks: Forward passes that a batch is split into by length. The gradient is the same;
                where arithmetic is slow, less padding saves more than more passes cost.
            arguments: The Trainer's own.
        """
        super().__init__(**arguments)
        self._class_weights = class_weights
        self._distillation_weight = distillation_weight
        self._distillation_temperature = distillation_temperature
        self._chunks = chunks

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,  # noqa: ARG002
    ) -> Any:  # noqa: ANN401
        """Cross entropy; with teachers, part of it is replaced by their soft targets.

        Posts without a label have those alone.

        That part is KL(teachers || student) at the distillation temperature, times its square, so
        that its gradients don't shrink with it (Hinton et al., 2015, "Distilling the Knowledge in
        a Neural Network", section 2).
        """
        inputs = dict(inputs)
        labels = inputs.pop("labels")
        teacher = inputs.pop("teacher", None)
        logits = self._forward(model, inputs).float()
        weights = self._class_weights
        loss = (
            functional.cross_entropy(
                logits,
                labels,
                weight=None if weights is None else weights.to(logits.device),
                ignore_index=UNLABELLED,
                label_smoothing=self.args.label_smoothing_factor,
            )
            if bool((labels != UNLABELLED).any())
            else logits.sum() * 0  # the mean over no post is no number
        )
        if teacher is not None:
            temperature = self._distillation_temperature
            share = self._distillation_weight
            soft = functional.softmax(teacher.float().clamp_min(1e-8).log() / temperature, dim=-1)
            student = functional.log_softmax(logits / temperature, dim=-1)
            divergence = functional.kl_div(student, soft, reduction="batchmean")
            loss = (1 - share) * loss + share * temperature**2 * divergence
        return (loss, {"loss": loss, "logits": logits}) if return_outputs else loss

    def _forward(self, model: torch.nn.Module, inputs: dict[str, Any]) -> torch.Tensor:
        if self._chunks == 1:
            logits: torch.Tensor = model(**inputs).logits
            return logits
        lengths = inputs["attention_mask"].sum(dim=1)
        order = lengths.argsort()
        parts = []
        for rows in order.chunk(self._chunks):
            width = int(lengths[rows].max())
            part = {name: value[rows, :width] for name, value in inputs.items()}
            parts.append(model(**part).logits)
        return torch.cat(parts)[order.argsort()]

    def prediction_step(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,  # noqa: ARG002
    ) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
        """Loss, logits and labels of a validation batch."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            loss, outputs = self.compute_loss(model, inputs, return_outputs=True)
        if prediction_loss_only:
            return loss.detach(), None, None
        return loss.detach(), outputs["logits"].detach(), inputs["labels"].detach()


class Watch(TrainerCallback):
    """Tells the examples which epoch it is, and ends training when the loss is no number."""

    def __init__(self, examples: Examples) -> None:
        self._examples = examples

    def on_epoch_begin(
        self,
        args: TrainingArguments,  # noqa: ARG002
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        train_dataloader: Any = None,  # noqa: ANN401
        **_: Any,  # noqa: ANN401
    ) -> None:
        """Passes the epoch on, to the sampler as well."""
        # Resumed within an epoch, it is a fraction.
        epoch = int((state.epoch or 0) + 1e-6)
        self._examples.epoch = epoch
        # Where batches are skipped, accelerate does not reach it: the order would be another one.
        batches = getattr(train_dataloader, "batch_sampler", None)
        sampler: Any = getattr(getattr(batches, "batch_sampler", batches), "sampler", None)
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(epoch)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        logs: dict[str, float] | None = None,
        **_: Any,  # noqa: ANN401
    ) -> None:
        """Looks at the loss.

        Raises:
            TrainingError: It is no finite number.
        """
        for name in ("loss", "eval_loss"):
            value = (logs or {}).get(name)
            if value is not None and not math.isfinite(value):
                raise TrainingError(
                    f"seed {args.seed}: the loss is {value} at step {state.global_step}, so "
                    "nothing more can be learned; lower learning_rate, raise warmup, or set "
                    'precision to "fp32" in the recipe'
                )


def balanced_weights(labels: tuple[int, ...], outputs: int) -> torch.Tensor:
    """Weights inverse to how often a label occurs, 1 on average over the posts; (outputs,)."""
    known = [label for label in labels if label != UNLABELLED]
    counts = torch.bincount(torch.tensor(known), minlength=outputs).double()
    return (len(known) / (outputs * counts.clamp_min(1))).float()
