"""A measurement as a picture: reliability, coverage, confusion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from worker.errors import SettingsError
from worker.posts import LABELS

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.measuring import Report

_DPI = 130
_BLUE = "#0072B2"
_ORANGE = "#D55E00"


def draw(report: Report, path: Path, *, title: str) -> None:
    """Draws a report to a PNG file, written beside and then renamed.

    Raises:
        SettingsError: `path` cannot be written.
    """
    figure = Figure(figsize=(15, 4.9), dpi=_DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 3)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold", parse_math=False)
    _reliability(panels[0], report)
    _coverage(panels[1], report)
    _confusion(panels[2], report)
    partial = path.with_name(f".{path.name}.partial")
    try:
        figure.savefig(partial, format="png", metadata={"Software": "emotion-stream"})
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise SettingsError(f"--plot {path}: cannot be written: {error.strerror}") from error


def _reliability(panel: Any, report: Report) -> None:  # noqa: ANN401
    found = report.reliability
    total = sum(found.posts)
    panel.plot([0, 1], [0, 1], color="#999999", linewidth=1, label="as sure as right")
    panel.scatter(
        found.confidence,
        found.accuracy,
        s=[20 + 400 * posts / total for posts in found.posts],
        color=_BLUE,
        alpha=0.8,
        label="posts of like confidence (area: how many)",
    )
    panel.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="confidence", ylabel="accuracy")
    panel.set_title(f"Reliability, ECE {report.figures.ece:.3f}")
    panel.legend(loc="upper left", frameon=False, fontsize=8)


def _coverage(panel: Any, report: Report) -> None:  # noqa: ANN401
    shares = [share for share, _, _ in report.coverage]
    panel.plot(shares, [accuracy for _, _, accuracy in report.coverage], color=_BLUE, marker=".")
    panel.axvline(
        1 - report.uncertain,
        color=_ORANGE,
        linewidth=1,
        label=f"threshold: {report.uncertain:.1%} uncertain",
    )
    panel.set(xlim=(0, 1.02), xlabel="posts kept, most confident first", ylabel="accuracy of those")
    panel.xaxis.set_major_formatter(PercentFormatter(1.0))
    panel.set_title("Accuracy against coverage")
    panel.legend(loc="lower left", frameon=False, fontsize=8)


def _confusion(panel: Any, report: Report) -> None:  # noqa: ANN401
    rows = report.confusion.sum(axis=1, keepdims=True).clip(min=1)
    shares = report.confusion / rows
    panel.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, counts in enumerate(report.confusion):
        for column, count in enumerate(counts):
            colour = "white" if shares[row, column] > 0.5 else "#222222"
            panel.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=9)
    panel.set_xticks(range(len(LABELS)), LABELS, rotation=30, ha="right")
    panel.set_yticks(range(len(LABELS)), LABELS)
    panel.set(xlabel="predicted", ylabel="right")
    panel.set_title(f"Accuracy {report.figures.accuracy:.4f}")
