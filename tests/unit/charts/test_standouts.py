from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len
from rich.console import Console

from worker.charts.standouts import render_events
from worker.trends import Events, Trends

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def render(make_trends: Callable[..., Trends]) -> Callable[..., str]:
    def make(events: Events, *, width: int = 160, limit: int = 10) -> str:
        stream = io.StringIO()
        trends = make_trends([(1,) * 8] * 24)
        Console(file=stream, width=width).print(render_events(events, trends, limit=limit))
        return stream.getvalue()

    return make


def test_a_line_says_what_and_why(
    render: Callable[..., str], make_events: Callable[..., Events]
) -> None:
    text = render(make_events("news", 1))
    [line] = [line for line in text.splitlines() if "#news" in line]
    for word in (
        *("1 Mar 14:30 to 15:30", "anger 3.0x", "90", "30", "share 50%, usually 20%"),
        *("#outage #refund", "40% by one author"),
    ):
        assert word in line


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
@pytest.mark.parametrize("name", ["news", "x" * 100, "\u65e5\u672c\u8a9e" * 20])
def test_it_fits_the_terminal(
    render: Callable[..., str], make_events: Callable[..., Events], width: int, name: str
) -> None:
    lines = render(make_events(name, 5, changes=True), width=width).splitlines()
    assert max(map(cell_len, lines)) <= width
    assert sum("#" in line for line in lines) == 5


def test_more_than_asked_for_are_counted(
    render: Callable[..., str], make_events: Callable[..., Events]
) -> None:
    text = render(make_events("news", 5), limit=2)
    assert text.count("#news") == 2
    assert "and 3 more" in text


def test_another_model_is_named(
    render: Callable[..., str], make_events: Callable[..., Events]
) -> None:
    text = render(make_events("news", 0, changes=True))
    assert "From 1 Mar 14:00 UTC on another model labels: builtin 1.1." in text
    assert "No spikes since 1 Mar 12:00." in text


def test_none_found_is_not_none_searched_for(
    render: Callable[..., str], make_events: Callable[..., Events]
) -> None:
    events = make_events("news", 0)
    assert "No spikes" in render(events)
    noted = render(replace(events, note="under 3 days of history"))
    assert "No spikes" not in noted
    assert "Spikes: under 3 days of history." in noted
    assert render(Events()) == ""


def test_what_is_written_right_to_left_leaves_the_figures_in_place(
    render: Callable[..., str], make_events: Callable[..., Events]
) -> None:
    assert "\u05e9\u05dc\N{LEFT-TO-RIGHT MARK}" in render(make_events("\u05e9\u05dc", 1))
