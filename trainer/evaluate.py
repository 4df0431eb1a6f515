"""Measuring a model on a split."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from trainer import run as run_folder
from trainer.encoding import encode
from trainer.labels import NEUTRAL
from trainer.quiet import quiet
from worker.errors import DependencyError, SettingsError
from worker.posts import LABELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerFast


_BATCH = 64
_DEFAULT_MAX_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Model:
    """A model that can be measured.

    Attributes:
        network: A sequence classifier over `outputs`, in evaluation mode, fp32.
        tokenizer: Its tokenizer.
        max_length: Tokens a text is cut to.
        temperature: What its logits are divided by.
        threshold: Confidence below which a post is `uncertain`; 0 where the model has none.
        outputs: Names of its outputs: the six emotions and, where it has it, `neutral`.
    """

    network: Any
    tokenizer: PreTrainedTokenizerFast
    max_length: int
    temperature: float
    threshold: float = 0.0
    outputs: tuple[str, ...] = LABELS


def load(source: str) -> Model:
    """Loads a model.

    Args:
        source: A bundle, a run folder (its chosen seed is meant), or any folder or hub id that
            holds a sequence classifier over the six emotions.

    Raises:
        SettingsError: It is none, or its labels are others or stand in another order.
        DependencyError: The hub could not be reached.
    """
    folder = Path(source)
    temperature, threshold, max_length = 1.0, 0.0, None
    if (folder / run_folder.RECORD).is_file():
        run = run_folder.load(folder)
        folder, max_length = run.model_folder(run.chosen.seed), run.recipe.max_length
    elif (folder / "bundle.json").is_file():
        try:
            bundle = json.loads((folder / "bundle.json").read_text("utf-8"))
            temperature, max_length = float(bundle["temperature"]), int(bundle["max_length"])
            threshold = float(bundle["threshold"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SettingsError(f"{source}: its bundle.json is broken: {error}") from error
    name = str(folder) if folder.is_dir() else source
    try:
        with quiet():
            network = AutoModelForSequenceClassification.from_pretrained(name, dtype=torch.float32)
            tokenizer: Any = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        if folder.is_dir():
            raise SettingsError(f"{source}: no model could be loaded there: {reason}") from error
        raise DependencyError(
            f"{source}: no such folder, and not to be had from the Hugging Face hub: {reason}"
        ) from error
    found = tuple(network.config.id2label[index] for index in range(network.config.num_labels))
    if found not in {LABELS, (*LABELS, NEUTRAL)}:
        raise SettingsError(
            f"{source}: its labels are {', '.join(map(str, found))}; they have to be "
            f"{', '.join(LABELS)}, in this order, with {NEUTRAL} as a seventh or without"
        )
    limit = max_length or min(tokenizer.model_max_length, _DEFAULT_MAX_LENGTH)
    return Model(network.eval(), tokenizer, limit, temperature, threshold, found)


def predict(
    network: Any,  # noqa: ANN401
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[str],
    *,
    max_length: int,
) -> NDArray[np.float64]:
    """Logits of texts, in the network's precision, on the device it is on.

    Texts are batched by length, so that there is little padding; the answer has their order.

    Returns:
        Shape (texts, labels).
    """
    ids = encode(tokenizer, texts, max_length=max_length)
    order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
    logits = np.empty((len(ids), network.config.num_labels), dtype=np.float64)
    pad = network.config.pad_token_id or 0
    with torch.inference_mode():
        for start in range(0, len(order), _BATCH):
            chunk = order[start : start + _BATCH]
            width = len(ids[chunk[-1]])
            tokens = torch.tensor([ids[i] + [pad] * (width - len(ids[i])) for i in chunk])
            mask = torch.tensor([[1] * len(ids[i]) + [0] * (width - len(ids[i])) for i in chunk])
            output = network(
                input_ids=tokens.to(network.device), attention_mask=mask.to(network.device)
            )
            logits[chunk] = output.logits.float().cpu().numpy()
    return logits
