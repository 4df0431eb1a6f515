"""The pages with generated parts: between `<!-- generated: NAME -->` and `<!-- end -->`.

The words around them are written by hand; those between come from the code, and are overwritten.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from docs.generate import commands, model, post, schema, settings
from worker import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT: Final = Path(__file__).parents[2]
POST_SCHEMA: Final = ROOT / "docs" / "reference" / "post.schema.json"
PARTS: Final[Mapping[str, Callable[[], str]]] = {
    "commands": commands.listing,
    "options": commands.options,
    "metrics": metrics.reference_table,
    "model": model.figures,
    "model in short": model.in_short,
    "model limitations": model.limitations,
    "post": post.table_of_fields,
    "schema": schema.reference,
    **{f"settings {name}": table for name, table in settings.TABLES.items()},
}
"""What is made, by the name that the pages have for it; each ends with a line's end."""

_PART: Final = re.compile(
    r"(?P<head>^<!-- generated: (?P<name>[a-z ]+) -->\n).*?(?P<foot>^<!-- end -->$)", re.M | re.S
)


def names(page: str) -> list[str]:
    """The generated parts of a page, in order."""
    return [found["name"] for found in _PART.finditer(page)]


def renewed(page: str) -> str:
    """The page with its generated parts as the code has them now.

    Raises:
        KeyError: It names a part that there is not.
    """
    return _PART.sub(
        lambda found: f"{found['head']}\n{PARTS[found['name']]()}\n{found['foot']}", page
    )


def stale() -> Iterator[tuple[Path, str]]:
    """The files that are behind the code, each with what should be in it."""
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = path.read_text("utf-8")
        if (now := renewed(text)) != text:
            yield path, now
    schema_now = post.json_schema()
    if not POST_SCHEMA.exists() or POST_SCHEMA.read_text("utf-8") != schema_now:
        yield POST_SCHEMA, schema_now
