from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from worker.charts.palette import COLOURS, STACK
from worker.charts.panel import INK, QUIET
from worker.charts.png import Mark, draw_png
from worker.trends import EMOTIONS, Events, Trends

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Counts = list[tuple[int, ...]]
QUARTER = timedelta(minutes=15)


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
        assert image.size == (1920, 1080)
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
    one, many = tmp_path / "one.png", tmp_path / "many.png"
    names = ("plain", "$a$", "\N{FIRE}", "\u65e5\u672c\u8a9e", "\u0645\u0631\u062d", "x" * 100)
    missing = draw_png(
        make_trends(story_counts, values=names * 2, dimension="hashtag"),
        many,
        title="$5 & _more_ " + "y" * 300,
    )
    assert missing <= set("\u65e5\u672c\u8a9e")
    draw_png(make_trends(story_counts, values=names[:1], dimension="hashtag"), one)
    assert _pixels(many, COLOURS["anger"]) > 0.4 * _pixels(one, COLOURS["anger"])
    with Image.open(many) as image:
        assert image.size == (1920, 1080)


@pytest.mark.parametrize("panels", [1, 2, 9])
def test_nothing_runs_out_of_the_picture(
    make_trends: Callable[..., Trends],
    story_counts: Counts,
    make_events: Callable[..., Events],
    tmp_path: Path,
    panels: int,
) -> None:
    name = ("x" if panels == 1 else "\u0645\u0631\u062d") * 100
    path = tmp_path / "trends.png"
    trends = make_trends(story_counts, values=(name,) * panels, dimension="hashtag", incomplete=2)
    draw_png(trends, path, events=make_events(name, 8), marks=[Mark(trends.until - QUARTER, name)])
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"), dtype=int)
    edges = (pixels[:8], pixels[-8:], pixels[:, :8], pixels[:, -8:])
    assert all((edge == 255).all() for edge in edges)


def test_spikes_are_outlined_and_named(
    make_trends: Callable[..., Trends],
    story_counts: Counts,
    make_events: Callable[..., Events],
    tmp_path: Path,
) -> None:
    trends = make_trends(story_counts, values=("news",), dimension="hashtag")
    plain, marked, other = (tmp_path / f"{n}.png" for n in ("plain", "marked", "other"))
    draw_png(trends, plain)
    draw_png(trends, marked, events=make_events("news", 1))
    draw_png(trends, other, events=make_events("cats", 1))
    assert plain.read_bytes() == other.read_bytes()
    with Image.open(marked) as image:
        column = np.asarray(image.convert("RGB"), dtype=int)[:, 900]
    # In the middle of the spike, from above: its bar, and further down the emotion's own colour.
    anger = np.round(np.array(to_rgb(COLOURS["anger"])) * 255)
    of_anger = np.flatnonzero(np.abs(column - anger).max(axis=-1) <= 2)
    assert of_anger[0] < 300
    assert np.diff(of_anger).max() > 200
    assert _pixels(marked, INK) > _pixels(plain, INK) + 1_000


def test_a_change_of_model_is_a_line(
    make_trends: Callable[..., Trends],
    story_counts: Counts,
    make_events: Callable[..., Events],
    tmp_path: Path,
) -> None:
    plain, marked = tmp_path / "plain.png", tmp_path / "marked.png"
    trends = make_trends(story_counts)
    draw_png(trends, plain)
    draw_png(trends, marked, events=make_events("news", 0, changes=True))
    assert _pixels(marked, INK) > _pixels(plain, INK) + 500


def test_a_quiet_window_is_told_from_an_unread_one(
    make_trends: Callable[..., Trends], story_counts: Counts, tmp_path: Path
) -> None:
    quiet, unread = tmp_path / "quiet.png", tmp_path / "unread.png"
    draw_png(make_trends([*story_counts, (0,) * 8, (0,) * 8]), quiet)
    draw_png(make_trends([*story_counts, (0,) * 8, (0,) * 8], incomplete=2), unread)
    grey = str(QUIET["facecolor"])
    assert _pixels(quiet, grey) > 2.5 * _pixels(unread, grey)  # three windows against one


def test_a_picture_is_whole_or_not_there(
    make_trends: Callable[..., Trends], story_counts: Counts, tmp_path: Path
) -> None:
    with pytest.raises(OSError, match="no"):
        draw_png(make_trends(story_counts), tmp_path / "no" / "trends.png")
    assert list(tmp_path.iterdir()) == []


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
