"""A recipe's data: the first data set, and those beside it, each made to speak our labels."""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trainer import augment, data, negation
from trainer.crossing import cross
from trainer.data import Columns, Dataset, Labelling, Split
from trainer.labels import NEUTRAL_INDEX, UNLABELLED, outputs
from worker.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trainer.recipe import Recipe, Source

_MADE_SEED: Final = 20
_BEFORE_EMOJI: Final = ("", "", "omg ", "me ", "this ", "lol ", "today ")


@dataclass(frozen=True, slots=True)
class Fit:
    """What is trained on.

    Attributes:
        split: The posts.
        own: How many of them, from the start, are the first data set's or made of it.
    """

    split: Split
    own: int


@dataclass(frozen=True, slots=True)
class Corpus:
    """All data of a recipe.

    Attributes:
        first: The data set that validation, test and the choice of a seed belong to.
        others: Those beside it, by the recipe's names for them.
    """

    first: Dataset
    others: Mapping[str, Dataset] = field(default_factory=dict)

    def fit(self, recipe: Recipe, *, taught: bool = False) -> Fit:
        """What is trained on: every source's `train`, and the posts that the recipe has made.

        Args:
            recipe: Says which.
            taught: Whether there are teachers, who alone can say what crossed posts are.
        """
        first = self.first.split("train")
        parts = [first]
        if taught:
            parts.append(_crossed(first, recipe))
        own = sum(len(part) for part in parts)
        parts += [self.others[source.name].split("train") for source in recipe.sources]
        parts.append(_made(recipe))
        return Fit(
            Split(
                tuple(text for part in parts for text in part.texts),
                tuple(label for part in parts for label in part.labels),
            ),
            own,
        )

    def held_out(self) -> dict[str, Split]:
        """Each source's validation posts that have one of the six emotions; `first` is the first.

        Raises:
            SettingsError: The first has none.
        """
        found = {"first": self.first.split("val")}
        found |= {
            name: dataset.splits["val"]
            for name, dataset in self.others.items()
            if "val" in dataset.splits
        }
        return {name: emotional(split) for name, split in found.items()}

    def neutral(self) -> Split:
        """All validation posts that are neutral; there may be none."""
        texts: list[str] = []
        for dataset in (self.first, *self.others.values()):
            if (split := dataset.splits.get("val")) is not None:
                pairs = zip(split.texts, split.labels, strict=True)
                texts += [text for text, label in pairs if label == NEUTRAL_INDEX]
        return Split(tuple(texts), (NEUTRAL_INDEX,) * len(texts))


def emotional(split: Split) -> Split:
    """The posts that have one of the six emotions."""
    return split.take(i for i, label in enumerate(split.labels) if label != NEUTRAL_INDEX)


def parse_locations(values: Sequence[str], recipe: Recipe) -> tuple[str | None, dict[str, str]]:
    """Reads `--data` options: `SOURCE` for the first data set, `NAME=SOURCE` for another.

    Returns:
        The first's place, None if not given, and the others' by name.

    Raises:
        SettingsError: A name that the recipe does not have, or one place given twice.
    """
    names = [source.name for source in recipe.sources]
    first: str | None = None
    others: dict[str, str] = {}
    for value in values:
        name, equals, place = value.partition("=")
        if equals and name in names:
            if name in others:
                raise SettingsError(f"--data {name}= is given twice")
            others[name] = place
        elif first is None:
            first = value
        else:
            known = ", ".join(f"{name}=SOURCE" for name in names) or "none other"
            raise SettingsError(
                f"--data {value}: the first data set is given already ({first}); recipe "
                f"{recipe.name} takes beside it: {known}"
            )
    return first, others


def load(
    recipe: Recipe,
    first: str | None,
    others: Mapping[str, str],
) -> Corpus:
    """Loads a recipe's data.

    Args:
        recipe: What is to be loaded.
        first: Where the first data set is; None is the recipe's hub id.
        others: Where the others are, by name; the hub for those that are left out.

    Raises:
        SettingsError: As `trainer.data.load`, or a label is renamed to none of ours.
        DataError: As there.
        DependencyError: As there.
    """
    ours = outputs(neutral=recipe.neutral)
    _check(recipe.labels, ours, "the data's labels")
    dataset = data.load(
        first or recipe.dataset,
        columns=Columns(**recipe.columns),
        labelling=Labelling(mapping=recipe.labels, neutral=recipe.neutral),
    )
    return Corpus(
        dataset,
        {
            source.name: load_other(
                source, others.get(source.name, source.name), neutral=recipe.neutral
            )
            for source in recipe.sources
        },
    )


def load_other(source: Source, place: str, *, neutral: bool) -> Dataset:
    """Loads a data set that stands beside a recipe's first, made to speak our labels.

    Args:
        source: How the recipe reads it.
        place: Where it is.
        neutral: Whether the recipe has `neutral`.

    Raises:
        SettingsError: As `trainer.data.load`, or a label becomes none of ours.
        DataError: As there.
        DependencyError: As there.
    """
    held_out = source.labels if source.held_out_labels is None else source.held_out_labels
    ours = outputs(neutral=neutral)
    for mapping in (source.labels, held_out):
        _check(mapping, ours, f"source {source.name}: labels")

    def labelling(mapping: Mapping[str, str], several: str) -> Labelling:
        # A name that the recipe does not mention is left out, even where it is one of ours.
        closed = dict.fromkeys(source.label_names, "") | dict(mapping)
        return Labelling(
            names=source.label_names,
            mapping=closed,
            strict=False,
            several=several,
            neutral=neutral,
        )

    dataset = data.load(
        place,
        columns=Columns(**source.columns),
        labelling=labelling(source.labels, source.several),
        held_out=labelling(held_out, "skip"),
    )
    if "train" not in dataset.splits:
        return dataset
    train = _limit(dataset.splits["train"], source.at_most)
    return Dataset(dataset.source, {**dataset.splits, "train": train})


def _check(mapping: Mapping[str, str], ours: Sequence[str], where: str) -> None:
    for old, new in mapping.items():
        if new not in ours:
            raise SettingsError(f"{where}: {old} = {new}: the labels are {', '.join(ours)}")


def _limit(split: Split, at_most: Mapping[str, int]) -> Split:
    names = outputs(neutral=True)
    by_label: dict[int, list[int]] = defaultdict(list)
    for index, label in enumerate(split.labels):
        by_label[label].append(index)
    kept: list[int] = []
    for label, indices in by_label.items():
        limit = at_most.get(names[label], len(indices))
        indices.sort(key=lambda i: hashlib.sha256(split.texts[i].encode()).digest())
        kept += indices[:limit]
    return split.take(sorted(kept))


def _crossed(first: Split, recipe: Recipe) -> Split:
    rng = random.Random(_MADE_SEED)  # noqa: S311
    texts = cross(first.texts, recipe.crossed_posts, rng)
    return Split(texts, (UNLABELLED,) * len(texts))


def _made(recipe: Recipe) -> Split:
    # A seed of its own: each training seed sees the same posts.
    rng = random.Random(_MADE_SEED)  # noqa: S311
    posts = negation.generate(recipe.negated_posts, rng, neutral=recipe.neutral)
    labels = range(len(outputs(neutral=recipe.neutral)))
    for _ in range(recipe.emoji_posts):
        label = rng.choice(labels)
        marks = "".join(augment.emoji_of(label, rng) for _ in range(rng.randint(1, 3)))
        posts.append(
            (rng.choice(("", "", "omg ", "me ", "this ", "lol ", "today ")) + marks, label)
        )
    return Split(tuple(text for text, _ in posts), tuple(label for _, label in posts))


def describe(
    dataset: Dataset, *, name: str, terms: str, known: bool, fingerprint: str | None
) -> dict[str, Any]:
    """What a run and a bundle say of a data set.

    Args:
        dataset: The data.
        name: What it is called, if it is that.
        terms: Its terms of use, if it is that.
        known: Whether it comes from where that is.
        fingerprint: The fingerprint of that; another one makes it other data.
    """
    found = dataset.fingerprint()
    own = known or found == fingerprint
    return {
        "name": name if own else Path(dataset.source).name,
        "terms": terms if own else "unknown",
        "fingerprint": found,
        "rows": {split: len(examples) for split, examples in dataset.splits.items()},
    }
