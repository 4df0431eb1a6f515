"""Tables on stdout: how all commands print them."""

from __future__ import annotations

from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table

_FILE_WIDTH: Final = 200
"""Columns where nobody looks on: a file or a pipe is not cut to 80."""


def plain_table(title: str | None = None) -> Table:
    """An empty table, with a title above it where there is one."""
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)


def stdout_console() -> Console:
    """Stdout, as wide as it needs to be where nobody looks on."""
    console = Console()
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    return console


def print_table(table: Table) -> None:
    """Prints a table on stdout."""
    stdout_console().print(table)
