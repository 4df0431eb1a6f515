"""`python -m tests.chaos`: one drill by seed, and its report; 1 if anything was wrong."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import click
from rich.console import Console

from tests.chaos.drill import Drill
from tests.chaos.faults import CATALOGUE
from tests.chaos.plan import Plan
from tests.chaos.replaying import UNFIT
from tests.chaos.report import as_object, show


@click.command()
@click.option("--seed", type=int, envvar="CHAOS_SEED", help="Of stream and faults; else the clock.")
@click.option("--faults-each", default=10, show_default=True, help="How often each kind strikes.")
@click.option("--faults", help="Only these kinds, comma-separated.")
@click.option("--rate", default=120.0, show_default=True, help="Records a second.")
@click.option("--assignor", type=click.Choice(["cooperative-sticky", "range"]))
@click.option("--replay", is_flag=True, help="Read all again meanwhile, in place.")
@click.option("--guard", help="Run the workers without this guard (see tests.chaos.guards).")
@click.option("--json", "report", type=click.Path(path_type=Path), help="Write the report here.")
@click.option("--logs", type=click.Path(path_type=Path), help="Keep the workers' logs here.")
def main(
    seed: int | None,
    faults_each: int,
    faults: str | None,
    rate: float,
    assignor: str | None,
    replay: bool,
    guard: str | None,
    report: Path | None,
    logs: Path | None,
) -> None:
    """Break everything that can break, and compare the tables with an oracle's, row for row.

    Broker and Postgres are embedded ones, unless WORKER_KAFKA_BOOTSTRAP_SERVERS and
    WORKER_DATABASE_URL name others; those are not killed.
    """
    seed = int(time.time()) % 1_000_000 if seed is None else seed
    kinds = tuple(faults.split(",")) if faults else tuple(CATALOGUE)
    if replay and not faults:
        kinds = tuple(kind for kind in kinds if kind not in UNFIT)
    if unknown := set(kinds) - set(CATALOGUE):
        raise click.UsageError(
            f"no such fault: {', '.join(unknown)}; there are {', '.join(CATALOGUE)}"
        )
    if logs is not None:
        logs.mkdir(parents=True, exist_ok=True)
    click.echo(f"seed {seed}: {faults_each} of each of {len(kinds)} kinds of faults")
    plan = Plan(
        seed,
        faults=kinds,
        each=faults_each,
        rate=rate,
        # Both protocols get their share of seeds: they lose partitions in different ways.
        assignor=assignor or ("range" if seed % 3 == 0 else "cooperative-sticky"),
        guard=guard,
        replay=replay,
    )
    outcome = Drill(plan, os.environ, say=click.echo, logs=logs).run()
    console = Console()
    if not console.is_terminal:
        console.width = 140
    show(outcome, console)
    told = as_object(outcome)
    if report is not None:
        report.write_text(json.dumps(told, indent=2, default=str) + "\n")
    sys.exit(0 if told["passed"] else 1)


if __name__ == "__main__":
    main()
