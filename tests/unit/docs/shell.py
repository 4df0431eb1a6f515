"""The command lines of a shell block, and whether what they name is there. Nothing is run."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import click
import yaml

from tests.unit.docs.markdown import ROOT
from trainer.cli import COMMANDS as TRAINER_COMMANDS
from worker.cli import COMMANDS
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROGRAMS: Final = frozenset(
    {
        *(
            "cat",
            "cp",
            "curl",
            "export",
            "grep",
            "install",
            "kill",
            "mkdir",
            "printf",
            "source",
            "tee",
        ),
        *("docker", "git", "kafka-topics.sh", "kubectl", "pip", "pre-commit", "psql", "python"),
    }
)
"""What the pages may call besides our own commands, make, and scripts of the repository."""
OTHER_SETTINGS: Final = frozenset({"WORKER_CPUS", "WORKER_IMAGE"})
"""Variables of docker-compose.yml that are no settings of the worker's."""

_OURS: Final = {
    "emotion-worker": ("worker", COMMANDS),
    "emotion-trainer": ("trainer", TRAINER_COMMANDS),
}
_HEREDOC: Final = re.compile(r"<<-?'?(?P<end>\w+)'?(?P<rest>[^\n]*\n).*?^\s*(?P=end)$", re.M | re.S)
_BETWEEN: Final = frozenset({";", "&&", "||", "|", "&", "(", ")", ";;"})
_ASSIGNMENT: Final = re.compile(r"(\w+)=.*", re.S)
_FOLDERS: Final = ("deploy/", "docs/", "tests/", "worker/", "trainer/", "benchmarks/", ".venv/bin/")


class WrongCommandError(Exception):
    """A command line names something that there is not."""


def typed(text: str) -> str:
    """What a person types in a `console` block: what follows a `$ `, to where no line goes on."""
    found, goes_on = [], False
    for line in text.splitlines():
        if goes_on or line.startswith("$ "):
            found.append(line.removeprefix("$ "))
            goes_on = line.endswith("\\")
    return "\n".join(found) + "\n"


def lines(text: str) -> Iterator[list[str]]:
    """The simple commands of a script, split into words; what goes into a file is left out."""
    script = _HEREDOC.sub(lambda found: found["rest"], text).replace("\\\n", " ")
    for line in script.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        lexer.commenters = "#"
        words: list[str] = []
        redirects = False
        for word in lexer:
            if word in _BETWEEN:
                if words:
                    yield words
                words = []
            elif set(word) <= set("<>&") or redirects:
                redirects = not redirects
            else:
                words.append(word)
        if words:
            yield words


def check(text: str) -> None:
    """Holds a script against what there is: commands, options, settings, targets, files.

    Raises:
        WrongCommandError: Something is not there, or it is no shell script.
    """
    parsed = subprocess.run(
        [shutil.which("bash") or "bash", "-n"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    if parsed.returncode:
        raise WrongCommandError(parsed.stderr.strip())
    for words in lines(text):
        check_command(words)


def check_command(words: Sequence[str]) -> None:
    """The same of one simple command."""
    while words and _ASSIGNMENT.fullmatch(words[0]):
        _check_setting(words[0].partition("=")[0])
        words = words[1:]
    if not words:
        return
    program, *rest = words
    for word in words:
        _check_path(word)
    if program == "make":
        _check_targets(rest)
    elif program in {"export", "env"}:
        for word in rest:
            if "=" in word:
                _check_setting(word.partition("=")[0])
    elif program == "docker" and rest[:1] == ["compose"]:
        _check_compose(rest[1:])
    elif program.endswith("python") and "-m" in rest[:1]:
        _check_module(rest[1])
    if program in _OURS:
        check_ours(program, rest)
    elif program not in PROGRAMS | {"make"} and not program.startswith(_FOLDERS):
        raise WrongCommandError(f"{program}: none of PROGRAMS in tests/unit/docs/shell.py")


def check_ours(program: str, words: Sequence[str], *, whole: bool = True) -> None:
    """Parses what follows `emotion-worker` as its command would, and runs nothing.

    Args:
        program: `emotion-worker` or `emotion-trainer`.
        words: What follows.
        whole: Whether options must have their values, as in a line that is to be typed.
    """
    package, names = _OURS[program]
    if not words or words[0] in {"--help", "--version", "COMMAND"}:
        return
    name, *rest = words
    if name not in names:
        raise WrongCommandError(f"{program} has no command {name}")
    command = import_module(f"{package}.commands.{name.replace('-', '_')}").command
    if isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        if rest[0] not in command.commands:
            raise WrongCommandError(f"{program} {name} has no {rest[0]}")
        command = command.commands[rest.pop(0)]
    context = click.Context(command, info_name=f"{program} {name}", resilient_parsing=False)
    try:
        given, _, _ = command.make_parser(context).parse_args([*rest])
        for parameter in command.params:
            value = given.get(parameter.name or "")
            if isinstance(parameter.type, click.Choice) and isinstance(value, str):
                parameter.type.convert(value, parameter, context)
    except click.UsageError as error:
        if not whole and isinstance(error, click.BadOptionUsage):
            return
        raise WrongCommandError(f"{program} {name}: {error.format_message()}") from None


def _check_setting(name: str) -> None:
    known = name.removeprefix("WORKER_").lower() in Settings.model_fields
    if name.startswith("WORKER_") and not known and name not in OTHER_SETTINGS:
        raise WrongCommandError(f"{name} is no setting")


def _check_path(word: str) -> None:
    name = word.rstrip("/")
    if (
        not word.startswith(_FOLDERS)
        or word.startswith(".venv/bin/")
        or re.search(r"[A-Z]{3}", word)
    ):
        return
    if not (ROOT / name).exists():
        raise WrongCommandError(f"{word}: there is no such file")


def _check_targets(words: Sequence[str]) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for word in words:
        if "=" not in word and not re.search(rf"^{re.escape(word)}:", makefile, re.M):
            raise WrongCommandError(f"make has no target {word}")


def _check_compose(words: Sequence[str]) -> None:
    file = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    if words[:1] in (["run"], ["exec"]):
        plain = [word for word in words[1:] if not word.startswith("-")]
        # Options with a value of their own are written with `=`.
        service, *rest = plain
        if service not in file["services"]:
            raise WrongCommandError(f"docker compose: there is no service {service}")
        inside = words[words.index(service) + 1 :]
        if rest and rest[0] in _OURS:
            check_command(inside)
        elif rest and words[0] == "run" and service == "worker":  # the image's entry point
            check_ours("emotion-worker", inside)


@cache
def _check_module(name: str) -> None:
    if find_spec(name) is None:
        raise WrongCommandError(f"there is no module {name}")
