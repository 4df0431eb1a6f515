from __future__ import annotations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontEntry, findfont, fontManager, get_font

from worker.charts.lettering import lettering, shorten, text_width


@pytest.fixture
def renderer() -> object:
    canvas = FigureCanvasAgg(Figure(dpi=100))
    return canvas.get_renderer()  # type: ignore[no-untyped-call]


@pytest.fixture
def only_our_font(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without fonts of its own."""
    kept = [font for font in fontManager.ttflist if font.name.startswith(("DejaVu", "Last Resort"))]
    monkeypatch.setattr(fontManager, "ttflist", kept)


def test_common_scripts_need_no_other_font() -> None:
    found = lettering(["#caf\xe9", "\u0645\u0631\u062d\u0628\u0627", "\u05e9\u05dc\u05d5\u05dd"])
    assert found.families == ("DejaVu Sans",)
    assert not found.missing
    assert found.spell("#caf\xe9") == "#caf\xe9"


@pytest.mark.usefixtures("only_our_font")
def test_an_emoji_without_a_font_is_named_and_a_script_is_missing() -> None:
    found = lettering(["#\N{FIRE}", "#\u65e5\u672c", "plain\N{ZERO WIDTH JOINER}"])
    assert found.spell("#\N{FIRE} now") == "#:fire: now"
    assert found.missing == {"\u65e5", "\u672c"}


def test_a_font_that_has_it_is_found_and_one_that_cannot_be_read_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours = [font for font in fontManager.ttflist if font.name in {"DejaVu Sans", "STIXGeneral"}]
    broken = FontEntry(fname="/no/such/font.ttf", name="A Broken Sans", style="normal", weight=400)
    monkeypatch.setattr(fontManager, "ttflist", [broken, *ours])
    base, other = (_letters(name) for name in ("DejaVu Sans", "STIXGeneral"))
    only_there = min(c for c in other - base if c.isalpha() and c.isprintable())
    found = lettering([only_there])
    assert found.families == ("DejaVu Sans", "STIXGeneral")
    assert not found.missing


def _letters(font: str) -> set[str]:
    return set(map(chr, get_font(findfont(font)).get_charmap()))


@pytest.mark.parametrize("room", [30, 100, 300])
def test_text_is_cut_to_its_room(renderer: object, room: int) -> None:
    long = "#" + "abcdefghij" * 10
    cut = shorten(renderer, long, 10, room)  # type: ignore[arg-type]
    assert cut.endswith("…")
    assert text_width(renderer, cut, 10) <= room  # type: ignore[arg-type]
    one_more = long[: len(cut)] + "…"
    assert text_width(renderer, one_more, 10) > room  # type: ignore[arg-type]


def test_text_that_fits_is_left_alone(renderer: object) -> None:
    assert shorten(renderer, "#cats", 10, 500) == "#cats"  # type: ignore[arg-type]
