"""`emotion-trainer package`."""

from __future__ import annotations

from pathlib import Path

import click

from trainer import run as runs
from trainer.package import package
from trainer.sources import parse_locations


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="The bundle's folder; a bundle that is there is replaced.",
)
@click.option(
    "--data",
    multiple=True,
    help="Where the run's data is now, if it has moved; NAME=SOURCE for another than the first.",
)
@click.option("--seed", type=int, help="This seed's model, not the one that validation chooses.")
def command(run: Path, output: Path, data: tuple[str, ...], seed: int | None) -> None:
    """Calibrates a RUN's chosen model and writes it as a bundle with its model card."""
    found = runs.load(run)
    places = parse_locations(data, found.recipe)
    package(found, output, places=places, seed=seed, say=click.echo)
