"""What a drill found, for people and for machines."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict
from statistics import median
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from tests.chaos.faults import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.chaos.plan import Outcome


LONGEST = 700
"""Characters of a difference that are shown: a row may hold a mebibyte."""


def slow(outcome: Outcome) -> list[str]:
    """Rounds of one fault whose recovery took longer than the limit."""
    return [
        f"{round_.faults[0]}: recovered after {round_.recovery_s:.1f} s, "
        f"the limit is {outcome.limit_s:.0f} s"
        for round_ in outcome.rounds
        if len(round_.faults) == 1 and round_.recovery_s > outcome.limit_s
    ]


def recoveries(outcome: Outcome) -> Mapping[str, list[float]]:
    """Recovery times in seconds by kind: of rounds of that kind alone; `several` of the others."""
    times: dict[str, list[float]] = defaultdict(list)
    for round_ in outcome.rounds:
        kind = round_.faults[0] if len(round_.faults) == 1 else "several at once"
        times[kind].append(round_.recovery_s)
    return times


def as_object(outcome: Outcome) -> dict[str, Any]:
    """The report as JSON would have it."""
    struck = Counter(name for round_ in outcome.rounds for name in round_.faults)
    times = recoveries(outcome)
    compared = outcome.compared
    return {
        "passed": outcome.passed and not slow(outcome),
        "seed": outcome.plan.seed,
        "plan": asdict(outcome.plan),
        "seconds": round(outcome.seconds, 1),
        "session_timeout_s": outcome.session_s,
        "recovery_limit_s": outcome.limit_s,
        "faults": {
            kind: {
                "struck": struck.get(kind, len(times.get(kind, []))),
                "timed_alone": len(times.get(kind, [])),
                "recovery_s": [round(time, 2) for time in times.get(kind, [])],
            }
            for kind in (*CATALOGUE, "several at once")
            if kind in struck or kind in times
        },
        "skipped": list(outcome.skipped),
        "records": sum(compared.outcomes.values()),
        "outcomes": compared.outcomes,
        "rows": compared.rows,
        "lost": compared.lost,
        "counted_twice": compared.twice,
        "differences": [difference[:LONGEST] for difference in compared.differences],
        "problems": outcome.problems,
        "slow": slow(outcome),
        "answers_lost": outcome.answers_lost,
        "gave_up_at_start": outcome.gave_up,
        "warnings": dict(outcome.said.most_common()),
    }


def show(outcome: Outcome, console: Console) -> None:
    """Draws the report."""
    told = as_object(outcome)
    faults = Table(title=f"Faults, seed {told['seed']}", title_justify="left", box=box.SIMPLE_HEAD)
    faults.add_column("fault", no_wrap=True)
    for name in ("struck", "alone", "recovery: median", "longest"):
        faults.add_column(name, justify="right")
    faults.add_column("what happens")
    for kind, fault in told["faults"].items():
        times = fault["recovery_s"]
        longest = max(times, default=None)
        # Only a fault that struck alone can be blamed for what it cost.
        over = kind in CATALOGUE and longest is not None and longest > outcome.limit_s
        faults.add_row(
            kind,
            str(fault["struck"]),
            str(fault["timed_alone"]),
            "" if longest is None else f"{median(times):.1f} s",
            Text("" if longest is None else f"{longest:.1f} s", style="red" if over else ""),
            CATALOGUE[kind].what if kind in CATALOGUE else "",
        )
    tables = Table(title="Tables against the oracle", title_justify="left", box=box.SIMPLE_HEAD)
    tables.add_column("table")
    tables.add_column("rows", justify="right")
    for name, rows in told["rows"].items():
        tables.add_row(name, f"{rows:,}")
    became = ", ".join(f"{count:,} {name}" for name, count in told["outcomes"].items() if count)
    lines = [
        f"{told['records']:,} records in {told['seconds']:.0f} s became: {became}",
        f"lost {told['lost']}, counted twice {told['counted_twice']}",
        f"recovery limit: session timeout {outcome.session_s:.0f} s + 10 s",
        f"{told['answers_lost']} answers to a COMMIT were lost; the workers said: "
        + (
            "; ".join(f"{event} ({count})" for event, count in told["warnings"].items())
            or "nothing"
        ),
    ]
    if told["skipped"]:
        lines.append(
            f"skipped, as these services are not ours to kill: {', '.join(told['skipped'])}"
        )
    if told["gave_up_at_start"]:
        lines.append(
            f"{told['gave_up_at_start']} workers were started while a service was away, gave up "
            "(exit code 3) and were started again"
        )
    wrong = [*told["differences"], *told["problems"], *told["slow"]]
    verdict = (
        Text("exact: every table is what the oracle says, row for row", style="bold green")
        if told["passed"]
        else Text("\n".join(["NOT exact, or not well:", *wrong]), style="bold red")
    )
    console.print(Group(faults, tables, *lines, verdict))
