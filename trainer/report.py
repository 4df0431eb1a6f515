"""Figures for people and for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from worker.posts import LABELS

if TYPE_CHECKING:
    from trainer.evaluate import Model, Report


def as_json(report: Report, *, model: Model, split: str) -> str:
    """One JSON object: the four figures, and what they were measured on."""
    content = {
        **report.figures.rounded(),
        "split": split,
        "posts": int(report.confusion.sum()),
        "temperature": model.temperature,
        "f1": {label: round(float(f1), 5) for label, f1 in zip(LABELS, report.f1, strict=True)},
        "labels": list(LABELS),
        "confusion": report.confusion.tolist(),
    }
    return json.dumps(content)


def show(report: Report, *, model: Model, split: str, console: Console | None = None) -> None:
    """Prints the figures, F1 by label and the confusion matrix."""
    out = console or Console()
    figures = report.figures
    out.print(
        f"{split}: {int(report.confusion.sum())} posts, temperature {model.temperature:g}\n"
        f"accuracy {figures.accuracy:.4f}   macro-F1 {figures.macro_f1:.4f}   "
        f"loss {figures.loss:.4f}   ECE {figures.ece:.4f}\n",
        highlight=False,
    )
    table = Table(title="right label (rows) against predicted (columns)", title_justify="left")
    table.add_column("")
    for label in (*LABELS, "F1"):
        table.add_column(label, justify="right")
    for label, counts, f1 in zip(LABELS, report.confusion, report.f1, strict=True):
        table.add_row(label, *(str(count) for count in counts), f"{f1:.3f}")
    out.print(table)
