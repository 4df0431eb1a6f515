"""Options that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable


def env_file_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--env-file`: a file of `WORKER_...` settings."""
    return click.option(
        "--env-file",
        type=click.Path(path_type=Path),
        help="Read WORKER_... settings from this file (the environment goes first).",
    )(function)


def setting_option(name: str, **attributes: Any) -> Callable[[Any], Any]:  # noqa: ANN401
    """A flag with the name of a setting: `topics` becomes `--topics`, over WORKER_TOPICS."""
    attributes.setdefault("help", f"Overrides WORKER_{name.upper()}.")
    return click.option(f"--{name.replace('_', '-')}", name, default=None, **attributes)
