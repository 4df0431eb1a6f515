"""Each example of the how-to pages runs, and prints what the page says."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.fakes import week
from tests.integration.deploy.grafana import Query, View, expand
from tests.integration.docs.examples import PAGES, Example, examples, pages, run, table

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

EXAMPLES = [example for page in pages() for example in examples(page)]


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_it_prints_what_the_page_says(example: Example, week_url: str) -> None:
    printed = run(example, week_url)
    if example.output is not None:
        assert printed == example.output, "python -m tests.integration.docs.examples writes it anew"


def test_the_panel_and_the_question_of_the_dashboards_page_answer(week_url: str) -> None:
    text = (PAGES / "how-to" / "trends-dashboards.md").read_text("utf-8")
    panel, question = re.findall(r"^```\n(SELECT.*?)^```$", text, re.M | re.S)
    seen = View(week.END - timedelta(days=1), week.END, {"value": "lumivane"})
    asked = expand(Query("page", "panel", panel, "time_series", {"interval": "1m"}), seen)
    for statement in (asked, question.replace("{{hashtag}}", "'lumivane'")):
        with psycopg.connect(week_url) as connection:
            assert connection.execute(statement.encode()).fetchall()


def test_the_pages_have_examples() -> None:
    with_output = {example.page.name for example in EXAMPLES if example.output is not None}
    assert {
        "trends-angry.md",
        "trends-compare.md",
        "trends-event.md",
        "trends-pandas.md",
        "trends-dashboards.md",
    } <= with_output
    assert "runbook.md" in {example.page.name for example in EXAMPLES}


def test_a_block_and_its_output_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n\n```sql\nSELECT 1;\n```\n\n```\n 1\n```\n\n```sql\nSELECT 2;\n```\n\nb\n")
    first, second = examples(page)
    assert (first.line, first.code, first.output) == (3, "SELECT 1;\n", " 1\n")
    assert (second.line, second.output) == (11, None)


def test_a_table_looks_as_in_psql() -> None:
    assert table(["a", "number"], [["x", "1"], ["long", "12"]], [False, True]) == (
        "  a   | number\n------+--------\n x    |      1\n long |     12\n(2 rows)\n"
    )
