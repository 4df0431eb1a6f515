"""Labelled texts: where they come from, their splits, their fingerprint."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from worker.errors import DependencyError, SettingsError, WorkerError
from worker.posts import LABELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

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


class DataError(WorkerError):
    """A data file does not fit; the message names the file and the line."""


@dataclass(frozen=True, slots=True)
class Split:
    """One split's examples.

    Attributes:
        texts: As they stand in the file.
        labels: Indices into `LABELS`, one per text.
    """

    texts: tuple[str, ...]
    labels: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.texts)


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
                    row = json.dumps([name, LABELS[label], text], ensure_ascii=True)
                    digest.update(row.encode("ascii") + b"\n")
        return digest.hexdigest()


def load(source: str) -> Dataset:
    """Loads a data set.

    Args:
        source: A folder with `train`, `val` (or `validation`, `dev`) and `test` as `.txt` of
            `text;label` lines, `.csv` or `.jsonl` with the columns `text` and `label`; one such
            file, which is split 80/10/10 by a hash of the text (equal texts stay together); or a
            hub id, which needs the package `datasets`.

    Raises:
        SettingsError: There is nothing there that could be read.
        DataError: A line does not fit.
        DependencyError: The hub could not be reached, or `datasets` is not installed.
    """
    path = Path(source)
    if path.is_dir():
        return _from_folder(source, path)
    if path.is_file():
        return Dataset(source, _divide(_read(path)))
    if _HUB_ID.fullmatch(source):
        return _from_hub(source)
    raise SettingsError(f"--data {source}: no such file or folder")


def load_split(source: str, name: str) -> Split:
    """Loads the split that is to be measured: of a single file, all of it."""
    path = Path(source)
    return _read(path) if path.is_file() else load(source).split(name)


def _from_folder(source: str, folder: Path) -> Dataset:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        name = _SPLIT_NAMES.get(path.stem)
        if name is None or path.suffix not in _READERS:
            continue
        if name in found:
            raise SettingsError(
                f"--data {source}: both {found[name].name} and {path.name} are {name}"
            )
        found[name] = path
    if not found:
        raise SettingsError(
            f"--data {source}: no train, val or test file in this folder "
            f"(endings: {', '.join(_READERS)})"
        )
    return Dataset(source, {name: _read(found[name]) for name in SPLITS if name in found})


def _read(path: Path) -> Split:
    reader = _READERS.get(path.suffix)
    if reader is None:
        raise SettingsError(f"{path}: ends in none of {', '.join(_READERS)}")
    texts, labels = [], []
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            for number, text, label in reader(path, lines):
                if not isinstance(text, str) or not text.strip():
                    raise DataError(f"{path}, line {number}: no text")
                texts.append(text)
                labels.append(_label(label, f"{path}, line {number}"))
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 (byte {error.start})") from error
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    if not texts:
        raise DataError(f"{path}: no examples in this file")
    return Split(tuple(texts), tuple(labels))


def _label(value: object, where: str) -> int:
    name = str(value).strip()
    if name in LABELS:
        return LABELS.index(name)
    if name.isascii() and name.isdigit() and int(name) < len(LABELS):
        return int(name)
    raise DataError(
        f"{where}: unknown label {name[:40]!r}; the labels are {', '.join(LABELS)} "
        f"(or 0 to {len(LABELS) - 1})"
    )


def _read_txt(path: Path, lines: Any) -> Iterator[tuple[int, object, object]]:  # noqa: ANN401
    for number, line in enumerate(lines, start=1):
        row = line.rstrip("\r\n")
        if not row.strip():
            continue
        text, semicolon, label = row.rpartition(";")
        if not semicolon:
            raise DataError(f"{path}, line {number}: no semicolon; a line is text;label")
        yield number, text, label


def _read_csv(path: Path, lines: Any) -> Iterator[tuple[int, object, object]]:  # noqa: ANN401
    reader = csv.DictReader(lines, strict=True)
    try:
        columns = reader.fieldnames or []
        if missing := {"text", "label"} - set(columns):
            raise DataError(
                f"{path}, line 1: no column {' and '.join(sorted(missing))} "
                f"(the columns are: {', '.join(columns) or 'none'})"
            )
        for row in reader:
            if row["label"] is None or None in row:
                raise DataError(f"{path}, line {reader.line_num}: {len(columns)} columns expected")
            yield reader.line_num, row["text"], row["label"]
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from error


def _read_jsonl(path: Path, lines: Any) -> Iterator[tuple[int, object, object]]:  # noqa: ANN401
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}, line {number}: not JSON: {error}") from error
        if not isinstance(row, dict) or not {"text", "label"} <= row.keys():
            raise DataError(f"{path}, line {number}: no object with text and label")
        yield number, row["text"], row["label"]


_READERS: Final[Mapping[str, Callable[[Path, Any], Iterator[tuple[int, object, object]]]]] = {
    ".txt": _read_txt,
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
}


def _divide(split: Split) -> dict[str, Split]:
    parts: dict[str, list[int]] = {name: [] for name in SPLITS}
    for index, text in enumerate(split.texts):
        bucket = int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "big") % 1000
        held_out = bucket // _HELD_OUT_PER_MILLE
        parts[("test", "val")[held_out] if held_out < 2 else "train"].append(index)
    return {
        name: Split(tuple(split.texts[i] for i in indices), tuple(split.labels[i] for i in indices))
        for name, indices in parts.items()
        if indices
    }


def _from_hub(source: str) -> Dataset:
    advice = "give a folder with train.txt, val.txt and test.txt instead: --data FOLDER"
    try:
        hub = import_module("datasets")
    except ImportError as error:
        raise DependencyError(
            f"--data {source}: no such file or folder, and reading it from the Hugging Face hub "
            f"needs the package datasets (pip install datasets); or {advice}"
        ) from error
    try:
        loaded = hub.load_dataset(source)
    except Exception as error:
        raise DependencyError(
            f"--data {source}: not to be had from the Hugging Face hub "
            f"({type(error).__name__}); {advice}"
        ) from error
    splits: dict[str, Split] = {}
    for hub_name, rows in loaded.items():
        name = _SPLIT_NAMES.get(hub_name)
        if name is None:
            continue
        if missing := {"text", "label"} - set(rows.column_names):
            raise DataError(f"{source}, {hub_name}: no column {' and '.join(sorted(missing))}")
        labels = [
            _label(label, f"{source}, {hub_name}, row {row}")
            for row, label in enumerate(rows["label"])
        ]
        splits[name] = Split(tuple(rows["text"]), tuple(labels))
    return Dataset(source, {name: splits[name] for name in SPLITS if name in splits})
