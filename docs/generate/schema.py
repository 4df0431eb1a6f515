"""The tables, views and functions of the database, with its own comments.

Tables and columns come from `worker.store.schema`, comments, views and functions from the SQL that
`emotion-worker migrate --sql` prints: no database is asked.
"""

from __future__ import annotations

import re
from io import StringIO
from typing import TYPE_CHECKING, Final

from sqlalchemy.dialects.postgresql import dialect

from docs.generate.markdown import table
from worker.store.migrate import upgrade_sql
from worker.store.schema import metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Column, Table

_DIALECT: Final = dialect()  # type: ignore[no-untyped-call]
_COMMENT: Final = re.compile(
    r"^COMMENT ON (?P<kind>TABLE|VIEW|FUNCTION|COLUMN) (?P<name>\w+(?:\.\w+)?)"
    r"(?:\((?P<arguments>[^)]*)\))?\s+IS\s+(?P<words>(?:'(?:[^']|'')*'\s*)+);",
    re.MULTILINE,
)
_PUBLIC_FUNCTIONS: Final = ("emotion_complete_until", "emotion_rolling", "emotion_spikes")


def reference() -> str:
    """A section for each, tables first."""
    comments, signatures = _comments()
    tables = [_table(one, comments) for one in metadata.sorted_tables]
    views = sorted(name for name, kind in _kinds().items() if kind == "VIEW" and name in comments)
    sections = [
        "## Tables\n\n" + "\n".join(tables),
        "## Views\n\n" + "\n".join(_view(name, comments) for name in views),
        "## Functions\n\n"
        + table(
            ("function", ""),
            [(f"`{name}({signatures[name]})`", comments[name]) for name in _PUBLIC_FUNCTIONS],
        ),
    ]
    return "\n".join(sections)


def _sql() -> str:
    printed = StringIO()
    upgrade_sql(printed)
    return printed.getvalue()


def _comments() -> tuple[dict[str, str], dict[str, str]]:
    """The last comment on each `table`, `table.column`, view and function; their arguments."""
    comments: dict[str, str] = {}
    signatures: dict[str, str] = {}
    for found in _COMMENT.finditer(_sql()):
        parts = re.findall(r"'((?:[^']|'')*)'", found["words"])
        comments[found["name"]] = "".join(parts).replace("''", "'")
        if found["arguments"] is not None:
            signatures[found["name"]] = found["arguments"]
    return comments, signatures


def _kinds() -> dict[str, str]:
    return {found["name"]: found["kind"] for found in _COMMENT.finditer(_sql())}


def _table(one: Table, comments: Mapping[str, str]) -> str:
    key = {column.name for column in one.primary_key.columns}
    rows = [
        (
            f"`{column.name}`",
            _type(column),
            _notes(column, key),
            comments.get(f"{one.name}.{column.name}", ""),
        )
        for column in one.columns
    ]
    return f"### {one.name}\n\n{comments.get(one.name, '')}\n\n" + table(
        ("column", "type", "", ""), rows
    )


def _view(name: str, comments: Mapping[str, str]) -> str:
    rows: Iterable[tuple[str, str]] = (
        (f"`{column.removeprefix(f'{name}.')}`", words)
        for column, words in comments.items()
        if column.startswith(f"{name}.")
    )
    return f"### {name}\n\n{comments[name]}\n\n" + table(("column", ""), rows)


def _type(column: Column[object]) -> str:
    named = column.type.compile(dialect=_DIALECT).lower()
    return named.replace("timestamp with time zone", "timestamptz").replace(' collate "c"', "")


def _notes(column: Column[object], key: set[str]) -> str:
    if column.name in key:
        return "key"
    return "null" if column.nullable else ""
