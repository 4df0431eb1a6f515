"""The texts that go with a bundle, generated from what was measured: model card and notice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from worker.posts import LABELS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trainer.run import Run, SeedResult

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


@dataclass(frozen=True, slots=True)
class Robustness:
    """How the model bears what people write.

    Attributes:
        neutral_uncertain: Share of the neutral validation posts that are `uncertain`; None where
            there are none.
        perturbations: What each costs, by split and name, as `trainer.perturb.Loss.rounded`.
        negation: How many hand-written negations there are, and how many are right.
    """

    neutral_uncertain: float | None
    perturbations: Mapping[str, Mapping[str, Mapping[str, float]]]
    negation: Mapping[str, int]


def notice(run: Run) -> str:
    """The notice on whose work the weights are made of, and on what terms they may be used."""
    recipe = run.recipe
    known_base = run.base == recipe.base
    data = "\n".join(
        f"Training data: {one['name']}\n  Terms: {one['terms']}."
        for one in (run.dataset, *run.sources)
    )
    return f"""\
{recipe.name} {recipe.version}: a model bundle of emotion-stream

These weights are not under the licence of emotion-stream's code. They inherit the terms of what
they were made of:

{data}
  The weights, and labels made with them, may be used within these terms only.

Encoder: {run.base}
  Licence: {recipe.base_licence if known_base else "unknown"}.
  The encoder's weights were changed by fine-tuning.
"""


def model_card(
    run: Run,
    *,
    chosen: SeedResult,
    figures: Mapping[str, Mapping[str, float]],
    coverage: Mapping[str, Coverage],
    temperature: float,
    threshold: float,
    robust: Robustness,
    parameters: int,
) -> str:
    """The bundle's model card, in Markdown with the hub's metadata in front.

    Args:
        run: The run that the model came from.
        chosen: The seed that it is.
        figures: Headline figures by split, temperature applied.
        coverage: What the threshold does, by split.
        temperature: What the logits are divided by.
        threshold: Confidence below which a post is `uncertain`.
        robust: How the model bears what people write.
        parameters: How many the model has.
    """
    recipe = run.recipe
    seventh = (
        " Its seventh output, `neutral`, takes part in the softmax; the emotion is the most "
        "probable of the six."
        if recipe.neutral
        else ""
    )
    about = (
        f"It labels a text with one of {', '.join(LABELS)}.{seventh} {parameters / 1e6:.1f} "
        f"million parameters, fp16; a text is cut to {recipe.max_length} tokens. The tokenizer's "
        "own normalizer cleans posts up (URLs and mentions out, HTML entities decoded, `#SoHappy` "
        "to `so happy`, `sooooo` to `so`), so give it posts as they are."
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
        _procedure(run, chosen),
        _results(figures, coverage, threshold),
        _robustness(robust),
        f"Made by `emotion-trainer` at revision `{revision}`, seed {chosen.seed}.",
    ]
    return "\n\n".join(sections) + "\n"


def _training_data(run: Run) -> str:
    lines = []
    for data in (run.dataset, *run.sources):
        rows = ", ".join(
            f"{count:,} {_SPLIT_TITLES.get(name, name)}" for name, count in data["rows"].items()
        )
        lines.append(
            f"- {data['name']}: {rows} posts. Terms: {data['terms']}. Fingerprint (SHA-256): "
            f"`{data['fingerprint']}`."
        )
    recipe = run.recipe
    if recipe.negated_posts:
        lines.append(f"- {recipe.negated_posts:,} generated posts that deny an emotion or don't.")
    if recipe.emoji_posts:
        lines.append(f"- {recipe.emoji_posts:,} generated posts of emoji.")
    if recipe.crossed_posts and run.teachers:
        lines.append(
            f"- {recipe.crossed_posts:,} posts that are halves of two of {run.dataset['name']}'s, "
            "labelled by the teachers alone."
        )
    return "## Training data\n\n" + "\n".join(lines)


def _front_matter(run: Run) -> str:
    datasets = "\n".join(f"  - {one['name']}" for one in (run.dataset, *run.sources))
    languages = "".join(f"\n  - {tag}" for tag in run.recipe.languages)
    return f"""---
language:{languages}
license: other
license_name: inherited
license_link: NOTICE
base_model: {run.base}
datasets:
{datasets}
pipeline_tag: text-classification
library_name: transformers
---"""


def _terms(run: Run) -> str:
    terms = "; ".join(f"{one['name']}: {one['terms']}" for one in (run.dataset, *run.sources))
    return (
        f"The weights inherit the terms of the training data ({terms}), not the "
        "licence of emotion-stream's code: see NOTICE."
    )


def _procedure(run: Run, chosen: SeedResult) -> str:
    recipe = run.recipe
    batch = recipe.batch_size * recipe.accumulation_steps
    rows = "\n".join(
        f"| {result.seed}{' (chosen)' if result.seed == chosen.seed else ''} "
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
        f"{recipe.precision}. {_choice(run, chosen)}:\n\n"
        "| seed | validation accuracy | macro-F1 | loss before temperature | minutes |\n"
        "|---|---|---|---|---|\n" + rows + _spread(run) + _taught(run)
    )


def _choice(run: Run, chosen: SeedResult) -> str:
    if chosen.seed == run.chosen.seed:
        return "The seed was chosen on validation by accuracy, ties by loss"
    return (
        f"Seed {chosen.seed} was asked for (`package --seed`); validation, by accuracy and then "
        f"loss, would have chosen {run.chosen.seed}"
    )


def _spread(run: Run) -> str:
    spread = run.spread()
    if not spread:
        return ""
    figures = ", ".join(
        f"{name} {mean:.4f} +- {deviation:.4f}" for name, (mean, deviation) in spread.items()
    )
    return f"\n\nMean and standard deviation over the {len(run.seeds)} seeds: {figures}."


def _taught(run: Run) -> str:
    recipe = run.recipe
    lines = []
    changes = {name: share for name, share in recipe.augment.model_dump().items() if share}
    if changes:
        named = ", ".join(f"{name} {share:.0%}" for name, share in changes.items())
        lines.append(f"Share of the training posts changed each time they were seen: {named}.")
    if run.teachers:
        names = ", ".join(f"{one['name']} {one['version']}".strip() for one in run.teachers)
        lines.append(
            f"Distilled from the mean of {names} (weight {recipe.distillation_weight:g}, "
            f"temperature {recipe.distillation_temperature:g})."
        )
    if recipe.neutral and recipe.neutral_odds != 1:
        lines.append(
            f"The odds of `neutral` are {recipe.neutral_odds:g} times what training made them: "
            "most posts on a stream are neutral."
        )
    return "".join(f"\n\n{line}" for line in lines)


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


def _robustness(robust: Robustness) -> str:
    lines = []
    if robust.neutral_uncertain is not None:
        lines.append(
            f"Of the neutral validation posts, {robust.neutral_uncertain:.1%} are `uncertain`."
        )
    if robust.negation:
        lines.append(
            f"Hand-written sentences with negations, never trained on: {robust.negation['right']} "
            f"of {robust.negation['posts']} right."
        )
    if robust.perturbations:
        names, found = list(robust.perturbations), list(robust.perturbations.values())
        changes = list(found[0])
        rows = "\n".join(
            f"| {change} | "
            + " | ".join(
                f"{100 * robust.perturbations[name][change]['lost']:.1f}" for name in names
            )
            + " |"
            for change in changes
        )
        lines.append(
            "Points of accuracy lost where posts are changed in ways that leave their emotion:\n\n"
            f"| change | {' | '.join(_SPLIT_TITLES.get(name, name) for name in names)} |\n"
            f"|---|{'---|' * len(names)}\n{rows}"
        )
    return "## Robustness\n\n" + "\n\n".join(lines)
