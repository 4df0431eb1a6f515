"""The `emotion-trainer` command: its subcommands, and what each does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from worker import __version__
from worker.subcommands import LazyGroup, run

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS: Final = {
    "train": "fine-tune an encoder, choose a seed on validation",
    "evaluate": "accuracy, macro-F1, loss, calibration, slices, mistakes",
    "compare": "two models on the same posts, with a significance test",
    "package": "calibrate a run's model and write it as a bundle",
}
"""Each subcommand is `command` in `trainer.commands.<name>`; a help page imports none of them."""


@click.command(
    cls=LazyGroup,
    subcommands=COMMANDS,
    package="trainer.commands",
    extra="trainer",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="emotion-trainer")
def app() -> None:
    """Fine-tunes, measures and packages the worker's model.

    `train` makes a run folder, `package` makes a bundle of it, and `WORKER_MODEL` gives that to the
    worker.
    """


def main(args: Sequence[str] | None = None) -> None:
    """Runs the command line and exits; the codes are those of `worker.subcommands.run`."""
    run(app, "emotion-trainer", args)
