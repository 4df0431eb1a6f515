from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pyarrow
import pytest
from pyarrow import parquet

from trainer import data
from worker.errors import DependencyError, SettingsError
from worker.posts import LABELS

if TYPE_CHECKING:
    from pathlib import Path


def _write(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        stem, _, suffix = name.rpartition("_")
        (folder / f"{stem}.{suffix}").write_text(content, encoding="utf-8")
    return folder


def test_a_line_is_split_at_its_last_semicolon(tmp_path: Path) -> None:
    _write(tmp_path, train_txt="sad; very sad;sadness\r\n\n  \nnice;joy\n")
    split = data.load(str(tmp_path)).split("train")
    assert split.texts == ("sad; very sad", "nice")
    assert split.labels == (0, 1)


def test_the_formats_mean_the_same(tmp_path: Path) -> None:
    rows = [("i feel fine, thanks", "joy"), ('a "quoted" word', "anger")]
    txt, csv, jsonl = (tmp_path / name for name in ("txt", "csv", "jsonl"))
    for folder in (txt, csv, jsonl):
        folder.mkdir()
    _write(txt, validation_txt="".join(f"{text};{label}\n" for text, label in rows))
    _write(
        csv,
        val_csv='id,text,label\n1,"i feel fine, thanks",1\n2,"a ""quoted"" word",anger\n',
    )
    _write(
        jsonl,
        dev_jsonl="\n".join(json.dumps({"text": text, "label": label}) for text, label in rows),
    )
    loaded = [data.load(str(folder)) for folder in (txt, csv, jsonl)]
    assert [found.split("val").texts for found in loaded] == [tuple(t for t, _ in rows)] * 3
    assert len({found.fingerprint() for found in loaded}) == 1


def test_the_fingerprint_sees_every_change(tmp_path: Path) -> None:
    contents = ["a;joy\nb;joy\n", "b;joy\na;joy\n", "a;joy\nb;love\n", "a;joy\nb;joy\nb;joy\n"]
    seen = set()
    for content in contents:
        _write(tmp_path, train_txt=content)
        seen.add(data.load(str(tmp_path)).fingerprint())
    (tmp_path / "train.txt").rename(tmp_path / "test.txt")
    seen.add(data.load(str(tmp_path)).fingerprint())
    assert len(seen) == len(contents) + 1


@pytest.mark.parametrize(
    ("name", "content", "line", "words"),
    [
        ("train.txt", "fine;joy\nno label here\n", 2, "no semicolon"),
        ("train.txt", "fine;joy\n\nhm;boredom\n", 3, "unknown label 'boredom'"),
        ("train.txt", "fine;joy\nhm;6\n", 2, "unknown label '6'"),
        ("train.txt", "fine;joy\n ;joy\n", 2, "no text"),
        ("train.csv", "text,mood\na,joy\n", 1, "no column label"),
        ("train.csv", 'text,label\na,joy\n"b,joy\n', 3, "unexpected end of data"),
        ("train.csv", "", 1, "no column text and label (the columns are: none)"),
        ("train.tsv", "a\t1\nb 1\n", 2, "no tab"),
        ("train.tsv", "a\t1\nb\tx\n", 2, "unknown label 'x'"),
        ("train.csv", "text,label\na,joy\nb\n", 3, "2 columns expected"),
        ("train.csv", "text,label\na,joy,more\n", 2, "2 columns expected"),
        ("train.jsonl", '{"text": "a", "label": "joy"}\n{"text"\n', 2, "not JSON"),
        ("train.jsonl", '{"text": "a"}\n', 1, "text and label"),
        ("train.jsonl", '{"text": 3, "label": "joy"}\n', 1, "no text"),
    ],
)
def test_an_error_names_file_and_line(
    tmp_path: Path, name: str, content: str, line: int, words: str
) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(data.DataError) as caught:
        data.load(str(tmp_path))
    assert str(caught.value).startswith(f"{path}, line {line}: ")
    assert words in str(caught.value)


def test_parquet_means_the_same_and_names_its_rows(tmp_path: Path) -> None:
    rows = [("i feel fine, thanks", "joy"), ("so cross", "anger")]
    table = pyarrow.table({"text": [text for text, _ in rows], "label": [name for _, name in rows]})
    parquet.write_table(table, tmp_path / "train.parquet")
    split = data.load(str(tmp_path)).split("train")
    assert (split.texts, split.labels) == (tuple(text for text, _ in rows), (1, 3))
    path = tmp_path / "val.parquet"
    parquet.write_table(pyarrow.table({"text": ["a", "b"], "label": ["joy", "glee"]}), path)
    with pytest.raises(data.DataError, match=r"val\.parquet, row 2: unknown label 'glee'"):
        data.load(str(tmp_path))
    parquet.write_table(pyarrow.table({"body": ["a"], "label": ["joy"]}), path)
    with pytest.raises(data.DataError, match=r"val\.parquet, schema: no column text"):
        data.load(str(tmp_path))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(data.DataError, match="no whole Parquet file"):
        data.load(str(tmp_path))


def test_columns_and_labels_can_have_other_names(tmp_path: Path) -> None:
    _write(tmp_path, train_csv="body,mood,language\nhm,glad,en\noh,anger,\n")
    split = data.load(
        str(tmp_path),
        columns=data.Columns(text="body", label="mood", lang="language"),
        labelling=data.Labelling(mapping={"glad": "joy"}),
    ).split("train")
    assert (split.texts, split.labels, split.langs) == (("hm", "oh"), (1, 3), ("en", None))
    assert split.take([1]).langs == (None,)


def test_a_tab_separated_file_may_have_several_labels(tmp_path: Path) -> None:
    _write(tmp_path, train_tsv="a\t2\tx\nb\t0,2\ty\nc\t0,1\tz\nd\t3\tz\n")
    form = {"names": ("joy", "glee", "rage", "dull"), "strict": False}
    mapping = {"joy": "joy", "glee": "joy", "rage": "anger", "dull": ""}
    merged = data.Labelling(mapping=mapping, several="merge", **form)  # type: ignore[arg-type]
    assert data.load(str(tmp_path), labelling=merged).split("train").texts == ("a", "c")
    skipped = data.Labelling(mapping=mapping, several="skip", **form)  # type: ignore[arg-type]
    assert data.load(str(tmp_path), labelling=skipped).split("train").labels == (3,)
    refused = data.Labelling(mapping=mapping, **form)  # type: ignore[arg-type]
    with pytest.raises(data.DataError, match=r"train\.tsv, line 2: 2 labels"):
        data.load(str(tmp_path), labelling=refused)


def test_neutral_is_a_label_only_where_it_is_wanted(tmp_path: Path) -> None:
    _write(tmp_path, train_txt="a;joy\nb;neutral\n")
    with pytest.raises(data.DataError, match=r"line 2: unknown label 'neutral'"):
        data.load(str(tmp_path))
    found = data.load(str(tmp_path), labelling=data.Labelling(neutral=True))
    assert found.split("train").labels == (1, 6)


def test_a_byte_order_mark_belongs_to_no_column(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes(b"\xef\xbb\xbftext,label\na,joy\n")
    assert data.load(str(tmp_path)).split("train").texts == ("a",)


def test_a_file_that_is_not_utf8_or_empty_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_bytes(b"a;joy\ncaf\xe9;joy\n")
    with pytest.raises(data.DataError, match="line 2: not UTF-8"):
        data.load(str(path))
    path.write_text("\n\n")
    with pytest.raises(data.DataError, match="no examples"):
        data.load(str(path))


def test_a_missing_source_split_or_twofold_split_is_a_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such file"):
        data.load(str(tmp_path / "nowhere"))
    with pytest.raises(SettingsError, match="no train, val or test file"):
        data.load(str(tmp_path))
    _write(tmp_path, train_txt="a;joy\n")
    with pytest.raises(SettingsError, match=r"no val split .*it has: train"):
        data.load(str(tmp_path)).split("val")
    _write(tmp_path, val_txt="a;joy\n", dev_txt="a;joy\n")
    with pytest.raises(SettingsError, match="both"):
        data.load(str(tmp_path))


def test_a_single_file_is_divided_by_text(tmp_path: Path) -> None:
    path = tmp_path / "all.txt"
    lines = [f"post number {i};{LABELS[i % 6]}" for i in range(1000)]
    path.write_text("\n".join(lines * 2), encoding="utf-8")
    dataset = data.load(str(path))
    texts = {name: set(split.texts) for name, split in dataset.splits.items()}
    assert sum(len(split) for split in dataset.splits.values()) == 2000
    assert sum(len(found) for found in texts.values()) == 1000, "equal texts stay together"
    assert 140 < len(dataset.split("val")) < 260
    assert 140 < len(dataset.split("test")) < 260
    assert len(data.load_split(str(path), "test")) == 2000, "to be measured, a file is one split"


def test_a_hub_id_without_the_package_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DependencyError, match=r"pip install datasets.*--data.*--base"):
        data.load("dair-ai/emotion")


def test_a_hub_that_is_not_reached_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise ConnectionError("no route")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=fail))
    with pytest.raises(DependencyError, match=r"ConnectionError.*--data FOLDER.*--base FOLDER"):
        data.load("dair-ai/emotion")


def test_a_hub_data_set_has_the_splits_of_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    class Rows(dict[str, list[object]]):
        @property
        def column_names(self) -> list[str]:
            return list(self)

    found = {
        "train": Rows(text=["a", "b"], label=[0, 5]),
        "validation": Rows(text=["c"], label=[1]),
        "unused": Rows(text=["d"], label=[1]),
    }
    hub = SimpleNamespace(load_dataset=lambda _: found)
    monkeypatch.setitem(sys.modules, "datasets", hub)
    dataset = data.load("some/set")
    assert {name: split.labels for name, split in dataset.splits.items()} == {
        "train": (0, 5),
        "val": (1,),
    }
