from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, cast

import click
import pytest
from click.testing import CliRunner

from worker.classifier.interface import Text
from worker.classifier.stub import StubClassifier
from worker.commands import classify
from worker.posts import LABELS, Label

if TYPE_CHECKING:
    from io import BufferedReader


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_MODEL", "stub")


def _run(*arguments: str, stdin: bytes | None = None) -> str:
    result = CliRunner().invoke(classify.command, arguments, input=stdin, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def _objects(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def test_json_has_the_names_of_the_contract() -> None:
    labelled, unlabelled = _objects(_run("--json", "what a day", "..."))
    answer = StubClassifier().classify([Text("what a day")])[0]

    assert isinstance(answer, Label)
    assert list(labelled) == ["emotion", "confidence", "scores"]
    assert labelled["emotion"] == answer.emotion
    assert labelled["confidence"] == answer.confidence
    assert list(labelled["scores"]) == list(LABELS)
    assert [round(1e6 * score) for score in labelled["scores"].values()] == list(answer.scores)
    assert unlabelled == {
        "emotion": "unlabelled",
        "confidence": None,
        "scores": None,
        "unlabelled_reason": "empty",
    }


def test_one_object_for_each_line_of_stdin() -> None:
    lines = [b"one", b"two\r", b"", b"\xff\xfe", b"last"]

    objects = _objects(_run("--json", stdin=b"\n".join(lines)))

    assert len(objects) == 5
    assert objects[1] == _objects(_run("--json", "two"))[0]
    assert objects[2]["unlabelled_reason"] == "empty"
    assert _objects(_run("--json", stdin=b"\n".join(lines) + b"\n")) == objects


def test_no_input_no_output() -> None:
    assert _run("--json", stdin=b"") == ""


def test_arguments_go_before_stdin() -> None:
    assert len(_objects(_run("--json", "one", stdin=b"two\nthree\n"))) == 1


def test_people_see_a_line_for_each_text() -> None:
    head, first, second = _run("what a day\x1b[2J", " !").splitlines()

    assert head.split()[:2] == ["emotion", "conf"]
    assert "what a day [2J" in first
    assert "\x1b" not in first
    assert first.split()[0] in (*LABELS, "uncertain")
    assert second.startswith("unlabelled")
    assert "nothing left" in second


def test_a_terminal_without_texts_is_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(terminal.buffer, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin", terminal)

    with pytest.raises(click.UsageError, match="pipe them in"):
        classify.command.main([], standalone_mode=False)


def test_arguments_that_are_no_utf_8_do_no_harm() -> None:
    assert len(_objects(_run("--json", "caf\udce9"))) == 1


class _Slow(io.BytesIO):
    """Gives what comes piece by piece."""

    def __init__(self, *pieces: bytes) -> None:
        super().__init__()
        self._pieces = list(pieces)

    def read1(self, size: int | None = -1) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


def test_lines_are_given_on_as_they_come() -> None:
    stream = cast(
        "BufferedReader", _Slow(b"a\nb", b"b\n", b"c", b"c", "\u00e9".encode()[:1], b"\n")
    )

    assert list(classify._read_lines(stream)) == [["a"], ["bb"], ["cc\ufffd"]]


@pytest.mark.parametrize(
    ("score", "bar"), [(0, "    "), (1_000_000, "████"), (500_000, "██  "), (281_250, "█▏  ")]
)
def test_bars_have_one_width(score: int, bar: str) -> None:
    assert classify._bar(score) == bar


def test_answers_while_the_pipe_is_open() -> None:
    code = "from worker.cli import main; main(['classify', '--json'])"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"WORKER_MODEL": "stub"},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for text in (b"one\n", b"two\n"):
            process.stdin.write(text)
            process.stdin.flush()
            assert "emotion" in json.loads(process.stdout.readline())
        process.stdin.close()
        assert process.stdout.read() == b""
    assert process.returncode == 0
