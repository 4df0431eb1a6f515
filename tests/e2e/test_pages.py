"""The tutorial and the README's example, typed into terminals as a reader would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.unit.docs.markdown import ROOT, blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.unit.docs.markdown import Block

pytestmark = [
    pytest.mark.integration,
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.timeout(300),
]

_VARIES: Final = (
    (r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?", "DATE"),
    (r"\b\d\d:\d\d:\d\d\b", "TIME"),
    (r"in \d+\.\d s \(\d+/s\)", "in SECONDS"),
    (r"127\.0\.0\.1:\d+", "ADDRESS"),
    (r"postgresql://\S+", "URL"),
    (r"Postgres \d+\.\d+", "Postgres VERSION"),
    (r"(schema (?:at|empty ->)) \d{4}", r"\1 REVISION"),
    (r"\S+:\d+ \(\d+ s ago\)", "OWNER"),
    (r"\(fp32\)|\(bf16\)|\(fp16\)", "PRECISION"),
    (r"─+", "─"),
    (r"\s+", " "),
)
"""What is another each time, or on another machine; and how wide tables are by it."""


class Terminal:
    """A shell that is typed into; each line's output goes to one file, errors too."""

    def __init__(self, folder: Path, name: str) -> None:
        kept = {name: value for name, value in os.environ.items() if name[:7] != "WORKER_"}
        self._log = folder / f"{name}.log"
        self._typed = 0
        with self._log.open("w") as output:
            self._shell = subprocess.Popen(
                ["bash"],
                cwd=folder,
                # It is no terminal, but says what one would.
                env={**kept, "COLUMNS": "120", "WORKER_LOG_FORMAT": "console"},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    @property
    def seen(self) -> str:
        """All that it shows."""
        return self._log.read_text("utf-8")

    def start(self, script: str) -> None:
        """Types something that goes on."""
        assert self._shell.stdin is not None
        self._shell.stdin.write(f"{script}\n")
        self._shell.stdin.flush()

    def run(self, script: str) -> str:
        """Types something, and waits until it is done: its output."""
        self._typed += 1
        before = len(self.seen)
        self.start(f"{script}\necho done {self._typed} $?")
        done = re.compile(rf"^done {self._typed} (\d+)\n", re.M)
        deadline = time.monotonic() + 120
        while (found := done.search(self.seen)) is None:
            assert time.monotonic() < deadline, self.seen[before:]
            time.sleep(0.05)
        output = self.seen[before : found.start()]
        assert found[1] == "0", f"{script}\n{output}"
        return output

    def kill(self) -> None:
        """SIGKILL to what runs in it, the shell included."""
        if self._shell.poll() is None:
            os.killpg(self._shell.pid, 9)
        self._shell.communicate()


def wait(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.05)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[[str], Terminal]]:
    """Opens a terminal in a folder whose `.venv` is the one that the tests run in."""
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    opened: list[Terminal] = []

    def open_one(name: str) -> Terminal:
        opened.append(Terminal(tmp_path, name))
        return opened[-1]

    yield open_one
    for one in reversed(opened):
        one.kill()


def _commands(page: str) -> list[Block]:
    return [block for block in blocks(ROOT / page) if block.language in {"sh", ""}]


def _even(text: str) -> list[str]:
    """The lines without what varies; those from a `...` on are left out."""
    lines = text.rstrip().splitlines()
    lines = lines[: lines.index("...")] if "..." in lines else lines
    for pattern, name in _VARIES:
        lines = [re.sub(pattern, name, line).strip() for line in lines]
    return [line for line in lines if line]


def _services(terminal: Terminal, block: Block) -> None:
    """Starts the services, on ports that are free."""
    command, pipe, rest = block.text.partition("|")
    assert command.rstrip().endswith("emotion-worker services")
    terminal.start(f"{command.rstrip()} --kafka-port 0 --postgres-port 0 {pipe}{rest}")
    wait(lambda: "Ready." in terminal.seen and "WORKER_DATABASE_URL=" in terminal.seen)


def test_the_tutorial_prints_what_it_says(terminal: Callable[[str], Terminal]) -> None:
    page = _commands("docs/tutorial/first-posts.md")
    place = {block.text.splitlines()[-1].split(" > ")[0]: n for n, block in enumerate(page)}
    told = [
        (block, page[number + 1].text if page[number + 1 : number + 2] else "")
        for number, block in enumerate(page)
        if block.language == "sh"
    ]
    assert len(place) > 10
    demo, activate, services, migrate, publish, check, work, *read = told
    assert demo[0].text == "make demo\n"
    first, second = terminal("first"), terminal("second")
    first.run(activate[0].text)
    _services(first, services[0])
    # Two of the lines go through `tee`, one does not.
    assert sorted(_even(first.seen)[-3:]) == sorted(_even(services[1]))
    for block, output in (migrate, publish, check):
        assert _even(second.run(block.text)) == _even(output)
    worker = terminal("third")
    worker.start(work[0].text)
    wait(lambda: worker.seen.count(" reading (") == 6)
    assert _even(worker.seen)[0] == _even(work[1])[0]

    def says(script: str, output: str) -> None:
        """Asks until it is said: the worker has its own pace."""
        seen: list[list[str]] = []

        def it_is_said() -> bool:
            seen.append(_even(second.run(script))[: len(_even(output))])
            return seen[-1] == _even(output)

        try:
            wait(it_is_said)
        except AssertionError:
            assert seen[-1] == _even(output), script

    trends, python, more, verify, again = read
    for block, output in (trends, python):
        says(block.text, output)
    for block, output in (more, verify, again):
        if block is again[0]:
            worker.kill()
            worker = terminal("fourth")
            worker.start(work[0].text)
        *before, last = block.text.splitlines()
        printed = _even(second.run("\n".join(before) or ":"))
        assert printed == _even(output)[: len(printed)]
        says(last, "\n".join(output.strip().splitlines()[len(printed) :]))


def test_the_readme_s_example_works(terminal: Callable[[str], Terminal]) -> None:
    (demo, services, example) = _commands("README.md")
    assert demo.text.startswith("make demo ")
    first, second = terminal("first"), terminal("second")
    first.start("set -e")
    _services(first, services)
    printed = second.run(f"set -e\n{example.text}")
    assert "published 3 posts" in printed
    assert re.search(r"^forum +2 ", printed, re.M)
    assert re.search(r"^photos +1 ", printed, re.M)
