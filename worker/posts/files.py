"""Rows of files: JSON lines and CSV, gzipped or not."""

from __future__ import annotations

import csv
import gzip
import io
import sys
import zlib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final, TextIO, cast

from worker.errors import SettingsError, WorkerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

STDIN: Final = "-"
"""The file name that means JSON lines from standard input."""
_JSON_LINES: Final = frozenset({".jsonl", ".ndjson"})
_MAX_CELL_CHARS: Final = 16 * 1024 * 1024


class RowError(WorkerError):
    """A row of a file is no post; the message begins with the file and the line."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file.

    Attributes:
        place: File and line, for messages: `tweets.csv:17`.
        line: The raw line, of JSON lines.
        cells: Cells by column, of CSV.
    """

    place: str
    line: bytes | None = None
    cells: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """An open file of rows.

    Attributes:
        columns: The columns, of CSV; None of JSON lines.
        rows: The rows to come. Iterating raises `RowError` where one cannot be read; it can go on
            after that.
        position: Bytes of the file read so far.
    """

    columns: tuple[str, ...] | None
    rows: Iterator[Row | RowError]
    position: Callable[[], int]


@contextmanager
def open_rows(path: Path) -> Iterator[Rows]:
    """Opens a file by its extension: `.jsonl`, `.ndjson` or `.csv`, and `.gz` after it.

    Raises:
        SettingsError: Its extension is none of these, it cannot be read (also while iterating),
            or a CSV has no header.
    """
    suffix = _suffix(path)
    with ExitStack() as stack:
        with _reading(path):
            raw, content = _binary(path, stack)
            rows = (
                Rows(None, _lines(path, content), raw.tell)
                if suffix in _JSON_LINES
                else _csv_rows(path, _text(content, stack), raw.tell)
            )
        yield rows


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(f"{path} cannot be read: {reason}.") from error


def _suffix(path: Path) -> str:
    if str(path) == STDIN:
        return ".jsonl"
    inner = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    suffix = inner.suffix.lower()
    if suffix != ".csv" and suffix not in _JSON_LINES:
        raise SettingsError(
            f"{path}: posts are read from .jsonl, .ndjson and .csv files, also with .gz after it; "
            "rename the file if it is one of these."
        )
    return suffix


def _binary(path: Path, stack: ExitStack) -> tuple[BinaryIO, BinaryIO]:
    """The file as it is, for its position, and what it holds."""
    if str(path) == STDIN:
        return io.BytesIO(), sys.stdin.buffer
    raw = stack.enter_context(path.open("rb"))
    if path.suffix.lower() != ".gz":
        return raw, raw
    return raw, cast("BinaryIO", stack.enter_context(gzip.open(raw)))


def _lines(path: Path, content: BinaryIO) -> Iterator[Row | RowError]:
    with _reading(path):
        for number, line in enumerate(content, start=1):
            stripped = line.strip()
            if stripped:
                yield Row(f"{path}:{number}", line=stripped)


def _text(content: BinaryIO, stack: ExitStack) -> TextIO:
    # Bytes that are not UTF-8 come as surrogates, so that the error can name the line.
    return stack.enter_context(
        io.TextIOWrapper(content, encoding="utf-8-sig", errors="surrogateescape", newline="")
    )


def _csv_rows(path: Path, text: TextIO, position: Callable[[], int]) -> Rows:
    csv.field_size_limit(_MAX_CELL_CHARS)
    reader = csv.reader(text, strict=True)
    try:
        columns = tuple(name.strip() for name in next(reader, ()))
    except csv.Error as error:
        raise SettingsError(f"{path}:1 is no CSV header: {error}.") from error
    if not any(columns):
        raise SettingsError(f"{path} has no header: the first line must name the columns.")
    if len(set(columns)) < len(columns):
        raise SettingsError(f"{path}:1: two columns have the same name.")

    def rows() -> Iterator[Row | RowError]:
        while True:
            place = f"{path}:{reader.line_num + 1}"
            try:
                with _reading(path):
                    cells = next(reader, None)
            except csv.Error as error:
                yield RowError(f"{place} is no CSV row: {error}.")
                continue
            if cells is None:
                return
            if cells:
                yield _row(place, columns, cells)

    return Rows(columns, rows(), position)


def _row(place: str, columns: tuple[str, ...], cells: list[str]) -> Row | RowError:
    if len(cells) != len(columns):
        return RowError(f"{place} has {len(cells)} cells; the header has {len(columns)}.")
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        return RowError(f"{place} is not UTF-8.")
    return Row(place, cells=dict(zip(columns, cells, strict=True)))
