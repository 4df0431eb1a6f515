"""docs/reference/trainer.md has every field with its default and the words of its docstring."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from trainer import recipe
from trainer.emoji import emoji_names
from trainer.perturb import SUITE
from trainer.readers import SUFFIXES

if TYPE_CHECKING:
    from pydantic import BaseModel

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "trainer.md").read_text("utf-8")
FIELDS = [
    (form, name)
    for form in (recipe.Recipe, recipe.Source, recipe.Augment)
    for name in form.model_fields
]


def _shown(default: Any) -> str:
    match default:
        case None | recipe.Augment():
            return "none"
        case bool():
            return f"`{str(default).lower()}`"
        case dict() | tuple():
            return f"`{json.dumps(default)}`" if default else "empty"
        case str():
            return f'`"{default}"`'
        case float():
            return f"`{default:g}`"
        case _:
            return f"`{default}`"


@pytest.mark.parametrize(("form", "name"), FIELDS)
def test_a_field_is_in_the_page(form: type[BaseModel], name: str) -> None:
    field = form.model_fields[name]
    default = "required" if field.is_required() else _shown(field.get_default())
    words = " ".join((field.description or "").split())
    assert f"| `{name}` | {default} | {words} |" in PAGE


def test_recipes_formats_and_counts_are_in_the_page() -> None:
    for name in recipe.builtin_names():
        assert f"| `{name}` | " in PAGE
    for suffix in SUFFIXES:
        assert f"| `{suffix}` | " in PAGE
    assert f"{len(emoji_names()):,} emoji" in PAGE
    assert len(SUITE) == 12
