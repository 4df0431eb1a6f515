"""Logs: lines for a person on a terminal, one JSON object a line elsewhere.

Never a post's text, an author or a secret: call sites pass places and numbers.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final, Literal

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _extras(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _time(record).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **_extras(record),
        }
        if record.exc_info:
            line["stack"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class _Console(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        extras = " ".join(f"{name}={value}" for name, value in _extras(record).items())
        level = "" if record.levelno == logging.INFO else f"{record.levelname}: "
        line = f"{_time(record):%H:%M:%S} {level}{record.getMessage()}"
        if extras:
            line += f" ({extras})"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def configure(form: Literal["auto", "console", "json"], *, verbose: bool = False) -> None:
    """Sends the worker's logs to stderr. Libraries are heard from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    handler.setFormatter(_Console() if console else _Json())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("worker").setLevel(logging.DEBUG if verbose else logging.INFO)
    # While a broker is away it says so at every attempt to connect; ours says it once.
    logging.getLogger("kafka").setLevel(logging.INFO if verbose else logging.CRITICAL)
