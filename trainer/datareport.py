"""What there is to know of the data before anything is trained on it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trainer.labels import outputs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from transformers import PreTrainedTokenizerFast

    from trainer.data import Split
    from trainer.recipe import Recipe
    from trainer.sources import Corpus

FILE: Final = "data.json"
_QUANTILES: Final = (50, 90, 95, 99, 100)


def report(
    corpus: Corpus, fit: Split, tokenizer: PreTrainedTokenizerFast, recipe: Recipe
) -> dict[str, Any]:
    """Looks at a corpus.

    Texts are compared as the tokenizer cleans them up, so that two posts that differ in a mention
    only are the same.

    Returns:
        By split: posts, posts by label, length quantiles in tokens and the share that `max_length`
        cuts, duplicates, texts with conflicting labels, and how many of its texts are in `fit`.
    """
    clean = tokenizer.backend_tokenizer.normalizer
    parts = {"fit": fit} | {
        f"{source}/{name}": split
        for source, dataset in (("first", corpus.first), *corpus.others.items())
        for name, split in dataset.splits.items()
    }
    cleaned = {
        name: [" ".join(clean.normalize_str(text).split()) for text in split.texts]
        for name, split in parts.items()
    }
    trained_on = set(cleaned["fit"])
    names = outputs(neutral=recipe.neutral)
    return {
        name: {
            "posts": len(split),
            "labels": {label: Counter(split.labels)[index] for index, label in enumerate(names)},
            **_lengths(split, tokenizer, recipe.max_length),
            **_repeats(cleaned[name], split),
            "in_fit": None
            if name == "fit" or name.endswith("/train")
            else sum(text in trained_on for text in cleaned[name]),
        }
        for name, split in parts.items()
    }


def _lengths(split: Split, tokenizer: PreTrainedTokenizerFast, max_length: int) -> dict[str, Any]:
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    lengths = np.array([len(one.ids) for one in backend.encode_batch_fast(list(split.texts))])
    if not len(lengths):
        return {"tokens": {}, "cut": 0.0}
    found = np.percentile(lengths, _QUANTILES)
    return {
        "tokens": {
            f"p{quantile}": int(value) for quantile, value in zip(_QUANTILES, found, strict=True)
        },
        "cut": round(float((lengths > max_length).mean()), 4),
    }


def _repeats(cleaned: list[str], split: Split) -> dict[str, int]:
    labels: defaultdict[str, set[int]] = defaultdict(set)
    for text, label in zip(cleaned, split.labels, strict=True):
        labels[text].add(label)
    return {
        "duplicates": len(cleaned) - len(labels),
        "conflicting": sum(len(found) > 1 for found in labels.values()),
    }


def as_text(report: Mapping[str, Any]) -> str:
    """The report for people: a paragraph for each split."""
    lines = []
    for name, about in report.items():
        total = max(about["posts"], 1)
        shares = ", ".join(
            f"{label} {count / total:.1%}" for label, count in about["labels"].items() if count
        )
        tokens = ", ".join(f"{name} {value}" for name, value in about["tokens"].items())
        missing = [label for label, count in about["labels"].items() if not count]
        lines += [
            f"data {name}: {about['posts']} posts ({shares})",
            f"  tokens: {tokens}; {about['cut']:.1%} are longer than max_length",
            f"  {about['duplicates']} duplicates, {about['conflicting']} texts with more than one "
            "label"
            + ("" if not about["in_fit"] else f", {about['in_fit']} texts that are trained on too")
            + ("" if not missing else f"; none is {' or '.join(missing)}"),
        ]
    return "\n".join(lines)


def write(report: Mapping[str, Any], folder: Path) -> None:
    """Writes the report into a run folder."""
    partial = folder / f".{FILE}.partial"
    partial.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    partial.replace(folder / FILE)
