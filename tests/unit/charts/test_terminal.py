from __future__ import annotations

import io
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len
from rich.console import Console

from worker.charts.terminal import render_terminal
from worker.posts import LABELS

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.trends import Trends

Counts = list[tuple[int, ...]]


def _render(trends: Trends, width: int, *, encoding: str = "utf-8", color: bool = False) -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(
        file=stream, width=width, force_terminal=color, color_system="truecolor" if color else None
    )
    console.print(render_terminal(trends))
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode(encoding)


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("windows", [1, 3, 24, 150, 1999])
def test_it_fits_the_terminal(make_trends: Callable[..., Trends], width: int, windows: int) -> None:
    trends = make_trends([(9, 9, 9, 90_000, 9, 9, 9, 9)] * windows, incomplete=1)
    lines = _render(trends, width).splitlines()
    assert max(map(cell_len, lines)) <= width
    chart = lines[next(i for i, line in enumerate(lines) if line.startswith("sadness")) :]
    for name in (*LABELS, "uncertain", "posts", "unfinished"):
        assert any(line.startswith(name) for line in chart), name


@pytest.mark.parametrize("width", [40, 80, 200])
def test_long_and_foreign_names_fit_too(
    make_trends: Callable[..., Trends], story_counts: Counts, width: int
) -> None:
    names = ("x" * 100, "\u65e5\u672c\u8a9e" * 20, "\u0645\u0631\u062d", "\N{FIRE}")
    lines = _render(
        make_trends(story_counts, values=names, dimension="hashtag"), width
    ).splitlines()
    assert max(map(cell_len, lines)) <= width
    assert any("\u0645\u0631\u062d\N{LEFT-TO-RIGHT MARK}" in line for line in lines)


def test_names_are_whole_in_a_file(
    make_trends: Callable[..., Trends], story_counts: Counts
) -> None:
    trends = make_trends(story_counts, values=("x" * 100,), dimension="hashtag")
    assert f"#{'x' * 100} " in _render(trends, 200)


def test_windows_that_overlap_are_averaged_not_summed(
    make_trends: Callable[..., Trends], story_counts: Counts
) -> None:
    trends = make_trends(story_counts * 10)
    whole = replace(trends.series[0].windows[0], counts=(1_000,) * 8)
    rolling = replace(
        trends,
        width=4 * trends.width,
        step=trends.width,
        series=(replace(trends.series[0], whole=whole),),
    )
    text = _render(rolling, 80)
    assert "the last 1h, a bar each" in text
    assert "8,000" in text  # the total is that of the range, not the sum of the windows
    posts = next(line for line in text.splitlines() if line.startswith("posts"))
    mean, peak = (int(figure) for figure in posts.split()[-5:-3])
    assert mean == pytest.approx(sum(map(sum, story_counts)) / len(story_counts), rel=0.02)
    assert mean < peak <= max(map(sum, story_counts))


def test_the_outage_stands_out(make_trends: Callable[..., Trends], story_counts: Counts) -> None:
    lines = _render(make_trends(story_counts), 80).splitlines()
    anger = next(i for i, line in enumerate(lines) if line.startswith("anger") and "%" in line)
    columns = 2
    foot = lines[anger][10 : 10 + columns * len(story_counts)]
    head = lines[anger - 1].ljust(90)[10 : 10 + columns * len(story_counts)]
    outage = slice(12 * columns, 16 * columns)
    assert set(foot[outage]) == {"█"}
    assert " " not in head[outage]
    assert head[: 12 * columns].strip() == ""
    empty = slice(16 * columns, 17 * columns)
    assert foot[empty].strip() == ""  # no posts: blank, where zero percent has a foot
    assert lines[anger].split()[-2:] == ["56%", "15:00"]


def test_the_table_adds_up(make_trends: Callable[..., Trends], story_counts: Counts) -> None:
    lines = _render(make_trends(story_counts, values=("alpha", "beta"), dimension="platform"), 120)
    row = next(line for line in lines.splitlines() if line.startswith("alpha")).split()
    posts = sum(map(sum, story_counts))
    labelled = sum(sum(counts[:7]) for counts in story_counts)
    anger = sum(counts[3] for counts in story_counts)
    assert row[1] == f"{posts:,}"
    assert row[2 + LABELS.index("anger")] == f"{anger / labelled:.0%}"
    assert row[-2] == "joy"


def test_only_the_largest_values_get_a_chart(
    make_trends: Callable[..., Trends], story_counts: Counts
) -> None:
    names = tuple(f"p{i}" for i in range(7))
    text = _render(make_trends(story_counts, values=names, dimension="platform"), 80)
    assert text.count("\nsadness ") == 4
    assert all(f"\n{name} " in text for name in names)
    assert "4 largest of 7" in text


def test_a_lone_post_does_not_set_the_scale(make_trends: Callable[..., Trends]) -> None:
    calm = (10, 30, 20, 10, 8, 12, 10, 0)
    text = _render(make_trends([calm] * 20 + [(0, 0, 0, 1, 0, 0, 0, 0)]), 80)
    assert "full height 30%" in text


def test_no_control_characters_reach_the_terminal(
    make_trends: Callable[..., Trends], story_counts: Counts
) -> None:
    evil = "x\x1b[2J\n[red]y"
    text = _render(make_trends(story_counts, values=(evil,), dimension="hashtag"), 120)
    assert "\x1b" not in text
    assert "[red]y" in text


def test_plain_ascii_where_the_terminal_knows_no_more(
    make_trends: Callable[..., Trends], story_counts: Counts
) -> None:
    text = _render(make_trends(story_counts, incomplete=2), 80, encoding="ascii")
    assert "@" in text
    assert "?" in text


def test_colours_are_the_emotions_own(
    make_trends: Callable[..., Trends], story_counts: Counts
) -> None:
    assert "38;2;213;94;0" in _render(make_trends(story_counts), 80, color=True)


def test_wide_windows_are_dated(make_trends: Callable[..., Trends], story_counts: Counts) -> None:
    text = _render(make_trends(story_counts, width=timedelta(days=1)), 120)
    assert "|1 Mar" in text
    assert "13 Mar" in text
