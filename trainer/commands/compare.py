"""`emotion-trainer compare`."""

from __future__ import annotations

import click

from trainer import data as datasets
from trainer import report
from trainer.compare import compare
from trainer.evaluate import load
from trainer.options import split_of


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("--data", required=True, help="A folder, a file or a hub id.")
@click.option(
    "--split",
    type=click.Choice(datasets.SPLITS),
    default="test",
    show_default=True,
    help="Which split to compare on; of a single file, all of it.",
)
@click.option(
    "--map", "columns", multiple=True, help="text=COLUMN, label=COLUMN or lang=COLUMN of the data."
)
@click.option("--label", "labels", multiple=True, help="OLD=NEW: a label name of the data to ours.")
@click.option(
    "--source", help="RECIPE:NAME: read the data as this recipe reads its data set of this name."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(  # noqa: PLR0917
    a: str,
    b: str,
    data: str,
    split: str,
    columns: tuple[str, ...],
    labels: tuple[str, ...],
    source: str | None,
    *,
    as_json: bool,
) -> None:
    """Compares models A and B on the same posts, and says whether the difference is chance."""
    examples = split_of(data, split, columns=columns, labels=labels, source=source)
    found = compare(load(a), load(b), examples)
    if as_json:
        click.echo(report.comparison_as_json(found, split=split))
    else:
        report.show_comparison(found, a=a, b=b, split=split)
