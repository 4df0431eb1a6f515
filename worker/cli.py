"""The `emotion-worker` command: finds the subcommand's module, and turns errors into exit codes."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import click

from worker import __version__
from worker.errors import WorkerError

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS: Final = {
    "demo": "the whole product on this machine, with nothing installed",
    "run": "join the consumer group and work until SIGTERM",
    "services": "an embedded broker and Postgres in the foreground",
    "migrate": "bring the database's schema to head",
    "check": "preflight: settings, broker, topics, schema, model",
    "publish": "load JSONL or CSV posts into a topic",
    "classify": "label texts from arguments or stdin",
    "trends": "read the trend tables: table, chart, JSON",
    "offsets": "the group's positions, which live in Postgres",
    "verify": "check that the trends equal the labels and the ledger balances",
}
"""Each subcommand is `command` in `worker.commands.<name>`; a help page imports none of them."""


class _LazyGroup(click.Group):
    """Imports a subcommand only when it is called: torch alone takes seconds to import."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"worker.commands.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # `emotion-worker trends | head` is no error
            # What is left in the buffer goes nowhere when Python flushes it at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="emotion-worker")
def app() -> None:
    """Posts on Kafka in, exact emotion trends in Postgres out.

    Settings are read from WORKER_... environment variables, or from a file given with --env-file.
    New here? `emotion-worker demo` shows the whole product in under a minute.
    """


def main(args: Sequence[str] | None = None) -> None:
    """Runs the command line; exits 0 (done), 1 (failed), 2 (wrong usage), 3 (dependency away)."""
    try:
        code = app.main(args=args, prog_name="emotion-worker", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except WorkerError as error:
        click.echo(f"emotion-worker: {error}", err=True)
        sys.exit(error.exit_code)
    sys.exit(code if isinstance(code, int) else 0)
