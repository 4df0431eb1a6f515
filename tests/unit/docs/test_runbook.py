"""What the pages for operators name is there: metrics, alerts, events of the log.

Their commands and queries are checked as those of all pages: test_blocks.py.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.unit.deploy.promql import labels_of

ROOT = Path(__file__).parents[3]
PAGES = {
    name: (ROOT / "docs" / name).read_text("utf-8")
    for name in ("how-to/runbook.md", "how-to/monitor.md", "reference/metrics.md")
}


def test_the_table_of_questions_asks_for_what_there_is() -> None:
    queries = re.findall(r"^\| .+ \| `(.+\(.+)`", PAGES["how-to/monitor.md"], re.M)
    assert len(queries) == 4
    for query in queries:
        labels_of(query)


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
