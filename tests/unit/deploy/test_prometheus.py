"""The alerts name metrics that there are, and each has a page that says what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.deploy.promql import WrongQueryError, labels_of, placeholders, series, used
from worker.metrics import Metrics

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "prometheus"
RUNBOOK = "docs/how-to/runbook.md"
DURATION = re.compile(r"\d+[smh]")

GROUPS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.yml").read_text("utf-8"))["groups"]
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in GROUPS for rule in group["rules"]
}


def _sections() -> list[str]:
    """The headings of the runbook that are alerts' names."""
    return re.findall(r"^## (EmotionWorker\w+)$", (ROOT / RUNBOOK).read_text("utf-8"), re.M)


def test_each_alert_has_a_name_of_its_own() -> None:
    assert len(ALERTS) == sum(len(group["rules"]) for group in GROUPS) >= 15
    assert len({group["name"] for group in GROUPS}) == len(GROUPS)
    for name in ALERTS:
        assert re.fullmatch(r"EmotionWorker[A-Z]\w+", name)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_bad_it_is_and_what_to_do(name: str) -> None:
    rule = ALERTS[name]
    assert rule.keys() <= {"alert", "expr", "for", "keep_firing_for", "labels", "annotations"}
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert DURATION.fullmatch(rule.get("for", "0s"))
    annotations = rule["annotations"]
    assert annotations.keys() == {"summary", "description", "runbook_url"}
    assert annotations["runbook_url"] == f"{RUNBOOK}#{name.lower()}"
    assert len(annotations["summary"]) <= 90
    assert annotations["description"].endswith(".")


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_asks_for_what_there_is(name: str) -> None:
    rule = ALERTS[name]
    labels = labels_of(rule["expr"])
    for text in (rule["annotations"]["summary"], rule["annotations"]["description"]):
        assert placeholders(text) <= labels


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_looks_at_the_workers_only(name: str) -> None:
    expression = ALERTS[name]["expr"]
    assert expression.count('job="emotion-worker"') == sum(
        len(re.findall(rf"\b{metric}\b", expression)) for metric in used(expression)
    )


def test_the_runbook_has_each_alert_and_no_other() -> None:
    assert sorted(_sections()) == sorted(ALERTS)


def test_each_section_of_the_runbook_is_complete() -> None:
    text = (ROOT / RUNBOOK).read_text("utf-8")
    for section in re.split(r"^## ", text, flags=re.M)[1:]:
        if section.startswith("EmotionWorker"):
            for part in ("**Means.**", "**Look.**", "**Do.**"):
                assert part in section, section.partition("\n")[0]


def test_what_can_only_go_wrong_has_an_alert() -> None:
    """A counter or a gauge of trouble that nobody watches might as well not be there."""
    trouble = {
        "lag_seconds",
        "watermark_seconds",
        "dead_letters_total",
        "lost_records_total",
        "log_moves_total",
        "breaker_trips_total",
        "dead_letter_mirror_failures_total",
        "stalls_total",
        "stage_up",
        "dependency_up",
        "rebalances_total",
        "fenced_batches_total",
    }
    watched = set().union(*(used(rule["expr"]) for rule in ALERTS.values()))
    assert {f"emotion_worker_{name}" for name in trouble} <= watched
    assert trouble <= {entry.name.removeprefix("emotion_worker_") for entry in Metrics().catalogue}


def test_prometheus_scrapes_the_job_that_the_alerts_know() -> None:
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text("utf-8"))
    assert config["rule_files"] == ["alerts.yml"]
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    [found] = jobs["emotion-worker"]["dns_sd_configs"]
    assert (found["type"], found["port"]) == ("A", 9108)
    sources = (ROOT / "deploy/grafana/provisioning/datasources/emotion.yaml").read_text("utf-8")
    assert f"timeInterval: {config['global']['scrape_interval']}\n" in sources


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("emotion_worker_lag_second > 1", "no metric emotion_worker_lag_second"),
        ("sum by (shard) (emotion_worker_lag_seconds)", "no label shard"),
        ('emotion_worker_lag_seconds{shard="1"}', "no label shard"),
        ('emotion_worker_stage_seconds_sum{stage="clasify"}', "has no stage clasify"),
        ("rate(emotion_worker_lag_seconds[5m])", "no counter"),
        ("delta(emotion_worker_posts_total[5m])", "no gauge"),
        ("histogram_quantile(0.9, rate(emotion_worker_end_to_end_seconds_sum[5m]))", "no label le"),
        ("emotion_worker_lag_records / emotion_worker_stage_up", "nothing matches"),
        ("up and on (topic) emotion_worker_lag_records", "no label topic"),
    ],
)
def test_a_wrong_query_is_noticed(expression: str, words: str) -> None:
    with pytest.raises(WrongQueryError, match=words):
        labels_of(expression)


def test_the_series_are_those_that_a_worker_shows() -> None:
    metrics = Metrics()
    metrics.runs(["posts"], name="builtin", version="1", device="cpu")
    shown = {sample.name for family in metrics.registry.collect() for sample in family.samples}
    own = {name for name in shown if name.startswith("emotion_worker_")}
    known = series().keys()
    assert {name for name in own if not name.endswith("_created")} <= known
    assert {"process_cpu_seconds_total", "process_start_time_seconds"} <= shown
