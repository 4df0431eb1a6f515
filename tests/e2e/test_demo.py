"""The demo: one command, everything in it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.e2e]


def test_the_demo_counts_every_post_once(run: Callable[..., Any], tmp_path: Path) -> None:
    code, out, log = run("demo", "--json", "--posts", 600, "--model", "stub", "--plot", "it.png")
    assert code == 0, log
    found = json.loads(out.splitlines()[-1])
    assert list(found) == [
        *("posts", "labelled", "unlabelled", "duplicates", "dead_letters", "trend_posts"),
        *("seconds", "posts_per_second", "agreement", "model"),
    ]
    assert found["posts"] == 600
    assert found["trend_posts"] == found["labelled"] + found["unlabelled"] <= 600
    assert found["dead_letters"] >= 5
    assert found["duplicates"] > 0
    assert 0 < found["agreement"] < 1
    assert (tmp_path / "it.png").stat().st_size > 20_000


def test_a_place_where_no_picture_can_be_drawn_is_refused(run: Callable[..., Any]) -> None:
    code, _, log = run("demo", "--plot", "/no/such/folder/it.png")
    assert (code, "it.png" in log) == (2, True)
