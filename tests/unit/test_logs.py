"""Logs: JSON a line, or lines for a person."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import pytest

from worker import logs

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("", "worker", "kafka")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """pytest's own handlers and levels come back."""
    root = logging.getLogger()
    handlers = list(root.handlers)
    levels = {name: logging.getLogger(name).level for name in NAMES}
    yield
    root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def _json(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def _fail(event: str) -> None:
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        logging.getLogger("worker").exception(event)


def test_json_has_the_place_as_fields(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json")
    before = datetime.now(UTC).replace(microsecond=0)
    logging.getLogger("worker.pipeline").warning(
        "fenced: %s", "yes", extra={"partition": "posts/3", "offset": 17}
    )
    [line] = _json(capsys)
    said_at = datetime.fromisoformat(line.pop("time"))
    assert said_at.tzinfo is not None
    assert before <= said_at <= datetime.now(UTC)
    assert line == {
        "level": "warning",
        "logger": "worker.pipeline",
        "event": "fenced: yes",
        "partition": "posts/3",
        "offset": 17,
    }


def test_json_stays_one_line_whatever_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json")
    log = logging.getLogger("worker")
    log.info("two\nlines", extra={"path": io, "name_of": "Zoë\n😀"})
    _fail("broken")
    first, second = _json(capsys)
    assert first["event"] == "two\nlines"
    assert first["name_of"] == "Zoë\n😀"
    assert first["path"] == str(io)
    assert second["level"] == "error"
    assert "ZeroDivisionError" in second["stack"]
    assert "Traceback" in second["stack"]


def test_console_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("console")
    log = logging.getLogger("worker.pipeline")
    log.info("reading", extra={"partition": "posts/3", "offset": 17})
    log.warning("the broker is away")
    plain, warning = capsys.readouterr().err.splitlines()
    time, _, rest = plain.partition(" ")
    assert re.fullmatch(r"\d\d:\d\d:\d\d", time)
    assert rest == "reading (partition=posts/3 offset=17)"
    assert warning.partition(" ")[2] == "WARNING: the broker is away"


def test_console_shows_a_stack_trace(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("console")
    _fail("broken")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("ERROR: broken")
    assert lines[1].startswith("Traceback")
    assert lines[-1].startswith("ZeroDivisionError")


@pytest.mark.parametrize(
    ("form", "stream", "is_json"),
    [
        ("auto", io.StringIO, True),
        ("auto", Terminal, False),
        ("json", Terminal, True),
        ("console", io.StringIO, False),
    ],
)
def test_auto_asks_whether_a_person_reads(
    monkeypatch: pytest.MonkeyPatch,
    form: Literal["auto", "console", "json"],
    stream: type[io.StringIO],
    is_json: bool,
) -> None:
    out = stream()
    monkeypatch.setattr(sys, "stderr", out)
    logs.configure(form)
    logging.getLogger("worker").info("hello")
    assert out.getvalue().startswith("{") == is_json


@pytest.mark.parametrize("verbose", [False, True])
def test_who_is_heard(capsys: pytest.CaptureFixture[str], verbose: bool) -> None:
    logs.configure("json", verbose=verbose)
    logging.getLogger("worker.source").debug("detail")
    logging.getLogger("worker.source").info("ours")
    logging.getLogger("alembic").info("a library's chatter")
    logging.getLogger("alembic").warning("a library's warning")
    logging.getLogger("kafka.conn").error("the broker is away, at every attempt")
    heard = [line["event"] for line in _json(capsys)]
    ours, theirs = ["ours"], ["a library's warning"]
    if verbose:
        ours, theirs = ["detail", *ours], [*theirs, "the broker is away, at every attempt"]
    assert heard == ours + theirs


def test_configured_twice_says_everything_once(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json")
    logs.configure("json")
    logging.getLogger("worker").info("hello")
    assert len(_json(capsys)) == 1
