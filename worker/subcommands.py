"""A command line of subcommands, each in a module of its own: what both of ours are made of."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from worker.errors import DependencyError, WorkerError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class LazyGroup(click.Group):
    """Imports a subcommand only when it is called: torch alone takes seconds to import.

    Args:
        subcommands: What each does, by name, in the order of the help page.
        package: Holds a module with a `command` for each.
        extra: The extra of the distribution that installs what they import.
        attributes: click's own.
    """

    def __init__(
        self,
        *,
        subcommands: Mapping[str, str],
        package: str,
        extra: str | None = None,
        **attributes: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(**attributes)
        self._subcommands = subcommands
        self._package = package
        self._extra = extra

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The names, in order."""
        return list(self._subcommands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Imports the module of `cmd_name`; None if there is no such subcommand."""
        if cmd_name not in self._subcommands:
            return None
        try:
            module = import_module(f"{self._package}.{cmd_name.replace('-', '_')}")
        except ModuleNotFoundError as error:
            if self._extra is None:
                raise
            raise DependencyError(
                f"the package {error.name} is missing: pip install 'emotion-stream[{self._extra}]'"
            ) from error
        command: click.Command = module.command
        return command

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401
        """Runs the subcommand; a reader that has seen enough, as `| head`, is no error."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # What is left in the buffer goes nowhere when Python flushes it at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Lists the subcommands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._subcommands.items()))


def run(app: click.Command, name: str, args: Sequence[str] | None) -> None:
    """Runs a command line; exits 0 (done), 1 (failed), 2 (wrong usage), 3 (dependency away)."""
    try:
        code = app.main(args=args, prog_name=name, standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except WorkerError as error:
        click.echo(f"{name}: {error}", err=True)
        sys.exit(error.exit_code)
    sys.exit(code if isinstance(code, int) else 0)
