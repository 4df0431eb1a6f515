"""What Grafana makes of a dashboard's SQL before Postgres sees it.

After Grafana's own sources: variables as `public/app/features/templating` replaces them and the
Postgres data source quotes them, `$__interval` as `sqleng.Interpolate` does, and the macros of
`pkg/tsdb/grafana-postgresql-datasource/macros.go`, with the same regular expression: it ends a
macro's arguments at the first closing bracket, whatever that belongs to.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

DASHBOARDS: Final = Path(__file__).parents[3] / "deploy" / "grafana" / "dashboards"
POSTGRES: Final = "grafana-postgresql-datasource"

_VARIABLE: Final = re.compile(r"\$\{(\w+)(?::([^}]+))?\}|\$(\w+)")
_MACRO: Final = re.compile(r"\$([_a-zA-Z0-9]+)\(([^)]*)\)")
_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_ROUNDED: Final = (
    (90, 60),
    (210, 120),
    (450, 300),
    (750, 600),
    (1_050, 900),
    (1_500, 1_200),
    (2_700, 1_800),
    (5_400, 3_600),
    (9_000, 7_200),
    (16_200, 10_800),
    (32_400, 21_600),
    (86_400, 43_200),
    (604_800, 86_400),
    (1_814_400, 604_800),
    (3_628_800, 2_592_000),
)
"""Up to which width a step is rounded to which, seconds: `roundInterval` of `@grafana/data`."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query of a dashboard, as it lies in the file.

    Attributes:
        dashboard: The file's name.
        where: The panel's title, or what else the query is for.
        sql: With macros and variables.
        format: `time_series` or `table`.
        panel: The panel's JSON; empty for an annotation or a variable.
    """

    dashboard: str
    where: str
    sql: str
    format: str
    panel: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.where}"


@dataclass(frozen=True, slots=True)
class View:
    """What a person has chosen at the top of a dashboard.

    Attributes:
        start: Of the time range.
        end: Of the time range.
        variables: The value of each; none may hold several.
    """

    start: datetime
    end: datetime
    variables: Mapping[str, str]

    def step_s(self, panel: Mapping[str, Any]) -> int:
        """Seconds of `$__interval`, for a panel that is 1,000 pixels wide."""
        least = panel.get("interval", "1m")
        least_s = int(least[:-1]) * _UNITS[least[-1]]
        points = panel.get("maxDataPoints", 1_000)
        width = (self.end - self.start).total_seconds() / points
        rounded = next((step for limit, step in _ROUNDED if width < limit), 31_536_000)
        return max(least_s, rounded)


def dashboards() -> dict[str, dict[str, Any]]:
    """The dashboards by file name."""
    return {path.name: json.loads(path.read_text("utf-8")) for path in DASHBOARDS.glob("*.json")}


def queries() -> Iterator[Query]:
    """The SQL of all dashboards: of panels, annotations and variables."""
    for name, board in sorted(dashboards().items()):
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                if target["datasource"]["type"] == POSTGRES:
                    yield Query(name, panel["title"], target["rawSql"], target["format"], panel)
        for one in board["annotations"]["list"]:
            yield Query(name, f"annotation {one['name']}", one["target"]["rawSql"], "annotation")
        for one in board["templating"]["list"]:
            if one["type"] == "query" and one["datasource"]["type"] == POSTGRES:
                yield Query(name, f"variable {one['name']}", one["query"], "variable")


def expand(query: Query, view: View) -> str:
    """The SQL that reaches Postgres.

    Raises:
        ValueError: Grafana would refuse it: an unknown macro, variable or format.
    """
    step_s = view.step_s(query.panel)
    sql = _VARIABLE.sub(lambda found: _variable(found, view.variables), query.sql)
    sql = sql.replace("$__interval_ms", str(1_000 * step_s)).replace("$__interval", _short(step_s))
    sql = _MACRO.sub(lambda found: _macro(found, view), sql)
    if "$" in sql:
        raise ValueError(f"{query}: Grafana leaves a $ in {sql}")
    return sql


def _variable(found: re.Match[str], variables: Mapping[str, str]) -> str:
    name, form = found[1] or found[3], found[2]
    if name.startswith("__"):
        return found[0]
    if name not in variables:
        raise ValueError(f"no variable {name}")
    escaped = variables[name].replace("'", "''")
    match form:
        case "sqlstring":
            return f"'{escaped}'"
        case None:
            return escaped
        case "raw":
            return variables[name]
        case _:
            raise ValueError(f"a format that no dashboard needs: {form}")


def _short(seconds: int) -> str:
    unit = next(unit for unit in "dhms" if seconds % _UNITS[unit] == 0)
    return f"{seconds // _UNITS[unit]}{unit}"


def _macro(found: re.Match[str], view: View) -> str:
    name, arguments = found[1], [one.strip(" ") for one in found[2].split(",")]
    start, end = (moment.strftime("'%Y-%m-%dT%H:%M:%SZ'") for moment in (view.start, view.end))
    match name:
        case "__timeFrom":
            return start
        case "__timeTo":
            return end
        case "__timeFilter":
            return f"{arguments[0]} BETWEEN {start} AND {end}"
        case "__timeGroup" | "__timeGroupAlias":
            step = arguments[1].strip("'")
            seconds = int(step[:-1]) * _UNITS[step[-1]]
            group = f"floor(extract(epoch from {arguments[0]})/{seconds})*{seconds}"
            return group + (' AS "time"' if name.endswith("Alias") else "")
        case _:
            raise ValueError(f"unknown macro {name}")
