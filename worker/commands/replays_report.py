"""A comparison of two models for programs, as one JSON object, and for people, as tables."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from rich.console import Group
from rich.style import Style
from rich.text import Text

from worker.charts.palette import COLOURS
from worker.charts.standouts import plain
from worker.commands.tables import plain_table
from worker.store.compared import DECILES
from worker.trends import EMOTIONS, display_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType
    from rich.table import Table

    from worker.store.compared import Agreement, Comparison, Side

_SIDES: Final[tuple[Side, Side]] = ("before", "after")
_TEXT: Final = 80
"""Characters of a post that are shown."""
_MOST_MODELS: Final = 3


def document(found: Comparison) -> dict[str, Any]:
    """The JSON object that docs/reference/cli.md describes."""
    confusion = found.confusion
    return {
        "name": found.name,
        "state": found.state,
        "progress": found.progress,
        "model": found.model,
        "models_before": [{"model": model, "posts": posts} for model, posts in found.models],
        "posts": found.posts,
        "superseded": found.superseded,
        "withdrawn": found.withdrawn,
        "unseen": found.unseen,
        "agreement": _agreement(found.agreement),
        "agreement_of_six": _agreement(found.agreement_of_six),
        "agreement_on_top": _agreement(found.agreement_on_top),
        "confusion": {
            before: {after: confusion[before, after] for after in EMOTIONS} for before in EMOTIONS
        },
        "shifts": [
            {
                "emotion": one.emotion,
                "posts_before": one.before,
                "posts_after": one.after,
                "share_before": one.before / one.posts,
                "share_after": one.after / one.posts,
                "difference": one.difference,
                "low": one.low,
                "high": one.high,
            }
            for one in found.shifts
        ],
        "confidence": {side: _confidence(found, side) for side in _SIDES},
        "values": [
            {
                "dimension": one.dimension,
                "value": one.value,
                "posts": one.posts,
                "changed": one.changed,
                "gained": _moved(one.gained),
                "lost": _moved(one.lost),
            }
            for one in found.values
        ],
        "disagreements": [asdict(one) for one in found.disagreements],
    }


def _agreement(one: Agreement) -> dict[str, Any]:
    return {"posts": one.posts, "same": one.same, "share": one.share}


def _confidence(found: Comparison, side: Side) -> dict[str, Any]:
    return {
        "mean": found.confidence(side),
        "deciles": [
            {
                "from": decile / DECILES,
                "to": (decile + 1) / DECILES,
                "posts": one.posts,
                "mean": one.confidence,
                "agreement": one.agreement.share,
            }
            for decile, one in enumerate(found.deciles(side))
        ],
    }


def _moved(moved: tuple[str, float] | None) -> dict[str, Any] | None:
    return None if moved is None else {"emotion": moved[0], "difference": moved[1]}


def report(found: Comparison) -> RenderableType:
    """Sentences and tables; what is compared first, single posts last."""
    parts: list[RenderableType] = [Text(line) for line in _sentences(found)]
    if not found.posts:
        return Group(*parts)
    means = " and ".join(f"{found.confidence(side) or 0:.2f} {side}" for side in _SIDES)
    for title, table in (
        ("What becomes of what: posts, before by row, after by column", _confusion(found)),
        (f"Shares, of {found.labelled:,} posts that both label", _shifts(found)),
        (f"Confidence ({means}), and how often the other model agrees", _deciles(found)),
        ("By value: posts, those that get another emotion, and what moves most", _values(found)),
        ("Where they differ, those first of which both are most confident", _differ(found)),
    ):
        if table.row_count:
            parts += [Text(), Text(title, style="bold"), table]
    return Group(*parts)


def _sentences(found: Comparison) -> Iterator[str]:
    before = ", ".join(
        name if len(found.models) == 1 else f"{name} ({posts:,} posts)"
        for name, posts in found.models[:_MOST_MODELS]
    )
    more = len(found.models) - _MOST_MODELS
    before += f" and {more} more" if more > 0 else ""
    yield f"replay {found.name}: {before or 'no model'} before, {found.model} after"
    if found.state == "running":
        yield f"It is still being read ({found.progress:.0%}): this is of what it has read so far."
    elif found.state == "promoting":
        yield "It is in the middle of its promotion: some of its labels stand already."
    elif found.state == "promoted":
        yield "It is promoted: before is what its rollback would bring back, after is what stands."
    left_out = [
        f"{count:,} {why}"
        for count, why in (
            (found.superseded, "of which another version stands"),
            (found.withdrawn, "withdrawn"),
            (found.unseen, "that the live stream never saw"),
        )
        if count
    ]
    yield f"{found.posts:,} posts compared" + (
        f"; left out: {', '.join(left_out)}" if left_out else ""
    )
    if not found.posts:
        yield "There is nothing to compare: no label of it is of a version that stands."
        return
    yield f"the same emotion in {_of(found.agreement)}"
    if found.agreement_of_six.posts:
        yield f"  where both name one of the six, in {_of(found.agreement_of_six)}"
    if found.agreement_on_top.posts:
        yield (
            "  the most probable of the six, uncertain or not, is the same in "
            f"{_of(found.agreement_on_top)}"
        )


def _confusion(found: Comparison) -> Table:
    table = plain_table()
    table.padding = (0, 1, 0, 0)  # so that it fits 80 columns
    table.add_column("before")
    for emotion in EMOTIONS:
        table.add_column(emotion, justify="right", header_style=_style(emotion))
    confusion = found.confusion
    for before in EMOTIONS:
        table.add_row(
            Text(before, style=_style(before)),
            *(
                Text(
                    f"{confusion[before, after]:,}" if confusion[before, after] else ".",
                    style="bold" if before == after else "",
                )
                for after in EMOTIONS
            ),
        )
    return table


def _shifts(found: Comparison) -> Table:
    table = plain_table()
    table.add_column("emotion")
    for name in ("before", "after", "points", "95 % interval"):
        table.add_column(name, justify="right")
    for one in found.shifts:
        table.add_row(
            Text(one.emotion, style=_style(one.emotion)),
            f"{one.before / one.posts:.1%}",
            f"{one.after / one.posts:.1%}",
            _points(one.difference),
            f"{_points(one.low)} to {_points(one.high)}",
        )
    return table


def _deciles(found: Comparison) -> Table:
    table = plain_table()
    table.add_column("confidence")
    for side in _SIDES:
        table.add_column(f"posts {side}", justify="right")
        table.add_column("agree", justify="right")
    both = [found.deciles(side) for side in _SIDES]
    for decile, row in enumerate(zip(*both, strict=True)):
        if not any(one.posts for one in row):
            continue
        cells = []
        for one in row:
            cells += [f"{one.posts:,}", _percent(one.agreement.share)]
        table.add_row(f"{decile / DECILES:.1f} to {(decile + 1) / DECILES:.1f}", *cells)
    return table


def _values(found: Comparison) -> Table:
    table = plain_table()
    table.add_column("dimension")
    table.add_column("value", max_width=32, no_wrap=True, overflow="ellipsis")
    table.add_column("posts", justify="right")
    table.add_column("changed", justify="right")
    table.add_column("gains most")
    table.add_column("loses most")
    for one in found.values:
        table.add_row(
            one.dimension,
            plain(_printable(display_name(one.dimension, one.value))),
            f"{one.posts:,}",
            f"{one.changed / one.posts:.1%}",
            *(
                Text("-")
                if moved is None
                else Text(f"{moved[0]} {_points(moved[1])}", style=_style(moved[0]))
                for moved in (one.gained, one.lost)
            ),
        )
    return table


def _differ(found: Comparison) -> Table:
    table = plain_table()
    table.add_column("post", max_width=48, no_wrap=True, overflow="ellipsis")
    table.add_column("before", no_wrap=True)
    table.add_column("after", no_wrap=True)
    texts = any(one.text is not None for one in found.disagreements)
    if texts:
        table.add_column("text", no_wrap=True, overflow="ellipsis")
    for one in found.disagreements:
        row = [
            plain(_printable(f"{one.platform}:{one.post_id}")),
            Text(f"{one.before} {one.before_confidence:.2f}", style=_style(one.before)),
            Text(f"{one.after} {one.after_confidence:.2f}", style=_style(one.after)),
        ]
        if texts:
            row.append(plain(_printable((one.text or "")[:_TEXT])))
        table.add_row(*row)
    return table


def _of(agreement: Agreement) -> str:
    return f"{_percent(agreement.share, 1)} ({agreement.same:,} of {agreement.posts:,})"


def _percent(share: float | None, digits: int = 0) -> str:
    return "-" if share is None else f"{share:.{digits}%}"


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f}"


def _printable(text: str) -> str:
    """A stranger's text, which must not command the terminal."""
    return "".join(c if c.isprintable() else " " for c in text)


def _style(emotion: str) -> Style:
    return Style(color=COLOURS[emotion])
