"""The repository's pages in Markdown, parsed as GitHub reads them (CommonMark with tables)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markdown_it.token import Token

ROOT: Final = Path(__file__).parents[3]
_PARSER: Final = MarkdownIt("commonmark", {"html": True}).enable("table")
_FRONT_MATTER: Final = re.compile(r"\A---\n.*?\n---\n", re.S)
_SHOWN: Final = re.compile(r"<!-- shown: (.+?) -->\s*\Z")
_FOLDERS: Final = ("docs", "worker", "trainer", "deploy", "benchmarks", "migrations", ".github")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: The page, relative to the repository.
        line: Where its fence opens, from 1.
        language: What stands after the fence, or nothing.
        text: What is in it.
        shown: Why it is only shown, as the comment before it says; None where there is none.
        follows: The language of the fenced block right before it, with nothing between; else None.
    """

    page: str
    line: int
    language: str
    text: str
    shown: str | None
    follows: str | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@cache
def pages() -> tuple[Path, ...]:
    """All pages, those of a bundle too."""
    below = [page for folder in _FOLDERS for page in (ROOT / folder).rglob("*.md")]
    return (*sorted(ROOT.glob("*.md")), *sorted(below))


@cache
def _tokens(page: Path) -> tuple[Token, ...]:
    text = _FRONT_MATTER.sub(lambda found: "\n" * found[0].count("\n"), page.read_text("utf-8"))
    return tuple(_PARSER.parse(text))


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found: list[Block] = []
    before: Token | None = None
    for token in _tokens(page):
        if token.type == "fence":
            assert token.map is not None
            shown = (
                _SHOWN.search(before.content)
                if before is not None and before.type == "html_block"
                else None
            )
            found.append(
                Block(
                    str(page.relative_to(ROOT)),
                    token.map[0] + 1,
                    token.info.strip(),
                    token.content,
                    shown[1] if shown else None,
                    before.info.strip() if before is not None and before.type == "fence" else None,
                )
            )
        before = token
    return found


def links(page: Path) -> Iterator[tuple[int, str]]:
    """What a page links to and the pictures that it shows, each with its paragraph's line."""
    for token in _tokens(page):
        for child in token.children or ():
            if (target := child.attrGet("href") or child.attrGet("src")) is not None:
                yield (token.map or [0])[0] + 1, str(target)


def inline_codes(page: Path) -> Iterator[str]:
    """What stands in backticks."""
    for token in _tokens(page):
        for child in token.children or ():
            if child.type == "code_inline":
                yield " ".join(child.content.split())


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors that GitHub gives a page's headings: a name that comes again gets a number."""
    found: dict[str, int] = {}
    names = set()
    tokens = _tokens(page)
    for head, words in pairwise(tokens):
        if head.type == "heading_open":
            text = "".join(child.content for child in words.children or ())
            name = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            again = found[name] = found.get(name, -1) + 1
            names.add(f"{name}-{again}" if again else name)
    return frozenset(names)
