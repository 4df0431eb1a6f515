"""Files of posts as logs: each is known by its content, and its lines are its offsets."""

from __future__ import annotations

import glob
import gzip
import hashlib
import json
import zlib
from dataclasses import dataclass
from datetime import date, datetime
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

from worker.errors import DependencyError, SettingsError
from worker.posts import Record, RecordRef
from worker.posts.place import Partition

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_SUFFIXES: Final = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz", ".parquet")
_BLOCK: Final = 1 << 20
_ROWS: Final = 4_096


@dataclass(frozen=True, slots=True)
class File:
    """A file of posts.

    Attributes:
        path: Where it lies here.
        log: The given topic; its id is of the content's SHA-256, so that a copy is the same log.
        lines: How many lines or rows it has.
    """

    path: Path
    log: Partition
    lines: int


def find_files(patterns: Iterable[str], topic: str) -> list[File]:
    """The files that the patterns name, each content once, in the order of their names.

    Raises:
        SettingsError: A pattern names none, or one that cannot be read.
        DependencyError: Parquet, without pyarrow.
    """
    paths: dict[Path, None] = {}
    for pattern in patterns:
        found = sorted(Path(name) for name in glob.glob(pattern, recursive=True))  # noqa: PTH207
        if not found:
            raise SettingsError(f"--from-files {pattern}: there is no such file.")
        paths |= dict.fromkeys(found)
    files: dict[Partition, File] = {}
    for path in paths:
        if not path.name.endswith(_SUFFIXES):
            raise SettingsError(
                f"--from-files {path}: what it holds is not known by its name; use "
                f"{', '.join(_SUFFIXES)}."
            )
        try:
            one = File(path, Partition(topic, _content_id(path), 0), _count(path))
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise SettingsError(f"--from-files {path}: cannot be read: {error}.") from None
        files.setdefault(one.log, one)
    return list(files.values())


def _content_id(path: Path) -> UUID:
    with path.open("rb") as file:
        return UUID(bytes=hashlib.file_digest(file, "sha256").digest()[:16])


def _count(path: Path) -> int:
    if path.suffix == ".parquet":
        return int(_parquet(path).metadata.num_rows)
    count, last = 0, b"\n"
    with _open(path) as file:
        while block := file.read(_BLOCK):
            count += block.count(b"\n")
            last = block
    return count + (not last.endswith(b"\n"))


def records(file: File, start: int, time_ms: int) -> Iterator[Record]:
    """Its records from line `start` on; empty lines are passed over.

    Args:
        file: Where they lie.
        start: The first one's line, from 0.
        time_ms: The timestamp that all of them get, epoch milliseconds: a file has none.

    Raises:
        SettingsError: It can no longer be read.
    """
    try:
        for number, value in _values(file.path, start):
            if value.strip():
                yield Record(RecordRef(*_place(file.log), number), time_ms, None, value)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise SettingsError(f"--from-files {file.path}: cannot be read: {error}.") from None


def _place(log: Partition) -> tuple[str, UUID, int]:
    return (log.topic, log.topic_id, log.number)


def _values(path: Path, start: int) -> Iterator[tuple[int, bytes]]:
    if path.suffix == ".parquet":
        yield from islice(enumerate(_rows(path)), start, None)
        return
    with _open(path) as file:
        for number, line in islice(enumerate(file), start, None):
            yield number, line.rstrip(b"\r\n")


def _open(path: Path) -> Any:  # noqa: ANN401 - a binary file, of either kind
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _parquet(path: Path) -> Any:  # noqa: ANN401
    try:
        parquet = import_module("pyarrow.parquet")
    except ModuleNotFoundError:
        raise DependencyError(
            f"{path}: Parquet needs the package pyarrow: pip install pyarrow"
        ) from None
    return parquet.ParquetFile(path)


def _rows(path: Path) -> Iterator[bytes]:
    for batch in _parquet(path).iter_batches(batch_size=_ROWS):
        for row in cast("Sequence[dict[str, object]]", batch.to_pylist()):
            kept = {name: value for name, value in row.items() if value is not None}
            yield json.dumps(kept, default=_plain, ensure_ascii=False).encode()


def _plain(value: object) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(value)
