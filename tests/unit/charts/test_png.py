from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from worker.charts.palette import COLOURS, STACK
from worker.charts.png import draw_png
from worker.trends import EMOTIONS, Trends

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Counts = list[tuple[int, ...]]


def _pixels(path: Path, colour: str) -> int:
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"), dtype=int)
    wanted = np.round(np.array(to_rgb(colour)) * 255).astype(int)
    return int((np.abs(pixels - wanted).max(axis=-1) <= 2).sum())


def _area(counts: Counts, emotion: str) -> float:
    index = EMOTIONS.index(emotion)
    return sum(row[index] / sum(row[:7]) for row in counts if sum(row))


def test_each_colour_covers_its_share(
    make_trends: Callable[..., Trends], story_counts: Counts, tmp_path: Path
) -> None:
    path = tmp_path / "trends.png"
    draw_png(make_trends(story_counts), path)
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.size == (1800, 1012)
    drawn = {name: _pixels(path, COLOURS[name]) for name in STACK}
    expected = {name: _area(story_counts, name) for name in STACK}
    for name in STACK:
        share = drawn[name] / sum(drawn.values())
        assert share == pytest.approx(expected[name] / sum(expected.values()), abs=0.02), name


def test_incomplete_windows_are_hatched(
    make_trends: Callable[..., Trends], story_counts: Counts, tmp_path: Path
) -> None:
    draw_png(make_trends(story_counts), tmp_path / "complete.png")
    draw_png(make_trends(story_counts, incomplete=12), tmp_path / "incomplete.png")
    whole = _pixels(tmp_path / "complete.png", COLOURS["joy"])
    assert _pixels(tmp_path / "incomplete.png", COLOURS["joy"]) < 0.7 * whole


def test_a_panel_per_value_whatever_it_is_called(
    make_trends: Callable[..., Trends], story_counts: Counts, tmp_path: Path
) -> None:
    one, five = tmp_path / "one.png", tmp_path / "five.png"
    names = ("plain", "$a$", "\N{FIRE}", "\u65e5\u672c\u8a9e", "x" * 100)
    draw_png(
        make_trends(story_counts, values=names, dimension="hashtag"), five, title="$5 & _more_"
    )
    draw_png(make_trends(story_counts, values=names[:1], dimension="hashtag"), one)
    assert _pixels(five, COLOURS["anger"]) > 0.5 * _pixels(one, COLOURS["anger"])
    with Image.open(five) as image:
        assert image.size[1] > 1012


@pytest.mark.parametrize("windows", [1, 2, 500])
def test_few_and_many_windows(
    make_trends: Callable[..., Trends], windows: int, tmp_path: Path
) -> None:
    path = tmp_path / "trends.png"
    draw_png(make_trends([(1, 2, 3, 4, 5, 6, 7, 8)] * windows), path)
    assert _pixels(path, COLOURS["anger"]) > 10_000


def test_no_posts_make_an_empty_picture_and_no_series_none(
    make_trends: Callable[..., Trends], tmp_path: Path
) -> None:
    path = tmp_path / "trends.png"
    draw_png(make_trends([(0,) * 8] * 3), path)
    assert _pixels(path, COLOURS["anger"]) < 5_000  # the legend's
    with pytest.raises(ValueError, match="no series"):
        draw_png(make_trends([], values=()), path)
