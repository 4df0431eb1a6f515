"""`emotion-trainer train`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from trainer import encoder, sources
from trainer import recipe as recipes
from trainer import run as runs
from trainer.options import COLUMNS, pairs
from trainer.train import Job, leading, train
from worker.errors import SettingsError


@click.command()
@click.option("--recipe", default="reference", show_default=True, help="A recipe's name or file.")
@click.option(
    "--data",
    multiple=True,
    help="SOURCE: a folder, a file or a hub id; the recipe's data set if not given. NAME=SOURCE: "
    "where another of the recipe's data sets is.",
)
@click.option(
    "--map", "columns", multiple=True, help="text=COLUMN, label=COLUMN or lang=COLUMN of the data."
)
@click.option("--label", "labels", multiple=True, help="OLD=NEW: a label name of the data to ours.")
@click.option("--base", help="A folder or a hub id; the recipe's encoder if not given.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="The run folder; runs/NAME-TIME if not given.",
)
@click.option("--seed", type=int, help="Train this seed only, not all of the recipe's.")
@click.option(
    "--teacher",
    "teachers",
    multiple=True,
    help="A bundle to distil; several are averaged.",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    help="Go on with this run, from the last whole checkpoint.",
)
def command(  # noqa: PLR0917
    recipe: str,
    data: tuple[str, ...],
    columns: tuple[str, ...],
    labels: tuple[str, ...],
    base: str | None,
    output: Path | None,
    seed: int | None,
    teachers: tuple[str, ...],
    resume: Path | None,
) -> None:
    """Fine-tunes an encoder: one model for each seed, the best chosen on validation."""
    if resume is not None:
        given = {
            "--output": output,
            "--seed": seed,
            "--teacher": teachers,
            "--map": columns,
            "--label": labels,
        }
        if wrong := [name for name, value in given.items() if value]:
            raise SettingsError(f"{wrong[0]}: goes without --resume; the run has its own")
        job = _resumed(resume, data, base)
    else:
        resolved = recipes.load(recipe)
        if columns or labels:
            resolved = resolved.model_copy(
                update={
                    "columns": {
                        **resolved.columns,
                        **pairs("--map", columns, known=COLUMNS),
                    },
                    "labels": {**resolved.labels, **pairs("--label", labels)},
                }
            )
        first, others = sources.parse_locations(data, resolved)
        job = Job(
            recipe=resolved,
            corpus=sources.load(resolved, first, others),
            encoder=encoder.locate(base or resolved.base),
            output=output or Path("runs") / f"{resolved.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}",
            seeds=resolved.seeds if seed is None else (seed,),
            teachers=teachers,
        )
    run = train(job, say=lambda line: click.echo(line, err=True))
    if leading():
        chosen = f"seed {run.chosen.seed} of {len(run.seeds)}"
        click.echo(f"chosen on validation: {chosen}; run {job.output}")


def _resumed(folder: Path, data: tuple[str, ...], base: str | None) -> Job:
    run = runs.load(folder)
    first, others = sources.parse_locations(data, run.recipe)
    return Job(
        recipe=run.recipe,
        corpus=sources.load(run.recipe, first or run.data_source, {**run.places, **others}),
        encoder=encoder.locate(base or run.base_source or run.recipe.base),
        output=folder,
        seeds=run.seeds_asked,
        teachers=tuple(teacher["place"] for teacher in run.teachers),
        resume=True,
    )
