"""What the pages for operators name is there: commands, options, metrics, events of the log."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import click
import pytest

from tests.unit.deploy.promql import labels_of
from worker.cli import COMMANDS

ROOT = Path(__file__).parents[3]
PAGES = {
    name: (ROOT / "docs" / name).read_text("utf-8")
    for name in ("how-to/runbook.md", "how-to/monitor.md", "reference/metrics.md")
}
QUERIES = [
    (name, query)
    for name, text in PAGES.items()
    for block in re.findall(r"^```promql\n(.*?)^```", text, re.M | re.S)
    for query in block.splitlines()
    if not query.startswith("#")
]


@pytest.mark.parametrize(("page", "query"), QUERIES)
def test_a_query_asks_for_what_there_is(page: str, query: str) -> None:
    labels_of(query)


def test_the_table_of_questions_asks_for_what_there_is() -> None:
    queries = re.findall(r"^\| .+ \| `(.+\(.+)`", PAGES["how-to/monitor.md"], re.M)
    assert len(queries) == 4
    for query in queries:
        labels_of(query)


def _commands() -> set[str]:
    """What follows `emotion-worker` in blocks and in backticks, to the end of the line or quote."""
    text = "\n".join(PAGES.values())
    text += (ROOT / "docs/how-to/trends-compare.md").read_text("utf-8")
    # A command in the text may be broken between two lines.
    inline = {" ".join(one.split()) for one in re.findall(r"`(emotion-worker [^`#]+)`", text)}
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)
    return inline | {
        one.strip()
        for block in blocks
        for one in re.findall(r"emotion-worker [a-z][^#;\n]*", block)
    }


@pytest.mark.parametrize("line", sorted(_commands()))
def test_a_command_and_its_options_are_there(line: str) -> None:
    _, name, *words = line.split()
    assert name in COMMANDS
    command = import_module(f"worker.commands.{name.replace('-', '_')}").command
    if words and isinstance(command, click.Group) and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    options = {option for one in command.params for option in one.opts}
    assert {word for word in words if word.startswith("--")} <= options


def test_the_events_of_the_log_are_there() -> None:
    code = "\n".join(path.read_text("utf-8") for path in (ROOT / "worker").rglob("*.py"))
    text = " ".join(PAGES["how-to/runbook.md"].split())
    events = {
        one
        for one in re.findall(r"`([a-z][a-z ,;:()]+)`", text)
        if len(one.split()) > 2 and not one.startswith(("emotion-worker", "docker "))
    }
    assert len(events) >= 6
    for event in events:
        assert event in code, event


def test_monitor_lists_the_alerts() -> None:
    listed = re.findall(
        r"^\| \[(\w+)\]\(runbook\.md#(\w+)\) \| (\w+) \|", PAGES["how-to/monitor.md"], re.M
    )
    assert all(name.lower() == anchor for name, anchor, _ in listed)
    alerts = (ROOT / "deploy/prometheus/alerts.yml").read_text("utf-8")
    found = re.findall(r"- alert: (\w+)\n.*?severity: (\w+)", alerts, re.S)
    assert [(name, severity) for name, _, severity in listed] == found
