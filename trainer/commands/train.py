"""`emotion-trainer train`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from trainer import data as datasets
from trainer import encoder
from trainer import recipe as recipes
from trainer.train import Job, train


@click.command()
@click.option("--recipe", default="reference", show_default=True, help="A recipe's name or file.")
@click.option("--data", help="A folder, a file or a hub id; the recipe's data set if not given.")
@click.option("--base", help="A folder or a hub id; the recipe's encoder if not given.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="The run folder; runs/NAME-TIME if not given.",
)
@click.option("--seed", type=int, help="Train this seed only, not all of the recipe's.")
def command(
    recipe: str, data: str | None, base: str | None, output: Path | None, seed: int | None
) -> None:
    """Fine-tunes an encoder: one model for each seed, the best chosen on validation."""
    resolved = recipes.load(recipe)
    output = output or Path("runs") / f"{resolved.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    job = Job(
        recipe=resolved,
        data=datasets.load(data or resolved.dataset),
        encoder=encoder.locate(base or resolved.base),
        output=output,
        seeds=resolved.seeds if seed is None else (seed,),
    )
    run = train(job, say=lambda line: click.echo(line, err=True))
    click.echo(f"chosen on validation: seed {run.chosen.seed} of {len(run.seeds)}; run {output}")
