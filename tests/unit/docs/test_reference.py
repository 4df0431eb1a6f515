"""The reference pages name every setting, command, option, table and outcome that exists."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest

from trainer.cli import COMMANDS as TRAINER_COMMANDS
from worker.cli import COMMANDS
from worker.metrics import reference_table
from worker.settings import Settings
from worker.store.schema import OUTCOMES, metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGES = Path(__file__).parents[3] / "docs" / "reference"
ROW = re.compile(r"^\| `WORKER_([A-Z_]+)` \| (.+?) \| (.+) \|$", re.MULTILINE)
OWN_TABLES = {"policy", "erasures", "trend_cells"}


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


def _shown(default: Any) -> str | None:
    """A default as the page shows it; None where the page has words for it."""
    match default:
        case None:
            return None
        case bool():
            return str(default).lower()
        case tuple():
            return ",".join(default)
        case float():
            return f"{default:g}"
        case _:
            return str(default)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_setting_is_in_settings_page_with_its_default(name: str) -> None:
    defaults = [row[1] for row in ROW.findall(_page("settings")) if row[0] == name.upper()]
    shown = _shown(Settings.model_fields[name].default)
    assert len(defaults) == 1
    if shown is None:
        assert defaults[0] in {"unset", "by device", "from the bundle"}
    else:
        assert defaults[0] == f"`{shown}`"


def test_settings_page_has_no_setting_that_is_gone() -> None:
    listed = {row[0].lower() for row in ROW.findall(_page("settings"))}
    assert listed == set(Settings.model_fields)


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


def test_command_page_lists_each_command_with_its_own_words() -> None:
    for name, words in COMMANDS.items():
        assert f"| [`{name}`](#emotion-worker-{name}) | {words} |" in _page("cli")


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


def test_metrics_page_lists_the_catalogue() -> None:
    assert reference_table() in _page("metrics"), "python -m worker.metrics prints its table"


def test_metrics_page_names_no_metric_that_is_gone() -> None:
    series = ("_bucket", "_sum", "_count")
    listed = set(re.findall(r"^\| `(emotion_worker_\w+)", reference_table(), re.MULTILINE))
    for name in re.findall(r"emotion_worker_\w+", _page("metrics")):
        assert {name, *(name.removesuffix(suffix) for suffix in series)} & listed, name
