"""Recipes: small typed files that say how a model is made."""

from __future__ import annotations

import json
import os
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from worker.errors import SettingsError

Share = Annotated[float, Field(ge=0, lt=1)]


class Recipe(BaseModel):
    """How a model is made. A file gives any of these; what it leaves out has the default here."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    """What the bundle is called."""
    version: str = "1"
    """The bundle's version: change it with anything that changes the weights."""
    summary: str = ""
    """One sentence for people."""

    base: str
    """The encoder: a hub id. `--base` gives a folder that holds it, or another encoder."""
    base_licence: str = "unknown"
    """The encoder's licence; goes into the bundle's notice."""
    base_sha256: str | None = None
    """SHA-256 of the encoder's `model.safetensors`: a folder that has it is recorded as `base`,
    any other under its own name."""

    dataset: str
    """The data set: a hub id. `--data` gives a folder or file that holds it, or other data."""
    dataset_terms: str = "unknown"
    """The data's terms of use; the weights inherit them."""
    dataset_fingerprint: str | None = None
    """Fingerprint of the data: data that has it is recorded as `dataset`, any other under its own
    name."""
    languages: tuple[str, ...] = ("en",)
    """Languages that the model knows, as BCP 47 primary tags."""
    limitations: tuple[str, ...] = ()
    """What the model is bad at, a sentence each; goes into the model card."""

    max_length: int = Field(default=64, ge=8, le=512)
    """Tokens a text is cut to, special tokens included."""
    padding: Literal["max_length", "longest"] = "longest"
    """Pad each text to `max_length`, or each batch to its longest text."""
    group_by_length: bool = True
    """Batch texts of like length: less padding."""
    tokenize_processes: int | None = Field(default=None, ge=1)
    """Processes that tokenize; None is the CPU count minus one."""

    seeds: tuple[int, ...] = Field(default=(42,), min_length=1)
    """One training run for each; validation chooses among them."""
    learning_rate: PositiveFloat
    """Peak learning rate of AdamW; it falls linearly to 0."""
    warmup: Share = 0.0
    """Share of the steps over which the learning rate rises from 0."""
    batch_size: PositiveInt = 32
    """Texts per device and forward pass."""
    accumulation_steps: PositiveInt = 1
    """Forward passes per step of the optimizer."""
    eval_batch_size: PositiveInt = 64
    """Texts per device and forward pass in evaluation."""
    epochs: PositiveInt = 3
    """Passes over the training data."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW's weight decay (biases and layer norms are left out)."""
    label_smoothing: Share = 0.0
    """Share of the target's probability that is spread over all labels."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """`auto`: native fp16 mixed precision where CUDA is there, else fp32. `bf16`: autocast on
    whatever the device is."""

    checkpoints_kept: PositiveInt = 2
    """A checkpoint is written each epoch; so many of the newest are kept."""
    logging_steps: PositiveInt = 10
    """Steps between log lines."""
    logging_dir: str | None = None
    """Folder for TensorBoard's event files (needs the package `tensorboard`); None writes none."""

    def processes(self) -> int:
        """Processes that tokenize on this machine."""
        return self.tokenize_processes or max(1, (os.cpu_count() or 2) - 1)


def builtin_names() -> list[str]:
    """Names of the recipes that come with the trainer."""
    files = resources.files("trainer") / "recipes"
    return sorted(
        entry.name.removesuffix(".toml")
        for entry in files.iterdir()
        if entry.name.endswith(".toml")
    )


def load(source: str) -> Recipe:
    """Loads a recipe.

    Args:
        source: The name of one that comes with the trainer, or a `.toml` or `.json` file (as the
            `recipe.json` of a run).

    Raises:
        SettingsError: There is no such recipe, or it has a wrong field.
    """
    if source in builtin_names():
        text = (resources.files("trainer") / "recipes" / f"{source}.toml").read_text("utf-8")
        return _parse(source, tomllib.loads(text))
    path = Path(source)
    if not path.is_file():
        raise SettingsError(
            f"--recipe {source}: no such file, and no recipe of that name "
            f"(there are: {', '.join(builtin_names())})"
        )
    try:
        text = path.read_text("utf-8")
        content = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise SettingsError(f"recipe {path}: cannot be read: {error}") from error
    return _parse(str(path), content)


def _parse(source: str, content: Any) -> Recipe:  # noqa: ANN401
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise SettingsError(f"recipe {source}: {field}: {first['msg']}") from error
