"""`python -m tests.chaos.guards`: whether the suite fails for a worker that lacks a guard.

For each guard: a drill with all of them, which must pass; then drills without it, seed by seed,
until one fails.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.table import Table

from tests.chaos.drill import Drill
from tests.chaos.mutant import GUARDS
from tests.chaos.plan import Plan


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one guard.

    Attributes:
        guard: Its name.
        seed: The first one whose drill failed without it; None: none did.
        drills: How many drills that took.
        what: What the suite said.
        control: Whether the same drill passes with the guard.
    """

    guard: str
    seed: int | None
    drills: int
    what: str
    control: bool | None


def _said(plan: Plan) -> tuple[bool, str]:
    outcome = Drill(plan, os.environ, say=lambda _: None).run()
    wrong = [*outcome.compared.differences, *outcome.problems]
    return outcome.passed, wrong[0].partition(": (")[0][:200] if wrong else ""


def judge(name: str, seeds: int, *, control: bool) -> Verdict:
    """Runs the drills of one guard."""
    guard = GUARDS[name]
    plan = Plan(0, faults=guard.faults, guard=name, **guard.plan)
    passed: bool | None = None
    for seed in range(1, seeds + 1):
        well, what = _said(replace(plan, seed=seed))
        if not well:
            if control:
                passed, why = _said(replace(plan, seed=seed, guard=None))
                what += "" if passed else f"; BUT with it: {why}"
            return Verdict(name, seed, seed, what, passed)
    return Verdict(name, None, seeds, "nothing: the suite does not see that it is gone", passed)


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(GUARDS)))
@click.option("--seeds", default=20, show_default=True, help="Drills a guard may take.")
@click.option("--control/--no-control", default=True, help="Also drill the failing seed with it.")
@click.option("--json", "report", type=click.Path(path_type=Path), help="Write the table here.")
def main(names: tuple[str, ...], seeds: int, control: bool, report: Path | None) -> None:
    """Take each guard out, and see the suite fail: those named, or all."""
    verdicts = []
    for name in names or GUARDS:
        verdict = judge(name, seeds, control=control)
        click.echo(f"{name}: seed {verdict.seed}: {verdict.what}")
        verdicts.append(verdict)
    table = Table(title="Without the guard", title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("guard", "fails at seed", "with it", "what the suite says"):
        table.add_column(column)
    for verdict in verdicts:
        table.add_row(
            verdict.guard,
            "none" if verdict.seed is None else str(verdict.seed),
            {None: "-", True: "exact", False: "FAILS"}[verdict.control],
            verdict.what,
        )
    console = Console()
    if not console.is_terminal:
        console.width = 140
    console.print(table)
    if report is not None:
        report.write_text(json.dumps([asdict(verdict) for verdict in verdicts], indent=2) + "\n")
    sys.exit(any(verdict.seed is None or verdict.control is False for verdict in verdicts))


if __name__ == "__main__":
    main()
