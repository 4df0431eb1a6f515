"""The texts that go with a bundle, generated from what was measured: model card and notice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from worker.posts import LABELS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trainer.run import Run

_SPLIT_TITLES: Final = {"val": "validation", "test": "test"}


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the threshold does on a split.

    Attributes:
        uncertain: Share of the posts below it.
        accuracy: Of the posts that are not.
    """

    uncertain: float
    accuracy: float


def notice(run: Run) -> str:
    """The notice on whose work the weights are made of, and on what terms they may be used."""
    recipe, data = run.recipe, run.dataset
    known_base = run.base == recipe.base
    return f"""\
{recipe.name} {recipe.version}: a model bundle of emotion-stream

These weights are not under the licence of emotion-stream's code. They inherit the terms of what
they were made of:

Training data: {data["name"]}
  Terms: {data["terms"]}.
  The weights, and labels made with them, may be used within these terms only.

Encoder: {run.base}
  Licence: {recipe.base_licence if known_base else "unknown"}.
  The encoder's weights were changed by fine-tuning.
"""


def model_card(
    run: Run,
    *,
    figures: Mapping[str, Mapping[str, float]],
    coverage: Mapping[str, Coverage],
    temperature: float,
    threshold: float,
    parameters: int,
) -> str:
    """The bundle's model card, in Markdown with the hub's metadata in front.

    Args:
        run: The run that the model came from.
        figures: Headline figures by split, temperature applied.
        coverage: What the threshold does, by split.
        temperature: What the logits are divided by.
        threshold: Confidence below which a post is `uncertain`.
        parameters: How many the model has.
    """
    recipe, chosen = run.recipe, run.chosen
    about = (
        f"It labels a text with one of {', '.join(LABELS)}. {parameters / 1e6:.1f} million "
        f"parameters, fp16; a text is cut to {recipe.max_length} tokens. The tokenizer's own "
        "normalizer cleans posts up (URLs and mentions out, HTML entities decoded, `#tag` to "
        "`tag`), so give it posts as they are."
    )
    uses = (
        "## Intended uses\n\n"
        f"Trends over many short texts ({', '.join(recipe.languages)}), as emotion-stream's worker "
        "keeps them, and research on them. Not for judging a single person or post.\n\n"
        "Probabilities are `softmax(logits / temperature)`, and a post whose highest one is under "
        f"the threshold counts as `uncertain`. Temperature: {temperature}, threshold: {threshold} "
        "(both also in `bundle.json`). Plain transformers applies neither."
    )
    known = run.as_intended
    summary = recipe.summary if known else f"{run.base} fine-tuned on {run.dataset['name']}."
    limits = (*(recipe.limitations if known else ()), _terms(run))
    limitations = "\n".join(f"- {line}" for line in limits)
    revision = run.git_revision or "unknown"
    sections = [
        _front_matter(run),
        f"# {recipe.name} {recipe.version}\n\n{summary}".rstrip(),
        about,
        uses,
        f"## Limitations\n\n{limitations}",
        _training_data(run),
        _procedure(run),
        _results(figures, coverage, threshold),
        f"Made by `emotion-trainer` at revision `{revision}`, seed {chosen.seed}.",
    ]
    return "\n\n".join(sections) + "\n"


def _training_data(run: Run) -> str:
    data = run.dataset
    rows = ", ".join(
        f"{count:,} {_SPLIT_TITLES.get(name, name)}" for name, count in data["rows"].items()
    )
    return (
        f"## Training data\n\n{data['name']}: {rows} posts. Terms: {data['terms']}. "
        f"Fingerprint (SHA-256): `{data['fingerprint']}`."
    )


def _front_matter(run: Run) -> str:
    languages = "".join(f"\n  - {tag}" for tag in run.recipe.languages)
    return f"""---
language:{languages}
license: other
license_name: inherited
license_link: NOTICE
base_model: {run.base}
datasets:
  - {run.dataset["name"]}
pipeline_tag: text-classification
library_name: transformers
---"""


def _terms(run: Run) -> str:
    return (
        f"The weights inherit the terms of the training data ({run.dataset['terms']}), not the "
        "licence of emotion-stream's code: see NOTICE."
    )


def _procedure(run: Run) -> str:
    recipe = run.recipe
    batch = recipe.batch_size * recipe.accumulation_steps
    rows = "\n".join(
        f"| {result.seed}{' (chosen)' if result.seed == run.chosen.seed else ''} "
        f"| {result.val['accuracy']:.4f} | {result.val['macro_f1']:.4f} "
        f"| {result.val['loss']:.4f} | {result.minutes:.1f} |"
        for result in run.seeds
    )
    return (
        "## Training procedure\n\n"
        f"Fine-tuned from {run.base} with the recipe `{recipe.name}`: AdamW, learning rate "
        f"{recipe.learning_rate:g} falling linearly after a warm-up over {recipe.warmup:.0%} of "
        f"the steps, batches of {batch}, {recipe.epochs} epochs, weight decay "
        f"{recipe.weight_decay:g}, label smoothing {recipe.label_smoothing:g}, precision "
        f"{recipe.precision}. The seed was chosen on validation by accuracy, ties by loss:\n\n"
        "| seed | validation accuracy | macro-F1 | loss before temperature | minutes |\n"
        "|---|---|---|---|---|\n" + rows
    )


def _results(
    figures: Mapping[str, Mapping[str, float]],
    coverage: Mapping[str, Coverage],
    threshold: float,
) -> str:
    rows = "\n".join(
        f"| {_SPLIT_TITLES.get(name, name)} | {values['accuracy']:.4f} | {values['macro_f1']:.4f} "
        f"| {values['loss']:.4f} | {values['ece']:.4f} | {coverage[name].uncertain:.1%} "
        f"| {coverage[name].accuracy:.4f} |"
        for name, values in figures.items()
    )
    return (
        "## Results\n\n"
        "Measured on these fp16 weights, temperature applied. Temperature and threshold "
        f"({threshold}) were chosen on validation, so its own row flatters them.\n\n"
        "| split | accuracy | macro-F1 | loss | ECE | uncertain | accuracy of the rest |\n"
        "|---|---|---|---|---|---|---|\n" + rows
    )
