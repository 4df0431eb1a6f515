from __future__ import annotations

import csv
import gzip
import io
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import SettingsError
from worker.posts.files import Row, RowError, open_rows

if TYPE_CHECKING:
    from pathlib import Path


def read(path: Path) -> list[Row | RowError]:
    with open_rows(path) as opened:
        return list(opened.rows)


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "A.NDJSON", "a.jsonl.gz"])
def test_json_lines(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name, b'{"a": 1}\r\n\n  {"b": "\xff"} \nlast')
    assert read(path) == [
        Row(f"{path}:1", line=b'{"a": 1}'),
        Row(f"{path}:3", line=b'{"b": "\xff"}'),
        Row(f"{path}:4", line=b"last"),
    ]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_csv(tmp_path: Path, name: str) -> None:
    path = write(
        tmp_path, name, '\ufeffid, text\r\n1,"two\nlines, ""quoted"""\r\n\r\n2,é\r\n'.encode()
    )
    with open_rows(path) as opened:
        assert opened.columns == ("id", "text")
        assert list(opened.rows) == [
            Row(f"{path}:2", cells={"id": "1", "text": 'two\nlines, "quoted"'}),
            Row(f"{path}:5", cells={"id": "2", "text": "é"}),
        ]
        assert opened.position() == path.stat().st_size


any_cell = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"))


@given(st.lists(st.tuples(any_cell, any_cell), max_size=4))
def test_csv_comes_back_as_another_writer_wrote_it(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    written = io.StringIO()
    csv.writer(written, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    path = write(tmp_path_factory.mktemp("csv"), "a.csv", written.getvalue().encode())
    assert [dict(row.cells or {}) for row in read(path) if isinstance(row, Row)] == [
        {"a": first, "b": second} for first, second in rows
    ]


def test_bad_csv_rows_have_their_line_and_others_go_on(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", b'id,text\n1\n2,a,b\n3,\xff\n4,"a"b\n5,ok\n6,"open\n')
    messages = [str(row) if isinstance(row, RowError) else row.cells for row in read(path)]
    assert messages == [
        f"{path}:2 has 1 cells; the header has 2.",
        f"{path}:3 has 3 cells; the header has 2.",
        f"{path}:4 is not UTF-8.",
        f"{path}:5 is no CSV row: ',' expected after '\"'.",
        {"id": "5", "text": "ok"},
        f"{path}:7 is no CSV row: unexpected end of data.",
    ]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.txt", b"", "are read from .jsonl, .ndjson and .csv"),
        ("a.gz", b"", "are read from"),
        ("a.csv", b"", "has no header"),
        ("a.csv", b"\n1,2", "has no header"),
        ("a.csv", b"a,a\n1,2", "two columns have the same name"),
        ("a.csv", b'"a', "is no CSV header"),
    ],
)
def test_files_that_are_none_of_ours(
    tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    with pytest.raises(SettingsError, match=problem):
        read(write(tmp_path, name, content))


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.csv.gz"])
def test_a_broken_archive_is_named(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name, b"id,text\n" + b"1,2\n" * 50_000)
    whole = path.read_bytes()
    for broken in (b"plain", whole[: len(whole) // 2], whole[:40] + b"\xff" * 40):
        path.write_bytes(broken)
        with pytest.raises(SettingsError, match=r"cannot be read: .*\."):
            read(path)


def test_standard_input_is_json_lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b"{}\n"))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert read(type(tmp_path)("-")) == [Row("-:1", line=b"{}")]
