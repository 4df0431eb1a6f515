"""Options that several commands have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trainer import data as datasets
from trainer import recipe as recipes
from trainer import sources
from worker.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainer.data import Split

COLUMNS: Final = ("text", "label", "lang")
"""What `--map` can name."""


def pairs(option: str, values: Sequence[str], *, known: Sequence[str] = ()) -> dict[str, str]:
    """Reads each value as `left=right`.

    Args:
        option: Its name, for messages.
        values: As given.
        known: What may stand on the left; empty for anything.

    Raises:
        SettingsError: A value is not of that form.
    """
    found = {}
    for value in values:
        left, equals, right = value.partition("=")
        if not equals or not left or not right:
            raise SettingsError(f"{option} {value}: give it as {option} NAME=VALUE")
        if known and left not in known:
            raise SettingsError(f"{option} {value}: {left} is none of {', '.join(known)}")
        found[left] = right
    return found


def split_of(
    data: str,
    split: str,
    *,
    columns: Sequence[str],
    labels: Sequence[str],
    source: str | None,
) -> Split:
    """Loads the split that is to be measured; of a single file, all of it.

    Posts that are `neutral` are kept: they are counted apart.

    Args:
        data: A folder, a file or a hub id.
        split: Its name.
        columns: `--map` options.
        labels: `--label` options.
        source: `RECIPE:NAME`, whose reading of a data set is taken instead of those two.

    Raises:
        SettingsError: An option or the data does not fit.
        DataError: A line does not fit.
        DependencyError: The hub could not be reached.
    """
    if source is None:
        return datasets.load_split(
            data,
            split,
            columns=datasets.Columns(**pairs("--map", columns, known=COLUMNS)),
            labelling=datasets.Labelling(mapping=pairs("--label", labels), neutral=True),
        )
    if columns or labels:
        raise SettingsError("--source: goes without --map and --label; the recipe has its own")
    recipe_name, colon, name = source.rpartition(":")
    if not colon:
        raise SettingsError(f"--source {source}: give it as RECIPE:NAME")
    recipe = recipes.load(recipe_name)
    for one in recipe.sources:
        if one.name == name:
            return sources.load_other(one, data, neutral=recipe.neutral).split(split)
    known = ", ".join(one.name for one in recipe.sources) or "none"
    raise SettingsError(f"--source {source}: recipe {recipe.name} has no such source ({known})")
