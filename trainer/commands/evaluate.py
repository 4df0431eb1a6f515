"""`emotion-trainer evaluate`."""

from __future__ import annotations

from pathlib import Path

import click

from trainer import data as datasets
from trainer import perturb, plot, report, robustness
from trainer.evaluate import load
from trainer.measuring import evaluate
from trainer.options import split_of
from trainer.sources import emotional


@click.command()
@click.argument("model")
@click.option("--data", required=True, help="A folder, a file or a hub id.")
@click.option(
    "--split",
    type=click.Choice(datasets.SPLITS),
    default="test",
    show_default=True,
    help="Which split to measure; of a single file, all of it is.",
)
@click.option(
    "--map", "columns", multiple=True, help="text=COLUMN, label=COLUMN or lang=COLUMN of the data."
)
@click.option("--label", "labels", multiple=True, help="OLD=NEW: a label name of the data to ours.")
@click.option(
    "--source", help="RECIPE:NAME: read the data as this recipe reads its data set of this name."
)
@click.option(
    "--perturb",
    "perturbed",
    is_flag=True,
    help="Also what typos, capitals, links and the like cost, and the hand-written negations.",
)
@click.option(
    "--plot",
    "picture",
    type=click.Path(path_type=Path),
    help="Draw reliability, coverage and confusion into this PNG.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(  # noqa: PLR0917
    model: str,
    data: str,
    split: str,
    columns: tuple[str, ...],
    labels: tuple[str, ...],
    source: str | None,
    picture: Path | None,
    *,
    perturbed: bool,
    as_json: bool,
) -> None:
    """Measures MODEL: a bundle, a run folder, or any classifier of the six emotions."""
    examples = split_of(data, split, columns=columns, labels=labels, source=source)
    loaded = load(model)
    result = evaluate(loaded, examples)
    losses = perturb.measure(loaded, emotional(examples)) if perturbed else None
    negation = robustness.measure_negation(loaded) if perturbed else None
    if picture is not None:
        plot.draw(result, picture, title=f"{model}, {data} ({split})")
    if as_json:
        click.echo(
            report.as_json(
                result, model=loaded, split=split, perturbations=losses, negation=negation
            )
        )
    else:
        report.show(result, model=loaded, split=split, perturbations=losses, negation=negation)
