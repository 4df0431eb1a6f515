"""Labelled texts: where they come from, their splits, their fingerprint."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trainer.hub import WITHOUT, quiet_hub
from trainer.labels import outputs
from trainer.readers import SUFFIXES, Columns, DataError, Row, read
from worker.errors import DependencyError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "SPLITS",
    "Columns",
    "DataError",
    "Dataset",
    "Labelling",
    "Split",
    "load",
    "load_split",
]

SPLITS: Final = ("train", "val", "test")
_SPLIT_NAMES: Final = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
}
_HUB_ID: Final = re.compile(r"[\w.-]+/[\w.-]+")
_HELD_OUT_PER_MILLE: Final = 100
_NAMES: Final = outputs(neutral=True)


@dataclass(frozen=True, slots=True)
class Split:
    """One split's examples.

    Attributes:
        texts: As they stand in the file.
        labels: Indices into `trainer.labels.outputs(neutral=True)`, one per text.
        langs: BCP 47 tags, one per text, where the source says any; else empty.
    """

    texts: tuple[str, ...]
    labels: tuple[int, ...]
    langs: tuple[str | None, ...] = ()

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: Iterable[int]) -> Split:
        """The examples at these places, in this order."""
        chosen = list(indices)
        return Split(
            tuple(self.texts[i] for i in chosen),
            tuple(self.labels[i] for i in chosen),
            tuple(self.langs[i] for i in chosen) if self.langs else (),
        )


@dataclass(frozen=True, slots=True)
class Labelling:
    """How a source's own labels become ours.

    Attributes:
        names: What its label numbers stand for; empty: our own labels.
        mapping: Its names to ours; a name that is not in it stands for itself.
        strict: Whether a label that is none of ours is refused, rather than left out.
        several: A post with several labels: `refuse` it, `skip` it, or `merge` its labels where
            they all become the same one (those that are left out don't count).
        neutral: Whether `neutral` is one of our labels here, as the last.
    """

    names: tuple[str, ...] = ()
    mapping: Mapping[str, str] = field(default_factory=dict)
    strict: bool = True
    several: str = "refuse"
    neutral: bool = False

    def index(self, value: object, where: str) -> int | None:
        """The label's index among ours; None leaves the post out.

        Raises:
            DataError: The label is unknown.
        """
        values = list(value) if isinstance(value, list | tuple) else [value]
        if len(values) != 1 and self.several != "merge":
            if self.several == "skip" and values:
                return None
            raise DataError(f"{where}: {len(values)} labels; a post has one")
        found = {index for one in values if (index := self._one(one, where)) is not None}
        return found.pop() if len(found) == 1 else None

    def _one(self, value: object, where: str) -> int | None:
        name = str(value).strip()
        ours = outputs(neutral=self.neutral)
        names = self.names or ours
        if name.isascii() and name.isdigit() and name not in self.mapping:
            number = int(name)
            if number >= len(names):
                self._refuse(name, where)
            name = names[number]
        elif self.names and name not in self.names:
            self._refuse(name, where)
        name = self.mapping.get(name, name)
        if name in ours:
            return ours.index(name)
        if self.strict:
            self._refuse(name, where)
        return None

    def _refuse(self, name: str, where: str) -> None:
        names = self.names or outputs(neutral=self.neutral)
        known = ", ".join(dict.fromkeys((*self.mapping, *names)))
        raise DataError(
            f"{where}: unknown label {name[:40]!r}; the labels are {known} (or 0 to "
            f"{len(names) - 1}); --label OLD=NEW renames one"
        )


@dataclass(frozen=True, slots=True)
class Dataset:
    """Labelled texts by split.

    Attributes:
        source: Where they came from, as given.
        splits: By `SPLITS` name; a source need not have all three.
    """

    source: str
    splits: Mapping[str, Split]

    def split(self, name: str) -> Split:
        """One split.

        Raises:
            SettingsError: The source does not have it.
        """
        if name not in self.splits:
            raise SettingsError(
                f"{self.source} has no {name} split (it has: {', '.join(self.splits)}); a folder "
                f"needs a file named {name}.txt, {name}.csv or {name}.jsonl"
            )
        return self.splits[name]

    def fingerprint(self) -> str:
        """SHA-256 (hex) over split, label and text of every example, in order.

        It does not depend on the file format, on blank lines or on where the files lie.
        """
        digest = hashlib.sha256()
        for name in SPLITS:
            if name in self.splits:
                split = self.splits[name]
                for text, label in zip(split.texts, split.labels, strict=True):
                    row = json.dumps([name, _NAMES[label], text], ensure_ascii=True)
                    digest.update(row.encode("ascii") + b"\n")
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class _Form:
    """How a source is to be read; `held_out` is for `val` and `test`."""

    columns: Columns
    labelling: Labelling
    held_out: Labelling

    def of(self, split: str) -> Labelling:
        return self.labelling if split == "train" else self.held_out


def load(
    source: str,
    *,
    columns: Columns | None = None,
    labelling: Labelling | None = None,
    held_out: Labelling | None = None,
) -> Dataset:
    """Loads a data set.

    Args:
        source: A folder with `train`, `val` (or `validation`, `dev`) and `test` as `.txt` of
            `text;label` lines, `.tsv` of text, tab, labels, or `.csv`, `.jsonl` or `.parquet` with
            columns; one such file, which is split 80/10/10 by a hash of the text (equal texts stay
            together); or a hub id, which needs the package `datasets`.
        columns: What the columns are called.
        labelling: How its labels become ours.
        held_out: The same for `val` and `test`, where it differs.

    Raises:
        SettingsError: There is nothing there that could be read.
        DataError: A line does not fit.
        DependencyError: The hub could not be reached, or a package is not installed.
    """
    usual = labelling or Labelling()
    form = _Form(columns or Columns(), usual, held_out or usual)
    path = Path(source)
    if path.is_dir():
        return _from_folder(source, path, form)
    if path.is_file():
        return Dataset(source, _divide(_read(path, form.columns, form.labelling)))
    if _HUB_ID.fullmatch(source):
        return _from_hub(source, form)
    raise SettingsError(f"--data {source}: no such file or folder")


def load_split(
    source: str,
    name: str,
    *,
    columns: Columns | None = None,
    labelling: Labelling | None = None,
) -> Split:
    """Loads the split that is to be measured: of a single file, all of it."""
    path = Path(source)
    if path.is_file():
        return _read(path, columns or Columns(), labelling or Labelling())
    return load(source, columns=columns, labelling=labelling).split(name)


def _from_folder(source: str, folder: Path, form: _Form) -> Dataset:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        name = _SPLIT_NAMES.get(path.stem)
        if name is None or path.suffix not in SUFFIXES:
            continue
        if name in found:
            raise SettingsError(
                f"--data {source}: both {found[name].name} and {path.name} are {name}"
            )
        found[name] = path
    if not found:
        raise SettingsError(
            f"--data {source}: no train, val or test file in this folder "
            f"(endings: {', '.join(SUFFIXES)})"
        )
    return Dataset(
        source,
        {name: _read(found[name], form.columns, form.of(name)) for name in SPLITS if name in found},
    )


def _read(path: Path, columns: Columns, labelling: Labelling) -> Split:
    return _gather(read(path, columns), labelling, str(path))


def _gather(rows: Iterable[Row], labelling: Labelling, source: str) -> Split:
    texts, labels, langs = [], [], []
    for row in rows:
        if not isinstance(row.text, str) or not row.text.strip():
            raise DataError(f"{row.where}: no text")
        label = labelling.index(row.label, row.where)
        if label is not None:
            texts.append(row.text)
            labels.append(label)
            langs.append(row.lang)
    if not texts:
        raise DataError(f"{source}: no examples in this file")
    return Split(tuple(texts), tuple(labels), tuple(langs) if any(langs) else ())


def _divide(split: Split) -> dict[str, Split]:
    parts: dict[str, list[int]] = {name: [] for name in SPLITS}
    for index, text in enumerate(split.texts):
        bucket = int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "big") % 1000
        held_out = bucket // _HELD_OUT_PER_MILLE
        parts[("test", "val")[held_out] if held_out < 2 else "train"].append(index)
    return {name: split.take(indices) for name, indices in parts.items() if indices}


def _from_hub(source: str, form: _Form) -> Dataset:
    try:
        hub = import_module("datasets")
    except ImportError as error:
        raise DependencyError(
            f"--data {source}: no such file or folder, and reading it from the Hugging Face hub "
            f"needs the package datasets (pip install datasets); {WITHOUT}"
        ) from error
    try:
        with quiet_hub():
            loaded = hub.load_dataset(source)
    except Exception as error:
        raise DependencyError(
            f"--data {source}: not to be had from the Hugging Face hub "
            f"({type(error).__name__}); {WITHOUT}"
        ) from error
    splits: dict[str, Split] = {}
    for hub_name, rows in loaded.items():
        name = _SPLIT_NAMES.get(hub_name)
        if name is None:
            continue
        where = f"{source}, {hub_name}"
        form.columns.check(list(rows.column_names), where)
        found = (
            Row(f"{where}, row {number}", text, label)
            for number, (text, label) in enumerate(
                zip(rows[form.columns.text], rows[form.columns.label], strict=True)
            )
        )
        splits[name] = _gather(found, form.of(name), where)
    return Dataset(source, {name: splits[name] for name in SPLITS if name in splits})
