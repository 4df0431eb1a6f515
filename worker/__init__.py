"""emotion-stream's worker: posts on Kafka in, exact emotion trends in Postgres out."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("emotion-stream")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"
