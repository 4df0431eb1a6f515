"""Recipes: small typed files that say how a model is made."""

from __future__ import annotations

import json
import os
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from worker.errors import SettingsError

Share = Annotated[float, Field(ge=0, lt=1)]


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Source(_Form):
    """A data set beside the first, with labels of its own."""

    name: str = Field(pattern=r"^[\w./-]+$")
    """What it is called: in `--data NAME=SOURCE`, in the bundle, and, where `--data` does not say
    where it is, on the hub."""
    terms: str = "unknown"
    """Its terms of use; the weights inherit them."""
    fingerprint: str | None = None
    """Fingerprint of the examples that this recipe takes of it: data that has another one is
    recorded with the terms `unknown`."""
    columns: dict[Literal["text", "label", "lang"], str] = {}
    """What its columns are called, where they are not called `text` and `label`."""
    label_names: tuple[str, ...] = ()
    """What its label numbers stand for; left out, they are ours."""
    labels: dict[str, str] = {}
    """Its label names to ours; posts with any other label are left out."""
    held_out_labels: dict[str, str] | None = None
    """The same for its `val` and `test`, where only the plainest labels should count."""
    several: Literal["skip", "merge"] = "skip"
    """Training posts with several labels: leave them out, or take those whose labels become one
    (those that are left out don't count). In `val` and `test` they are left out."""
    at_most: dict[str, PositiveInt] = {}
    """How many training posts of a label to take (those with the lowest hash of their text)."""


class Augment(_Form):
    """Shares of the training posts that are changed each time they are seen, drawn by the seed."""

    typo: Share = 0.0
    """Two letters swapped, or one left out, doubled or replaced by its neighbour on the keyboard,
    in a word that is long for its post."""
    elongation: Share = 0.0
    """A vowel or the last letter of a word repeated ("sooooo")."""
    mention: Share = 0.0
    """An `@name` in front or behind."""
    capitals: Share = 0.0
    """All of it, one word, or each word's first letter in capitals."""
    apostrophes: Share = 0.0
    """Apostrophes left out ("dont")."""
    repost: Share = 0.0
    """`RT @name: ` in front."""
    hashtag: Share = 0.0
    """A word turned into a hashtag."""
    punctuation: Share = 0.0
    """A full stop or exclamation marks behind, where there are none."""
    emoji: Share = 0.0
    """An emoji of the post's emotion behind it."""


class Recipe(_Form):
    """How a model is made. A file gives any of these; what it leaves out has the default here."""

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
    columns: dict[Literal["text", "label", "lang"], str] = {}
    """What the data's columns are called, where they are not called `text` and `label`."""
    labels: dict[str, str] = {}
    """The data's label names to ours, where they differ."""
    sources: tuple[Source, ...] = ()
    """More data sets to train on. Validation, test and the choice of a seed stay with the first."""
    neutral: bool = False
    """Whether the model has `neutral` as a seventh output."""
    negated_posts: int = Field(default=0, ge=0)
    """Generated posts that negate an emotion ("not happy about ..."), added to training."""
    emoji_posts: int = Field(default=0, ge=0)
    """Generated posts of emoji and hardly a word, added to training."""
    crossed_posts: int = Field(default=0, ge=0)
    """Posts without a label, each the beginning of one post of the first data set and the end of
    another, added to training where `--teacher` gives somebody to say what they are."""
    augment: Augment = Augment()
    """What is done to training posts to make the model bear how people write."""
    emoji: bool = True
    """Whether emoji become tokens, with embeddings made from their names."""
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
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced`: each label weighs as much as any other in the loss, however rare it is."""
    precision: Literal["auto", "mixed", "bf16", "fp32"] = "auto"
    """`auto`: native fp16 mixed precision where CUDA is there, else fp32. `mixed`: bf16 where the
    hardware computes in it, else as `auto`. `bf16`: autocast on whatever the device is."""
    early_stopping: PositiveInt | None = None
    """Stop after so many epochs without a better validation accuracy, and keep the best epoch's
    weights; None trains all epochs and keeps the last one's."""
    distillation_weight: float = Field(default=0.5, ge=0, le=1)
    """Share of the teachers' soft targets in the loss, where `--teacher` gives any."""
    distillation_temperature: PositiveFloat = 2.0
    """What both sides' logits are divided by in that share (Hinton et al., 2015, section 2)."""
    neutral_odds: PositiveFloat = 1.0
    """How many times the odds of a neutral post, where the model is used, are what they were in
    training: its logarithm is added to the bias of `neutral` when the bundle is made."""
    temperature_from: Literal["first", "all"] = "first"
    """Whose validation posts the bundle's temperature is fitted on: the first data set's, or all
    sources', each with equal weight."""

    checkpoint_steps: PositiveInt | None = None
    """Write a checkpoint each time so many steps are done, rather than each epoch: a kill costs
    less."""
    checkpoints_kept: PositiveInt = 2
    """So many of the newest checkpoints are kept."""
    logging_steps: PositiveInt = 10
    """Steps between log lines."""
    logging_dir: str | None = None
    """Folder for TensorBoard's event files (needs the package `tensorboard`); None writes none."""

    @model_validator(mode="after")
    def _checkpoints_suffice(self) -> Self:
        if self.checkpoint_steps is None:
            return self
        if self.early_stopping is not None:
            raise ValueError("early_stopping needs a checkpoint each epoch: drop checkpoint_steps")
        if self.group_by_length:
            # transformers draws that order anew, so a resumed epoch would have another one.
            raise ValueError("checkpoint_steps needs group_by_length = false")
        return self

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

    One that has `extends` is the recipe that this names, but for what it says itself.

    Args:
        source: The name of one that comes with the trainer, or a `.toml` or `.json` file (as the
            `recipe.json` of a run).

    Raises:
        SettingsError: There is no such recipe, it has a wrong field, or it extends itself.
    """
    return _parse(source, _content(source))


def _content(source: str, extended: tuple[str, ...] = ()) -> dict[str, Any]:
    if source in extended:
        raise SettingsError(f"recipe {source}: extends itself, by {' and '.join(extended)}")
    content = _raw(source)
    base = content.pop("extends", None)
    if base is None:
        return content
    return _merge(_content(str(base), (*extended, source)), content)


def _merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """`new` over `old`: tables field by field, sources by their names, all else as a whole."""
    merged = dict(old)
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            merged[key] = before | value
        elif key == "sources" and value and before:
            known = {one.get("name"): one for one in before}
            changed = {one.get("name"): known.get(one.get("name"), {}) | one for one in value}
            merged[key] = [*(known | changed).values()]
        else:
            merged[key] = value
    return merged


def _raw(source: str) -> dict[str, Any]:
    if source in builtin_names():
        text = (resources.files("trainer") / "recipes" / f"{source}.toml").read_text("utf-8")
        return tomllib.loads(text)
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
    if not isinstance(content, dict):
        raise SettingsError(f"recipe {path}: is no table of fields")
    return content


def _parse(source: str, content: Any) -> Recipe:  # noqa: ANN401
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise SettingsError(f"recipe {source}: {field}: {first['msg']}") from error
