"""The SQL of this room, a file each under `sql/`, by name."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def query(name: str) -> bytes:
    """The SQL in `sql/<name>.sql`. Parameters only, never text put together: bytes say so."""
    return files("worker.store").joinpath("sql", f"{name}.sql").read_bytes()
