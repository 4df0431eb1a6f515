"""The reference pages name every setting, command, option, table and outcome that exists."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from docs.generate.pages import PARTS, names, renewed, stale
from docs.generate.settings import listed
from trainer.cli import COMMANDS as TRAINER_COMMANDS
from worker.cli import COMMANDS
from worker.metrics import reference_table
from worker.settings import Settings
from worker.store.schema import OUTCOMES, metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "docs" / "reference"
OWN_TABLES = {"policy", "erasures", "schema_revisions", "trend_cells"}


def _page(name: str) -> str:
    return (PAGES / f"{name}.md").read_text(encoding="utf-8")


def _section(page: str, heading: str) -> str:
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert found is not None, f"no section `## {heading}`"
    return found[1]


def _options(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            yield max(parameter.opts, key=len)
    if isinstance(command, click.Group):
        for subcommand in command.commands.values():
            yield from _options(subcommand)


def test_generated_parts_are_as_the_code_has_them() -> None:
    assert [path.name for path, _ in stale()] == [], "make reference writes them anew"


def test_each_generated_part_is_on_a_page() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    shown = {name for page in pages for name in names(page.read_text("utf-8"))}
    assert shown == set(PARTS)


def test_a_part_that_there_is_not_is_said() -> None:
    with pytest.raises(KeyError, match="nothing"):
        renewed("<!-- generated: nothing -->\n\n<!-- end -->\n")


def test_what_lies_around_a_part_stays() -> None:
    page = "a\n\n<!-- generated: commands -->\nold\n<!-- end -->\n\nb\n"
    new = renewed(page)
    assert new.startswith("a\n\n<!-- generated: commands -->\n\n| command |")
    assert new.endswith("|\n\n<!-- end -->\n\nb\n")
    assert "old" not in new


def test_each_setting_is_in_one_table_and_has_words() -> None:
    assert sorted(listed()) == sorted(Settings.model_fields)
    for name in Settings.model_fields:
        (row,) = re.findall(
            rf"^\| `WORKER_{name.upper()}` \| .+ \| (.+) \|$", _page("settings"), re.M
        )
        assert row.endswith((".", ")")), name


@pytest.mark.parametrize("name", COMMANDS)
def test_command_and_its_options_are_in_command_page(name: str) -> None:
    text = _section(_page("cli"), f"emotion-worker {name}")
    if (PAGES / f"{name}.md").exists():
        assert f"({name}.md)" in text
        text += _page(name)
    command = import_module(f"worker.commands.{name.replace('-', '_')}").command
    for option in {*_options(command)} - {"--env-file"}:
        assert re.search(rf"`{option}[ `]", text), option


def test_command_page_has_no_command_that_is_gone() -> None:
    assert set(re.findall(r"^## emotion-worker (.+)$", _page("cli"), re.MULTILINE)) == set(COMMANDS)


@pytest.mark.parametrize("name", TRAINER_COMMANDS)
def test_trainer_command_and_its_options_are_in_command_page(name: str) -> None:
    text = _section(_page("cli"), "emotion-trainer")
    found = re.search(rf"^`emotion-trainer {name}\b.*?(?=^`emotion-trainer |\Z)", text, re.M | re.S)
    assert found is not None
    for option in _options(import_module(f"trainer.commands.{name}").command):
        assert re.search(rf"`{option}[ `]", found[0]), option


@pytest.mark.parametrize("name", sorted(metadata.tables.keys() - OWN_TABLES))
def test_table_and_its_columns_are_in_table_page(name: str) -> None:
    text = _section(_page("tables"), name)
    for column in metadata.tables[name].columns:
        assert f"`{column.name}`" in text, column.name


def test_the_workers_own_tables_are_in_table_page() -> None:
    text = _section(_page("tables"), "The worker's own")
    for name in OWN_TABLES:
        assert f"**`{name}`**" in text


def test_each_outcome_is_in_the_ledger() -> None:
    ledger = _section(_page("tables"), "stream_offsets")
    for outcome in OUTCOMES:
        assert f"\n| `{outcome}` | " in ledger


def test_metrics_page_names_no_metric_that_is_gone() -> None:
    series = ("_bucket", "_sum", "_count")
    listed = set(re.findall(r"^\| `(emotion_worker_\w+)", reference_table(), re.MULTILINE))
    for name in re.findall(r"emotion_worker_\w+", _page("metrics")):
        assert {name, *(name.removesuffix(suffix) for suffix in series)} & listed, name
