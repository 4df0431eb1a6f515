"""`emotion-worker replays compare`: what a shadow's labels change."""

from __future__ import annotations

import json
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from worker.commands.options import env_file_option
from worker.commands.replays_report import document, report
from worker.commands.replays_show import find, session_of
from worker.commands.tables import stdout_console
from worker.errors import WorkerError
from worker.store.comparison import COMPARED_BY, compare

if TYPE_CHECKING:
    from worker.store.compared import Comparison


@click.command("compare")
@click.argument("name")
@click.option(
    "--by",
    "dimension",
    type=click.Choice(COMPARED_BY),
    help="Only this dimension's values. Default: all dimensions.",
)
@click.option(
    "--top",
    type=click.IntRange(1, 1_000),
    default=10,
    show_default=True,
    help="How many values of each dimension, those with the most posts, and how many posts.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, nothing else.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Also draw a PNG to this file.",
)
@env_file_option
def command(
    *,
    name: str,
    dimension: str | None,
    top: int,
    as_json: bool,
    plot: Path | None,
    env_file: Path | None,
) -> None:
    """Show what a shadow's labels change, on posts of which both have the same version.

    How often the models agree, what becomes of what, how each emotion's share moves, over all and
    by value, how confident they are, and where both are most confident and differ. While the replay
    reads, of what it has read so far; once it is promoted, against the labels of before.
    """
    if plot is not None and plot.suffix.lower() != ".png":
        raise click.BadParameter(f"{plot} must end in .png.", param_hint="--plot")
    if plot is not None and not plot.parent.is_dir():
        raise click.BadParameter(f"there is no folder {plot.parent}.", param_hint="--plot")
    dimensions = COMPARED_BY if dimension is None else (dimension,)
    with session_of(env_file) as session, Console(stderr=True).status("comparing"):
        replay = find(session, name)
        found = session.run(lambda c: compare(c, replay, dimensions=dimensions, top=top))
    if isinstance(sys.stdout, TextIOWrapper):
        # A post may be in any script, and a terminal of few.
        sys.stdout.reconfigure(errors="replace")
    if as_json:
        ascii_only = sys.stdout.encoding.lower() not in {"utf-8", "utf8"}
        click.echo(json.dumps(document(found), ensure_ascii=ascii_only))
    else:
        stdout_console().print(report(found))
    if plot is not None:
        _plot(found, plot, quiet=as_json)


def _plot(found: Comparison, path: Path, *, quiet: bool) -> None:
    if not found.labelled:
        click.echo(f"There is nothing to draw to {path}.", err=quiet)
        return
    from worker.charts.comparison import draw_comparison  # noqa: PLC0415 - matplotlib: a second

    try:
        draw_comparison(found, path)
    except OSError as error:
        raise WorkerError(
            f"--plot {path}: cannot write there ({error.strerror or error}). Name another file."
        ) from None
    click.echo(f"Drawn to {path}.", err=quiet)
