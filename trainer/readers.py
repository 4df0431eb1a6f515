"""Files of labelled texts: each format to rows that know the line they came from."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from worker.errors import DependencyError, SettingsError, WorkerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path


class DataError(WorkerError):
    """A data file does not fit; the message names the file and the line."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns of `.csv`, `.jsonl`, `.parquet` and hub data.

    Attributes:
        text: The post.
        label: Its label, or its labels.
        lang: Its language (BCP 47), for slices; a source need not have it.
    """

    text: str = "text"
    label: str = "label"
    lang: str = "lang"

    def check(self, present: list[str], where: str) -> None:
        """Refuses a source that lacks the text or the label.

        Raises:
            DataError: It does; the message names what is missing and what there is.
        """
        missing = [name for name in (self.text, self.label) if name not in present]
        if missing:
            raise DataError(
                f"{where}: no column {' and '.join(missing)} (the columns are: "
                f"{', '.join(present) or 'none'}); --map text=COLUMN and --map label=COLUMN name "
                "other columns"
            )


@dataclass(frozen=True, slots=True)
class Row:
    """One example as its file has it.

    Attributes:
        where: File and line, for messages.
        text: The post.
        label: A name, a number, or a list of either.
        lang: BCP 47 tag, or None.
    """

    where: str
    text: object
    label: object
    lang: str | None = field(default=None)


def read(path: Path, columns: Columns) -> Iterator[Row]:
    """Reads a file by its ending.

    Raises:
        SettingsError: The ending is unknown, or the file cannot be read.
        DataError: A line does not fit.
        DependencyError: Parquet without `pyarrow`.
    """
    if path.suffix == ".parquet":
        yield from _read_parquet(path, columns)
        return
    reader = _TEXT_READERS.get(path.suffix)
    if reader is None:
        raise SettingsError(f"{path}: ends in none of {', '.join(SUFFIXES)}")
    try:
        # utf-8-sig: spreadsheets put a byte order mark before the first column's name.
        with path.open(encoding="utf-8-sig", newline="") as lines:
            yield from reader(path, lines, columns)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}, line {_line_of_bad_byte(path)}: not UTF-8; save the file as UTF-8"
        ) from error
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error


def _line_of_bad_byte(path: Path) -> int:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return 1


def _read_txt(path: Path, lines: Any, columns: Columns) -> Iterator[Row]:  # noqa: ANN401, ARG001
    for number, line in enumerate(lines, start=1):
        row = line.rstrip("\r\n")
        if not row.strip():
            continue
        where = f"{path}, line {number}"
        text, semicolon, label = row.rpartition(";")
        if not semicolon:
            raise DataError(f"{where}: no semicolon; a line is text;label")
        yield Row(where, text, label)


def _read_tsv(path: Path, lines: Any, columns: Columns) -> Iterator[Row]:  # noqa: ANN401, ARG001
    for number, line in enumerate(lines, start=1):
        row = line.rstrip("\r\n")
        if not row.strip():
            continue
        where = f"{path}, line {number}"
        cells = row.split("\t")
        if len(cells) < 2:
            raise DataError(f"{where}: no tab; a line is text, tab, label (or labels: 2,5)")
        yield Row(where, cells[0], [part for part in cells[1].split(",") if part.strip()])


def _read_csv(path: Path, lines: Any, columns: Columns) -> Iterator[Row]:  # noqa: ANN401
    reader = csv.DictReader(lines, strict=True)
    try:
        names = list(reader.fieldnames or [])
        columns.check(names, f"{path}, line 1")
        last = names[-1]
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            if row[last] is None or None in row:
                raise DataError(f"{where}: {len(names)} columns expected")
            yield Row(where, row[columns.text], row[columns.label], row.get(columns.lang) or None)
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.reader.line_num}: {error}") from error


def _read_jsonl(path: Path, lines: Any, columns: Columns) -> Iterator[Row]:  # noqa: ANN401
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{where}: not JSON: {error}") from error
        if (
            not isinstance(row, dict)
            or not {
                columns.text,
                columns.label,
            }
            <= row.keys()
        ):
            raise DataError(f"{where}: no object with {columns.text} and {columns.label}")
        lang = row.get(columns.lang)
        yield Row(where, row[columns.text], row[columns.label], str(lang) if lang else None)


def _read_parquet(path: Path, columns: Columns) -> Iterator[Row]:
    try:
        arrow = import_module("pyarrow")
        parquet = import_module("pyarrow.parquet")
    except ImportError as error:
        raise DependencyError(
            f"{path}: Parquet needs the package pyarrow: pip install 'emotion-stream[trainer]'"
        ) from error
    try:
        with parquet.ParquetFile(path) as file:
            names = list(file.schema_arrow.names)
            columns.check(names, f"{path}, schema")
            wanted = [name for name in (columns.text, columns.label, columns.lang) if name in names]
            table = file.read(columns=wanted)
    except arrow.ArrowException as error:
        raise DataError(f"{path}: no whole Parquet file: {str(error).splitlines()[0]}") from error
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror or error}") from error
    for number, row in enumerate(table.to_pylist(), start=1):
        yield Row(
            f"{path}, row {number}", row[columns.text], row[columns.label], row.get(columns.lang)
        )


_TEXT_READERS: Final[Mapping[str, Callable[[Path, Any, Columns], Iterator[Row]]]] = {
    ".txt": _read_txt,
    ".tsv": _read_tsv,
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
}
SUFFIXES: Final = (*_TEXT_READERS, ".parquet")
"""Endings of the files that can be read."""
