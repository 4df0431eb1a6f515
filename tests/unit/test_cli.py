"""The command line: exit codes, messages, and what a help page may import."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from types import SimpleNamespace
from typing import TYPE_CHECKING

import click
import pytest

from worker import cli, subcommands
from worker.errors import (
    DependencyError,
    SchemaError,
    SettingsError,
    SourceUnavailableError,
    StoreUnavailableError,
    WorkerError,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[object, str, str]]:
    """Runs `main`, with `work` in place of the `verify` command's module: code, stdout, stderr."""

    def main(*args: str, work: Callable[[], object] | None = None) -> tuple[object, str, str]:
        if work is not None:
            command = click.command()(click.option("--number", type=int)(lambda number: work()))
            monkeypatch.setattr(
                subcommands, "import_module", lambda _: SimpleNamespace(command=command)
            )
        with pytest.raises(SystemExit) as ended:
            cli.main(args)
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return main


def _raising(error: BaseException) -> Callable[[], object]:
    def work() -> object:
        raise error

    return work


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (1, 1), (3, 3)])
def test_the_code_that_a_command_returns(
    run: Callable[..., tuple[object, str, str]], returned: object, code: int
) -> None:
    assert run("verify", work=lambda: returned) == (code, "", "")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (WorkerError, 1),
        (SchemaError, 1),
        (SettingsError, 2),
        (DependencyError, 3),
        (StoreUnavailableError, 3),
        (SourceUnavailableError, 3),
    ],
)
def test_an_error_is_one_line_without_a_stack_trace(
    run: Callable[..., tuple[object, str, str]], error: type[WorkerError], code: int
) -> None:
    said = run("verify", work=_raising(error("Postgres is away. Start it.")))
    assert said == (code, "", "emotion-worker: Postgres is away. Start it.\n")


def test_a_bug_keeps_its_stack_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    command = click.command()(_raising(ZeroDivisionError("a bug")))
    monkeypatch.setattr(subcommands, "import_module", lambda _: SimpleNamespace(command=command))
    with pytest.raises(ZeroDivisionError):
        cli.main(["verify"])


def test_an_interrupted_command(run: Callable[..., tuple[object, str, str]]) -> None:
    assert run("verify", work=_raising(KeyboardInterrupt()))[0] == 130


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["nothing-of-ours"], "nothing-of-ours"),
        (["verify", "--number", "x"], "--number"),
        (["verify", "--colour"], "--colour"),
        (["--colour"], "--colour"),
    ],
)
def test_wrong_usage(
    run: Callable[..., tuple[object, str, str]], args: list[str], words: str
) -> None:
    code, out, err = run(*args, work=lambda: 0)
    assert code == 2
    assert words in err
    assert out == ""


def test_a_missing_setting_is_named(
    run: Callable[..., tuple[object, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WORKER_DATABASE_URL", raising=False)
    code, _, err = run("verify")
    assert code == 2
    assert "WORKER_DATABASE_URL is not set" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("args", [["--help"], ["-h"], []])
def test_the_help_page_lists_every_command(
    run: Callable[..., tuple[object, str, str]], args: list[str]
) -> None:
    code, out, err = run(*args)
    assert code == (0 if args else 2)
    for name, what in cli.COMMANDS.items():
        assert name in out + err
        assert what in " ".join((out + err).split())


def test_the_version(run: Callable[..., tuple[object, str, str]]) -> None:
    code, out, _ = run("--version")
    assert code == 0
    assert out.strip().endswith(version("emotion-stream"))


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_a_help_page(
    run: Callable[..., tuple[object, str, str]], name: str
) -> None:
    code, out, _ = run(name, "--help")
    assert code == 0
    assert out.startswith(f"Usage: emotion-worker {name} ")


def _in_a_process(*lines: str) -> str:
    """What the lines write to stderr in a Python of their own."""
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_the_help_page_imports_nothing_slow() -> None:
    said = _in_a_process(
        "import atexit, sys",
        "from worker import cli",
        "slow = ('torch', 'transformers', 'tokenizers', 'kafka', 'psycopg', 'matplotlib')",
        "loaded = lambda: sys.stderr.write(' '.join(n for n in slow if n in sys.modules))",
        "atexit.register(loaded)",
        "cli.main(['--help'])",
    )
    assert said == ""


def test_no_commands_own_help_page_imports_torch() -> None:
    """All in one process: it has what any of them would have imported."""
    said = _in_a_process(
        "import sys",
        "from worker import cli",
        "for name in cli.COMMANDS:",
        "    assert cli.app.get_command(None, name) is not None",
        "slow = ('torch', 'transformers', 'tokenizers')",
        "sys.stderr.write(' '.join(name for name in slow if name in sys.modules))",
    )
    assert said == ""


BROKEN = """
import os, sys, types
import click
from worker import cli, subcommands

@click.command()
def command():
    {body}

subcommands.import_module = lambda _: types.SimpleNamespace(command=command)
cli.main(["verify"])
"""


@pytest.mark.parametrize(
    "body",
    ["[click.echo(str(n)) for n in range(100_000)]", "sys.stdout.write('x' * 100_000)"],
)
def test_a_reader_who_has_seen_enough_is_no_error(body: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", BROKEN.format(body=body)],
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
        timeout=60,
    )
    os.close(writer)
    assert (done.returncode, done.stderr.decode()) == (0, "")
