from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from worker.charts.comparison import draw_comparison
from worker.charts.palette import COLOURS
from worker.store.compared import Comparison, Pair
from worker.trends import EMOTIONS

if TYPE_CHECKING:
    from pathlib import Path


def comparison(*pairs: Pair, name: str = "mine 2") -> Comparison:
    models = (("builtin 1", sum(pair.posts for pair in pairs)),)
    return Comparison("may", "running", 0.4, name, models, 0, 0, 0, pairs, (), ())


def read(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    with Image.open(path) as image:
        assert (image.format, image.size) == ("PNG", (1920, 1080))
        return np.asarray(image.convert("RGB"), dtype=np.int64)


def pixels(path: Path, colour: str) -> int:
    wanted = np.round(np.array(to_rgb(colour)) * 255).astype(int)
    return int((np.abs(read(path) - wanted).max(axis=-1) <= 2).sum())


def test_bars_are_as_long_as_the_shares_move(tmp_path: Path) -> None:
    path = tmp_path / "comparison.png"
    draw_comparison(
        comparison(
            Pair("joy", "joy", True, 9, 9, 800, 750.0, 740.0),
            Pair("joy", "anger", False, 4, 5, 100, 45.0, 55.0),
            Pair("joy", "love", False, 4, 5, 50, 22.0, 28.0),
            Pair("fear", "fear", True, 4, 5, 50, 22.0, 28.0),
        ),
        path,
    )
    anger, love = (pixels(path, COLOURS[name]) for name in ("anger", "love"))
    # Across each bar runs the line of its interval.
    assert anger == pytest.approx(2 * love, rel=0.1)
    assert pixels(path, COLOURS["fear"]) == 0
    assert pixels(path, COLOURS["joy"]) == pytest.approx(3 * love, rel=0.1)


@pytest.mark.parametrize("name", ["mine 2", "$a_b^c$ \N{FIRE}" + "x" * 300])
def test_nothing_runs_out_of_the_picture(tmp_path: Path, name: str) -> None:
    path = tmp_path / "comparison.png"
    pairs = [
        Pair(before, after, before == after, 2, 9, 10**n, 0.25 * 10**n, 0.95 * 10**n)
        for n, (before, after) in enumerate(pairwise(EMOTIONS))
        if after != "unlabelled"
    ]
    pairs.append(Pair("joy", "unlabelled", None, 5, None, 10**7, 5e6, 0.0))
    draw_comparison(comparison(*pairs, name=name), path)
    found = read(path)
    edges = (found[:8], found[-8:], found[:, :8], found[:, -8:])
    assert all((edge == 255).all() for edge in edges)


def test_nothing_to_draw(tmp_path: Path) -> None:
    path = tmp_path / "comparison.png"
    with pytest.raises(ValueError, match="nothing to draw"):
        draw_comparison(comparison(Pair("joy", "unlabelled", None, 5, None, 3, 1.5, 0.0)), path)
    assert not path.exists()
