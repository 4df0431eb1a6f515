"""What a PromQL expression asks for, and which labels its answer has, by the metrics' catalogue."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

import promql_parser as promql

from worker.metrics import Metrics

TARGET: Final = frozenset({"job", "instance"})
"""Labels that Prometheus adds to each series by itself."""
OTHERS: Final = {
    "up": ("gauge", TARGET),
    "ALERTS": ("gauge", frozenset({"alertname", "alertstate", "severity"})),
    "process_start_time_seconds": ("gauge", TARGET),
    "process_resident_memory_bytes": ("gauge", TARGET),
    "process_cpu_seconds_total": ("counter", TARGET),
}
"""Metrics that are not of our catalogue: Prometheus's own, and those of any Python process."""

_OF_COUNTERS: Final = {"rate", "irate", "increase"}
_OF_GAUGES: Final = {"delta", "deriv", "predict_linear"}


class WrongQueryError(Exception):
    """A query that Prometheus accepts, and that never answers."""


@cache
def series() -> dict[str, tuple[str, frozenset[str]]]:
    """The series that there are: name to kind and labels."""
    found = dict(OTHERS)
    for entry in Metrics().catalogue:
        labels = TARGET | set(entry.labels)
        if entry.kind == "histogram":
            found |= {f"{entry.name}_{end}": ("counter", labels) for end in ("sum", "count")}
            found[f"{entry.name}_bucket"] = ("counter", labels | {"le"})
        else:
            found[entry.name] = ("gauge" if entry.kind == "info" else entry.kind, labels)
    return found


@cache
def values() -> dict[tuple[str, str], frozenset[str]]:
    """By series and label, the values known beforehand: those that stand at zero at the start."""
    seen: dict[tuple[str, str], set[str]] = {}
    for family in Metrics().registry.collect():
        for sample in family.samples:
            for label, value in sample.labels.items():
                if label != "le":
                    seen.setdefault((sample.name, label), set()).add(value)
    known = {place: frozenset(some) for place, some in seen.items()}
    return known | {
        ("emotion_worker_dependency_up", "dependency"): frozenset({"broker", "database"})
    }


def used(text: str) -> set[str]:
    """The names of the metrics that an expression reads."""
    return {selector.name or "" for selector in _selectors(promql.parse(text))}


def labels_of(text: str) -> frozenset[str]:
    """The labels of an expression's answer.

    Raises:
        WrongQueryError: It names a metric, a label or a label's value that there is not, or takes
            the rate of a gauge.
    """
    return _labels(promql.parse(text))


def _selectors(expression: promql.Expr) -> list[promql.VectorSelector]:
    found: list[promql.VectorSelector] = []

    def visit(one: promql.Expr) -> None:
        if isinstance(one, promql.VectorSelector):
            found.append(one)
        elif isinstance(one, promql.MatrixSelector):
            found.append(one.vector_selector)

    promql.walk(expression, visit)
    return found


def _labels(expression: promql.Expr) -> frozenset[str]:
    labels: frozenset[str] = frozenset()
    match expression:
        case promql.VectorSelector():
            labels = _selected(expression)
        case promql.MatrixSelector():
            labels = _selected(expression.vector_selector)
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            labels = _labels(expression.expr)
        case promql.Call():
            labels = _called(expression)
        case promql.AggregateExpr():
            labels = _aggregated(expression)
        case promql.BinaryExpr():
            labels = _combined(expression)
        case promql.NumberLiteral() | promql.StringLiteral():
            pass
        case _:
            raise WrongQueryError(f"not understood: {expression}")
    return labels


def _selected(selector: promql.VectorSelector) -> frozenset[str]:
    name = selector.name or ""
    if name not in series():
        raise WrongQueryError(f"there is no metric {name}")
    labels = series()[name][1]
    for matcher in selector.matchers.matchers:
        _must_have({matcher.name}, labels, name)
        known = values().get((name, matcher.name))
        if known is None:
            continue
        # Grafana's variables are matched by a regular expression; who writes one knows why.
        if matcher.op == promql.MatchOp.Equal and matcher.value not in known:
            raise WrongQueryError(f"{name} has no {matcher.name} {matcher.value}")
    return labels


def _called(call: promql.Call) -> frozenset[str]:
    name = call.func.name
    vectors = [one for one in call.args if _selectors(one)]
    if not vectors:
        return frozenset()
    (vector,) = vectors
    for selector in _selectors(vector):
        kind = series().get(selector.name or "", ("gauge",))[0]
        if name in _OF_COUNTERS and kind != "counter":
            raise WrongQueryError(f"{name} of {selector.name}, which is no counter")
        if name in _OF_GAUGES and kind != "gauge":
            raise WrongQueryError(f"{name} of {selector.name}, which is no gauge")
    labels = _labels(vector)
    if name == "histogram_quantile":
        _must_have({"le"}, labels, name)
        return labels - {"le"}
    if name == "absent":
        return frozenset({"job"})
    return frozenset() if name == "scalar" else labels


def _aggregated(aggregate: promql.AggregateExpr) -> frozenset[str]:
    labels = _labels(aggregate.expr)
    if aggregate.modifier is None:
        return frozenset()
    asked = frozenset(aggregate.modifier.labels)
    _must_have(asked, labels, str(aggregate))
    return asked if aggregate.modifier.type == promql.AggModifierType.By else labels - asked


def _combined(binary: promql.BinaryExpr) -> frozenset[str]:
    left, right = _labels(binary.lhs), _labels(binary.rhs)
    if not _selectors(binary.lhs) or not _selectors(binary.rhs):
        return left | right  # one of them is a number, or as good as one
    matching = None if binary.modifier is None else binary.modifier.matching
    if str(binary.op) == "or":
        return left & right
    if matching is None:
        if left != right:
            raise WrongQueryError(f"nothing matches: {set(left)} and {set(right)} in {binary}")
    else:
        for side in (left, right):
            _must_have(matching.labels, side, str(binary))
    return left


def _must_have(
    asked: set[str] | frozenset[str] | list[str], labels: frozenset[str], of: str
) -> None:
    if missing := set(asked) - labels:
        raise WrongQueryError(f"{of} has no label {', '.join(sorted(missing))}")


def placeholders(text: str) -> set[str]:
    """The labels that a legend (`{{stage}}`) or an annotation (`{{ $labels.stage }}`) names."""
    return set(re.findall(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}", text))
