"""The dashboards are laid out, explain themselves, and name metrics that there are."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.unit.deploy.promql import labels_of, placeholders, used
from worker.charts.palette import COLOURS
from worker.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parents[3] / "deploy" / "grafana"
BOARDS: dict[str, dict[str, Any]] = {
    path.name: json.loads(path.read_text("utf-8"))
    for path in sorted((FOLDER / "dashboards").glob("*.json"))
}
SOURCES = {"overview.json": "emotion-postgres", "value.json": "emotion-postgres"} | {
    "operations.json": "emotion-prometheus"
}
UNITS = {"short", "none", "percentunit", "s", "ops", "bytes"}
PANELS = {"stat", "timeseries", "table", "state-timeline"}


def _panels(board: str) -> list[dict[str, Any]]:
    return [panel for panel in BOARDS[board]["panels"] if panel["type"] != "row"]


def _variables(board: str) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in BOARDS[board]["templating"]["list"]}


def _strings(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for one in value.values():
                yield from _strings(one)
        case list():
            for one in value:
                yield from _strings(one)


def _cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
    place = panel["gridPos"]
    return set(
        itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        )
    )


def test_the_dashboards_are_there() -> None:
    assert BOARDS.keys() == SOURCES.keys()
    assert len({board["uid"] for board in BOARDS.values()}) == len(BOARDS)
    assert len({board["title"] for board in BOARDS.values()}) == len(BOARDS)


@pytest.mark.parametrize("board", BOARDS)
def test_panels_lie_beside_each_other(board: str) -> None:
    panels = BOARDS[board]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        cells = _cells(panel)
        assert cells, panel["title"]
        assert max(x for x, _ in cells) < 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells
    # Grafana moves panels up into a gap, but not a person's eye with them.
    assert {y for _, y in taken} == set(range(max(y for _, y in taken) + 1))


@pytest.mark.parametrize("board", BOARDS)
def test_each_panel_explains_itself(board: str) -> None:
    titles = [panel["title"] for panel in _panels(board)]
    assert len(set(titles)) == len(titles)
    for panel in _panels(board):
        assert panel["type"] in PANELS
        assert re.search(r"[.:]", panel["description"]), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["targets"], panel["title"]
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references), panel["title"]


@pytest.mark.parametrize("board", BOARDS)
def test_the_data_source_is_chosen_at_the_top(board: str) -> None:
    document = BOARDS[board]
    [first, *_] = document["templating"]["list"]
    assert (first["name"], first["type"]) == ("datasource", "datasource")
    assert first["current"]["value"] == SOURCES[board]
    kind = first["query"]
    users = [
        *_panels(board),
        *(target for panel in _panels(board) for target in panel["targets"]),
        *document["annotations"]["list"],
        *(one for one in document["templating"]["list"] if one["type"] == "query"),
    ]
    for user in users:
        assert user["datasource"] == {"type": kind, "uid": "${datasource}"}


def test_the_data_sources_are_provisioned() -> None:
    text = (FOLDER / "provisioning/datasources/emotion.yaml").read_text("utf-8")
    sources = {one["uid"]: one for one in yaml.safe_load(text)["datasources"]}
    for board, uid in SOURCES.items():
        assert sources[uid]["type"] == _variables(board)["datasource"]["query"]
        assert sources[uid]["name"] == _variables(board)["datasource"]["current"]["text"]
    explained = set(re.findall(r"^#   (EMOTION_\w+) ", text, re.M))
    assert set(re.findall(r": \$(\w+)$", text, re.M)) == explained
    # A secret is in no file of ours.
    assert sources["emotion-postgres"]["secureJsonData"]["password"].startswith("$__file{")


def test_the_dashboards_are_provisioned() -> None:
    text = (FOLDER / "provisioning/dashboards/emotion.yaml").read_text("utf-8")
    [provider] = yaml.safe_load(text)["providers"]
    assert provider["type"] == "file"
    assert f"dashboards themselves to {provider['options']['path']}." in text


@pytest.mark.parametrize("board", BOARDS)
def test_each_variable_is_used_and_there(board: str) -> None:
    document = BOARDS[board]
    variables = _variables(board)
    text = "\n".join(_strings({k: v for k, v in document.items() if k != "uid"}))
    named = {
        name
        for name in re.findall(r"\$\{?(\w+)", re.sub(r"\$\{?__\w+", "", text))
        if not name.startswith("__")
    }
    assert named == variables.keys()
    for one in variables.values():
        if one["type"] == "custom":
            values = [option["value"] for option in one["options"]]
            assert ",".join(values) == one["query"]
            assert one["current"]["value"] in values


def test_links_lead_to_dashboards_and_their_variables() -> None:
    uids = {board["uid"]: name for name, board in BOARDS.items()}
    found = 0
    for board in BOARDS.values():
        for text in _strings(board):
            if (link := re.match(r"/d/([\w-]+)/[\w-]+\?", text)) is None:
                continue
            found += 1
            asked = set(re.findall(r"var-(\w+)=", text))
            assert asked <= _variables(uids[link[1]]).keys()
        for link in board["links"]:
            assert set(link["tags"]) <= set(board["tags"])
    assert found == 2


@pytest.mark.parametrize("board", ["overview.json", "value.json"])
def test_an_emotion_has_the_colour_that_it_has_elsewhere(board: str) -> None:
    for panel in _panels(board):
        for override in panel["fieldConfig"]["overrides"]:
            emotion = override["matcher"]["options"]
            for one in override["properties"]:
                if one["id"] == "color" and emotion in COLOURS and emotion != "unlabelled":
                    assert one["value"] == {"mode": "fixed", "fixedColor": COLOURS[emotion]}


def _expressions() -> Iterator[tuple[str, str]]:
    for panel in _panels("operations.json"):
        for target in panel["targets"]:
            yield target["expr"].replace("$__rate_interval", "1m"), target["legendFormat"]


def test_operations_asks_for_metrics_and_labels_that_there_are() -> None:
    for expression, legend in _expressions():
        assert placeholders(legend) <= labels_of(expression), expression
    for one in BOARDS["operations.json"]["templating"]["list"]:
        if one["type"] == "query":
            found = re.fullmatch(r"label_values\((\w+), (\w+)\)", one["definition"])
            assert found is not None
            assert found[2] in labels_of(found[1])


def test_operations_shows_every_metric_that_there_is() -> None:
    shown = set().union(*(used(expression) for expression, _ in _expressions()))
    for entry in Metrics().catalogue:
        names = {entry.name, *(f"{entry.name}_{end}" for end in ("bucket", "sum", "count"))}
        assert names & shown, f"no panel for {entry.name}"


def test_operations_looks_at_the_chosen_workers_only() -> None:
    for expression, _ in _expressions():
        if "ALERTS" not in expression:
            assert expression.count('job=~"$job"') == expression.count("{"), expression
