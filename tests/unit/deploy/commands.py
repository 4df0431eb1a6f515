"""Command lines in deployment files, held against the commands that there are."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from trainer.cli import COMMANDS as TRAINER_COMMANDS
from worker.cli import COMMANDS
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence


def check_arguments(arguments: Sequence[str], package: str = "worker") -> None:
    """Parses the arguments as the command would, and runs nothing.

    Raises:
        click.ClickException: It does not take them.
    """
    name, *rest = arguments
    assert name in (COMMANDS if package == "worker" else TRAINER_COMMANDS), name
    command = import_module(f"{package}.commands.{name.replace('-', '_')}").command
    command.make_context(name, rest)


def is_setting(name: str) -> bool:
    """Whether an environment variable is a setting of the worker's."""
    return name.removeprefix("WORKER_").lower() in Settings.model_fields and name.startswith(
        "WORKER_"
    )
