"""A post's fields: as a table, and as JSON Schema."""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic import TypeAdapter

from docs.generate.markdown import table
from worker.posts.decode import (
    MAX_AUTHOR_ID_CHARS,
    MAX_ID_CHARS,
    MAX_PLATFORM_CHARS,
    MAX_TEXT_CHARS,
)
from worker.posts.languages import MAX_LANG_CHARS
from worker.posts.wire import Message

REQUIRED: Final = ("id", "text", "created_at")
_ABOUT: Final = (
    "The value of a Kafka record. docs/reference/post.md has what a schema does not say: a time "
    "lies between the year 2000 and an hour after the record's own timestamp, and has a zone; a "
    "language is a well-formed BCP 47 tag; NUL characters don't count. A null counts as absent."
)
_2000: Final = 946_684_800
_LIMITS: Final[dict[str, dict[str, Any]]] = {
    "id": {"minLength": 1, "maxLength": MAX_ID_CHARS},
    "text": {"maxLength": MAX_TEXT_CHARS},
    "created_at": {"format": "date-time", "minimum": _2000},
    "platform": {"minLength": 1, "maxLength": MAX_PLATFORM_CHARS, "pattern": "^[^:]+$"},
    "lang": {"maxLength": MAX_LANG_CHARS},
    "author_id": {"maxLength": MAX_AUTHOR_ID_CHARS},
    "edited_at": {"format": "date-time", "minimum": _2000},
}
"""What the worker checks itself, for a sentence of its own about each."""


def schema() -> dict[str, Any]:
    """What a record's value must be to be a post, or the withdrawal of one (draft 2020-12)."""
    fields: dict[str, Any] = TypeAdapter(Message).json_schema()["properties"]
    for name, field in fields.items():
        del field["title"]
        kinds = [one for one in field.pop("anyOf") if one["type"] != "null" or name not in REQUIRED]
        if all(one.keys() == {"type"} for one in kinds):
            named = [one["type"] for one in kinds if one["type"] != "integer" or len(kinds) == 1]
            field["type"] = named[0] if len(named) == 1 else named
        else:
            field["anyOf"] = kinds
        field.update(_LIMITS.get(name, {}))
    identity = {"id": fields["id"], "platform": fields["platform"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A post",
        "description": _ABOUT,
        "type": "object",
        "if": {"properties": {"deleted": {"const": True}}, "required": ["deleted"]},
        "then": {
            "description": "A withdrawal: its other fields are not looked at.",
            "properties": identity,
            "required": ["id"],
        },
        "else": {"properties": fields, "required": [*REQUIRED]},
    }


def json_schema() -> str:
    """The same as a file."""
    return json.dumps(schema(), indent=2) + "\n"


def table_of_fields() -> str:
    """A row for each field: its type, whether it must be there, and what it is."""
    return table(
        ("field", "type", ""),
        [
            (f"`{name}`", _type(field), _words(name, field["description"]))
            for name, field in schema()["else"]["properties"].items()
        ],
    )


def _type(field: dict[str, Any]) -> str:
    if field.get("format") == "date-time":
        return "[time](#times)"
    if "anyOf" in field:
        return "list of strings"
    if "boolean" in field["type"]:
        return "`true` or `false`"
    least, most = field.get("minLength"), field["maxLength"]
    return (
        f"string, {least} to {most} characters" if least else f"string, up to {most:,} characters"
    )


def _words(name: str, description: str) -> str:
    return f"Required. {description}" if name in REQUIRED else description
