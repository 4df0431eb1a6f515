"""Two models on the same posts as a PNG: what becomes of what, shares that move, and confidence."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from worker.charts.lettering import Lettering, isolate, lettering, shorten, written_in
from worker.charts.palette import COLOURS, STACK
from worker.charts.panel import FAINT, INK, short_count
from worker.store.compared import DECILES
from worker.trends import EMOTIONS

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from worker.store.compared import Comparison, Decile

_WIDTH: Final = 12.0
_HEIGHT: Final = 6.75
"""Inches: 16:9, as slides are; 1920 by 1080 pixels."""
_DPI: Final = 160
_LEFT: Final = 0.105
_RIGHT: Final = 0.875
"""Of the axes; shares stand beyond it."""
_SHADES: Final = LinearSegmentedColormap.from_list("shades", ["#FFFFFF", "#C9D6E3", "#274C6B"])
_DARK: Final = 0.4
"""From this share on a cell's number is white."""
_FEW: Final = 5
"""Posts under which a tenth's agreement is chance, and is not drawn."""
_BEFORE: Final[dict[str, Any]] = {
    "color": FAINT, "linewidth": 1.8, "linestyle": (0, (4, 2)), "marker": "o", "markersize": 4,
}  # fmt: skip
_AFTER: Final[dict[str, Any]] = {
    "color": INK, "linewidth": 2.2, "marker": "o", "markersize": 5,
}  # fmt: skip
_PLAIN: Final[dict[str, Any]] = {"parse_math": False}


def draw_comparison(found: Comparison, path: Path) -> None:
    """Draws it to `path`: a map of what becomes of what, shifts of the shares, and agreement.

    Raises:
        OSError: `path` cannot be written.
        ValueError: Both models label no post.
    """
    if not found.labelled:
        raise ValueError("nothing to draw")
    letters = lettering([found.name, found.model, *(model for model, _ in found.models)])
    with written_in(letters):
        figure = Figure(figsize=(_WIDTH, _HEIGHT), dpi=_DPI, facecolor="white")
        FigureCanvasAgg(figure)
        drawing = _Drawing(figure, found, letters)
        top = 1 - 1.30 / _HEIGHT
        grid = figure.add_gridspec(
            2, 2, left=_LEFT, right=_RIGHT, top=top, bottom=0.66 / _HEIGHT,
            width_ratios=(1.22, 1), height_ratios=(1.25, 1), wspace=0.30, hspace=0.52,
        )  # fmt: skip
        drawing.confusion(figure.add_subplot(grid[:, 0]))
        drawing.shifts(figure.add_subplot(grid[0, 1]))
        drawing.agreement(figure.add_subplot(grid[1, 1]))
        drawing.head()
        picture = BytesIO()
        figure.savefig(picture, format="png", dpi=_DPI)
    path.write_bytes(picture.getvalue())  # only once it is whole


@dataclass(frozen=True, slots=True)
class _Drawing:
    """A figure, and what is to be drawn on it."""

    figure: Figure
    found: Comparison
    letters: Lettering

    def head(self) -> None:
        """The title, and of what this is."""
        found = self.found
        before = found.models[0][0] if len(found.models) == 1 else "the models before"
        share = found.agreement.share
        assert share is not None
        title = (
            f"{isolate(self.letters.spell(found.model))} keeps {share:.1%} of the labels of "
            f"{isolate(self.letters.spell(before))}"
        )
        parts = [f"replay {found.name}", f"{found.posts:,} posts compared"]
        if found.state == "running":
            parts.append(f"still being read: {found.progress:.0%}")
        means = (f"{found.confidence(side):.2f} {side}" for side in ("before", "after"))
        parts.append(f"mean confidence {', '.join(means)}")
        for text, points, colour, weight, down in (
            (title, 17, INK, "bold", 0.42),
            (" · ".join(parts), 10, FAINT, "normal", 0.70),
        ):
            # Bold letters are wider than those measured.
            room = 0.93 * _WIDTH * _DPI * (0.85 if points > 10 else 1)
            self.figure.text(
                0.03, 1 - down / _HEIGHT, shorten(self._renderer(), text, points, room),
                ha="left", fontsize=points, fontweight=weight, color=colour, **_PLAIN,
            )  # fmt: skip

    def confusion(self, axes: Axes) -> None:
        """Rows are emotions before, columns after; a row's cells add up to all of its posts."""
        counts = self.found.confusion
        shown = [name for name in EMOTIONS if any(name in pair for pair in counts)]
        totals = {name: sum(counts[name, other] for other in shown) for name in shown}
        shares = [[counts[row, column] / (totals[row] or 1) for column in shown] for row in shown]
        axes.imshow(shares, cmap=_SHADES, norm=PowerNorm(0.6, 0, 1), aspect="auto")
        for y, row in enumerate(shown):
            for x, column in enumerate(shown):
                share, posts = shares[y][x], counts[row, column]
                if posts:
                    text = f"{share:.0%}" if share >= 0.005 else "<1%"
                    axes.text(
                        x, y, text, ha="center", va="center", fontsize=9.5,
                        color="white" if share > _DARK else INK,
                        fontweight="bold" if x == y else "normal",
                    )  # fmt: skip
        places = range(len(shown))
        axes.set_xticks(places, shown, rotation=30, ha="left", rotation_mode="anchor")
        axes.set_yticks(places, [f"{name}\n{short_count(totals[name])}" for name in shown])
        axes.xaxis.tick_top()
        axes.tick_params(length=0, labelsize=9, colors=INK)
        axes.set_xticks([place + 0.5 for place in places][:-1], minor=True)
        axes.set_yticks([place + 0.5 for place in places][:-1], minor=True)
        axes.tick_params(which="minor", length=0)
        axes.grid(which="minor", color="white", linewidth=2)
        axes.spines[:].set_visible(False)
        axes.set_xlabel(
            "what becomes (columns) of each emotion before (rows, with its posts)",
            fontsize=9, color=FAINT, labelpad=8,
        )  # fmt: skip

    def shifts(self, axes: Axes) -> None:
        """Differences of the shares, in points, with their intervals."""
        by_name = {one.emotion: one for one in self.found.shifts}
        shown = [by_name[name] for name in reversed(STACK)]
        widest = 0.001
        for place, one in enumerate(shown):
            axes.barh(place, one.difference, height=0.62, color=COLOURS[one.emotion], linewidth=0)
            axes.plot([one.low, one.high], [place, place], color=INK, linewidth=1.2)
            widest = max(widest, abs(one.low), abs(one.high))
            axes.annotate(
                f"{one.before / one.posts:.1%} to {one.after / one.posts:.1%}",
                (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=8.5,
                color=FAINT, annotation_clip=False,
            )  # fmt: skip
        axes.set_xlim(-1.05 * widest, 1.05 * widest)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.axvline(0, color=INK, linewidth=0.9)
        axes.set_yticks(range(len(shown)), [one.emotion for one in shown])
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:+.3g}" if value else "0")
        self._caption(axes, "Shares, change in points (95 % interval)")
        self._dress(axes)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)

    def agreement(self, axes: Axes) -> None:
        """How often the models agree, by how confident each of them is."""
        before, after = self.found.deciles("before"), self.found.deciles("after")
        middles = [(place + 0.5) / DECILES for place in range(DECILES)]
        total = sum(one.posts for one in after)
        most = max(one.posts for one in after) / total
        axes.bar(
            middles, [one.posts / total / most * 0.5 for one in after],
            width=0.092, color="#E8E8E8", linewidth=0,
        )  # fmt: skip
        for deciles, style, label in (
            (before, _BEFORE, "before"),
            (after, _AFTER, "after"),
        ):
            drawn = [
                (middle, share)
                for middle, one in zip(middles, deciles, strict=True)
                if (share := _share(one)) is not None
            ]
            if drawn:
                axes.plot(*zip(*drawn, strict=True), label=label, **style)
        first = next(place for place in range(DECILES) if before[place].posts or after[place].posts)
        axes.set_xlim(max(0.0, first / DECILES - 0.02), 1.0)
        axes.set_ylim(0, 1.04)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.set_xlabel("by confidence (grey: how many posts, after)", fontsize=9, color=INK)
        axes.legend(
            frameon=False, fontsize=8.5, labelcolor=INK, loc="upper left",
            bbox_to_anchor=(1.01, 1.0), borderaxespad=0, handlelength=1.8,
        )  # fmt: skip
        self._caption(axes, "Agreement on the most probable emotion")
        self._dress(axes)

    def _caption(self, axes: Axes, text: str) -> None:
        axes.annotate(
            text, (0, 1), xycoords="axes fraction", xytext=(0, 8), textcoords="offset points",
            ha="left", va="baseline", fontsize=10.5, color=INK, fontweight="bold",
            annotation_clip=False,
        )  # fmt: skip

    def _dress(self, axes: Axes) -> None:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(FAINT)
        axes.tick_params(colors=INK, labelsize=9, length=3)

    def _renderer(self) -> Any:  # noqa: ANN401
        assert isinstance(self.figure.canvas, FigureCanvasAgg)
        return self.figure.canvas.get_renderer()  # type: ignore[no-untyped-call]


def _share(one: Decile) -> float | None:
    return one.agreement.share if one.posts >= _FEW else None
