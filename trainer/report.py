"""Measurements for people and for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from trainer import metrics
from worker.posts import LABELS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trainer.compare import Comparison
    from trainer.evaluate import Model
    from trainer.measuring import Report
    from trainer.perturb import Loss
    from trainer.robustness import Negation

_TITLES = {"accuracy": "accuracy", "macro_f1": "macro-F1", "loss": "loss", "ece": "ECE"}


def as_json(
    report: Report,
    *,
    model: Model,
    split: str,
    perturbations: Mapping[str, Loss] | None = None,
    negation: Negation | None = None,
) -> str:
    """One JSON object: the four figures, what they were measured on, and the rest."""
    content: dict[str, Any] = {
        **report.figures.rounded(),
        "intervals": _rounded(report.intervals),
        "split": split,
        "posts": int(report.confusion.sum()),
        "temperature": model.temperature,
        "threshold": model.threshold,
        "uncertain": round(report.uncertain, 5),
        "neutral_posts": report.neutral,
        "neutral_uncertain": report.neutral_uncertain,
        "f1": {label: round(float(f1), 5) for label, f1 in zip(LABELS, report.f1, strict=True)},
        "labels": list(LABELS),
        "confusion": report.confusion.tolist(),
        "reliability": asdict(report.reliability),
        "coverage": [[round(value, 5) for value in point] for point in report.coverage],
        "slices": {
            name: {"posts": one.posts, **one.figures.rounded()}
            for name, one in report.slices.items()
        },
        "mistakes": [asdict(mistake) for mistake in report.mistakes],
    }
    if perturbations is not None:
        content["perturbations"] = {name: one.rounded() for name, one in perturbations.items()}
    if negation is not None:
        content["negation"] = {"posts": negation.posts, "right": negation.right}
    return json.dumps(content)


def show(
    report: Report,
    *,
    model: Model,
    split: str,
    perturbations: Mapping[str, Loss] | None = None,
    negation: Negation | None = None,
    console: Console | None = None,
) -> None:
    """Prints the figures with their intervals, confusion, slices and the worst mistakes."""
    out = console or Console()
    posts = int(report.confusion.sum())
    out.print(f"{split}: {posts} posts, temperature {model.temperature:g}", highlight=False)
    for name in metrics.FIGURES:
        low, high = report.intervals[name]
        value = getattr(report.figures, name)
        out.print(f"{_TITLES[name]} {value:.4f} ({low:.4f} to {high:.4f})", highlight=False)
    if model.threshold:
        line = f"threshold {model.threshold:g}: {report.uncertain:.1%} uncertain"
        if report.neutral_uncertain is not None:
            line += f"; of {report.neutral} neutral posts {report.neutral_uncertain:.1%}"
        out.print(line, highlight=False)
    table = Table(title="right label (rows) against predicted (columns)", title_justify="left")
    table.add_column("")
    for label in (*LABELS, "F1"):
        table.add_column(label, justify="right")
    for label, counts, f1 in zip(LABELS, report.confusion, report.f1, strict=True):
        table.add_row(label, *(str(count) for count in counts), f"{f1:.3f}")
    out.print(table)
    _show_slices(out, report)
    if perturbations is not None:
        _show_perturbations(out, perturbations)
    if negation is not None:
        out.print(f"negated emotions: {negation.right} of {negation.posts} right", highlight=False)
        for text, answer in negation.wrong:
            out.print(f"  {answer}: {text}", highlight=False, markup=False)
    out.print("most confident mistakes:")
    for mistake in report.mistakes:
        out.print(
            f"  {mistake.confidence:.2f} {mistake.predicted}, not {mistake.right}: {mistake.text}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def _show_slices(out: Console, report: Report) -> None:
    table = Table(title="slices", title_justify="left")
    table.add_column("")
    for heading in ("posts", "accuracy", "loss", "ECE"):
        table.add_column(heading, justify="right")
    for name, one in report.slices.items():
        found = one.figures
        table.add_row(
            name,
            str(one.posts),
            f"{found.accuracy:.4f}",
            f"{found.loss:.4f}",
            f"{found.ece:.4f}",
        )
    out.print(table)


def _show_perturbations(out: Console, perturbations: Mapping[str, Loss]) -> None:
    table = Table(title="perturbations", title_justify="left")
    table.add_column("")
    for heading in ("posts changed", "accuracy", "points lost"):
        table.add_column(heading, justify="right")
    for name, one in perturbations.items():
        table.add_row(name, f"{one.changed:.0%}", f"{one.accuracy:.4f}", f"{100 * one.lost:.1f}")
    out.print(table)


def comparison_as_json(found: Comparison, *, split: str) -> str:
    """One JSON object."""
    return json.dumps(
        {
            "split": split,
            "posts": found.posts,
            "a": found.a.rounded(),
            "b": found.b.rounded(),
            "difference": {name: round(value, 5) for name, value in found.difference.items()},
            "intervals": _rounded(found.intervals),
            "only_a_right": found.only_a,
            "only_b_right": found.only_b,
            "p_value": found.p_value,
            "agreement": round(found.agreement, 5),
        }
    )


def show_comparison(
    found: Comparison, *, a: str, b: str, split: str, console: Console | None = None
) -> None:
    """Prints two models side by side."""
    out = console or Console()
    out.print(f"A: {a}\nB: {b}\n{split}: {found.posts} posts", highlight=False, markup=False)
    table = Table()
    table.add_column("")
    for heading in ("A", "B", "B - A", "95 % interval"):
        table.add_column(heading, justify="right")
    for name in metrics.FIGURES:
        low, high = found.intervals[name]
        table.add_row(
            _TITLES[name],
            f"{getattr(found.a, name):.4f}",
            f"{getattr(found.b, name):.4f}",
            f"{found.difference[name]:+.4f}",
            f"{low:+.4f} to {high:+.4f}",
        )
    out.print(table)
    verdict = "more than chance" if found.p_value < 0.05 else "may be chance"
    out.print(
        f"only A right: {found.only_a}, only B right: {found.only_b}; McNemar's exact test: "
        f"p = {found.p_value:.3g}, {verdict}. The same emotion for {found.agreement:.1%}.",
        highlight=False,
        soft_wrap=True,
    )


def _rounded(intervals: Mapping[str, tuple[float, float]]) -> dict[str, list[float]]:
    return {name: [round(low, 5), round(high, 5)] for name, (low, high) in intervals.items()}
