"""The examples of the pages: run on `tests.fakes.week`, and what they print.

A block of SQL or Python that is followed by a plain block is an example: that block is what it
prints. To write the outputs of all pages anew, after a page or the stream has changed:

    python -m tests.integration.docs.examples
"""

from __future__ import annotations

import io
import os
import re
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGES: Final = Path(__file__).parents[3] / "docs"
_BLOCK: Final = re.compile(
    r"^```(?P<language>sql|python)\n(?P<code>.*?)^```\n(?P<gap>\n?)(?:^```\n(?P<output>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)
_NUMBERS: Final = {"int2", "int4", "int8", "float4", "float8", "numeric"}


@dataclass(frozen=True, slots=True)
class Example:
    """A block of code of a page.

    Attributes:
        page: The page.
        line: Where the block begins, from 1.
        language: `sql` or `python`.
        code: What is run.
        output: What the page says that it prints; None where it says nothing.
        span: Where code and output lie in the page.
    """

    page: Path
    line: int
    language: str
    code: str
    output: str | None
    span: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.page.relative_to(PAGES)}:{self.line}"


def examples(page: Path) -> list[Example]:
    """The blocks of a page, in order."""
    text = page.read_text("utf-8")
    return [
        Example(
            page,
            text.count("\n", 0, found.start()) + 1,
            found["language"],
            found["code"],
            found["output"],
            found.span(),
        )
        for found in _BLOCK.finditer(text)
    ]


def pages() -> list[Path]:
    """The pages that ask the database, in order."""
    how_to, reference = PAGES / "how-to", PAGES / "reference"
    return [
        *sorted(how_to.glob("trends-*.md")),
        how_to / "monitor.md",
        how_to / "runbook.md",
        reference / "tables.md",
        reference / "trends-sql.md",
    ]


def run(example: Example, url: str) -> str:
    """What the code prints, as a reader would see it, without spaces at the ends of lines.

    Statements change nothing: they are rolled back.
    """
    printed = _query(example.code, url) if example.language == "sql" else _script(example.code, url)
    return "".join(f"{line.rstrip()}\n" for line in printed.splitlines())


def _query(statement: str, url: str) -> str:
    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement.encode())
        if cursor.description is None:
            return f"{cursor.statusmessage}\n"
        result = cursor.pgresult
        assert result is not None
        names = [column.name for column in cursor.description]
        kinds = [connection.adapters.types.get(column.type_code) for column in cursor.description]
        rows = [
            [(result.get_value(row, column) or b"").decode() for column in range(len(names))]
            for row in range(result.ntuples)
        ]
        connection.rollback()
    right = [kind is not None and kind.name in _NUMBERS for kind in kinds]
    return table(names, rows, right)


def table(names: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """Rows as psql shows them; `right` columns are numbers."""
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    lines = [
        " | ".join(
            f"{' ' * ((width - len(name)) // 2)}{name}".ljust(width)
            for name, width in zip(names, widths, strict=True)
        ),
        "-+-".join("-" * width for width in widths),
    ]
    lines += [
        " | ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, right, strict=True)
        )
        for row in rows
    ]
    shown = [f" {line}" if place != 1 else f"-{line}-" for place, line in enumerate(lines)]
    count = f"({len(rows)} row{'' if len(rows) == 1 else 's'})"
    return "\n".join([*shown, count]) + "\n"


def _script(code: str, url: str) -> str:
    printed = io.StringIO()
    before = os.environ.get("WORKER_DATABASE_URL")
    os.environ["WORKER_DATABASE_URL"] = url
    names: dict[str, Any] = {"__name__": "example"}
    try:
        with redirect_stdout(printed):
            exec(compile(code, "example", "exec"), names)  # our own pages
    finally:
        if "engine" in names:
            names["engine"].dispose()  # a notebook's stays open as long as it is used
        if before is None:
            del os.environ["WORKER_DATABASE_URL"]
        else:
            os.environ["WORKER_DATABASE_URL"] = before
    return printed.getvalue()


def rewritten(page: Path, url: str) -> str:
    """The page with the outputs that its examples have now."""
    text = page.read_text("utf-8")
    for example in reversed(examples(page)):
        if example.output is not None:
            start, end = example.span
            block = f"```{example.language}\n{example.code}```\n\n```\n{run(example, url)}```\n"
            text = text[:start] + block + text[end:]
    return text


def main() -> None:
    from tests.integration.conftest import make_week  # noqa: PLC0415
    from worker.local.postgres import EmbeddedPostgres  # noqa: PLC0415
    from worker.store.migrate import upgrade  # noqa: PLC0415

    with EmbeddedPostgres(durable=False) as server:
        upgrade(server.url)
        make_week(server.url)
        for page in pages():
            text = rewritten(page, server.url)
            if text != page.read_text("utf-8"):
                page.write_text(text, "utf-8")
                sys.stdout.write(f"{page}: written\n")


if __name__ == "__main__":
    main()
