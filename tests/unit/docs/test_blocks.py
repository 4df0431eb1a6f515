"""Every block of code of every page is run, checked, or says why it is only shown.

By what stands after the fence:

| | |
|---|---|
| `sh` | the commands, options, settings, make targets and files that it names are there |
| `console` | so for the lines after `$ `; the others are output |
| `sql`, `python` | a test runs the page that it is on: `RUN` |
| `promql` | it asks for metrics and labels that there are |
| `yaml`, `json`, `toml` | it parses |
| nothing | it is the output of the block right before it |

Any other block, and any that this does not fit, has `<!-- shown: why -->` on the line before it.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from tests.integration.docs.examples import pages as run_pages
from tests.unit.deploy.promql import labels_of
from tests.unit.docs import shell
from tests.unit.docs.markdown import ROOT, Block, blocks, inline_codes, pages
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

BLOCKS: Final = [block for page in pages() for block in blocks(page)]
RUN: Final = {
    *(str(page.relative_to(ROOT)) for page in run_pages()),
    "docs/how-to/write-a-format.md",  # test_format_page.py
}
WITH_OUTPUT: Final = {"sh", "sql", "python"}


class UncheckedError(Exception):
    """A block that nothing checks."""


def _runs(block: Block) -> None:
    if block.page not in RUN:
        raise UncheckedError("its page is none of tests.integration.docs.examples.pages()")


def _promql(block: Block) -> None:
    queries = re.sub(r"^#.*\n", "", block.text, flags=re.M)
    for query in re.split(r"\n(?! )", queries.strip()):
        labels_of(query)


def _output(block: Block) -> None:
    if block.follows not in WITH_OUTPUT:
        raise UncheckedError("it follows no block whose output it could be")


CHECKS: Final[Mapping[str, Callable[[Block], Any]]] = {
    "sh": lambda block: shell.check(block.text),
    "console": lambda block: shell.check(shell.typed(block.text)),
    "sql": _runs,
    "python": _runs,
    "promql": _promql,
    "yaml": lambda block: [*yaml.safe_load_all(block.text)],
    "json": lambda block: json.loads(block.text),
    "toml": lambda block: tomllib.loads(block.text),
    "": _output,
}


def check(block: Block) -> None:
    """Checks a block by its language, unless it says why it is only shown."""
    if block.shown is not None:
        return
    if block.language not in CHECKS:
        raise UncheckedError(f"nothing checks {block.language}")
    CHECKS[block.language](block)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_is_run_or_checked(block: Block) -> None:
    check(block)


def test_few_blocks_are_only_shown() -> None:
    shown = [block for block in BLOCKS if block.shown is not None]
    assert len(BLOCKS) > 100
    assert len(shown) < len(BLOCKS) / 5
    assert all(len(block.shown or "") > 8 for block in shown)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_what_stands_in_backticks_is_there(page: Path) -> None:
    for code in inline_codes(page):
        # `replays promote|discard NAME`, `emotion-worker ...` and the like are no command lines.
        if code.startswith(("emotion-worker ", "emotion-trainer ")) and "..." not in code:
            (words,) = shell.lines(code)
            shell.check_ours(words[0], words[1:], whole=False)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_settings_that_a_page_names_are_there(page: Path) -> None:
    if page.name == "CHANGELOG.md":
        return  # it may name those that are gone
    for name in re.findall(r"\bWORKER_[A-Z][A-Z_]*[A-Z]\b", page.read_text("utf-8")):
        known = name.removeprefix("WORKER_").lower() in Settings.model_fields
        assert known or name in shell.OTHER_SETTINGS, name


@pytest.mark.parametrize(
    "script",
    [
        "emotion-worker rum",
        "emotion-worker run --drian",
        "emotion-worker replays promot x",
        "emotion-worker trends --by nothing",
        "WORKER_TOPIC=posts emotion-worker run",
        "export A=1 WORKER_DATABASE=x",
        "make demos",
        "cat posts.jsonl | emotion-worker publish - --topics posts",
        "docker compose exec workers emotion-worker offsets",
        "docker compose run --rm worker publich -",
        "kubectl apply -k deploy/kubernetes/overlays/none",
        "python -m tests.nothing",
        "frobnicate",
        "if true",
    ],
)
def test_a_command_line_that_is_wrong_is_found(script: str) -> None:
    with pytest.raises(shell.WrongCommandError):
        shell.check(script)


def test_what_goes_into_a_file_is_no_command() -> None:
    script = "cat > posts.jsonl <<'END'\n{\"id\": 1}\nEND\nmake demo  # all of it\n"
    assert [*shell.lines(script)] == [["cat"], ["make", "demo"]]


def test_a_console_block_is_its_prompts() -> None:
    assert (
        shell.typed("$ make \\\n    demo\ndone\n$ make test\n") == "make \\\n    demo\nmake test\n"
    )


@pytest.mark.parametrize(
    "page",
    [
        "```sql\nSELECT 1;\n```\n",
        "```\nwhat is this?\n```\n",
        "```rust\n1\n```\n",
        "```sh\nmake demo\n```\n\nThen:\n\n```\noutput\n```\n",
    ],
)
def test_a_block_that_nothing_checks_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    monkeypatch.setattr("tests.unit.docs.markdown.ROOT", tmp_path)
    place = tmp_path / "page.md"
    place.write_text(page)
    with pytest.raises(UncheckedError):
        check(blocks(place)[-1])
    shown = tmp_path / "shown.md"
    start = page.rindex("```", 0, page.rindex("```"))
    shown.write_text(f"{page[:start]}<!-- shown: a reason -->\n{page[start:]}")
    check(blocks(shown)[-1])
