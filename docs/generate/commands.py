"""The commands and their options, in the words of `--help`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import click

from docs.generate.markdown import table
from trainer.cli import COMMANDS as TRAINER
from worker.cli import COMMANDS as WORKER

if TYPE_CHECKING:
    from collections.abc import Iterator


def listing() -> str:
    """The table of the worker's commands, each with a link to its section."""
    return table(
        ("command", ""),
        [
            *((f"[`{name}`](#emotion-worker-{name})", words) for name, words in WORKER.items()),
            ("[`emotion-trainer`](#emotion-trainer)", "make and measure models"),
        ],
    )


def options() -> str:
    """A section for each command and subcommand: usage, what it does, and its options."""
    return "\n".join(
        _section(path, command)
        for program, package, names in (
            ("emotion-worker", "worker", WORKER),
            ("emotion-trainer", "trainer", TRAINER),
        )
        for name in names
        for path, command in _commands(f"{program} {name}", load(package, name))
    )


def load(package: str, name: str) -> click.Command:
    """The command of that name."""
    command = import_module(f"{package}.commands.{name.replace('-', '_')}").command
    assert isinstance(command, click.Command)
    return command


def _commands(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """It, and its subcommands."""
    yield path, command
    if isinstance(command, click.Group):
        for name, subcommand in command.commands.items():
            yield from _commands(f"{path} {name}", subcommand)


def _section(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path, max_content_width=10_000)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    lines = [f"## {path}", "", f"`{usage}`", "", _summary(command), ""]
    rows = [
        (f"`{record[0]}`", _words(record[1]))
        for one in command.params
        if isinstance(one, click.Option)
        and one.name != "env_file"
        and (record := one.get_help_record(context)) is not None
    ]
    if rows:
        lines += [table(("option", ""), rows)]
    return "\n".join(lines)


def _summary(command: click.Command) -> str:
    """The first paragraph of its help, on one line."""
    return " ".join((command.help or "").split("\n\n")[0].split())


def _words(text: str) -> str:
    """Braces and stars of a help text stand for themselves."""
    return text.replace("*", "\\*").replace("[", "\\[").replace("<", "&lt;")
