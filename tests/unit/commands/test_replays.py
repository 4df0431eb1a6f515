"""What `replays` says, without a database: usage, questions, and a comparison in words and JSON."""

from __future__ import annotations

import io
import json
import re
import sys
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from worker.cli import app
from worker.commands import replays
from worker.commands.replays_report import document, report
from worker.store.compared import Comparison, Disagreement, Pair, shifts, value_shifts
from worker.trends import EMOTIONS, UNLABELLED

if TYPE_CHECKING:
    from pathlib import Path

FOUND = Comparison(
    name="may",
    state="running",
    progress=0.42,
    model="mine 2",
    models=(("builtin 1", 90), ("stub 1", 10)),
    superseded=3,
    withdrawn=0,
    unseen=7,
    pairs=(
        Pair("joy", "joy", True, 9, 8, 60, 57.0, 51.0),
        Pair("joy", "anger", False, 5, 9, 20, 11.0, 19.0),
        Pair("fear", "uncertain", True, 6, 3, 10, 6.5, 3.5),
        Pair("anger", UNLABELLED, None, 7, None, 5, 3.5, 0.0),
        Pair(UNLABELLED, UNLABELLED, None, None, None, 5, 0.0, 0.0),
    ),
    values=value_shifts(
        [
            ("hashtag", "new[s]\x1b", "joy", "joy", 60),
            ("hashtag", "new[s]\x1b", "joy", "anger", 20),
            ("lang", "und", "joy", "joy", 9),
        ]
    ),
    disagreements=(
        Disagreement("tw", "1\x1b[31m", "joy", 0.8, "anger", 0.9, "a [bold]text\x1b[2J\nof two"),
    ),
)


def words(found: Comparison, width: int = 120) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(report(found))
    return out.getvalue()


def test_a_comparison_in_words() -> None:
    said = words(FOUND)
    for sentence in (
        "replay may: builtin 1 (90 posts), stub 1 (10 posts) before, mine 2 after",
        "It is still being read (42%)",
        "100 posts compared; left out: 3 of which another version stands, 7 that the live stream",
        "the same emotion in 65.0% (65 of 100)",
        "where both name one of the six, in 75.0% (60 of 80)",
        "is the same in 77.8% (70 of 90)",
        "Shares, of 90 posts that both label",
    ):
        assert sentence in said
    (joy,) = [line for line in said.splitlines() if line.startswith("  joy") and "%" in line]
    assert joy.split() == ["joy", "88.9%", "66.7%", "-22.2", "-30.8", "to", "-13.6"]
    assert "unknown" in said  # the language


def test_a_strangers_text_commands_no_terminal() -> None:
    said = words(FOUND)
    assert "\x1b" not in said
    assert "a [bold]text" in said
    assert "new[s]" in said


@pytest.mark.parametrize("width", [80, 120])
def test_it_fits_a_terminal(width: int) -> None:
    said = words(FOUND, width)
    assert max(map(len, said.splitlines())) <= width
    for emotion in EMOTIONS:
        assert re.search(rf"before .*\b{emotion}\b", said), "a column's name is broken up"


def test_a_comparison_of_nothing_says_so() -> None:
    said = words(replace(FOUND, pairs=(), models=(), values=(), disagreements=()))
    assert "There is nothing to compare" in said
    assert "%" not in said.partition("posts compared")[2]


def test_a_comparison_as_json() -> None:
    found = json.loads(json.dumps(document(FOUND)))
    assert found["models_before"][0] == {"model": "builtin 1", "posts": 90}
    assert found["agreement"] == {"posts": 100, "same": 65, "share": 0.65}
    assert found["confusion"]["joy"]["anger"] == 20
    assert sum(n for row in found["confusion"].values() for n in row.values()) == found["posts"]
    assert [one["emotion"] for one in found["shifts"]] == list(EMOTIONS[:-1])
    # The five that the new model leaves unlabelled, and the five that both do, are not among them.
    deciles = found["confidence"]["after"]["deciles"]
    assert [one["posts"] for one in deciles] == [0, 0, 0, 10, 0, 0, 0, 0, 60, 20]
    assert deciles[9]["agreement"] == 0
    assert found["confidence"]["before"]["mean"] == pytest.approx(74.5 / 90)
    assert found["values"][0]["gained"] == {"emotion": "anger", "difference": 0.25}
    assert found["disagreements"][0]["after_confidence"] == 0.9


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(EMOTIONS), st.sampled_from(EMOTIONS)), st.integers(1, 1_000)
    )
)
def test_shares_only_move_from_one_emotion_to_another(
    confusion: dict[tuple[str, str], int],
) -> None:
    found = shifts(Counter(confusion))
    assert sum(one.difference for one in found) == pytest.approx(0, abs=1e-9)
    for one in found:
        assert one.low <= one.difference <= one.high
        assert one.posts == sum(n for pair, n in confusion.items() if UNLABELLED not in pair)


def test_the_interval_is_that_of_paired_shares() -> None:
    # 100 posts, 15 leave anger and 5 come to it: -0.1 +- 1.96 * sqrt(20 - 100 / 100) / 100.
    counts = Counter({("anger", "joy"): 15, ("joy", "anger"): 5, ("joy", "joy"): 80})
    (anger,) = [one for one in shifts(counts) if one.emotion == "anger"]
    assert (anger.difference, anger.low, anger.high) == pytest.approx(
        (-0.1, -0.18543, -0.01457), abs=1e-5
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("show",),
        ("compare", "may", "--by", "weather"),
        ("compare", "may", "--top", "0"),
        ("compare", "may", "--plot", "figure.svg"),
        ("compare", "may", "--plot", "no/such/folder/figure.png"),
        ("no-such-thing",),
    ],
)
def test_wrong_usage(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKER_DATABASE_URL", "postgresql://127.0.0.1:1/posts")
    assert CliRunner().invoke(app, ["replays", *arguments]).exit_code == 2


class Terminal(io.StringIO):
    """What a person types."""

    def isatty(self) -> bool:
        return True


def test_only_a_person_is_asked_and_only_where_something_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    with pytest.raises(click.Abort):
        replays._confirm("All is lost.", yes=False)
    replays._confirm("All is lost.", yes=True)
    replays._confirm("", yes=False)
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    replays._confirm("All is lost.", yes=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    replays._confirm("All is lost.", yes=False)
