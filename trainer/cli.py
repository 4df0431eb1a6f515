"""The `emotion-trainer` command: finds the subcommand's module, turns errors into exit codes."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final

import click

from worker import __version__
from worker.errors import DependencyError, WorkerError

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS: Final = {
    "train": "fine-tune an encoder, choose a seed on validation",
    "evaluate": "accuracy, macro-F1, loss, calibration, confusion",
    "package": "calibrate a run's model and write it as a bundle",
}
"""Each subcommand is `command` in `trainer.commands.<name>`; a help page imports none of them."""


class _LazyGroup(click.Group):
    """Imports a subcommand only when it is called: torch alone takes seconds to import."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        try:
            module = import_module(f"trainer.commands.{cmd_name}")
        except ModuleNotFoundError as error:
            raise DependencyError(
                f"the package {error.name} is missing: pip install 'emotion-stream[trainer]'"
            ) from error
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="emotion-trainer")
def app() -> None:
    """Fine-tunes, measures and packages the worker's model.

    `train` makes a run folder, `package` makes a bundle of it, and `WORKER_MODEL` gives that to the
    worker.
    """


def main(args: Sequence[str] | None = None) -> None:
    """Runs the command line and exits.

    The codes: 0 done, 1 failed, 2 wrong usage, 3 a dependency not reached.
    """
    try:
        code = app.main(args=args, prog_name="emotion-trainer", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except WorkerError as error:
        click.echo(f"emotion-trainer: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()  # `emotion-trainer evaluate ... | head` is no error
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)
