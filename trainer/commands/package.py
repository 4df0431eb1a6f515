"""`emotion-trainer package`."""

from __future__ import annotations

from pathlib import Path

import click

from trainer import run as runs
from trainer.package import package


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="The bundle's folder; a bundle that is there is replaced.",
)
@click.option("--data", help="Where the run's data is now, if it has moved.")
def command(run: Path, output: Path, data: str | None) -> None:
    """Calibrates a RUN's chosen model and writes it as a bundle with its model card."""
    package(runs.load(run), output, source=data, say=click.echo)
