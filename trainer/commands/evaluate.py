"""`emotion-trainer evaluate`."""

from __future__ import annotations

import click

from trainer import data as datasets
from trainer import report
from trainer.evaluate import evaluate, load


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
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(model: str, data: str, split: str, *, as_json: bool) -> None:
    """Measures MODEL: a bundle, a run folder, or any classifier of the six emotions."""
    examples = datasets.load_split(data, split)
    loaded = load(model)
    result = evaluate(loaded, examples)
    if as_json:
        click.echo(report.as_json(result, model=loaded, split=split))
    else:
        report.show(result, model=loaded, split=split)
